//! A sidecar as a whole: real HTTP in front, a real gRPC server behind that plays central by a script,
//! so that it can fail in every way central can.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod central;
mod decisions;
mod edge;
mod health;
mod ids;
mod outage;
mod own_token;
mod sidecar_under_test;
mod start;
mod tokens;

use std::time::Duration;

/// Waits until `holds` gives something; fails, naming `what`, when it does not for a long time.
async fn until<T>(what: &str, mut holds: impl AsyncFnMut() -> Option<T>) -> T {
    let waited = async {
        loop {
            if let Some(found) = holds().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waited)
        .await
        .unwrap_or_else(|_| panic!("waited in vain for: {what}"))
}
