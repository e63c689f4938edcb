//! Signet's own pods away altogether: who is held up, who is not, and what is said.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::installation::{CENTRAL_REPLICAS, OPERATOR_REPLICAS, while_away};
use e2e::namespace::{unique_name, with_temp_namespace, with_tenant};
use e2e::objects::{self, POD, SERVICE_ACCOUNT};
use e2e::resources::{apply_ready, segment};
use e2e::{Application, Cluster, Observed, Pod, UniqueIds, await_condition};
use serde_json::json;

/// Ids that the sidecar holds at most: a few calls take them all.
const CAPACITY: u64 = 200;

/// Without the webhook only pods that asked for a sidecar are held up, until it is back.
pub(crate) async fn webhook_away_holds_up_nobody_else(cluster: &Cluster) -> Result<()> {
    with_tenant(cluster, "held-up", async |scope| {
        with_temp_namespace(cluster, "bystander", &[], async |bystander| {
            let shopper = Application::new(&scope.namespace, "shopper");
            cluster.apply(&shopper.account_manifest()).await?;
            while_away(cluster, "operator", OPERATOR_REPLICAS, async || {
                Application::new(bystander, "app")
                    .run_alone(cluster)
                    .await
                    .context("a namespace that did not ask")?;
                runs_in_kube_system(cluster).await?;
                let pod = shopper.pod_manifest(cluster)?;
                let refused = cluster.try_create(&pod, false).await?.err();
                let refused = refused.context("a pod that asked was admitted")?;
                ensure!(
                    refused.message.contains("namespace.injector.signet.dev"),
                    "the webhook is not named: {}",
                    refused.message
                );
                Ok(())
            })
            .await?;
            // The API server's node may still have the old endpoints.
            let pod = shopper.pod_manifest(cluster)?;
            let pod = await_condition(
                "the pod to be admitted",
                Duration::from_secs(60),
                async || {
                    Ok(match cluster.try_create(&pod, false).await? {
                        Ok(pod) => Observed::Yes(pod),
                        Err(refused) => Observed::NotYet(refused.message),
                    })
                },
            )
            .await?;
            let first = &objects::list(&pod, "/spec/initContainers").first();
            ensure!(
                first.is_some_and(|container| container["name"] == "signet"),
                "admitted without a sidecar"
            );
            Ok(())
        })
        .await
    })
    .await
}

async fn runs_in_kube_system(cluster: &Cluster) -> Result<()> {
    let namespace = "kube-system";
    let name = unique_name("signet-e2e");
    let outcome = Application::new(namespace, &name).run_alone(cluster).await;
    cluster.delete(POD, Some(namespace), &name).await?;
    cluster
        .delete(SERVICE_ACCOUNT, Some(namespace), &name)
        .await?;
    outcome.map(drop).context(namespace)
}

/// A sidecar that holds little runs out: it says why and when to ask again. No id comes twice.
pub(crate) async fn ids_run_out_without_central(cluster: &Cluster) -> Result<()> {
    with_tenant(cluster, "run-out", async |scope| {
        let namespace = &scope.namespace;
        let mut ids = segment(namespace, "few", &scope.tenant, (1, 1_000_000_000, 10));
        ids["spec"]["buffer"] =
            json!({ "capacity": CAPACITY, "refillAt": 50, "outageBudget": "1s" });
        apply_ready(cluster, &ids).await?;
        let pod = Application::new(namespace, "shopper")
            .deploy_one(cluster)
            .await?;
        let mut unique = UniqueIds::default();
        let before = pod.take_all_ids("few", 10, 1).await?;
        unique.add_all(before.iter().map(String::as_str))?;
        while_away(cluster, "central", CENTRAL_REPLICAS, async || {
            run_out(&pod, &mut unique).await
        })
        .await?;
        await_condition("ids to come again", Duration::from_secs(60), async || {
            let taken = pod.take_ids("few", 1_000, 50).await?;
            unique.add_all(taken.ids.iter().map(String::as_str))?;
            Ok(match taken.error {
                None => Observed::Yes(()),
                Some(error) => Observed::NotYet(error.to_string()),
            })
        })
        .await
    })
    .await
}

/// Takes what is left. A request that outlasts the sidecar's last call to central is only told that
/// ids are late; the next ones are told why.
async fn run_out(pod: &Pod, unique: &mut UniqueIds) -> Result<()> {
    let most = unique.count() + CAPACITY;
    await_condition("the ids to run out", Duration::from_secs(60), async || {
        let taken = pod
            .take_ids("few", 2 * usize::try_from(CAPACITY)?, 1)
            .await?;
        unique.add_all(taken.ids.iter().map(String::as_str))?;
        let error = taken.error.context("more ids than the sidecar can hold")?;
        ensure!(error["status"] == 503, "{error}");
        let said = error["code"] == "IDGEN-SEG-1003";
        Ok(Observed::from_option(said.then_some(()), error.to_string()))
    })
    .await?;
    ensure!(unique.count() <= most, "{} ids", unique.count());
    let answer = pod.ask_sidecar("/v1/ids/few").await?.expect(503)?;
    let body = answer.json()?;
    ensure!(body["error"]["code"] == "IDGEN-SEG-1003", "{body}");
    let wait = answer
        .headers
        .get("retry-after")
        .context("no Retry-After")?;
    let wait: u64 = wait.parse().with_context(|| wait.clone())?;
    ensure!(wait > 0, "Retry-After: {wait}");
    Ok(())
}
