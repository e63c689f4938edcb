//! What an operator of central may set: flags, each also an environment variable, checked before
//! anything is opened.

mod secrets;
mod service_account;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::Parser;
use secrecy::{ExposeSecret as _, SecretString};

pub(crate) use self::secrets::Secrets;
pub use self::{secrets::generate_master_key, service_account::ServiceAccount};
use crate::error::StartError;

/// The configuration of central.
///
/// Parsed from flags and the environment; see `signet-central --help`.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "signet-central",
    version,
    about = "Signet's central service: issuer of tenant tokens, role policies and id ranges",
    long_about = "Signet's central service.\n\nServes HTTP/1.1 and HTTP/2 (gRPC) on one port: \
        discovery, JWKS and the token endpoint of every tenant, administration, provisioning for \
        the operator, and the sync stream and id ranges for sidecars. All state is in the \
        database; any number of replicas may run on one PostgreSQL.\n\nEvery flag can be given as \
        the environment variable named beside it."
)]
pub struct Config {
    /// Address to listen on, for HTTP and gRPC alike.
    #[arg(
        long,
        env = "SIGNET_LISTEN",
        default_value = "0.0.0.0:7750",
        value_name = "ADDRESS"
    )]
    pub listen: SocketAddr,

    /// Public base of all issuers, such as https://signet.example: a tenant's issuer is
    /// {base}/t/{tenant}. Tokens carry it, so it must not change while tokens live.
    #[arg(long, env = "SIGNET_BASE_URL", value_name = "URL", value_parser = base_url)]
    pub base_url: String,

    /// Where events and wrapped keys are stored: postgres://USER:PASSWORD@HOST/DATABASE, or
    /// sqlite://PATH for a single replica.
    #[arg(
        long,
        env = "SIGNET_DATABASE_URL",
        hide_env_values = true,
        value_name = "URL",
        value_parser = database_url
    )]
    pub database_url: SecretString,

    /// A streaming replica of the database (PostgreSQL only), for looking at events and streams. What
    /// is answered may then be older than what was just written, unless the call says how new it has to
    /// be (min_position). While the replica is away or behind, the database itself is asked.
    #[arg(
        long,
        env = "SIGNET_DATABASE_REPLICA_URL",
        hide_env_values = true,
        value_name = "URL",
        value_parser = database_url
    )]
    pub database_replica_url: Option<SecretString>,

    /// File with the master key that wraps private signing keys: 32 random bytes as base64
    /// (`openssl rand -base64 32`). Without it, no stored key can ever be opened again.
    #[arg(long, env = "SIGNET_MASTER_KEY_FILE", value_name = "FILE")]
    pub master_key_file: PathBuf,

    /// File with the secret that administrators present as bearer token, at least 32 characters.
    #[arg(long, env = "SIGNET_BOOTSTRAP_TOKEN_FILE", value_name = "FILE")]
    pub bootstrap_token_file: PathBuf,

    /// Certificate chain (PEM). Read again when it changes. Without it central speaks plain HTTP.
    #[arg(
        long,
        env = "SIGNET_TLS_CERT_FILE",
        value_name = "FILE",
        requires = "tls_key_file"
    )]
    pub tls_cert_file: Option<PathBuf>,

    /// Private key of the certificate (PEM). Read again when it changes.
    #[arg(
        long,
        env = "SIGNET_TLS_KEY_FILE",
        value_name = "FILE",
        requires = "tls_cert_file"
    )]
    pub tls_key_file: Option<PathBuf>,

    /// Audience that ServiceAccount tokens of callers must be meant for.
    #[arg(
        long,
        env = "SIGNET_TOKEN_AUDIENCE",
        default_value = "signet-central",
        value_name = "AUDIENCE"
    )]
    pub token_audience: String,

    /// SPIFFE trust domain: a workload's subject is spiffe://{tenant}.{trust domain}/ns/…/sa/….
    #[arg(
        long,
        env = "SIGNET_TRUST_DOMAIN",
        default_value = "cluster.local",
        value_name = "DOMAIN",
        value_parser = trust_domain
    )]
    pub trust_domain: String,

    /// ServiceAccount that may provision, as NAMESPACE/NAME.
    #[arg(
        long,
        env = "SIGNET_OPERATOR_SERVICE_ACCOUNT",
        default_value = "signet-system/signet-operator",
        value_name = "NAMESPACE/NAME"
    )]
    pub operator_service_account: ServiceAccount,

    /// How long a new signing key is published before it signs, so that every sidecar has it.
    #[arg(
        long,
        env = "SIGNET_KEY_PROPAGATION",
        default_value = "1m",
        value_name = "DURATION",
        value_parser = duration
    )]
    pub key_propagation: Duration,

    /// How often each replica looks whether a signing key is due to be added, activated or retired.
    #[arg(
        long,
        env = "SIGNET_KEY_CHECK_INTERVAL",
        default_value = "15s",
        value_name = "DURATION",
        value_parser = duration
    )]
    pub key_check_interval: Duration,

    /// How often each replica signs the ends of the tenants' event chains that have moved, so that
    /// nobody rewrites what lies before unnoticed.
    #[arg(
        long,
        env = "SIGNET_CHECKPOINT_INTERVAL",
        default_value = "10m",
        value_name = "DURATION",
        value_parser = duration
    )]
    pub checkpoint_interval: Duration,

    /// How long a sync stream may live before the sidecar has to prove itself anew.
    #[arg(
        long,
        env = "SIGNET_STREAM_MAX_AGE",
        default_value = "5m",
        value_name = "DURATION",
        value_parser = duration
    )]
    pub stream_max_age: Duration,

    /// How often a quiet sync stream shows a sign of life.
    #[arg(
        long,
        env = "SIGNET_STREAM_KEEPALIVE",
        default_value = "15s",
        value_name = "DURATION",
        value_parser = duration
    )]
    pub stream_keepalive: Duration,

    /// Id ranges that the pods of one tenant may take each second from each replica. A sidecar takes one
    /// for each generator when it starts, and another when its buffer runs low; one that has to wait
    /// asks again.
    #[arg(
        long,
        env = "SIGNET_ALLOCATION_RATE",
        default_value = "1000",
        value_name = "NUMBER",
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub allocation_rate: u32,

    /// Time between a stop signal and the end of the process, for calls in flight to finish.
    #[arg(
        long,
        env = "SIGNET_SHUTDOWN_GRACE",
        default_value = "20s",
        value_name = "DURATION",
        value_parser = duration
    )]
    pub shutdown_grace: Duration,

    /// What to log, as tracing's filters: info, or central=debug,sqlx=warn,info.
    #[arg(
        long,
        env = "SIGNET_LOG",
        default_value = "info",
        value_name = "FILTER"
    )]
    pub log: String,

    /// For development and tests only: callers are looked up in this JSON file, a map of bearer
    /// token to caller ("operator", "administrator" or {"workload": {"namespace": …,
    /// "serviceAccount": …}}), instead of being reviewed by Kubernetes.
    #[arg(long, env = "SIGNET_STATIC_CALLERS", value_name = "FILE", hide = true)]
    pub static_callers: Option<PathBuf>,
}

