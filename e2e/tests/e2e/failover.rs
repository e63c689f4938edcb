//! Signet's own pods killed while they are needed.

use std::cell::Cell;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use e2e::installation::{
    CENTRAL_REPLICAS, OPERATOR_REPLICAS, SYSTEM_NAMESPACE, await_replicas, component_pods,
    ready_pod_names,
};
use e2e::namespace::with_tenant;
use e2e::objects::{self, ID_GENERATOR, LEASE, POD, ROLE, TENANT};
use e2e::resources::{apply_ready, role, segment};
use e2e::{Application, Cluster, Observed, Pod, UniqueIds, await_condition};
use serde_json::json;

const KILLS: usize = 4;
/// Small, so that sidecars ask central all the time.
const CAPACITY: u64 = 2_000;

/// Central's pods go one after another, without a word, while two pods take ids: none comes twice.
pub(crate) async fn central_killed_while_ids_are_taken(cluster: &Cluster) -> Result<()> {
    with_tenant(cluster, "killed", async |scope| {
        let namespace = &scope.namespace;
        let mut ids = segment(
            namespace,
            "order-id",
            &scope.tenant,
            (1, 9_000_000_000_000_000, 100),
        );
        ids["spec"]["buffer"] =
            json!({ "capacity": CAPACITY, "refillAt": 50, "outageBudget": "1s" });
        apply_ready(cluster, &ids).await?;
        let pods = Application::new(namespace, "shopper")
            .replicas(2)
            .deploy(cluster)
            .await?;
        let over = Cell::new(false);
        let killing = async {
            let outcome = kill_central(cluster).await;
            over.set(true);
            outcome
        };
        let (killed, first, second) = futures::join!(
            killing,
            take_until(&pods[0], &over),
            take_until(&pods[1], &over)
        );
        killed?;
        let mut unique = UniqueIds::default();
        for taken in [first?, second?] {
            unique.add_all(taken.iter().map(String::as_str))?;
        }
        for pod in &pods {
            let more = await_condition("ids to come again", Duration::from_secs(60), async || {
                let taken = pod.take_ids("order-id", 5_000, 100).await?;
                unique.add_all(taken.ids.iter().map(String::as_str))?;
                Ok(match taken.error {
                    None => Observed::Yes(()),
                    Some(error) => Observed::NotYet(error.to_string()),
                })
            });
            more.await?;
        }
        let held = CAPACITY * 2;
        ensure!(
            unique.count() > held * 5,
            "{} ids do not show allocations",
            unique.count()
        );
        Ok(())
    })
    .await
}

async fn kill_central(cluster: &Cluster) -> Result<()> {
    for _ in 0..KILLS {
        let names = ready_pod_names(cluster, "central").await?;
        let victim = names.first().context("no central to kill")?;
        cluster.kill_pod(SYSTEM_NAMESPACE, victim).await?;
        await_replicas(cluster, "central", CENTRAL_REPLICAS).await?;
    }
    // The last ones together: nobody is left to finish what the other began.
    for name in ready_pod_names(cluster, "central").await? {
        cluster.kill_pod(SYSTEM_NAMESPACE, &name).await?;
    }
    await_replicas(cluster, "central", CENTRAL_REPLICAS).await
}

/// Takes ids all the while. When none are there the sidecar says so, in its own words; nothing else may fail.
async fn take_until(pod: &Pod, over: &Cell<bool>) -> Result<Vec<String>> {
    let mut ids = Vec::new();
    while !over.get() {
        let taken = pod.take_ids("order-id", 1_000, 50).await?;
        ids.extend(taken.ids);
        if let Some(error) = taken.error {
            let code = error["code"].as_str().unwrap_or_default();
            if error["status"] != 503 || !code.starts_with("IDGEN-SEG-") {
                bail!("without central: {error}");
            }
        }
    }
    Ok(ids)
}

/// The leader's pod goes, another one leads and reconciles, and pods are admitted meanwhile.
pub(crate) async fn operator_killed_and_another_leads(cluster: &Cluster) -> Result<()> {
    with_tenant(cluster, "leader", async |scope| {
        let namespace = &scope.namespace;
        let (before, pod) = leader_pod(cluster).await?;
        cluster.kill_pod(SYSTEM_NAMESPACE, &pod.name).await?;
        another_leads(cluster, &before).await?;
        let ids = segment(namespace, "order-id", &scope.tenant, (1, 1_000_000, 100));
        apply_ready(cluster, &ids).await?;
        let pod = Application::new(namespace, "shopper")
            .deploy_one(cluster)
            .await?;
        pod.take_all_ids("order-id", 10, 1).await?;
        await_replicas(cluster, "operator", OPERATOR_REPLICAS).await
    })
    .await
}

