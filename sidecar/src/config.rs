//! The sidecar's configuration: flags, each of them an environment variable as well.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use http::Uri;

/// What a sidecar is told when it starts. The webhook sets the environment variables in a cluster.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "signet-sidecar",
    version,
    about,
    max_term_width = 100,
    args_override_self = true
)]
pub struct Config {
    /// The tenant this workload acts for
    #[arg(long, env = "SIGNET_TENANT")]
    pub tenant: String,

    /// Where central answers: `https://signet-central.NAMESPACE.svc:7750`. Plain `http://` is for
    /// development only
    #[arg(long, env = "SIGNET_CENTRAL_URL")]
    pub central_url: String,

    /// The certificates that may have signed central's own, as PEM text. Needed with `https://`
    #[arg(
        long,
        env = "SIGNET_CENTRAL_CA",
        default_value = "",
        allow_hyphen_values = true
    )]
    pub central_ca: String,

    /// The file with the token this workload proves itself with. Read again for every call, because
    /// projected tokens rotate
    #[arg(
        long,
        env = "SIGNET_TOKEN_FILE",
        default_value = "/var/run/secrets/signet.dev/token"
    )]
    pub token_file: PathBuf,

    /// Generators that must hold ids before the sidecar is ready, separated by commas
    #[arg(
        long,
        env = "SIGNET_GENERATORS",
        value_delimiter = ',',
        default_value = ""
    )]
    pub generators: Vec<String>,

    /// The pod's name, for logs, metrics and the allocation history
    #[arg(long, env = "SIGNET_POD_NAME", default_value = "")]
    pub pod_name: String,

    /// The pod's namespace
    #[arg(long, env = "SIGNET_NAMESPACE", default_value = "")]
    pub namespace: String,

    /// Port of the API on 127.0.0.1. 0: any free one
    #[arg(long, env = "SIGNET_PORT", default_value_t = 7740)]
    pub port: u16,

    /// Port of health and metrics. 0: any free one
    #[arg(long, env = "SIGNET_HEALTH_PORT", default_value_t = 7743)]
    pub health_port: u16,

    /// Address of health and metrics: probes come from beyond the pod
    #[arg(long, env = "SIGNET_HEALTH_ADDRESS", default_value = "0.0.0.0")]
    pub health_address: IpAddr,

    /// The URL applications reach the API at, when it is not localhost: its host is then accepted in
    /// the Host header
    #[arg(long, env = "SIGNET_URL", default_value = "")]
    pub url: String,

    /// Which log lines are written: a level, or `tracing` directives
    #[arg(long, env = "SIGNET_LOG", default_value = "info")]
    pub log: String,

    /// How long the sidecar decides on what it holds while central is away. After that decisions and
    /// verifications are refused
    #[arg(long, env = "SIGNET_FAIL_STATIC", default_value = "24h", value_parser = duration)]
    pub fail_static: Duration,

    /// How long a request for ids waits for ids to arrive
    #[arg(long, env = "SIGNET_ID_WAIT", default_value = "1s", value_parser = duration)]
    pub id_wait: Duration,

    /// After how long without any message central counts as gone, and is connected to anew
    #[arg(long, env = "SIGNET_CENTRAL_SILENCE", default_value = "45s", value_parser = duration)]
    pub central_silence: Duration,

    /// How long requests under way are given to finish at the end
    #[arg(long, env = "SIGNET_SHUTDOWN_GRACE", default_value = "10s", value_parser = duration)]
    pub shutdown_grace: Duration,
}

/// What is wrong with a [`Config`], and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{variable} {problem}")]
pub struct InvalidConfig {
    /// The environment variable it is about.
    pub variable: &'static str,
    /// What is wrong, as the rest of a sentence.
    pub problem: String,
}

impl Config {
    /// The configured generators, without empty names.
    pub fn warmed_generators(&self) -> impl Iterator<Item = &str> {
        self.generators
            .iter()
            .map(|name| name.trim())
            .filter(|name| !name.is_empty())
    }

