//! Why a reconciliation did not come to its end.

use crate::provision::ProvisionError;

/// A reconciliation that is to be tried again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReconcileError {
    /// Central refused for now, or could not be asked.
    #[error(transparent)]
    Central(#[from] ProvisionError),
    /// The API server did not take the status.
    #[error("SIGNET-OPERATOR-0030: the status was not written: {0}")]
    Status(#[source] kube::Error),
    /// The object cannot be read as its kind.
    #[error(
        "SIGNET-OPERATOR-0031: the object cannot be read ({0}): correct it, or, to delete it, take \
         its finalizer away by hand"
    )]
    Undecodable(String),
    /// Another replica may lead by now.
    #[error("SIGNET-OPERATOR-0032: this replica does not lead any more")]
    NotLeading,
    /// The API server or central did not answer.
    #[error("SIGNET-OPERATOR-0034: it took longer than {0} seconds")]
    TimedOut(u64),
    /// The finalizer could not be set or taken away.
    #[error("SIGNET-OPERATOR-0033: the finalizer was not changed: {0}")]
    Finalizer(String),
}

impl ReconcileError {
    /// The stable code of the error.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Central(error) => error.code(),
            Self::Status(_) => "SIGNET-OPERATOR-0030",
            Self::Undecodable(_) => "SIGNET-OPERATOR-0031",
            Self::NotLeading => "SIGNET-OPERATOR-0032",
            Self::TimedOut(_) => "SIGNET-OPERATOR-0034",
            Self::Finalizer(_) => "SIGNET-OPERATOR-0033",
        }
    }

    /// How it is counted.
    pub(crate) fn outcome(&self) -> &'static str {
        match self {
            Self::Central(ProvisionError::Refused(_)) => "refused",
            _ => "failed",
        }
    }
}
