//! The parts put together, started in order of dependence, watched, drained.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::access::Access;
use crate::api::{self, AllowedHosts, Parts};
use crate::central::{Connection, Subscription};
use crate::config::{Config, InvalidConfig};
use crate::content::Content;
use crate::health;
use crate::identity::{OwnTokens, Renewal};
use crate::ids::Generators;
use crate::metrics::Metrics;
use crate::serve::{Limits, Server};
use crate::startup::{Progress, Startup};

/// Connections of applications, which keep them open, and of probes, which must not take the
/// applications' file descriptors.
/// The application's, which may keep its connections.
const API_LIMITS: Limits = Limits {
    connections: 1024,
    silence: Duration::from_secs(75),
    keep_alive: true,
};
/// Anybody's who reaches the pod. Silent connections must not keep the kubelet's probes from their
/// answer: they are ended before a probe gives up.
const HEALTH_LIMITS: Limits = Limits {
    connections: 512,
    silence: Duration::from_secs(2),
    keep_alive: false,
};

/// Why a sidecar does not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration cannot be used.
    #[error("SIGNET-SIDECAR-0101: {0}")]
    Config(#[from] InvalidConfig),
    /// A port cannot be bound.
    #[error(
        "SIGNET-SIDECAR-0102: cannot listen on {address} for {what}: {source}; free the port, or choose another"
    )]
    Bind {
        /// API or health.
        what: &'static str,
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// Metrics cannot be registered.
    #[error("SIGNET-SIDECAR-0103: metrics cannot be registered: {0}")]
    Metrics(#[from] prometheus::Error),
    /// A part ended by itself, or panicked.
    #[error("SIGNET-SIDECAR-0104: a part of the sidecar ended though nobody asked it to: {0}")]
    PartEnded(String),
}

impl Error {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Config(_) => "SIGNET-SIDECAR-0101",
            Self::Bind { .. } => "SIGNET-SIDECAR-0102",
            Self::Metrics(_) => "SIGNET-SIDECAR-0103",
            Self::PartEnded(_) => "SIGNET-SIDECAR-0104",
        }
    }
}

/// A sidecar that runs in the background. Dropped, it ends at once.
#[derive(Debug)]
pub struct Running {
    /// Where the API answers.
    pub api_address: SocketAddr,
    /// Where health and metrics answer.
    pub health_address: SocketAddr,
    progress: watch::Receiver<Progress>,
    shutdown: CancellationToken,
    parts: JoinSet<&'static str>,
    // Ends after the API, which may still need what it waits for.
    supply: CancellationToken,
    grace: Duration,
}

/// Runs a sidecar until `shutdown` is cancelled, then drains it.
///
/// # Errors
/// It cannot start, or a part of it ends by itself.
pub async fn run(config: Config, shutdown: CancellationToken) -> Result<(), Error> {
    let mut running = start(config).await?;
    tokio::select! {
        () = shutdown.cancelled() => {
            running.stop().await;
            Ok(())
        }
        error = running.failed() => {
            error!(%error, "ending");
            Err(error)
        }
    }
}

