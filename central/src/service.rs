//! One central: its parts built in order of dependence, started, watched, drained.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum_server::Handle;
use eventstore::{
    EventStore,
    consumer::{Consumers, ConsumersOptions},
    projection::{ProjectionOptions, Projections},
};
use time::OffsetDateTime;
use tokio::task::JoinSet;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::{
    authentication::{Authenticator, Gate},
    checkpoints::CheckpointSigning,
    commands::{Commands, Repositories},
    config::{Config, Secrets},
    directory::Directory,
    edge::{self, Application, Certificate, Port, Streams},
    error::StartError,
    event_types,
    exchange::Exchange,
    file_lock::FileLock,
    keys::{CheckpointKey, KeyStore, Rotation},
    metrics::Metrics,
    projections::{Projecting, RunningProjections},
    readiness::{Readiness, StoreProbe},
    replays::Replays,
    subscriptions::{Following, RetiredKeys},
};

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> OffsetDateTime + Send + Sync>;

/// Longest time between "not ready" and the end of streams and listening: what it takes until
/// nobody is sent here any more.
const NOTICE: Duration = Duration::from_secs(5);

/// Runs central until `shutdown` is cancelled, then drains.
///
/// # Errors
///
/// [`StartError`] when it could not start, or ended although nobody had asked it to.
pub async fn run(
    config: Config,
    authenticator: Arc<dyn Authenticator>,
    shutdown: CancellationToken,
) -> Result<(), StartError> {
    start(config, authenticator)
        .await?
        .run_until(shutdown)
        .await
}

/// Starts central on the clock of the system. Returns when it listens; see [`Running::ready`].
///
/// # Errors
///
/// [`StartError`], with what to mend.
pub async fn start(
    config: Config,
    authenticator: Arc<dyn Authenticator>,
) -> Result<Running, StartError> {
    start_with_clock(config, authenticator, Arc::new(OffsetDateTime::now_utc)).await
}

/// As [`start`], with a clock of the caller's for tokens and keys.
///
/// # Errors
///
/// [`StartError`], with what to mend.
pub async fn start_with_clock(
    config: Config,
    authenticator: Arc<dyn Authenticator>,
    clock: Clock,
) -> Result<Running, StartError> {
    config.validate()?;
    let secrets = Secrets::read(&config)?;
    let certificate = Certificate::of(&config)
        .map(Certificate::load)
        .transpose()?;
    let port = Port::bind(config.listen)?;
    let lock = FileLock::take(config.database_url())?;
    let options = eventstore::Options {
        read_replica_url: config.database_replica_url().map(Into::into),
        ..eventstore::Options::default()
    };
    let store = eventstore::open(config.database_url(), options)
        .await
        .map_err(StartError::EventStore)?;
    event_types::check(store.as_ref()).await?;
    let snapshot_keys = secrets.master_key.snapshot_keys()?;
    let keys = Arc::new(KeyStore::open(config.database_url(), secrets.master_key).await?);
    let CheckpointKey { signer, public } = keys.checkpoint_key(clock()).await?;
    let metrics = Arc::new(Metrics::new()?);
    let directory = Arc::new(Directory::new(Arc::clone(&store), Arc::clone(&metrics)));
    let commands = Arc::new(Commands::new(
        Repositories::new(&store, &metrics, snapshot_keys, config.allocation_rate),
        Arc::clone(&directory),
        Arc::clone(&keys),
        Arc::clone(&metrics),
        Arc::clone(&clock),
        config.key_propagation,
    ));
    let exchange = Exchange::new(
        Arc::clone(&directory),
        Arc::clone(&keys),
        Arc::clone(&metrics),
        Arc::clone(&clock),
        &config.base_url,
        &config.trust_domain,
    );
    let application = Arc::new(Application {
        gate: Gate::new(secrets.bootstrap_token, authenticator),
        directory: Arc::clone(&directory),
        commands: Arc::clone(&commands),
        exchange,
        store: Arc::clone(&store),
        consumers: Arc::new(Consumers::new(Arc::clone(&store), consumers_options())),
        projections: Projections::new(Arc::clone(&store), ProjectionOptions::default()),
        checkpoint_keys: public.clone(),
        replays: Replays::new(Arc::clone(&store), public),
        readiness: Arc::new(Readiness::default()),
        metrics: Arc::clone(&metrics),
        streams: Streams::new(&config),
        clock: Arc::clone(&clock),
        config,
    });
    let projecting = Projecting {
        projections: application.projections.clone(),
        metrics: Arc::clone(&metrics),
    };
    let behind = Behind {
        projections: projecting.begin()?,
        signing: CheckpointSigning::new(
            Arc::clone(&store),
            signer,
            metrics,
            application.config.checkpoint_interval,
        ),
        following: Following {
            store: Arc::clone(&store),
            consumers: Arc::clone(&application.consumers),
            retired_keys: RetiredKeys {
                keys: Arc::clone(&keys),
                directory: Arc::clone(&directory),
            },
            readiness: Arc::clone(&application.readiness),
            metrics: Arc::clone(&application.metrics),
            clock: Arc::clone(&clock),
        },
        rotation: Rotation {
            directory,
            commands,
            keys: Arc::clone(&keys),
            clock,
            interval: application.config.key_check_interval,
            propagation: application.config.key_propagation,
        },
    };
    let stored = Stored {
        store,
        keys,
        _lock: lock,
    };
    Running::begin(application, behind, stored, port, certificate)
}

/// What lies in the database, and the hold on it, which goes last.
struct Stored {
    store: Arc<dyn EventStore>,
    keys: Arc<KeyStore>,
    _lock: FileLock,
}

