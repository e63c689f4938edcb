//! Resources that are wrong: refused at apply, or not Ready with a reason that says how to mend it. A
//! good one heals it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::namespace::{delete_and_wait, unique_name, with_temp_namespace, with_tenant};
use e2e::objects::{ID_GENERATOR, ROLE, TENANT};
use e2e::resources::{
    apply_ready, await_not_ready, await_ready, await_warning, role, segment, tenant,
};
use e2e::{Application, Cluster, Observed, await_condition};
use serde_json::{Value, json};

/// The condition has this reason, and a message that names what it is about.
fn says(condition: &Value, reason: &str, about: &str) -> Result<()> {
    ensure!(
        condition["reason"] == reason,
        "{} instead of {reason}: {condition}",
        condition["reason"]
    );
    let message = condition["message"].as_str().unwrap_or_default();
    ensure!(
        message.contains(about),
        "the message does not name {about}: {condition}"
    );
    Ok(())
}

async fn deleted(cluster: &Cluster, namespace: &str, name: &str) -> Result<()> {
    cluster.delete(ID_GENERATOR, Some(namespace), name).await?;
    await_condition(
        "the generator to be gone",
        Duration::from_secs(60),
        async || {
            Ok(
                match cluster.find(ID_GENERATOR, Some(namespace), name).await? {
                    None => Observed::Yes(()),
                    Some(object) => Observed::NotYet(object["status"].to_string()),
                },
            )
        },
    )
    .await
}

/// Role and generator wait for their tenant, and need no touch when it comes.
pub(crate) async fn unknown_tenant_is_said_and_heals(cluster: &Cluster) -> Result<()> {
    let name = unique_name("late");
    let labels = [("signet.dev/tenant", name.as_str())];
    let outcome = with_temp_namespace(cluster, "orphan", &labels, async |namespace| {
        let rules = json!([{ "effect": "Allow", "resources": ["orders/*"], "actions": ["read"] }]);
        cluster
            .apply(&role(namespace, "reader", &name, "shopper", &rules))
            .await?;
        cluster
            .apply(&segment(namespace, "order-id", &name, (1, 1_000_000, 100)))
            .await?;
        let refused = await_not_ready(cluster, ROLE, Some(namespace), "reader").await?;
        says(&refused, "TenantNotFound", &name)?;
        let refused = await_not_ready(cluster, ID_GENERATOR, Some(namespace), "order-id").await?;
        says(&refused, "TenantNotFound", &name)?;
        apply_ready(cluster, &tenant(&name)).await?;
        await_ready(cluster, ROLE, Some(namespace), "reader").await?;
        await_ready(cluster, ID_GENERATOR, Some(namespace), "order-id").await?;
        Ok(())
    })
    .await;
    delete_and_wait(cluster, TENANT, &name).await?;
    outcome
}

/// CEL that does not parse, and CEL over a name that does not exist.
pub(crate) async fn bad_condition_is_said_and_heals(cluster: &Cluster) -> Result<()> {
    with_tenant(cluster, "condition", async |scope| {
        let namespace = &scope.namespace;
        let with = |condition: &str| {
            let rules = json!([{
                "effect": "Allow", "resources": ["orders/*"], "actions": ["create"],
                "when": condition,
            }]);
            role(namespace, "writer", &scope.tenant, "shopper", &rules)
        };
        for condition in ["request.amount <", "requst.amount < 1000"] {
            cluster.apply(&with(condition)).await?;
            let refused = await_not_ready(cluster, ROLE, Some(namespace), "writer").await?;
            says(&refused, "InvalidCondition", "").with_context(|| condition.to_owned())?;
        }
        await_warning(cluster, namespace, "InvalidCondition").await?;
        apply_ready(cluster, &with("request.amount < 1000")).await?;
        Ok(())
    })
    .await
}

/// Generators of one tenant with one name share an id space, in whatever namespace they are.
pub(crate) async fn overlapping_segment_is_said_and_heals(cluster: &Cluster) -> Result<()> {
    with_tenant(cluster, "overlap", async |scope| {
        let tenant = &scope.tenant;
        let first = segment(&scope.namespace, "order-id", tenant, (1, 1_000, 10));
        apply_ready(cluster, &first).await?;
        let labels = [("signet.dev/tenant", tenant.as_str())];
        with_temp_namespace(cluster, "overlap-two", &labels, async |other| {
            cluster
                .apply(&segment(other, "order-id", tenant, (1_000, 2_000, 10)))
                .await?;
            let refused = await_not_ready(cluster, ID_GENERATOR, Some(other), "order-id").await?;
            says(&refused, "SegmentOverlap", "")?;
            deleted(cluster, other, "order-id").await?;
            let beside = segment(other, "order-id", tenant, (1_001, 2_000, 10));
            apply_ready(cluster, &beside).await?;
            Ok(())
        })
        .await
    })
    .await
}

