//! The story of the README: samples applied, an application with nothing but HTTP on localhost.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use e2e::installation::{self, CENTRAL_REPLICAS};
use e2e::jwt::Parts;
use e2e::namespace::{delete_and_wait, with_namespace};
use e2e::objects::{self, ID_GENERATOR, POD, TENANT};
use e2e::resources::{apply_ready, sample};
use e2e::{Application, Cluster, Observed, Pod, UniqueIds, await_condition};
use serde_json::{Value, json};

/// How long central is away, as the story says.
const OUTAGE: Duration = Duration::from_secs(60);
/// Ids of the sample's ring when full (`spec.buffer.capacity`).
const CAPACITY: u64 = 1_000_000;
const NAMESPACE: &str = "shop";
const GENERATOR: &str = "order-id";

/// Samples become Ready, pods get sidecars, and the four steps hold.
pub(crate) async fn works(cluster: &Cluster) -> Result<()> {
    let namespace = sample(cluster, "namespace.yaml")?
        .pop()
        .context("no namespace sample")?;
    ensure!(
        objects::name(&namespace)? == NAMESPACE,
        "the samples lie in {NAMESPACE}"
    );
    let labels = namespace["metadata"]["labels"]
        .as_object()
        .context("labels")?;
    let labels: Vec<(&str, &str)> = labels
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str().unwrap_or_default()))
        .collect();
    with_namespace(cluster, NAMESPACE, &labels, async |_| {
        samples_become_ready(cluster).await?;
        let checkout = Application::new(NAMESPACE, "checkout")
            .annotation("signet.dev/generators", GENERATOR)
            .deploy_one(cluster)
            .await?;
        let orders = Application::new(NAMESPACE, "orders")
            .deploy_one(cluster)
            .await?;
        for pod in [&checkout, &orders] {
            sidecar_is_native(pod).await?;
        }
        let token = step_one_token(&checkout).await?;
        step_two_decisions(&checkout, &orders, &token).await?;
        let mut ids = UniqueIds::default();
        step_three_ids(&checkout, &orders, &mut ids).await?;
        step_four_outage(cluster, &checkout, &orders, &token, &mut ids).await
    })
    .await?;
    delete_and_wait(cluster, TENANT, "acme").await
}

async fn samples_become_ready(cluster: &Cluster) -> Result<()> {
    for manifest in sample(cluster, "tenant.yaml")? {
        let tenant = apply_ready(cluster, &manifest).await?;
        let issuer = objects::text(&tenant, "/status/issuer")?;
        ensure!(issuer.ends_with("/t/acme"), "the issuer is {issuer}");
        ensure!(
            !objects::text(&tenant, "/status/activeKey")?.is_empty(),
            "no active key"
        );
        says_settled(&tenant)?;
    }
    for manifest in sample(cluster, "role.yaml")? {
        says_settled(&apply_ready(cluster, &manifest).await?)?;
    }
    for manifest in sample(cluster, "id-generator.yaml")? {
        says_settled(&apply_ready(cluster, &manifest).await?)?;
    }
    Ok(())
}

/// Of the conditions of kstatus only Ready is true; the phase says the same in a word.
fn says_settled(object: &Value) -> Result<()> {
    for condition in ["Reconciling", "Stalled"] {
        let one = objects::condition(object, condition).context(condition)?;
        ensure!(one["status"] == "False", "{condition}: {one}");
    }
    ensure!(
        object["status"]["phase"] == "Ready",
        "the phase is {}",
        object["status"]["phase"]
    );
    Ok(())
}

