//! `signet-central`: configuration in, parts built, served, drained.

use std::{process::ExitCode, sync::Arc};

use central::{Authenticator, Config, KubernetesAuthenticator, StartError, StaticAuthenticator};
use clap::Parser as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> ExitCode {
    let config = Config::parse();
    let (filter, refused) = match EnvFilter::try_new(&config.log) {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new("info"), Some(error)),
    };
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_env_filter(filter)
        .init();
    if let Some(error) = refused {
        tracing::error!("--log: {error}; give filters such as central=debug,info");
        return ExitCode::FAILURE;
    }
    // An error means that a provider is installed already, and there is only this one to install.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match run(config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(code = error.code(), "{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(config: Config) -> Result<(), StartError> {
    config.validate()?;
    let authenticator: Arc<dyn Authenticator> = match &config.static_callers {
        Some(file) => {
            tracing::warn!(file = %file.display(), "callers are NOT proven by Kubernetes: development only");
            Arc::new(StaticAuthenticator::from_file(file)?)
        }
        None => Arc::new(KubernetesAuthenticator::from_environment(&config).await?),
    };
    let shutdown = CancellationToken::new();
    tokio::spawn(cancel_on_signal(shutdown.clone()));
    central::run(config, authenticator, shutdown).await
}

async fn cancel_on_signal(shutdown: CancellationToken) {
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        tracing::error!("signals cannot be caught; the process ends at once when it gets one");
        return;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("a stop signal arrived");
    shutdown.cancel();
}