/// Starts a sidecar in the background: its ports are bound when this returns; the API serves once
/// [`Running::ready`] returns.
///
/// # Errors
/// The configuration cannot be used, or a port cannot be bound.
pub async fn start(config: Config) -> Result<Running, Error> {
    config.validate()?;
    let (shutdown, supply) = (CancellationToken::new(), CancellationToken::new());
    let metrics = Arc::new(Metrics::new()?);
    let content = Arc::new(Content::new(config.fail_static));
    let connection = Arc::new(Connection::new(&config)?);
    let (generators, supplies) = Generators::new(
        Arc::clone(&connection),
        Arc::clone(&content),
        Arc::clone(&metrics),
        config.id_wait,
    );
    let tokens = Arc::new(OwnTokens::new(
        Arc::clone(&connection),
        Arc::clone(&content),
        Arc::clone(&metrics),
    ));
    let startup = Arc::new(Startup::new(
        Arc::clone(&connection),
        Arc::clone(&content),
        Arc::clone(&generators),
        Arc::clone(&tokens),
        Arc::clone(&metrics),
        config.warmed_generators().map(str::to_owned).collect(),
    ));
    let access = Access::new(
        config.tenant.clone(),
        config.namespace.clone(),
        Arc::clone(&content),
        Arc::clone(&metrics),
    );
    let answering = Arc::new(Parts {
        tenant: config.tenant.clone(),
        namespace: config.namespace.clone(),
        pod: config.pod_name.clone(),
        hosts: AllowedHosts::new(config.url_host()),
        access,
        generators: Arc::clone(&generators),
        tokens: Arc::clone(&tokens),
        content: Arc::clone(&content),
        connection: Arc::clone(&connection),
        startup: Arc::clone(&startup),
        metrics: Arc::clone(&metrics),
    });

    let localhost = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), config.port);
    let beyond = SocketAddr::new(config.health_address, config.health_port);
    let api = bind(
        "api",
        localhost,
        API_LIMITS,
        api::router(Arc::clone(&answering)),
    )
    .await?;
    let health = bind("health", beyond, HEALTH_LIMITS, health::router(answering)).await?;
    let (api_address, health_address) = (api.address(), health.address());
    info!(tenant = config.tenant, %api_address, %health_address, "listening");

    let subscription = Subscription::new(connection, content, metrics, config.central_silence);
    let progress = startup.progress();
    let mut parts = JoinSet::new();
    let (grace, ending) = (config.shutdown_grace, supply.clone());
    parts.spawn(named(
        "health",
        health.run(ending.clone(), Duration::from_secs(1)),
    ));
    parts.spawn(named("subscription", subscription.run(ending.clone())));
    parts.spawn(named(
        "token renewal",
        Renewal::new(tokens).run(ending.clone()),
    ));
    parts.spawn(named("ids", supplies.run(ending.clone())));
    parts.spawn(named("startup", async move {
        startup.run(ending.clone()).await;
        ending.cancelled().await;
    }));
    parts.spawn(named("api", api.run(shutdown.clone(), grace)));
    Ok(Running {
        api_address,
        health_address,
        progress,
        shutdown,
        parts,
        supply,
        grace,
    })
}

impl Running {
    /// Waits until the API serves.
    pub async fn ready(&self) {
        let mut progress = self.progress.clone();
        // The sender lives as long as the parts do; gone with them, nobody is served any more.
        if progress
            .wait_for(|progress| progress.started)
            .await
            .is_err()
        {
            std::future::pending::<()>().await;
        }
    }

    /// How far the start is, and what it waits for.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.progress.borrow().clone()
    }

    /// Ends it: the API finishes the requests under way, then the rest ends.
    pub async fn stop(mut self) {
        self.shutdown.cancel();
        let grace = self.grace + Duration::from_secs(2);
        let drained = async {
            while let Some(ended) = self.parts.join_next().await {
                if matches!(ended, Ok("api") | Err(_)) {
                    self.supply.cancel();
                }
            }
        };
        if tokio::time::timeout(grace, drained).await.is_err() {
            error!("parts were cut off at the end");
        }
        info!("ended");
    }

    /// Waits until a part ends by itself, which none should.
    pub async fn failed(&mut self) -> Error {
        match self.parts.join_next().await {
            Some(Ok(part)) => Error::PartEnded(part.to_owned()),
            Some(Err(error)) => Error::PartEnded(error.to_string()),
            None => Error::PartEnded("all of them".to_owned()),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shutdown.cancel();
        self.supply.cancel();
    }
}

async fn named(name: &'static str, part: impl Future<Output = ()>) -> &'static str {
    part.await;
    name
}

async fn bind(
    what: &'static str,
    address: SocketAddr,
    limits: Limits,
    router: axum::Router,
) -> Result<Server, Error> {
    Server::bind(what, address, limits, router)
        .await
        .map_err(|source| Error::Bind {
            what,
            address,
            source,
        })
}
