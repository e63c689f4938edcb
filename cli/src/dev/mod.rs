//! Signet in one process: central on SQLite, the reconciler fed from YAML files, and sidecars.

mod environment;
mod identities;
mod reconcile;
mod resources;
mod running_central;
mod state_folder;
mod watch;

use std::{net::TcpListener, path::PathBuf};

use clap::Args;

use self::watch::FolderWatch;
pub use self::{
    environment::{Environment, start_logging},
    identities::ServiceAccount,
    reconcile::{Outcome, ResourceState},
    resources::{Declared, read},
};
use crate::{error::Error, output};

/// How to run Signet for development.
#[derive(Debug, Args)]
pub struct Options {
    /// Folder of YAML files with Tenants, Roles, IdGenerators and Namespaces; read again on change
    #[arg(value_name = "DIR", default_value = "config/samples")]
    pub resources: PathBuf,
    /// Folder for the database and the master key; without it everything is forgotten at the end
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Whom the sidecar stands for, as NAMESPACE/NAME
    #[arg(long, value_name = "NAMESPACE/NAME", default_value = "shop/checkout")]
    pub service_account: ServiceAccount,
    /// The tenant of that service account, when more than one takes its namespace
    #[arg(long)]
    pub tenant: Option<String>,
    /// Port of the sidecar's API on 127.0.0.1; 0 for any that is free
    #[arg(long, default_value_t = 7740)]
    pub port: u16,
    /// Port of the sidecar's health and metrics on 127.0.0.1; 0 for any that is free
    #[arg(long, default_value_t = 7743)]
    pub health_port: u16,
    /// Port of central on 127.0.0.1; 0 for any that is free
    #[arg(long, default_value_t = 7750)]
    pub central_port: u16,
    /// What to log on standard error, as tracing's filters
    #[arg(long, env = "SIGNET_LOG", default_value = "warn")]
    pub log: String,
}

/// What an [`Environment`] is started with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The folder of YAML files.
    pub resources: PathBuf,
    /// The folder for state; `None` for one that goes with the environment.
    pub data: Option<PathBuf>,
    /// The tenant of the sidecars, when their namespace alone does not tell.
    pub tenant: Option<String>,
    /// Port of the first sidecar's API.
    pub port: u16,
    /// Port of the first sidecar's health.
    pub health_port: u16,
    /// Port of central.
    pub central_port: u16,
}

impl Settings {
    /// The ports users know, and state that is forgotten.
    #[must_use]
    pub fn new(resources: PathBuf) -> Self {
        Self {
            resources,
            data: None,
            tenant: None,
            port: 7740,
            health_port: 7743,
            central_port: 7750,
        }
    }

    /// Any free ports, so that nothing else on the machine is in the way.
    #[must_use]
    pub fn on_free_ports(self) -> Self {
        Self {
            port: 0,
            health_port: 0,
            central_port: 0,
            ..self
        }
    }
}

/// Runs until interrupted, reconciling again whenever the files change.
///
/// # Errors
/// The files cannot be read, or a program did not start or ended.
pub async fn run(options: Options) -> Result<(), Error> {
    start_logging(&options.log)?;
    let settings = Settings {
        resources: options.resources.clone(),
        data: options.data,
        tenant: options.tenant,
        port: options.port,
        health_port: options.health_port,
        central_port: options.central_port,
    };
    let mut changes = FolderWatch::start(&options.resources)?;
    let mut environment = Environment::start(settings).await?;
    print_resources(&environment);
    output::line("");
    output::line(&format!("central  {}", environment.central_url()));
    output::line(&format!(
        "         administrator's secret in {}",
        environment.secret_file()
    ));
    let mut sidecar = try_sidecar(&mut environment, &options.service_account).await?;
    output::line("Ctrl-C ends it; a changed file is taken at once.");
    loop {
        tokio::select! {
            ended = wait_for_interrupt() => {
                ended?;
                break;
            }
            ended = environment.central_ended() => {
                environment.stop().await;
                return ended;
            }
            () = changes.changed() => {
                output::line("");
                if let Err(error) = environment.reload().await {
                    output::line(&format!("nothing was changed: {error}"));
                    continue;
                }
                print_resources(&environment);
                if !sidecar {
                    sidecar = try_sidecar(&mut environment, &options.service_account).await?;
                }
            }
        }
    }
    environment.stop().await;
    Ok(())
}

/// A sidecar needs a tenant that takes its namespace; until a file declares one, there is none.
async fn try_sidecar(environment: &mut Environment, who: &ServiceAccount) -> Result<bool, Error> {
    match environment.start_sidecar(who.clone()).await {
        Ok(url) => {
            output::line(&format!("sidecar  {url} for service account {who}"));
            Ok(true)
        }
        Err(Error::NotReady(reason)) => {
            output::line(&format!("sidecar  not started: {reason}"));
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

fn print_resources(environment: &Environment) {
    for line in environment.resource_lines() {
        output::line(&line);
    }
}

/// Waits for Ctrl-C or a request to terminate.
///
/// # Errors
/// The signals cannot be listened to.
pub async fn wait_for_interrupt() -> Result<(), Error> {
    use tokio::signal::unix::{SignalKind, signal};
    let failed = |error: std::io::Error| Error::Program {
        program: "listening for signals",
        reason: error.to_string(),
    };
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted.map_err(failed),
        _ = terminate.recv() => Ok(()),
    }
}

/// A port of 127.0.0.1 that nobody listens on now.
fn free_port() -> Result<u16, Error> {
    TcpListener::bind(("127.0.0.1", 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|error| Error::Program {
            program: "finding a free port",
            reason: error.to_string(),
        })
}
