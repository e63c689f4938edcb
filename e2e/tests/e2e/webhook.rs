//! Injection: who gets a sidecar, which one, and who does not.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::namespace::{Scope, with_temp_namespace, with_tenant};
use e2e::objects::{self, EVENT, JOB, NAMESPACE};
use e2e::resources::{apply_ready, await_warning, segment};
use e2e::{Application, Cluster, Observed, await_condition};
use serde_json::{Value, json};

/// The pod as the API server would keep it.
async fn admitted(cluster: &Cluster, application: &Application) -> Result<Value> {
    cluster.apply(&application.account_manifest()).await?;
    let answer = cluster
        .try_create(&application.pod_manifest(cluster)?, true)
        .await?;
    answer.map_err(|refused| anyhow::anyhow!("the pod was refused: {}", refused.message))
}

fn sidecars(pod: &Value) -> Vec<&Value> {
    ["/spec/initContainers", "/spec/containers"]
        .into_iter()
        .flat_map(|pointer| objects::list(pod, pointer))
        .filter(|container| container["name"] == "signet")
        .collect()
}

fn variable<'a>(container: &'a Value, name: &str) -> Option<&'a str> {
    objects::list(container, "/env")
        .iter()
        .find(|one| one["name"] == name)?["value"]
        .as_str()
}

fn shopper(scope: &Scope) -> Application {
    Application::new(&scope.namespace, "shopper")
}

/// A label of the pod outweighs its namespace's.
pub(crate) async fn pod_can_opt_out(cluster: &Cluster) -> Result<()> {
    with_tenant(cluster, "opt-out", async |scope| {
        let injected = admitted(cluster, &shopper(scope)).await?;
        ensure!(
            sidecars(&injected).len() == 1,
            "no sidecar without the label"
        );
        let label = shopper(scope).label("signet.dev/injection", "disabled");
        let alone = admitted(cluster, &label).await?;
        ensure!(
            sidecars(&alone).is_empty(),
            "a sidecar in spite of the label"
        );
        Ok(())
    })
    .await
}

/// A pod asks for itself where its namespace does not.
pub(crate) async fn pod_can_opt_in(cluster: &Cluster) -> Result<()> {
    with_tenant(cluster, "opt-in", async |scope| {
        let labels = [("signet.dev/tenant", scope.tenant.as_str())];
        with_temp_namespace(cluster, "opt-in-two", &labels, async |namespace| {
            let shopper = Application::new(namespace, "shopper");
            let alone = admitted(cluster, &shopper).await?;
            ensure!(sidecars(&alone).is_empty(), "a sidecar nobody asked for");
            let label = shopper.label("signet.dev/injection", "enabled");
            // Whichever replica is asked must have heard of the namespace first.
            await_condition(
                "the pod to get a sidecar",
                Duration::from_secs(30),
                async || {
                    let pod = admitted(cluster, &label).await?;
                    let count = sidecars(&pod).len();
                    Ok(Observed::from_option(
                        (count == 1).then_some(()),
                        format!("{count} sidecars"),
                    ))
                },
            )
            .await
        })
        .await
    })
    .await
}

/// The sidecar ends when the work is done.
pub(crate) async fn job_with_a_sidecar_completes(cluster: &Cluster) -> Result<()> {
    with_tenant(cluster, "job", async |scope| {
        let namespace = &scope.namespace;
        let ids = segment(namespace, "order-id", &scope.tenant, (1, 1_000_000, 100));
        apply_ready(cluster, &ids).await?;
        let work = Application::new(namespace, "work").arguments(&["get", "/v1/ids/order-id"]);
        cluster.apply(&work.account_manifest()).await?;
        let mut template = work.template(cluster)?;
        template["spec"]["restartPolicy"] = json!("Never");
        let job = json!({
            "apiVersion": JOB.api_version(), "kind": "Job",
            "metadata": { "namespace": namespace, "name": "work" },
            "spec": { "backoffLimit": 0, "template": template },
        });
        cluster.apply(&job).await?;
        await_condition(
            "the job to complete",
            Duration::from_secs(120),
            async || {
                let job = cluster.get(JOB, Some(namespace), "work").await?;
                let complete =
                    objects::condition(&job, "Complete").filter(|one| one["status"] == "True");
                Ok(Observed::from_option(
                    complete.map(drop),
                    job["status"].to_string(),
                ))
            },
        )
        .await?;
        let pods = work.pods(cluster).await?;
        ensure!(
            pods.iter().all(|pod| sidecars(pod).len() == 1),
            "it ran without a sidecar"
        );
        Ok(())
    })
    .await
}

