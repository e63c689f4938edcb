//! The mutating webhook, on every replica: `review` answers, [`serve`] carries it over TLS with a
//! certificate that can change while it runs.

mod review;
#[cfg(test)]
mod tests;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum_server::Handle;
use axum_server::tls_rustls::RustlsConfig;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use review::{Injector, SettingsSource};

use crate::certificates::{Pair, Trust};

/// Why the webhook does not serve.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// Its certificate cannot be used.
    #[error("SIGNET-OPERATOR-0060: the webhook's certificate cannot be used: {0}")]
    Certificate(String),
    /// Its port cannot be listened on.
    #[error("SIGNET-OPERATOR-0061: the webhook cannot listen: {0}")]
    Listen(#[from] std::io::Error),
}

impl WebhookError {
    /// The stable code of the error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Certificate(_) => "SIGNET-OPERATOR-0060",
            Self::Listen(_) => "SIGNET-OPERATOR-0061",
        }
    }
}

/// Serves the webhook until cancelled, and on for a quarter of `grace`, since the API server goes on
/// calling until the Service has forgotten this replica; then lets calls in flight end within half
/// of it. A certificate that comes through `trust` is taken for new connections at once.
///
/// # Errors
/// When the first certificate cannot be used or the address not be listened on.
pub async fn serve(
    address: SocketAddr,
    injector: Arc<Injector>,
    mut trust: watch::Receiver<Trust>,
    grace: Duration,
    shutdown: CancellationToken,
) -> Result<(), WebhookError> {
    let config = tls(&trust.borrow_and_update().webhook)?;
    let config = RustlsConfig::from_config(Arc::new(config));
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let handle = Handle::new();
    let server = axum_server::from_tcp_rustls(listener, config.clone())?
        .handle(handle.clone())
        .serve(injector.router().into_make_service());
    let mut server = std::pin::pin!(server);
    loop {
        tokio::select! {
            ended = &mut server => return Ok(ended?),
            () = shutdown.cancelled() => break,
            changed = trust.changed() => {
                if changed.is_err() {
                    break;
                }
                match tls(&trust.borrow_and_update().webhook) {
                    Ok(renewed) => config.reload_from_config(Arc::new(renewed)),
                    Err(error) => tracing::error!(
                        code = error.code(), %error, "the older certificate is kept"
                    ),
                }
            }
        }
    }
    tokio::select! {
        ended = &mut server => return Ok(ended?),
        () = tokio::time::sleep(grace / 4) => {}
    }
    handle.graceful_shutdown(Some(grace / 2));
    Ok(server.await?)
}

fn tls(pair: &Pair) -> Result<ServerConfig, WebhookError> {
    let unusable = |error: String| WebhookError::Certificate(error);
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(pair.certificate.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|error| unusable(error.to_string()))?;
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes())
        .map_err(|error| unusable(error.to_string()))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(error.to_string()))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| unusable(error.to_string()))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}
