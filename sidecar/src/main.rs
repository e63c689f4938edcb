//! The program `signet-sidecar`: configuration in, the sidecar run until a signal ends it.

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// One thread is plenty for one pod, and keeps the sidecar small.
#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let config = sidecar::Config::parse();
    let log = sidecar::telemetry::install(&config.log);
    log.map_err(|problem| anyhow::anyhow!("SIGNET_LOG cannot be used: {problem}"))?;
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("another TLS provider is installed"))?;
    sidecar::run(config, ended_by_signal()?).await?;
    Ok(())
}

/// Cancelled by SIGTERM, which Kubernetes sends once the application has ended, or by Ctrl-C.
fn ended_by_signal() -> anyhow::Result<CancellationToken> {
    let shutdown = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let cancelled = shutdown.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        cancelled.cancel();
    });
    Ok(shutdown)
}