/// Whoever mistyped an annotation reads which one.
pub(crate) async fn invalid_annotation_is_denied_by_name(cluster: &Cluster) -> Result<()> {
    with_tenant(cluster, "annotation", async |scope| {
        admitted(cluster, &shopper(scope)).await?;
        for (key, value) in [
            ("signet.dev/cpu-request", "lots"),
            ("signet.dev/cpu-limit", "-1"),
            ("signet.dev/memory-request", "1 GB"),
            ("signet.dev/memory-limit", ""),
            ("signet.dev/port", "http"),
            ("signet.dev/port", "70000"),
            ("signet.dev/generators", "Order Id"),
            ("signet.dev/tenant", "nobody-made-it"),
            ("signet.dev/proxy-port", "8443"),
        ] {
            let pod = shopper(scope)
                .annotation(key, value)
                .pod_manifest(cluster)?;
            let refused = cluster.try_create(&pod, true).await?.err();
            let refused = refused.with_context(|| format!("{key}: {value} was admitted"))?;
            ensure!(
                refused.message.contains(key),
                "{key}: {value}: {}",
                refused.message
            );
        }
        Ok(())
    })
    .await
}

/// Overrides reach the container, and a moved port serves.
pub(crate) async fn annotations_change_the_sidecar(cluster: &Cluster) -> Result<()> {
    with_tenant(cluster, "override", async |scope| {
        let application = shopper(scope)
            .annotation("signet.dev/cpu-request", "15m")
            .annotation("signet.dev/cpu-limit", "750m")
            .annotation("signet.dev/memory-request", "24Mi")
            .annotation("signet.dev/memory-limit", "96Mi")
            .annotation("signet.dev/port", "7799");
        let pod = admitted(cluster, &application).await?;
        let [sidecar] = sidecars(&pod)[..] else {
            anyhow::bail!("not one sidecar")
        };
        let expected = json!({
            "requests": { "cpu": "15m", "memory": "24Mi" },
            "limits": { "cpu": "750m", "memory": "96Mi" },
        });
        ensure!(sidecar["resources"] == expected, "{}", sidecar["resources"]);
        let application_container = &pod["spec"]["containers"][0];
        let url = variable(application_container, "SIGNET_URL");
        ensure!(
            url == Some("http://127.0.0.1:7799"),
            "SIGNET_URL is {url:?}"
        );
        application.deploy_one(cluster).await?.token().await?;
        Ok(())
    })
    .await
}

/// A pod that comes back with everything in it is left as it is.
pub(crate) async fn injection_happens_once(cluster: &Cluster) -> Result<()> {
    with_tenant(cluster, "once", async |scope| {
        let first = admitted(cluster, &shopper(scope)).await?;
        let metadata = &first["metadata"];
        let again = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "namespace": metadata["namespace"], "name": metadata["name"],
                "labels": metadata["labels"], "annotations": metadata["annotations"],
            },
            "spec": first["spec"],
        });
        let second = cluster.try_create(&again, true).await?;
        let second = second.map_err(|refused| anyhow::anyhow!(refused.message))?;
        ensure!(
            second["spec"] == first["spec"],
            "{} became {}",
            first["spec"],
            second["spec"]
        );
        ensure!(
            second["metadata"]["annotations"] == metadata["annotations"],
            "annotations changed"
        );
        Ok(())
    })
    .await
}

/// Whoever labels a namespace late reads of the pods that run in it already.
pub(crate) async fn pod_older_than_its_label_is_warned_of(cluster: &Cluster) -> Result<()> {
    with_tenant(cluster, "late", async |scope| {
        let labels = [("signet.dev/tenant", scope.tenant.as_str())];
        with_temp_namespace(cluster, "late-two", &labels, async |namespace| {
            let pod = Application::new(namespace, "older")
                .run_alone(cluster)
                .await?;
            let events = cluster.list(EVENT, Some(namespace), "").await?;
            ensure!(
                events
                    .iter()
                    .all(|event| event["reason"] != "SidecarMissing"),
                "warned of a pod that did not ask"
            );
            let label = json!({ "metadata": { "labels": { "signet.dev/injection": "enabled" } } });
            cluster.merge(NAMESPACE, None, namespace, &label).await?;
            let warning = await_warning(cluster, namespace, "SidecarMissing").await?;
            let about = &warning["involvedObject"];
            ensure!(
                about["kind"] == "Pod" && about["name"] == pod.name.as_str(),
                "{about}"
            );
            Ok(())
        })
        .await
    })
    .await
}