/// Shrinking is refused by the schema's rule; growing is taken.
pub(crate) async fn shrinking_segment_is_refused_and_heals(cluster: &Cluster) -> Result<()> {
    with_tenant(cluster, "shrink", async |scope| {
        let namespace = &scope.namespace;
        let of = |max| segment(namespace, "order-id", &scope.tenant, (1, max, 10));
        apply_ready(cluster, &of(1_000)).await?;
        let refused = cluster
            .try_apply(&of(999), false)
            .await?
            .err()
            .context("it was taken")?;
        ensure!(
            refused.message.contains("max cannot be lowered"),
            "{}",
            refused.message
        );
        let ready = apply_ready(cluster, &of(2_000)).await?;
        ensure!(
            ready["status"]["remaining"] == 2_000,
            "remaining: {}",
            ready["status"]
        );
        Ok(())
    })
    .await
}

/// An epoch that has not come, then one that has: this release says that it gives segments only.
pub(crate) async fn future_epoch_is_said_and_heals(cluster: &Cluster) -> Result<()> {
    with_tenant(cluster, "epoch", async |scope| {
        let namespace = &scope.namespace;
        let with = |epoch: &str| {
            json!({
                "apiVersion": "signet.dev/v1alpha1", "kind": "IdGenerator",
                "metadata": { "namespace": namespace, "name": "order-id" },
                "spec": { "tenant": scope.tenant, "snowflake": { "epoch": epoch } },
            })
        };
        for (epoch, reason) in [
            ("2999-01-01T00:00:00Z", "InvalidEpoch"),
            ("2020-01-01T00:00:00Z", "AlgorithmNotServed"),
        ] {
            cluster.apply(&with(epoch)).await?;
            let refused =
                await_not_ready(cluster, ID_GENERATOR, Some(namespace), "order-id").await?;
            says(&refused, reason, "")?;
            deleted(cluster, namespace, "order-id").await?;
        }
        apply_ready(
            cluster,
            &segment(namespace, "order-id", &scope.tenant, (1, 1_000, 10)),
        )
        .await?;
        Ok(())
    })
    .await
}

/// 404 with its code for a generator nobody declared, 400 for counts nobody may ask for.
pub(crate) async fn unknown_generator_is_not_found(cluster: &Cluster) -> Result<()> {
    with_tenant(cluster, "unknown", async |scope| {
        let namespace = &scope.namespace;
        let ids = segment(namespace, "order-id", &scope.tenant, (1, 1_000_000, 100));
        apply_ready(cluster, &ids).await?;
        let pod = Application::new(namespace, "shopper")
            .deploy_one(cluster)
            .await?;
        pod.take_all_ids("order-id", 5, 5).await?;
        for (path, status, code) in [
            ("/v1/ids/nobody-declared-it", 404, "IDGEN-COMMON-0006"),
            ("/v1/ids/order-id?count=0", 400, "IDGEN-COMMON-0001"),
            ("/v1/ids/order-id?count=10001", 400, "IDGEN-COMMON-0001"),
            ("/v1/ids/order-id?count=many", 400, "IDGEN-COMMON-0001"),
        ] {
            let answer = pod.ask_sidecar(path).await?.expect(status).context(path)?;
            let body = answer.json()?;
            ensure!(body["error"]["code"] == code, "{path}: {body}");
        }
        Ok(())
    })
    .await
}

/// All ids of a small segment come, each once; then 503 with its code and when to ask again.
pub(crate) async fn exhausted_generator_is_said(cluster: &Cluster) -> Result<()> {
    with_tenant(cluster, "exhausted", async |scope| {
        let namespace = &scope.namespace;
        apply_ready(
            cluster,
            &segment(namespace, "few", &scope.tenant, (101, 200, 10)),
        )
        .await?;
        let pod = Application::new(namespace, "shopper")
            .deploy_one(cluster)
            .await?;
        let taken = pod.take_ids("few", 101, 1).await?;
        let mut numbers: Vec<u64> = taken
            .ids
            .iter()
            .map(|id| id.parse())
            .collect::<Result<_, _>>()?;
        numbers.sort_unstable();
        ensure!(
            numbers == (101..=200).collect::<Vec<u64>>(),
            "{numbers:?} then {:?}",
            taken.error
        );
        let error = taken.error.context("more ids than there are")?;
        ensure!(
            error["status"] == 503 && error["code"] == "IDGEN-SEG-1001",
            "{error}"
        );
        let again = pod.ask_sidecar("/v1/ids/few").await?.expect(503)?;
        ensure!(
            again.headers.contains_key("retry-after"),
            "{:?}",
            again.headers
        );
        // Mended by a greater max, without touching the pod.
        apply_ready(
            cluster,
            &segment(namespace, "few", &scope.tenant, (101, 300, 10)),
        )
        .await?;
        await_condition(
            "ids of the grown segment",
            Duration::from_secs(60),
            async || {
                let answer = pod.ask_sidecar("/v1/ids/few").await?;
                let id = (answer.status == 200).then(|| answer.body.trim().parse::<u64>());
                Ok(Observed::from_option(
                    id.transpose()?,
                    format!("HTTP {}", answer.status),
                ))
            },
        )
        .await
        .and_then(|id| {
            ensure!((201..=300).contains(&id), "{id} is not of the new part");
            Ok(())
        })
    })
    .await
}