impl Config {
    /// Checks what a single value cannot tell.
    ///
    /// # Errors
    ///
    /// [`StartError::Configuration`], with the flag and how to mend it.
    pub fn validate(&self) -> Result<(), StartError> {
        let refuse =
            |flag: &'static str, message: String| Err(StartError::Configuration { flag, message });
        let databases = ["postgres://", "postgresql://", "sqlite:"];
        if !databases
            .iter()
            .any(|scheme| self.database_url().starts_with(scheme))
        {
            return refuse(
                "--database-url",
                "it must start with postgres:// or sqlite:// (sqlite:///var/lib/signet/signet.db)"
                    .into(),
            );
        }
        if let Some(replica) = self.database_replica_url() {
            let is_postgres = |url: &str| {
                let schemes = ["postgres://", "postgresql://"];
                schemes.iter().any(|scheme| url.starts_with(scheme))
            };
            if !is_postgres(replica) || !is_postgres(self.database_url()) {
                return refuse(
                    "--database-replica-url",
                    "only PostgreSQL has replicas: it must start with postgres://, as \
                     --database-url; leave it out otherwise"
                        .into(),
                );
            }
        }
        if self.tls_cert_file.is_some() != self.tls_key_file.is_some() {
            return refuse(
                "--tls-cert-file",
                "give both --tls-cert-file and --tls-key-file, or neither for plain HTTP".into(),
            );
        }
        if self.token_audience.trim().is_empty() {
            return refuse(
                "--token-audience",
                "it is empty; name the audience that callers' ServiceAccount tokens are projected \
                 with, such as signet-central"
                    .into(),
            );
        }
        if self.key_propagation > Duration::from_secs(24 * 3600) {
            return refuse(
                "--key-propagation",
                "more than 24h would outlast the overlap of keys; give a few minutes at most"
                    .into(),
            );
        }
        for (flag, value, usual) in [
            ("--key-check-interval", self.key_check_interval, "15s"),
            ("--checkpoint-interval", self.checkpoint_interval, "10m"),
            ("--stream-max-age", self.stream_max_age, "5m"),
            ("--stream-keepalive", self.stream_keepalive, "15s"),
        ] {
            if value.is_zero() {
                return refuse(flag, format!("it must be more than 0; try {usual}"));
            }
        }
        if self.shutdown_grace > Duration::from_secs(600) {
            return refuse("--shutdown-grace", "it must be at most 10m; try 20s".into());
        }
        Ok(())
    }

