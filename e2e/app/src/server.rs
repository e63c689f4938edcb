//! The HTTP server: routes, and a stop that drains.

use anyhow::Context;
use axum::Router;
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::{ids, orders, outgoing, say};

/// Serves until SIGTERM or SIGINT, then ends what runs.
pub(crate) async fn run() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT")?;
    let listener = TcpListener::bind("0.0.0.0:8080")
        .await
        .context("port 8080")?;
    say("e2e-app serves on 0.0.0.0:8080");
    axum::serve(listener, routes()?)
        .with_graceful_shutdown(async move {
            tokio::select! {
                _ = terminate.recv() => say("SIGTERM"),
                _ = interrupt.recv() => say("SIGINT"),
            }
        })
        .await
        .context("serving")
}

fn routes() -> anyhow::Result<Router> {
    let client = outgoing::local_client()?;
    Ok(Router::new()
        .route("/healthz", get(async || "ok"))
        .route("/request", post(outgoing::request))
        .route("/ids", post(ids::take))
        .route(
            "/orders/{id}",
            get(orders::read)
                .post(orders::create)
                .delete(orders::delete),
        )
        .with_state(client))
}
