//! Taking resources away: finalizers hold until central has let go, and what was declared no longer holds.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::namespace::{delete_and_wait, with_tenant, with_tenant_of};
use e2e::objects::{self, ID_GENERATOR, Kind, ROLE, TENANT};
use e2e::resources::{apply_ready, role, segment, tenant};
use e2e::{Application, Cluster, Observed, await_condition};
use serde_json::{Value, json};

const FINALIZER: &str = "signet.dev/central";

/// With `deletionPolicy: Delete` a tenant's tokens end with it.
pub(crate) async fn deleted_tenant_is_closed(cluster: &Cluster) -> Result<()> {
    with_tenant(cluster, "closed", async |scope| {
        let pod = Application::new(&scope.namespace, "shopper")
            .deploy_one(cluster)
            .await?;
        let token = pod.token().await?;
        pod.verify(&token).await?.expect(200)?;
        delete_and_wait(cluster, TENANT, &scope.tenant).await?;
        await_condition(
            "the token to be refused",
            Duration::from_secs(60),
            async || {
                let answer = pod.verify(&token).await?;
                let refused = (answer.status == 401).then_some(());
                Ok(Observed::from_option(
                    refused,
                    format!("HTTP {}: {}", answer.status, answer.body),
                ))
            },
        )
        .await?;
        let own = json!({
            "url": "${env:SIGNET_URL}/v1/token", "headers": { "Signet-Request": "true" },
        });
        let own = pod.request(&own).await?;
        ensure!(own.status >= 400, "a closed tenant's token: {}", own.body);
        Ok(())
    })
    .await
}

/// With `deletionPolicy: Retain` central keeps the tenant: its keys are served, its tokens hold, and
/// declared again it is the same one.
pub(crate) async fn retained_tenant_holds(cluster: &Cluster) -> Result<()> {
    let retain = |tenant: &mut Value| tenant["spec"]["deletionPolicy"] = json!("Retain");
    with_tenant_of(cluster, "retained", retain, async |scope| {
        let pod = Application::new(&scope.namespace, "shopper")
            .deploy_one(cluster)
            .await?;
        let token = pod.token().await?;
        let before = cluster.get(TENANT, None, &scope.tenant).await?;
        let keys = format!("{}/jwks", objects::text(&before, "/status/issuer")?);
        let keys = json!({ "url": keys, "insecure": true });
        let served = pod.request(&keys).await?.expect(200)?.json()?;

        delete_and_wait(cluster, TENANT, &scope.tenant).await?;
        let kept = pod.request(&keys).await?.expect(200)?.json()?;
        ensure!(kept == served, "{served} became {kept}");
        pod.verify(&token).await?.expect(200)?;
        let renewed = pod.token().await?;
        pod.verify(&renewed).await?.expect(200)?;

        let mut manifest = tenant(&scope.tenant);
        retain(&mut manifest);
        let again = apply_ready(cluster, &manifest).await?;
        ensure!(
            again["status"]["activeKey"] == before["status"]["activeKey"],
            "another key: {}",
            again["status"]
        );
        pod.verify(&token).await?.expect(200)?;
        // Nothing is to stay of it when the test is over.
        apply_ready(cluster, &tenant(&scope.tenant)).await?;
        Ok(())
    })
    .await
}

/// A deleted role decides no more, a deleted generator gives no more.
pub(crate) async fn finalizers_hold_and_let_go(cluster: &Cluster) -> Result<()> {
    with_tenant(cluster, "finalizer", async |scope| {
        let namespace = &scope.namespace;
        let rules = json!([{ "effect": "Allow", "resources": ["orders/*"], "actions": ["read"] }]);
        let reader = role(namespace, "reader", &scope.tenant, "shopper", &rules);
        holds(&apply_ready(cluster, &reader).await?)?;
        let ids = segment(namespace, "order-id", &scope.tenant, (1, 1_000_000, 100));
        holds(&apply_ready(cluster, &ids).await?)?;
        holds(&cluster.get(TENANT, None, &scope.tenant).await?)?;
        let pod = Application::new(namespace, "shopper")
            .deploy_one(cluster)
            .await?;
        let token = pod.token().await?;
        let body = Value::Null;
        await_condition("the role to allow", Duration::from_secs(30), async || {
            let answer = pod.call_orders(&pod, "GET", &token, &body).await?;
            Ok(Observed::from_option(
                (answer.status == 200).then_some(()),
                answer.body,
            ))
        })
        .await?;
        pod.take_all_ids("order-id", 5, 1).await?;

        gone(cluster, ROLE, namespace, "reader").await?;
        await_condition(
            "the role to be forgotten",
            Duration::from_secs(60),
            async || {
                let answer = pod.call_orders(&pod, "GET", &token, &body).await?;
                Ok(Observed::from_option(
                    (answer.status == 403).then_some(()),
                    answer.body,
                ))
            },
        )
        .await?;
        gone(cluster, ID_GENERATOR, namespace, "order-id").await?;
        await_condition(
            "the generator to be forgotten",
            Duration::from_secs(60),
            async || {
                let answer = pod.ask_sidecar("/v1/ids/order-id").await?;
                Ok(Observed::from_option(
                    (answer.status == 404).then_some(()),
                    answer.body,
                ))
            },
        )
        .await
    })
    .await
}

fn holds(object: &Value) -> Result<()> {
    let finalizers = object["metadata"]["finalizers"]
        .as_array()
        .context("no finalizers")?;
    ensure!(finalizers.contains(&json!(FINALIZER)), "{finalizers:?}");
    Ok(())
}

async fn gone(cluster: &Cluster, kind: Kind, namespace: &str, name: &str) -> Result<()> {
    cluster.delete(kind, Some(namespace), name).await?;
    let what = format!("{} {name} to be gone", kind.plural());
    await_condition(&what, Duration::from_secs(60), async || {
        Ok(match cluster.find(kind, Some(namespace), name).await? {
            None => Observed::Yes(()),
            Some(object) => Observed::NotYet(object["status"].to_string()),
        })
    })
    .await
}