    /// Whether the port speaks TLS.
    #[must_use]
    pub fn tls(&self) -> bool {
        self.tls_cert_file.is_some()
    }

    /// The issuer of a tenant's tokens: `{base}/t/{tenant}`.
    #[must_use]
    pub fn issuer(&self, tenant: &str) -> String {
        format!("{}/t/{tenant}", self.base_url)
    }

    pub(crate) fn database_url(&self) -> &str {
        self.database_url.expose_secret()
    }

    pub(crate) fn database_replica_url(&self) -> Option<&str> {
        let url = self.database_replica_url.as_ref();
        url.map(|url| url.expose_secret())
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|error| format!("{error}; give a number with a unit, such as 20s or 1h30m"))
}

fn base_url(text: &str) -> Result<String, String> {
    let text = text.trim().trim_end_matches('/');
    let uri: http::Uri = text
        .parse()
        .map_err(|error| format!("not a URL ({error}); give one such as https://signet.example"))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.authority().is_none() {
        return Err(
            "it must start with https:// (or http:// in development) and name a host".into(),
        );
    }
    if uri.query().is_some() || text.contains('#') {
        return Err("it must have neither a query nor a fragment; issuers are made from it".into());
    }
    Ok(text.to_owned())
}

// Takes whatever it is, to be judged by `validate`: clap repeats what a parser refuses, and this may
// hold a password.
fn database_url(text: &str) -> Result<SecretString, std::convert::Infallible> {
    Ok(SecretString::from(text.to_owned()))
}

fn trust_domain(text: &str) -> Result<String, String> {
    // SPIFFE-ID section 2.1: lower-case letters, digits, dots, dashes and underscores.
    let sound =
        |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-' | '_');
    if text.is_empty() || text.len() > 190 || !text.chars().all(sound) || text.starts_with('.') {
        return Err(
            "a trust domain has lower-case letters, digits, dots, dashes and underscores, at most \
             190 characters; such as cluster.local"
                .into(),
        );
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests;
