//! What the operator is told at start: flags, each also an environment variable.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use crds::Duration;

use crate::injection::{Quantity, Resources};

/// Configuration of the operator.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "signet-operator",
    version,
    about = "Reconciles Tenant, Role and IdGenerator into central, and injects the sidecar"
)]
pub struct Config {
    /// The namespace of the release: its Lease and its Secrets live here.
    #[arg(long, env = "SIGNET_NAMESPACE")]
    pub namespace: String,

    /// The name of this pod: its identity in the Lease and in Events.
    #[arg(long, env = "SIGNET_POD_NAME")]
    pub pod_name: String,

    /// Where central is, as seen by the operator and by sidecars. By default the Service
    /// `signet-central` of the release's namespace.
    #[arg(long, env = "SIGNET_CENTRAL_URL")]
    pub central_url: Option<String>,

    /// A file of certificates (PEM) to trust for central in place of the authority that the
    /// operator keeps.
    #[arg(long, env = "SIGNET_CENTRAL_CA_FILE")]
    pub central_ca_file: Option<PathBuf>,

    /// The image of injected sidecars.
    #[arg(long, env = "SIGNET_SIDECAR_IMAGE")]
    pub sidecar_image: String,

    /// When the kubelet pulls that image.
    #[arg(
        long,
        env = "SIGNET_SIDECAR_IMAGE_PULL_POLICY",
        default_value = "IfNotPresent"
    )]
    pub sidecar_image_pull_policy: PullPolicy,

    /// CPU an injected sidecar requests.
    #[arg(long, env = "SIGNET_SIDECAR_CPU_REQUEST", default_value = "10m")]
    pub sidecar_cpu_request: Quantity,

    /// CPU an injected sidecar may use.
    #[arg(long, env = "SIGNET_SIDECAR_CPU_LIMIT", default_value = "1")]
    pub sidecar_cpu_limit: Quantity,

    /// Memory an injected sidecar requests.
    #[arg(long, env = "SIGNET_SIDECAR_MEMORY_REQUEST", default_value = "32Mi")]
    pub sidecar_memory_request: Quantity,

    /// Memory an injected sidecar may use.
    #[arg(long, env = "SIGNET_SIDECAR_MEMORY_LIMIT", default_value = "128Mi")]
    pub sidecar_memory_limit: Quantity,

    /// The log filter of injected sidecars.
    #[arg(long, env = "SIGNET_SIDECAR_LOG", default_value = "info")]
    pub sidecar_log: String,

    /// The projected ServiceAccount token by which the operator proves itself to central. Read
    /// again for every call.
    #[arg(
        long,
        env = "SIGNET_TOKEN_FILE",
        default_value = "/var/run/secrets/signet.dev/token"
    )]
    pub token_file: PathBuf,

    /// The audience of the tokens projected into sidecars.
    #[arg(long, env = "SIGNET_TOKEN_AUDIENCE", default_value = "signet-central")]
    pub token_audience: String,

    /// How long those tokens hold, 10m to 24h. The kubelet renews them ahead of expiry.
    #[arg(long, env = "SIGNET_TOKEN_EXPIRATION", default_value = "1h")]
    pub token_expiration: Duration,

    /// The MutatingWebhookConfiguration whose CA bundle the operator keeps.
    #[arg(
        long,
        env = "SIGNET_WEBHOOK_CONFIGURATION",
        default_value = "signet-injector"
    )]
    pub webhook_configuration: String,

    /// The address the ports listen on.
    #[arg(long, env = "SIGNET_LISTEN_ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::UNSPECIFIED))]
    pub listen_address: IpAddr,

    /// The port of the webhook, TLS.
    #[arg(long, env = "SIGNET_WEBHOOK_PORT", default_value_t = 7760)]
    pub webhook_port: u16,

    /// The port of health and metrics.
    #[arg(long, env = "SIGNET_HEALTH_PORT", default_value_t = 7763)]
    pub health_port: u16,

    /// How often every resource is reconciled again, so that drift is repaired.
    #[arg(long, env = "SIGNET_RESYNC_INTERVAL", default_value = "10m")]
    pub resync_interval: Duration,

    /// How long work in flight may go on after SIGTERM.
    #[arg(long, env = "SIGNET_SHUTDOWN_GRACE", default_value = "20s")]
    pub shutdown_grace: Duration,

    /// The log filter, in the syntax of tracing's EnvFilter.
    #[arg(long, env = "SIGNET_LOG", default_value = "info")]
    pub log: String,
}

