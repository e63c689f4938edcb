//! The whole operator: its parts, in order of dependence.

use std::sync::Arc;
use std::time::Duration;

use kube::{Api, Client};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::certificates::{CertificateError, Certificates, Horizon, Trust};
use crate::config::Config;
use crate::election::Election;
use crate::error::RunError;
use crate::health::Health;
use crate::injection::SidecarSettings;
use crate::leadership::Leadership;
use crate::metrics::Metrics;
use crate::provision::Credentials;
use crate::tasks::Tasks;
use crate::watch::{Staleness, Watch};
use crate::webhook::{self, Injector, SettingsSource};

const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(15);

/// Runs the operator until `shutdown` is cancelled, then ends what is under way within the grace.
///
/// # Errors
/// When the configuration cannot be used or a part fails for good. Faults of the network do not end
/// it.
pub async fn run(config: Config, shutdown: CancellationToken) -> Result<(), RunError> {
    config.validate()?;
    let client = Client::try_default().await?;
    let metrics = Metrics::new()?;
    let staleness = Arc::new(Staleness::default());
    let health = Arc::new(Health::new(Arc::clone(&staleness), metrics.clone()));
    let grace: Duration = config.shutdown_grace.into();
    let mut tasks = Tasks::new(shutdown.clone());

    let probes = Arc::clone(&health).serve(config.health_address(), shutdown.clone());
    tasks.spawn(
        "health",
        async move { probes.await.map_err(RunError::Health) },
    );

    let central_ca = central_ca(&config)?;
    let certificates = Arc::new(Certificates::new(
        client.clone(),
        &config.namespace,
        &config.webhook_configuration,
        metrics.clone(),
    ));
    let Some(first) = first_trust(&certificates, &shutdown).await else {
        return tasks.join(grace).await;
    };
    let (trust_sender, trust) = watch::channel(first);
    {
        let (certificates, shutdown) = (Arc::clone(&certificates), shutdown.clone());
        tasks.spawn("certificates", async move {
            certificates.follow(trust_sender, shutdown).await;
            Ok(())
        });
    }

    let (tenants, tenant_watcher) = Watch::new(Arc::clone(&staleness), metrics.clone());
    let (roles, role_watcher) = Watch::new(Arc::clone(&staleness), metrics.clone());
    let (generators, generator_watcher) = Watch::new(Arc::clone(&staleness), metrics.clone());
    let (namespaces, namespace_watcher) = Watch::new(staleness, metrics.clone());
    let watching = tenant_watcher.run(Api::all(client.clone()), shutdown.clone());
    tasks.spawn("watch of Tenants", ended(watching));
    let watching = role_watcher.run(Api::all(client.clone()), shutdown.clone());
    tasks.spawn("watch of Roles", ended(watching));
    let watching = generator_watcher.run(Api::all(client.clone()), shutdown.clone());
    tasks.spawn("watch of IdGenerators", ended(watching));
    let watching = namespace_watcher.run(Api::all(client.clone()), shutdown.clone());
    tasks.spawn("watch of Namespaces", ended(watching));

    let injector = Arc::new(Injector {
        own_namespace: config.namespace.clone(),
        settings: sidecar_settings(&config, central_ca.clone(), trust.clone()),
        tenants: tenants.clone(),
        namespaces: namespaces.clone(),
        client: Some(client.clone()),
        metrics: metrics.clone(),
    });
    let address = config.webhook_address();
    let serving = webhook::serve(address, injector, trust.clone(), grace, shutdown.clone());
    tasks.spawn("webhook", async move { Ok(serving.await?) });
    {
        let (health, shutdown) = (Arc::clone(&health), shutdown.clone());
        let (tenants, namespaces) = (tenants.clone(), namespaces.clone());
        tasks.spawn("readiness", async move {
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                _ = async { tokio::join!(tenants.ready(), namespaces.ready()) } => {}
            }
            health.set_ready(true);
            shutdown.cancelled().await;
            health.set_ready(false);
            Ok(())
        });
    }

    let (election, fence) = Election::new(client.clone(), &config.namespace, &config.pod_name);
    // The Lease is let go of only when the leader's work has ended.
    let work_ended = CancellationToken::new();
    tasks.spawn("election", ended(election.run(work_ended.clone())));
    let leadership = Leadership {
        client,
        fence,
        metrics,
        certificates,
        trust,
        central_ca,
        central_url: config.central_url(),
        credentials: Credentials::File(config.token_file.clone()),
        own_namespace: config.namespace.clone(),
        pod_name: config.pod_name.clone(),
        resync_interval: config.resync_interval.into(),
        tenants,
        roles,
        generators,
        namespaces,
    };
    tasks.spawn("leader", async move {
        let _released = work_ended.drop_guard();
        leadership.run(shutdown).await
    });
    tasks.join(grace).await
}

async fn ended(task: impl Future<Output = ()> + Send) -> Result<(), RunError> {
    task.await;
    Ok(())
}

/// Makes the certificates, as often as it takes: without them neither the webhook nor central can
/// serve. `None` when told to end before.
async fn first_trust(certificates: &Certificates, shutdown: &CancellationToken) -> Option<Trust> {
    let mut pause = FIRST_RETRY;
    let trust = loop {
        match certificates.ensure(Horizon::Now).await {
            Ok(trust) => break trust,
            Err(error) => log(&error),
        }
        tokio::select! {
            () = shutdown.cancelled() => return None,
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST_RETRY),
        }
    };
    // The chart may make the webhook's configuration later; the leader keeps at it.
    if let Err(error) = certificates.ensure_ca_bundle(&trust.authority).await {
        log(&error);
    }
    Some(trust)
}

fn log(error: &CertificateError) {
    tracing::warn!(code = error.code(), %error, "certificates; tried again");
}

fn central_ca(config: &Config) -> Result<Option<String>, RunError> {
    let read = config.central_ca_file.as_ref().map(|path| {
        std::fs::read_to_string(path).map_err(|source| RunError::CentralCa {
            path: path.display().to_string(),
            source,
        })
    });
    read.transpose()
}

/// The settings of sidecars, with the authority that is trusted at the moment of asking.
fn sidecar_settings(
    config: &Config,
    central_ca: Option<String>,
    trust: watch::Receiver<Trust>,
) -> SettingsSource {
    let fixed = SidecarSettings {
        image: config.sidecar_image.clone(),
        image_pull_policy: config.sidecar_image_pull_policy.as_str().into(),
        resources: config.sidecar_resources(),
        central_url: config.central_url(),
        central_ca: String::new(),
        token_audience: config.token_audience.clone(),
        token_expiration_seconds: config.token_expiration.as_secs(),
        log: config.sidecar_log.clone(),
    };
    Arc::new(move || {
        let mut settings = fixed.clone();
        if settings.central_url.starts_with("https://") {
            let ours = || trust.borrow().authority.clone();
            settings.central_ca = central_ca.clone().unwrap_or_else(ours);
        }
        settings
    })
}
