//! # e2e-app
//!
//! The application of the end-to-end tests: what a user's program could be, with nothing but HTTP.
//!
//! **Here:** requests made from inside the pod on a test's behalf, a loop that takes ids, and a service
//! that lets its sidecar decide. **Never here:** Signet's code or types: it proves that none is needed.
//!
//! **The way through:** the test → the API server's pod proxy → [`server`] → `$SIGNET_URL`, the sidecar
//! beside it, or whatever URL the test names → the answer as JSON.
//!
//! `e2e-app` serves on 0.0.0.0:8080 until SIGTERM; `e2e-app get PATH` asks `$SIGNET_URL` once, for Jobs.

mod ids;
mod orders;
mod outgoing;
mod server;

use std::process::ExitCode;

use anyhow::{Context, bail};

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("e2e-app failed: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn run() -> anyhow::Result<()> {
    if rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .is_err()
    {
        bail!("another TLS provider is installed");
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .as_slice()
    {
        [] => server::run().await,
        ["get", path] => get_once(path).await,
        _ => bail!("usage: e2e-app | e2e-app get PATH"),
    }
}

/// Asks the sidecar once and fails when the answer is not a success.
async fn get_once(path: &str) -> anyhow::Result<()> {
    let url = format!("{}{path}", sidecar_url()?);
    let answer = outgoing::local_client()?.get(&url).send().await?;
    let status = answer.status();
    let body = answer.text().await?;
    say(&format!("GET {url}: {status} {body}"));
    if !status.is_success() {
        bail!("{url} answered {status}");
    }
    Ok(())
}

/// Where the sidecar answers, as the webhook told this container.
pub(crate) fn sidecar_url() -> anyhow::Result<String> {
    std::env::var("SIGNET_URL").context("SIGNET_URL is not set: this pod has no sidecar")
}

/// One line on standard output, where `kubectl logs` finds it.
#[allow(clippy::print_stdout)]
pub(crate) fn say(line: &str) {
    println!("{line}");
}
