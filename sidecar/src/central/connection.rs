//! One HTTP/2 connection to central, made anew when it is lost, and the proof of who calls.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use protocol::v1::sync_client::SyncClient;
use tokio::sync::watch;
use tonic::Request;
use tonic::metadata::MetadataValue;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

use super::CallError;
use crate::config::{Config, InvalidConfig};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// A policy of ten thousand roles fits.
const LARGEST_MESSAGE_BYTES: usize = 16 * 1024 * 1024;

/// Whether the sync stream stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnectionState {
    /// Not yet tried.
    Connecting,
    /// Central has been heard on the stream.
    Connected,
    /// Not now, for this reason; tried again and again.
    Away {
        /// Why, a sentence.
        problem: String,
    },
}

/// The connection that the sync stream and the calls beside it share.
#[derive(Debug)]
pub struct Connection {
    endpoint: Endpoint,
    channel: ArcSwap<Channel>,
    token_file: PathBuf,
    tenant: String,
    instance: String,
    state: watch::Sender<ConnectionState>,
}

impl Connection {
    /// Prepares the connection; nothing is sent before the first call. Needs a tokio runtime.
    ///
    /// # Errors
    /// The URL or the certificates of central cannot be used.
    pub fn new(config: &Config) -> Result<Self, InvalidConfig> {
        let endpoint = endpoint(config)?;
        Ok(Self {
            channel: ArcSwap::from_pointee(endpoint.connect_lazy()),
            endpoint,
            token_file: config.token_file.clone(),
            tenant: config.tenant.clone(),
            instance: config.pod_name.clone(),
            state: watch::Sender::new(ConnectionState::Connecting),
        })
    }

    /// Whether the sync stream stands, now and whenever that changes.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<ConnectionState> {
        self.state.subscribe()
    }

    /// The tenant acted for.
    #[must_use]
    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    /// How this sidecar names itself: by its pod. Central knows the namespace by itself.
    #[must_use]
    pub fn instance(&self) -> &str {
        &self.instance
    }

    pub(super) fn set_state(&self, state: ConnectionState) {
        self.state.send_replace(state);
    }

    /// Leaves the connection to the calls under way on it, and opens another for the next ones. A
    /// peer that died in silence is left behind so.
    pub(super) fn renew(&self) {
        self.channel.store(Arc::new(self.endpoint.connect_lazy()));
    }

    pub(super) fn client(&self) -> SyncClient<Channel> {
        SyncClient::new(Channel::clone(&self.channel.load()))
            .max_decoding_message_size(LARGEST_MESSAGE_BYTES)
    }

    /// Adds the workload's token, as it is on disk now.
    pub(super) async fn authorized<T>(
        &self,
        mut request: Request<T>,
    ) -> Result<Request<T>, CallError> {
        let no_token = |problem: String| CallError::NoToken {
            file: self.token_file.clone(),
            problem,
        };
        let token = tokio::fs::read_to_string(&self.token_file)
            .await
            .map_err(|error| no_token(error.to_string()))?;
        if token.trim().is_empty() {
            return Err(no_token("it is empty".to_owned()));
        }
        let mut bearer: MetadataValue<_> = format!("Bearer {}", token.trim())
            .parse()
            .map_err(|_| no_token("it is not one line of ASCII".to_owned()))?;
        bearer.set_sensitive(true);
        request.metadata_mut().insert("authorization", bearer);
        Ok(request)
    }
}

fn endpoint(config: &Config) -> Result<Endpoint, InvalidConfig> {
    let invalid = |variable, error: tonic::transport::Error| InvalidConfig {
        variable,
        problem: format!("cannot be used: {}", source_of(&error)),
    };
    let url = |error| invalid("SIGNET_CENTRAL_URL", error);
    let endpoint = Endpoint::from_shared(config.central_url.clone())
        .map_err(url)?
        .user_agent(concat!("signet-sidecar/", env!("CARGO_PKG_VERSION")))
        .map_err(url)?
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true);
    if endpoint.uri().scheme_str() != Some("https") {
        return Ok(endpoint);
    }
    let tls =
        ClientTlsConfig::new().ca_certificate(Certificate::from_pem(config.central_ca.as_bytes()));
    endpoint
        .tls_config(tls)
        .map_err(|error| invalid("SIGNET_CENTRAL_CA", error))
}

/// tonic says "transport error" and keeps what happened as the source.
fn source_of(error: &tonic::transport::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}
