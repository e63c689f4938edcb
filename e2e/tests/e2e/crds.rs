//! The schemas and CEL rules of the resources, on a real API server. Nothing is kept.

use anyhow::{Context, Result, ensure};
use e2e::Cluster;
use e2e::resources::{role, sample, segment, tenant};
use serde_json::{Value, json};

/// A change to a good manifest, and a part of what the API server must say to it.
type Case = (&'static str, fn(&mut Value), &'static str);

const TENANTS: &[Case] = &[
    (
        "an unknown algorithm",
        |t| t["spec"]["tokens"]["algorithm"] = json!("HS256"),
        "algorithm",
    ),
    (
        "no audience",
        |t| t["spec"]["tokens"]["audiences"] = json!([]),
        "audiences",
    ),
    (
        "an audience twice",
        |t| t["spec"]["tokens"]["audiences"] = json!(["a", "a"]),
        "unique",
    ),
    (
        "tokens for a second",
        |t| t["spec"]["tokens"]["accessTokenLifetime"] = json!("1s"),
        "1m",
    ),
    (
        "tokens for ever",
        |t| t["spec"]["tokens"]["accessTokenLifetime"] = json!("25h"),
        "24h",
    ),
    (
        "keys gone before their tokens",
        |t| t["spec"]["keys"] = json!({ "rotateEvery": "1h", "overlap": "5m" }),
        "overlap",
    ),
    (
        "keys that overlap for ever",
        |t| t["spec"]["keys"] = json!({ "rotateEvery": "24h", "overlap": "24h" }),
        "rotateEvery",
    ),
    (
        "every namespace",
        |t| t["spec"]["namespaces"] = json!({}),
        "every namespace",
    ),
    (
        "a misspelt policy",
        |t| t["spec"]["deletionPolicy"] = json!("Destroy"),
        "deletionPolicy",
    ),
    (
        "a name with dots",
        |t| t["metadata"]["name"] = json!("a.b"),
        "dots",
    ),
    (
        "an issuer not served yet",
        |t| t["spec"]["trustedIssuers"] = json!([{}]),
        "not served",
    ),
];

const ROLES: &[Case] = &[
    (
        "a misspelt effect",
        |r| r["spec"]["rules"][0]["effect"] = json!("Permit"),
        "effect",
    ),
    (
        "no resources",
        |r| r["spec"]["rules"][0]["resources"] = json!([]),
        "resources",
    ),
    (
        "no actions",
        |r| r["spec"]["rules"][0]["actions"] = json!([]),
        "actions",
    ),
    (
        "an unknown kind of subject",
        |r| r["spec"]["subjects"][0]["kind"] = json!("Robot"),
        "kind",
    ),
    (
        "a role inherited twice",
        |r| r["spec"]["inherits"] = json!(["a", "a"]),
        "once",
    ),
    ("no tenant", |r| r["spec"]["tenant"] = json!(""), "tenant"),
];

const GENERATORS: &[Case] = &[
    ("no algorithm", without_segment, "exactly one"),
    (
        "two algorithms",
        |g| g["spec"]["snowflake"] = json!({ "epoch": "2020-01-01T00:00:00Z" }),
        "exactly one",
    ),
    (
        "an end before the start",
        |g| g["spec"]["segment"]["max"] = json!(1),
        "max",
    ),
    (
        "a step of nothing",
        |g| g["spec"]["segment"]["step"] = json!(0),
        "step",
    ),
    (
        "a step beyond the end",
        |g| g["spec"]["segment"]["step"] = json!(5_000),
        "step",
    ),
    (
        "a refill at everything",
        |g| g["spec"]["buffer"] = json!({ "refillAt": 100 }),
        "refillAt",
    ),
    (
        "a buffer of nothing",
        |g| g["spec"]["buffer"] = json!({ "capacity": 0 }),
        "capacity",
    ),
    (
        "a budget in words",
        |g| g["spec"]["buffer"] = json!({ "outageBudget": "long" }),
        "outage",
    ),
    (
        "a fallback not served yet",
        |g| g["spec"]["fallback"] = json!(["uuid"]),
        "not served",
    ),
];

fn without_segment(generator: &mut Value) {
    if let Some(spec) = generator["spec"].as_object_mut() {
        spec.remove("segment");
    }
}

/// Each with words about the field it is about.
pub(crate) async fn invalid_resources_are_refused_at_apply(cluster: &Cluster) -> Result<()> {
    let rules = json!([{ "effect": "Allow", "resources": ["orders/*"], "actions": ["read"] }]);
    let good_role = role("default", "reader", "acme", "shopper", &rules);
    let good_generator = segment("default", "order-id", "acme", (1, 1_000, 10));
    for (good, cases) in [
        (tenant("dry-run"), TENANTS),
        (good_role, ROLES),
        (good_generator, GENERATORS),
    ] {
        let taken = cluster.try_apply(&good, true).await?;
        ensure!(taken.is_ok(), "the good one was refused: {taken:?}");
        for (what, change, words) in cases {
            let mut bad = good.clone();
            change(&mut bad);
            let refused = cluster.try_apply(&bad, true).await?;
            let refused = refused.err().with_context(|| format!("{what} was taken"))?;
            ensure!(
                refused.code == 422 && refused.message.contains(words),
                "{what}: {} {}",
                refused.code,
                refused.message
            );
        }
    }
    Ok(())
}

/// What users copy first.
pub(crate) async fn samples_are_taken_as_they_are(cluster: &Cluster) -> Result<()> {
    for file in [
        "namespace.yaml",
        "tenant.yaml",
        "role.yaml",
        "id-generator.yaml",
    ] {
        let documents = sample(cluster, file)?;
        ensure!(!documents.is_empty(), "{file} is empty");
        for mut document in documents {
            if let Some(namespace) = document.pointer_mut("/metadata/namespace") {
                // The samples' own may not be there now.
                *namespace = json!("default");
            }
            let taken = cluster.try_apply(&document, true).await?;
            ensure!(taken.is_ok(), "{file}: {taken:?}");
        }
    }
    Ok(())
}