async fn sidecar_is_native(pod: &Pod) -> Result<()> {
    let object = pod.cluster.get(POD, Some(NAMESPACE), &pod.name).await?;
    let first = objects::list(&object, "/spec/initContainers")
        .first()
        .context("no sidecar")?;
    ensure!(
        first["name"] == "signet",
        "the first init container is {}",
        first["name"]
    );
    ensure!(
        first["restartPolicy"] == "Always",
        "restartPolicy {}",
        first["restartPolicy"]
    );
    for container in objects::list(&object, "/spec/containers") {
        let url = objects::list(container, "/env")
            .iter()
            .find(|one| one["name"] == "SIGNET_URL");
        let url = url.with_context(|| format!("{} has no SIGNET_URL", container["name"]))?;
        ensure!(
            url["value"] == "http://127.0.0.1:7740",
            "SIGNET_URL is {}",
            url["value"]
        );
        let mounts = objects::list(container, "/volumeMounts");
        ensure!(
            mounts
                .iter()
                .all(|mount| mount["mountPath"] != "/var/run/secrets/signet.dev"),
            "{} holds the sidecar's credential",
            container["name"]
        );
    }
    let tenant = &object["metadata"]["annotations"]["signet.dev/injected"];
    ensure!(tenant == "acme", "signet.dev/injected is {tenant}");
    Ok(())
}

/// 1: a tenant token on localhost, for whoever asks on purpose.
async fn step_one_token(checkout: &Pod) -> Result<String> {
    let unasked = checkout.ask_sidecar("/v1/token").await?;
    ensure!(
        unasked.status == 403,
        "without the header: HTTP {}",
        unasked.status
    );
    let token = checkout.token().await?;
    let claims = Parts::of(&token)?.claims;
    ensure!(
        claims["sub"] == "spiffe://acme.cluster.local/ns/shop/sa/checkout",
        "{claims}"
    );
    ensure!(
        claims["iss"]
            .as_str()
            .is_some_and(|issuer| issuer.ends_with("/t/acme")),
        "{claims}"
    );
    ensure!(claims["tenant_id"] == "acme", "{claims}");
    ensure!(
        claims["aud"] == "acme" || claims["aud"] == json!(["acme"]),
        "{claims}"
    );
    let verified = checkout.verify(&token).await?.expect(200)?.json()?;
    ensure!(verified["sub"] == claims["sub"], "verified as {verified}");
    Ok(token)
}

/// 2: the other pod's sidecar lets create and read through, and nothing else.
async fn step_two_decisions(checkout: &Pod, orders: &Pod, token: &str) -> Result<()> {
    for (method, body, expected) in [
        ("POST", json!({ "amount": 999 }), 200),
        ("GET", Value::Null, 200),
        ("POST", json!({ "amount": 1000 }), 403),
        ("POST", json!({}), 403),
        ("DELETE", Value::Null, 403),
    ] {
        let answer = checkout.call_orders(orders, method, token, &body).await?;
        ensure!(
            answer.status == expected,
            "{method} {body}: HTTP {} instead of {expected}: {}",
            answer.status,
            answer.body
        );
        let decision = answer.json()?;
        ensure!(
            decision["allowed"] == (expected == 200),
            "{method} {body}: {decision}"
        );
        ensure!(
            decision["reason"]
                .as_str()
                .is_some_and(|why| !why.is_empty()),
            "{decision}"
        );
    }
    Ok(())
}

/// 3: 10,000 ids one by one and 10,000 in batches, from each pod.
async fn step_three_ids(checkout: &Pod, orders: &Pod, ids: &mut UniqueIds) -> Result<()> {
    let (a, b) = tokio::try_join!(
        checkout.take_all_ids(GENERATOR, 10_000, 1),
        orders.take_all_ids(GENERATOR, 10_000, 1),
    )?;
    let (c, d) = tokio::try_join!(
        checkout.take_all_ids(GENERATOR, 10_000, 500),
        orders.take_all_ids(GENERATOR, 10_000, 500),
    )?;
    for taken in [a, b, c, d] {
        ids.add_all(taken.iter().map(String::as_str))?;
    }
    ensure!(ids.count() == 40_000, "{} ids", ids.count());
    Ok(())
}