/// When the kubelet pulls an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "PascalCase")]
pub enum PullPolicy {
    /// At every start.
    Always,
    /// When the node has none.
    IfNotPresent,
    /// Not at all.
    Never,
}

impl PullPolicy {
    /// The word Kubernetes has for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}

/// Why a configuration is not used.
#[derive(Debug, thiserror::Error)]
#[error("SIGNET-OPERATOR-0001: --{flag}: {message}")]
pub struct ConfigError {
    flag: &'static str,
    message: String,
}

impl ConfigError {
    /// The stable code of the error.
    pub fn code(&self) -> &'static str {
        "SIGNET-OPERATOR-0001"
    }
}

impl Config {
    /// Checks what the types alone do not say.
    ///
    /// # Errors
    /// Names the flag and what it must be.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let wrong = |flag, message: &str| {
            Err(ConfigError {
                flag,
                message: message.into(),
            })
        };
        for (flag, value) in [
            ("namespace", &self.namespace),
            ("pod-name", &self.pod_name),
            ("sidecar-image", &self.sidecar_image),
            ("token-audience", &self.token_audience),
        ] {
            if value.trim().is_empty() {
                return wrong(flag, "must not be empty");
            }
        }
        let url = self.central_url();
        if !url.starts_with("https://") && !url.starts_with("http://") {
            return wrong(
                "central-url",
                "must begin with https:// (or http:// without TLS)",
            );
        }
        if !(600..=86_400).contains(&self.token_expiration.as_secs()) {
            return wrong("token-expiration", "must lie between 10m and 24h");
        }
        if self.resync_interval.as_secs() < 10 {
            return wrong("resync-interval", "must be at least 10s");
        }
        self.sidecar_resources()
            .check()
            .map_err(|what| ConfigError {
                flag: "sidecar-cpu-request and its like",
                message: what.to_string(),
            })
    }

    /// Where central is.
    pub fn central_url(&self) -> String {
        self.central_url
            .clone()
            .unwrap_or_else(|| format!("https://signet-central.{}.svc:7750", self.namespace))
    }

    /// What an injected sidecar requests and may use, unless its pod says otherwise.
    pub fn sidecar_resources(&self) -> Resources {
        Resources {
            cpu_request: self.sidecar_cpu_request.clone(),
            cpu_limit: self.sidecar_cpu_limit.clone(),
            memory_request: self.sidecar_memory_request.clone(),
            memory_limit: self.sidecar_memory_limit.clone(),
        }
    }

    pub(crate) fn webhook_address(&self) -> SocketAddr {
        (self.listen_address, self.webhook_port).into()
    }

    pub(crate) fn health_address(&self) -> SocketAddr {
        (self.listen_address, self.health_port).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(extra: &[&str]) -> Config {
        let required = [
            "signet-operator",
            "--namespace=signet-system",
            "--pod-name=signet-operator-0",
            "--sidecar-image=signet/sidecar:1",
        ];
        Config::parse_from(required.iter().chain(extra))
    }

    #[test]
    fn the_defaults_hold() {
        let config = parse(&[]);
        config.validate().unwrap();
        assert_eq!(
            config.central_url(),
            "https://signet-central.signet-system.svc:7750"
        );
        assert_eq!(config.webhook_address().to_string(), "0.0.0.0:7760");
        assert_eq!(config.health_address().to_string(), "0.0.0.0:7763");
    }

    #[test]
    fn a_wrong_value_is_named() {
        for (argument, flag) in [
            ("--token-expiration=5m", "token-expiration"),
            ("--central-url=signet-central:7750", "central-url"),
            ("--sidecar-cpu-request=2", "sidecar-cpu-request"),
            ("--resync-interval=1s", "resync-interval"),
            ("--token-audience=", "token-audience"),
        ] {
            let error = parse(&[argument]).validate().unwrap_err();
            assert!(error.to_string().contains(flag), "{argument}: {error}");
        }
    }
}
