//! Why the operator as a whole ended.

use crate::config::ConfigError;
use crate::provision::ProvisionError;
use crate::webhook::WebhookError;

/// Why the operator ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// There is no cluster to talk to.
    #[error("SIGNET-OPERATOR-0002: the API server cannot be used: {0}")]
    Client(#[from] kube::Error),
    /// The file of certificates for central cannot be read.
    #[error("SIGNET-OPERATOR-0003: {path}: {source}")]
    CentralCa {
        /// The file.
        path: String,
        /// What was wrong.
        #[source]
        source: std::io::Error,
    },
    /// The metrics could not be set up.
    #[error("SIGNET-OPERATOR-0004: metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// The health port does not serve.
    #[error("SIGNET-OPERATOR-0005: the health port does not serve: {0}")]
    Health(#[source] std::io::Error),
    /// The webhook does not serve.
    #[error(transparent)]
    Webhook(#[from] WebhookError),
    /// Central's address or certificates make no sense.
    #[error(transparent)]
    Provision(#[from] ProvisionError),
    /// A part ended before it was told to.
    #[error("SIGNET-OPERATOR-0006: {task} ended by itself: a defect")]
    TaskEnded {
        /// Which part.
        task: &'static str,
    },
    /// A part panicked.
    #[error("SIGNET-OPERATOR-0007: {task} panicked: a defect; the log before this line tells more")]
    TaskPanicked {
        /// Which part.
        task: &'static str,
    },
}

impl RunError {
    /// The stable code of the error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Config(error) => error.code(),
            Self::Client(_) => "SIGNET-OPERATOR-0002",
            Self::CentralCa { .. } => "SIGNET-OPERATOR-0003",
            Self::Metrics(_) => "SIGNET-OPERATOR-0004",
            Self::Health(_) => "SIGNET-OPERATOR-0005",
            Self::Webhook(error) => error.code(),
            Self::Provision(error) => error.code(),
            Self::TaskEnded { .. } => "SIGNET-OPERATOR-0006",
            Self::TaskPanicked { .. } => "SIGNET-OPERATOR-0007",
        }
    }
}