/// 4: the same while central is away, and new ranges when it is back.
async fn step_four_outage(
    cluster: &Cluster,
    checkout: &Pod,
    orders: &Pod,
    token: &str,
    ids: &mut UniqueIds,
) -> Result<()> {
    installation::scale(cluster, "central", 0).await?;
    let away = Instant::now();
    let mut rounds = 0;
    while away.elapsed() < OUTAGE {
        step_two_decisions(checkout, orders, token)
            .await
            .context("while central is away")?;
        for pod in [checkout, orders] {
            for batch in [1, 100] {
                let taken = pod.take_all_ids(GENERATOR, 200, batch).await;
                let taken = taken.context("while central is away")?;
                ids.add_all(taken.iter().map(String::as_str))?;
            }
        }
        rounds += 1;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    ensure!(
        rounds >= 3,
        "only {rounds} rounds in {} s",
        OUTAGE.as_secs()
    );
    installation::scale(cluster, "central", CENTRAL_REPLICAS).await?;
    let before = next_id(cluster).await?;
    more_than_the_ring_held(checkout, ids).await?;
    a_new_pod_gets_ranges_of_its_own(cluster, orders, ids).await?;
    step_two_decisions(checkout, orders, token)
        .await
        .context("after central is back")?;
    status_shows_progress(cluster, before).await
}

/// Takes more ids than a full ring holds, so that some of them were committed after the outage.
async fn more_than_the_ring_held(pod: &Pod, ids: &mut UniqueIds) -> Result<()> {
    let goal = ids.count() + CAPACITY + CAPACITY / 20;
    let path = format!("/v1/ids/{GENERATOR}?count=10000&as=ranges");
    await_condition(
        "new ranges after the outage",
        Duration::from_secs(180),
        async || {
            while ids.count() < goal {
                let answer = pod.ask_sidecar(&path).await?;
                if answer.status == 503 {
                    return Ok(Observed::NotYet(format!(
                        "{} ids, {}",
                        ids.count(),
                        answer.body
                    )));
                }
                for range in objects::list(&answer.expect(200)?.json()?, "/ranges") {
                    add_range(ids, range)?;
                }
            }
            Ok(Observed::Yes(()))
        },
    )
    .await
}

/// Bounds are numbers or, as ids are, text.
fn add_range(ids: &mut UniqueIds, range: &Value) -> Result<()> {
    let number = |key: &str| {
        let value = &range[key];
        value
            .as_u64()
            .or_else(|| value.as_str()?.parse().ok())
            .with_context(|| format!("{range}"))
    };
    ensure!(
        number("stride")? == 1,
        "segments have a stride of 1: {range}"
    );
    let (start, count) = (number("start")?, number("count")?);
    ensure!(count > 0, "an empty range: {range}");
    ids.add(start, start + count - 1)
}

async fn a_new_pod_gets_ranges_of_its_own(
    cluster: &Cluster,
    known: &Pod,
    ids: &mut UniqueIds,
) -> Result<()> {
    let pods = Application::new(NAMESPACE, "orders")
        .replicas(2)
        .deploy(cluster)
        .await?;
    let names: BTreeSet<&str> = pods.iter().map(|pod| pod.name.as_str()).collect();
    ensure!(
        names.contains(known.name.as_str()),
        "the first pod was replaced: {names:?}"
    );
    for pod in &pods {
        let taken = pod.take_all_ids(GENERATOR, 1_000, 100).await?;
        ids.add_all(taken.iter().map(String::as_str))?;
    }
    Ok(())
}

async fn next_id(cluster: &Cluster) -> Result<u64> {
    let generator = cluster
        .get(ID_GENERATOR, Some(NAMESPACE), GENERATOR)
        .await?;
    generator["status"]["next"].as_u64().context("status.next")
}

/// An edit makes the operator look again: the status then tells of ranges that were given since.
async fn status_shows_progress(cluster: &Cluster, before: u64) -> Result<()> {
    let patch = json!({ "spec": { "buffer": { "refillAt": 11 } } });
    cluster
        .merge(ID_GENERATOR, Some(NAMESPACE), GENERATOR, &patch)
        .await?;
    await_condition("status.next to move", Duration::from_secs(60), async || {
        let next = next_id(cluster).await?;
        Ok(Observed::from_option(
            (next > before).then_some(()),
            format!("{before}, then {next}"),
        ))
    })
    .await
}