/// Who holds the Lease; empty when nobody does.
async fn leader(cluster: &Cluster) -> Result<String> {
    let lease = cluster
        .get(LEASE, Some(SYSTEM_NAMESPACE), "signet-operator")
        .await?;
    Ok(objects::text(&lease, "/spec/holderIdentity")
        .unwrap_or_default()
        .to_owned())
}

/// Who holds the Lease, and the pod of it.
async fn leader_pod(cluster: &Cluster) -> Result<(String, Pod)> {
    let holder = leader(cluster).await?;
    let pods = component_pods(cluster, "operator").await?;
    let pod = pods
        .iter()
        .find(|pod| objects::name(pod).is_ok_and(|name| holder.contains(name)))
        .with_context(|| format!("{holder:?} is no pod of the operator"))?;
    let pod = Pod::of(cluster, pod)?;
    Ok((holder, pod))
}

async fn another_leads(cluster: &Cluster, before: &str) -> Result<()> {
    let what = format!("another leader than {before}");
    await_condition(&what, Duration::from_secs(90), async || {
        let now = leader(cluster).await?;
        Ok(Observed::from_option(
            (!now.is_empty() && now != before).then_some(()),
            now,
        ))
    })
    .await
}

/// The next leader looks at everything anew, and writes no status that says what it said.
pub(crate) async fn statuses_outlast_the_leader(cluster: &Cluster) -> Result<()> {
    with_tenant(cluster, "unchanged", async |scope| {
        let namespace = &scope.namespace;
        let rules = json!([{ "effect": "Allow", "resources": ["orders/*"], "actions": ["read"] }]);
        let reader = role(namespace, "reader", &scope.tenant, "shopper", &rules);
        apply_ready(cluster, &reader).await?;
        let ids = segment(namespace, "order-id", &scope.tenant, (1, 1_000_000, 100));
        apply_ready(cluster, &ids).await?;
        let versions = async || {
            let mut versions = Vec::new();
            for (kind, namespace, name) in [
                (TENANT, None, scope.tenant.as_str()),
                (ROLE, Some(namespace.as_str()), "reader"),
                (ID_GENERATOR, Some(namespace.as_str()), "order-id"),
            ] {
                let object = cluster.get(kind, namespace, name).await?;
                versions.push(objects::text(&object, "/metadata/resourceVersion")?.to_owned());
            }
            anyhow::Ok(versions)
        };
        let before = versions().await?;
        let (old, pod) = leader_pod(cluster).await?;
        cluster
            .delete(POD, Some(SYSTEM_NAMESPACE), &pod.name)
            .await?;
        another_leads(cluster, &old).await?;
        everything_is_looked_at(cluster).await?;
        let after = versions().await?;
        ensure!(
            before == after,
            "tenant, role and generator were at {before:?} and are at {after:?}"
        );
        await_replicas(cluster, "operator", OPERATOR_REPLICAS).await
    })
    .await
}

/// Waits until the leader has found central to hold as many objects of each kind as there are.
async fn everything_is_looked_at(cluster: &Cluster) -> Result<()> {
    for (kind, name) in [
        (TENANT, "Tenant"),
        (ROLE, "Role"),
        (ID_GENERATOR, "IdGenerator"),
    ] {
        let objects = cluster.list(kind, None, "").await?.len();
        let what = format!("{objects} {} to be looked at", kind.plural());
        await_condition(&what, Duration::from_secs(90), async || {
            let (holder, leader) = leader_pod(cluster).await?;
            let metrics = leader.proxy("GET", 7763, "/metrics", None).await?;
            let metrics = metrics.expect(200)?.body;
            let line = metrics.lines().find_map(|line| {
                line.strip_prefix("signet_operator_reconciliations_total{kind=\"")?
                    .strip_prefix(name)?
                    .strip_prefix("\",outcome=\"applied\"} ")
            });
            let applied: usize = line.unwrap_or("0").parse()?;
            Ok(Observed::from_option(
                (applied >= objects).then_some(()),
                format!("{applied} by {holder}"),
            ))
        })
        .await?;
    }
    Ok(())
}
