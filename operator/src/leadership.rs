//! What only the leader does: reconcile, renew certificates, look for pods without a sidecar.

use std::sync::Arc;
use std::time::Duration;

use crds::{IdGenerator, Role, Tenant};
use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::Namespace;
use kube::runtime::events::{Recorder, Reporter};
use kube::{Client, ResourceExt};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::certificates::{Certificates, Trust};
use crate::coverage;
use crate::election::Fence;
use crate::error::RunError;
use crate::metrics::Metrics;
use crate::provision::{Credentials, ProvisionError, Provisioner, Settings};
use crate::reconcile::{self, Context};
use crate::watch::{Watch, own_changes, related_changes};

/// The leader's work, and what it takes.
pub(crate) struct Leadership {
    pub(crate) client: Client,
    pub(crate) fence: Fence,
    pub(crate) metrics: Metrics,
    pub(crate) certificates: Arc<Certificates>,
    pub(crate) trust: watch::Receiver<Trust>,
    /// Trusted for central in place of our own authority.
    pub(crate) central_ca: Option<String>,
    pub(crate) central_url: String,
    pub(crate) credentials: Credentials,
    pub(crate) own_namespace: String,
    pub(crate) pod_name: String,
    pub(crate) resync_interval: Duration,
    pub(crate) tenants: Watch<Tenant>,
    pub(crate) roles: Watch<Role>,
    pub(crate) generators: Watch<IdGenerator>,
    pub(crate) namespaces: Watch<Namespace>,
}

impl Leadership {
    /// Works whenever the fence allows, until cancelled. When the fence falls everything stops
    /// where it stands; on a shutdown, what is under way is ended first.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) -> Result<(), RunError> {
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(()),
                () = self.fence.gained() => {}
            }
            self.metrics.leader.set(1);
            let authority = self.trust.borrow_and_update().authority.clone();
            let context = Arc::new(self.context(&authority)?);
            tokio::select! {
                () = self.work(context, &shutdown) => {}
                () = self.fence.lost() => tracing::warn!("this replica does not lead any more"),
                () = other_authority(self.trust.clone(), &authority) => {
                    tracing::info!("another authority is trusted; connections are made anew");
                }
            }
            self.metrics.leader.set(0);
        }
    }

    fn context(&self, authority: &str) -> Result<Context, ProvisionError> {
        let ca_pem = self.central_ca.clone().unwrap_or_else(|| authority.into());
        let provisioner = Provisioner::new(Settings {
            url: self.central_url.clone(),
            ca_pem: Some(ca_pem),
            credentials: self.credentials.clone(),
        })?;
        let reporter = Reporter {
            controller: "signet-operator".into(),
            instance: Some(self.pod_name.clone()),
        };
        Ok(Context {
            client: self.client.clone(),
            provisioner,
            recorder: Recorder::new(self.client.clone(), reporter),
            metrics: self.metrics.clone(),
            fence: self.fence.clone(),
            resync_interval: self.resync_interval,
            tenants: self.tenants.clone(),
            namespaces: self.namespaces.clone(),
        })
    }

    async fn work(&self, context: Arc<Context>, shutdown: &CancellationToken) {
        tokio::join!(
            self.tenants.ready(),
            self.roles.ready(),
            self.generators.ready(),
            self.namespaces.ready(),
        );
        tokio::join!(
            self.reconcile_tenants(Arc::clone(&context), shutdown.clone()),
            self.reconcile_roles(Arc::clone(&context), shutdown.clone()),
            self.reconcile_generators(Arc::clone(&context), shutdown.clone()),
            self.certificates.lead(shutdown),
            coverage::run(&context, &self.own_namespace, shutdown),
        );
    }

    /// Every tenant's selector looks at every namespace.
    async fn reconcile_tenants(&self, context: Arc<Context>, shutdown: CancellationToken) {
        let queue = stream::select(
            own_changes(&self.tenants),
            related_changes(&self.tenants, &self.namespaces, |_, _| true),
        );
        reconcile::run(self.tenants.clone(), queue, context, shutdown).await;
    }

    /// A role depends on its tenant, its namespace's labels, and the roles it inherits from.
    async fn reconcile_roles(&self, context: Arc<Context>, shutdown: CancellationToken) {
        let by_tenant = related_changes(&self.roles, &self.tenants, |role, tenant| {
            role.spec.tenant == tenant.name
        });
        let by_namespace = related_changes(&self.roles, &self.namespaces, |role, namespace| {
            role.metadata.namespace.as_deref() == Some(namespace.name.as_str())
        });
        let by_parent = related_changes(&self.roles, &self.roles, |role, parent| {
            role.namespace() == parent.namespace && role.spec.inherits.contains(&parent.name)
        });
        let queue = stream::select_all([
            own_changes(&self.roles).boxed(),
            by_tenant.boxed(),
            by_namespace.boxed(),
            by_parent.boxed(),
        ]);
        reconcile::run(self.roles.clone(), queue, context, shutdown).await;
    }

    /// A generator depends on its tenant and its namespace's labels.
    async fn reconcile_generators(&self, context: Arc<Context>, shutdown: CancellationToken) {
        let by_tenant = related_changes(&self.generators, &self.tenants, |generator, tenant| {
            generator.spec.tenant == tenant.name
        });
        let by_namespace = related_changes(&self.generators, &self.namespaces, |generator, ns| {
            generator.metadata.namespace.as_deref() == Some(ns.name.as_str())
        });
        let queue = stream::select_all([
            own_changes(&self.generators).boxed(),
            by_tenant.boxed(),
            by_namespace.boxed(),
        ]);
        reconcile::run(self.generators.clone(), queue, context, shutdown).await;
    }
}

async fn other_authority(mut trust: watch::Receiver<Trust>, authority: &str) {
    let gone = trust
        .wait_for(|trust| trust.authority != authority)
        .await
        .is_err();
    if gone {
        std::future::pending::<()>().await;
    }
}
