//! Why nothing was signed or verified. A fault in the events is no error: it is in the report.

use thiserror::Error;

use crate::error::ReadError;

/// Refusals and failures.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum IntegrityError {
    /// A key cannot be used.
    #[error("key {key_id:?}: {message}")]
    Key {
        /// Which key.
        key_id: String,
        /// What is wrong, and what would be right.
        message: &'static str,
    },
    /// The signer gave no signature.
    #[error("the checkpoint could not be signed ({message}); try again later")]
    Signing {
        /// What it said.
        message: String,
    },
    /// The chain contradicts the checkpoint before, so that a new one would cover that up.
    #[error(
        "the chain of tenant {tenant:?} contradicts its last checkpoint ({message}); verify the tenant"
    )]
    Contradiction {
        /// Whose chain.
        tenant: String,
        /// What is different.
        message: String,
    },
    /// A line is no exported checkpoint.
    #[error("this is no exported checkpoint ({message}); give the lines as they were exported")]
    Format {
        /// What is wrong with it.
        message: String,
    },
    /// A verification cannot start from the checkpoint given.
    #[error(
        "verification cannot start from the checkpoint of tenant {tenant:?} at sequence {tenant_sequence} \
         ({message}); give a trusted one, or start from the beginning"
    )]
    Start {
        /// Whose checkpoint.
        tenant: String,
        /// Its place in the chain.
        tenant_sequence: u64,
        /// What is wrong with it.
        message: String,
    },
    /// The verification ended without a report: it panicked, or the runtime is shutting down.
    #[error("the verification was broken off; look at the log and start it again")]
    BrokenOff,
    /// The database could not be read or written.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl IntegrityError {
    /// Stable code of the error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Key { .. } => "SIGNET-EVENTS-0080",
            Self::Signing { .. } => "SIGNET-EVENTS-0081",
            Self::Contradiction { .. } => "SIGNET-EVENTS-0082",
            Self::Format { .. } => "SIGNET-EVENTS-0083",
            Self::Start { .. } => "SIGNET-EVENTS-0084",
            Self::BrokenOff => "SIGNET-EVENTS-0085",
            Self::Read(error) => error.code(),
        }
    }
}
