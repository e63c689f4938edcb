//! What can go wrong in a command, with stable codes.

use std::path::PathBuf;

/// Why a command failed. The text says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A folder of resources that is not there or cannot be read.
    #[error("cannot read {path}: {source}; give a folder of YAML files, such as config/samples")]
    Resources {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file of state or secrets that cannot be written or read.
    #[error("cannot use {path}: {source}")]
    State {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A service account that is not `NAMESPACE/NAME`.
    #[error("`{0}` is no service account; write NAMESPACE/NAME, such as shop/checkout")]
    ServiceAccount(String),
    /// One of the programs did not start or stopped by itself.
    #[error("{program} failed: {reason}")]
    Program {
        /// central, the reconciler or the sidecar.
        program: &'static str,
        /// Its own words.
        reason: String,
    },
    /// A resource that the story needs is not ready.
    #[error("{0}")]
    NotReady(String),
    /// A step of the demonstration that did not come out as told.
    #[error("the demonstration failed at {step}: {reason}")]
    Demonstration {
        /// The step.
        step: String,
        /// What came instead.
        reason: String,
    },
    /// Central could not be asked, or refused.
    #[error("{0}")]
    Central(String),
    /// A verification found a fault.
    #[error(
        "the events are not as they were written: the first fault is at position {position}; keep the \
         database as it is for an inquiry, and restore from a backup"
    )]
    Tampered {
        /// Where it shows first.
        position: u64,
    },
    /// A database could not be opened or read.
    #[error("{0}")]
    Database(String),
    /// What was followed did not come to its end, so that its outcome is not known.
    #[error("{0}")]
    Unfinished(String),
    /// Options that do not go together.
    #[error("{0}")]
    Usage(String),
}

impl Error {
    /// The stable code, as listed in `docs/errors.md`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Resources { .. } => "SIGNET-CLI-0001",
            Self::State { .. } => "SIGNET-CLI-0002",
            Self::ServiceAccount(_) => "SIGNET-CLI-0003",
            Self::Program { .. } => "SIGNET-CLI-0004",
            Self::NotReady(_) => "SIGNET-CLI-0005",
            Self::Demonstration { .. } => "SIGNET-CLI-0006",
            Self::Central(_) => "SIGNET-CLI-0007",
            Self::Usage(_) => "SIGNET-CLI-0008",
            Self::Tampered { .. } => "SIGNET-CLI-0009",
            Self::Unfinished(_) => "SIGNET-CLI-0010",
            Self::Database(_) => "SIGNET-CLI-0011",
        }
    }
}