/// What runs behind the calls.
struct Behind {
    rotation: Rotation,
    signing: CheckpointSigning,
    following: Following,
    projections: RunningProjections,
}

fn consumers_options() -> ConsumersOptions {
    ConsumersOptions {
        // In a pod, its name.
        process: std::env::var("HOSTNAME").unwrap_or_else(|_| "central".into()),
        ..ConsumersOptions::default()
    }
}

/// A central that runs.
pub struct Running {
    address: SocketAddr,
    application: Arc<Application>,
    stored: Stored,
    handle: Handle<SocketAddr>,
    stop: CancellationToken,
    serving: AbortOnDropHandle<std::io::Result<()>>,
    tasks: JoinSet<Result<(), StartError>>,
}

impl Running {
    fn begin(
        application: Arc<Application>,
        behind: Behind,
        stored: Stored,
        port: Port,
        certificate: Option<(axum_server::tls_rustls::RustlsConfig, edge::Reload)>,
    ) -> Result<Self, StartError> {
        let (stop, handle) = (CancellationToken::new(), Handle::new());
        let address = port.address();
        let mut tasks = JoinSet::new();

        let (directory, token) = (Arc::clone(&application.directory), stop.clone());
        tasks.spawn(async move {
            directory
                .run(token)
                .await
                .map_err(|error| StartError::Server(error.to_string()))
        });
        let probe = StoreProbe {
            store: Arc::clone(&stored.store),
            directory: Arc::clone(&application.directory),
            readiness: Arc::clone(&application.readiness),
            metrics: Arc::clone(&application.metrics),
        };
        spawn(&mut tasks, probe.run(stop.clone()));
        spawn(&mut tasks, behind.rotation.run(stop.clone()));
        spawn(&mut tasks, behind.signing.run(stop.clone()));
        spawn(&mut tasks, behind.following.run(stop.clone()));
        spawn(&mut tasks, behind.projections.run(stop.clone()));
        let tls = certificate.map(|(tls, reload)| {
            spawn(
                &mut tasks,
                reload.run(Arc::clone(&application.metrics), stop.clone()),
            );
            tls
        });
        if tls.is_none() {
            tracing::warn!(%address, "serving WITHOUT TLS: give --tls-cert-file outside of development");
        }
        let (router, health) = edge::router(&application)?;
        spawn(&mut tasks, health.run(stop.clone()));
        let serving = AbortOnDropHandle::new(tokio::spawn(port.serve(router, tls, handle.clone())));
        tracing::info!(%address, base_url = application.config.base_url, "listening");
        Ok(Self {
            address,
            application,
            stored,
            handle,
            stop,
            serving,
            tasks,
        })
    }

    /// Where it listens; of use when the configured port is 0.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns when it has caught up with its store and takes work.
    pub fn ready(&self) -> impl Future<Output = ()> + Send + use<> {
        let application = Arc::clone(&self.application);
        async move { application.readiness.ready().await }
    }

    /// Runs until `shutdown` is cancelled, then drains.
    ///
    /// # Errors
    ///
    /// [`StartError::Server`] when a part ended although nobody had asked it to.
    pub async fn run_until(mut self, shutdown: CancellationToken) -> Result<(), StartError> {
        tokio::select! {
            () = shutdown.cancelled() => self.stop().await,
            ended = self.tasks.join_next() => {
                let why = match ended {
                    Some(Ok(Err(error))) => error,
                    Some(Err(error)) => StartError::Server(error.to_string()),
                    _ => StartError::Server("a part of it stopped".to_owned()),
                };
                self.close().await;
                Err(why)
            }
            ended = &mut self.serving => {
                self.close().await;
                Err(StartError::Server(format!("the port is served no more: {ended:?}")))
            }
        }
    }

    /// Stops within the configured grace: not ready first, then streams are ended so that sidecars
    /// go elsewhere, then calls in flight are given the rest of the time.
    ///
    /// # Errors
    ///
    /// [`StartError::Server`] when a part failed on its way out.
    pub async fn stop(mut self) -> Result<(), StartError> {
        let grace = self.application.config.shutdown_grace;
        let notice = (grace / 4).min(NOTICE);
        self.application.readiness.drain();
        tokio::time::sleep(notice).await;
        self.application.streams.end();
        let left = grace.saturating_sub(notice);
        self.handle.graceful_shutdown(Some(left));
        let consumers = Arc::clone(&self.application.consumers);
        let (served, ()) = tokio::join!(&mut self.serving, consumers.shutdown(left));
        let mut outcome = match served {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(StartError::Server(error.to_string())),
            Err(error) => Err(StartError::Server(error.to_string())),
        };
        // Calls in flight still needed these.
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            match ended {
                Ok(Ok(())) => {}
                Ok(Err(error)) => outcome = Err(error),
                Err(error) => outcome = Err(StartError::Server(error.to_string())),
            }
        }
        self.close().await;
        tracing::info!("stopped");
        outcome
    }

    async fn close(&mut self) {
        self.tasks.shutdown().await;
        // What is left of them when it did not come to a graceful end.
        let consumers = Arc::clone(&self.application.consumers);
        consumers.shutdown(Duration::ZERO).await;
        self.stored.keys.close().await;
        self.stored.store.close().await;
    }
}

fn spawn(
    tasks: &mut JoinSet<Result<(), StartError>>,
    part: impl Future<Output = ()> + Send + 'static,
) {
    tasks.spawn(async move {
        part.await;
        Ok(())
    });
}