    /// Checks what the types cannot.
    ///
    /// # Errors
    /// The first value that cannot be used.
    pub fn validate(&self) -> Result<(), InvalidConfig> {
        let invalid = |variable, problem: &str| {
            Err(InvalidConfig {
                variable,
                problem: problem.to_owned(),
            })
        };
        if !is_dns_label(&self.tenant) {
            return invalid(
                "SIGNET_TENANT",
                "must be the name of a Tenant: 1 to 63 lower-case letters, digits and hyphens",
            );
        }
        let central: Uri = self.central_url.parse().map_err(|error| InvalidConfig {
            variable: "SIGNET_CENTRAL_URL",
            problem: format!("is no URL: {error}"),
        })?;
        match (central.scheme_str(), central.host()) {
            (Some("http"), Some(_)) => {}
            (Some("https"), Some(_)) if self.central_ca.trim().is_empty() => {
                return invalid(
                    "SIGNET_CENTRAL_CA",
                    "must hold the PEM certificates that signed central's, because \
                     SIGNET_CENTRAL_URL is https",
                );
            }
            (Some("https"), Some(_)) => {}
            _ => {
                return invalid(
                    "SIGNET_CENTRAL_URL",
                    "must begin with https:// and name a host",
                );
            }
        }
        if !self.url.is_empty() && self.url.parse::<Uri>().ok().and_then(host_of).is_none() {
            return invalid("SIGNET_URL", "must be a URL with a host, or empty");
        }
        if self.token_file.as_os_str().is_empty() {
            return invalid("SIGNET_TOKEN_FILE", "must name the projected token's file");
        }
        for (variable, value, limit) in [
            (
                "SIGNET_FAIL_STATIC",
                self.fail_static,
                Duration::from_secs(366 * 86_400),
            ),
            (
                "SIGNET_CENTRAL_SILENCE",
                self.central_silence,
                Duration::from_secs(3600),
            ),
            (
                "SIGNET_SHUTDOWN_GRACE",
                self.shutdown_grace,
                Duration::from_secs(3600),
            ),
        ] {
            if value.is_zero() || value > limit {
                let problem = format!("must be above 0 and at most {}s", limit.as_secs());
                return Err(InvalidConfig { variable, problem });
            }
        }
        if self.id_wait > Duration::from_secs(60) {
            return invalid("SIGNET_ID_WAIT", "must be at most 60s");
        }
        Ok(())
    }

    /// The host of [`Config::url`], in lower case.
    #[must_use]
    pub fn url_host(&self) -> Option<String> {
        self.url.parse::<Uri>().ok().and_then(host_of)
    }
}

fn host_of(uri: Uri) -> Option<String> {
    uri.host().map(str::to_ascii_lowercase)
}

fn is_dns_label(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-')
}

fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|error| format!("{error}; give a number with a unit, such as 24h or 1m30s"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(arguments: &[&str]) -> Config {
        let base = [
            "signet-sidecar",
            "--tenant",
            "acme",
            "--central-url",
            "http://localhost:7750",
        ];
        Config::try_parse_from(base.iter().chain(arguments)).unwrap()
    }

    #[test]
    fn the_defaults_are_those_of_the_design() {
        let config = config(&[]);
        assert_eq!(config.validate(), Ok(()));
        assert_eq!((config.port, config.health_port), (7740, 7743));
        assert_eq!(config.fail_static, Duration::from_secs(86_400));
        assert_eq!(config.id_wait, Duration::from_secs(1));
        assert_eq!(config.warmed_generators().count(), 0);
    }

    #[test]
    fn generators_are_a_comma_list() {
        let config = config(&["--generators", "order-id, invoice-id,"]);
        assert_eq!(
            config.warmed_generators().collect::<Vec<_>>(),
            ["order-id", "invoice-id"]
        );
    }

    #[test]
    fn a_value_that_cannot_be_used_is_named() {
        let refused = |arguments: &[&str]| config(arguments).validate().unwrap_err().variable;
        assert_eq!(
            refused(&["--central-url", "https://central"]),
            "SIGNET_CENTRAL_CA"
        );
        assert_eq!(
            refused(&["--central-url", "ftp://central"]),
            "SIGNET_CENTRAL_URL"
        );
        assert_eq!(
            refused(&["--central-url", "central:7750"]),
            "SIGNET_CENTRAL_URL"
        );
        assert_eq!(refused(&["--tenant", "Acme Inc"]), "SIGNET_TENANT");
        assert_eq!(refused(&["--fail-static", "0s"]), "SIGNET_FAIL_STATIC");
        assert_eq!(refused(&["--id-wait", "2m"]), "SIGNET_ID_WAIT");
        assert_eq!(refused(&["--url", "/somewhere"]), "SIGNET_URL");
    }
}
