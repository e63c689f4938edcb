//! An upgrade and a rollback of the release: what was made once stays.

use anyhow::{Context, Result, ensure};
use e2e::installation::{self, RELEASE, SYSTEM_NAMESPACE};
use e2e::namespace::with_tenant;
use e2e::objects::{self, MUTATING_WEBHOOK, SECRET};
use e2e::resources::{apply_ready, segment};
use e2e::{Application, Cluster, logs};
use serde_json::Value;

/// What an upgrade must not touch.
#[derive(PartialEq)]
struct Kept {
    master_key: Value,
    bootstrap: Value,
    authority: Value,
    bundles: Vec<Value>,
}

impl Kept {
    async fn of(cluster: &Cluster) -> Result<Self> {
        let secret = async |name: &str| {
            let secret = cluster.get(SECRET, Some(SYSTEM_NAMESPACE), name).await?;
            ensure!(
                secret["data"]
                    .as_object()
                    .is_some_and(|data| !data.is_empty()),
                "{name}"
            );
            anyhow::Ok(secret["data"].clone())
        };
        let webhook = cluster
            .get(MUTATING_WEBHOOK, None, "signet-injector")
            .await?;
        let bundles: Vec<Value> = objects::list(&webhook, "/webhooks")
            .iter()
            .map(|one| one["clientConfig"]["caBundle"].clone())
            .collect();
        ensure!(bundles.len() == 2, "{} webhooks", bundles.len());
        ensure!(
            bundles.iter().all(Value::is_string),
            "a webhook without caBundle"
        );
        Ok(Self {
            master_key: secret("signet-master-key").await?,
            bootstrap: secret("signet-bootstrap").await?,
            authority: secret("signet-ca").await?,
            bundles,
        })
    }

    /// Says which one changed, and shows none.
    fn ensure_same(&self, now: &Self) -> Result<()> {
        ensure!(self.master_key == now.master_key, "the master key changed");
        ensure!(
            self.bootstrap == now.bootstrap,
            "the bootstrap token changed"
        );
        ensure!(self.authority == now.authority, "the authority changed");
        ensure!(self.bundles == now.bundles, "a caBundle changed");
        Ok(())
    }
}

/// Keys, tokens and certificates hold through both; pods go on, and new ones get sidecars.
pub(crate) async fn keeps_keys_and_certificates(cluster: &Cluster) -> Result<()> {
    with_tenant(cluster, "upgrade", async |scope| {
        let namespace = &scope.namespace;
        let ids = segment(namespace, "order-id", &scope.tenant, (1, 1_000_000, 100));
        apply_ready(cluster, &ids).await?;
        let old = Application::new(namespace, "old")
            .deploy_one(cluster)
            .await?;
        let token = old.token().await?;
        let before = Kept::of(cluster).await?;

        installation::upgrade(cluster, &["log=debug", "sidecar.log=debug"]).await?;
        before.ensure_same(&Kept::of(cluster).await?)?;
        let talkative = Application::new(namespace, "talkative")
            .deploy_one(cluster)
            .await?;
        talkative
            .verify(&talkative.token().await?)
            .await?
            .expect(200)?;
        talkative.take_all_ids("order-id", 10, 1).await?;
        logs::programs_are_sound(cluster)
            .await
            .context("at the level debug")?;
        installation::helm(cluster, &["rollback", RELEASE, "--wait", "--timeout", "5m"]).await?;
        before.ensure_same(&Kept::of(cluster).await?)?;

        let new = Application::new(namespace, "new")
            .deploy_one(cluster)
            .await?;
        new.verify(&token).await?.expect(200)?;
        old.verify(&new.token().await?).await?.expect(200)?;
        new.take_all_ids("order-id", 10, 1).await?;
        Ok(())
    })
    .await
}
