//! What can go wrong around projections, each with a stable code.

use thiserror::Error;

use super::status::ProjectionState;
use crate::event::Position;

/// Why a question to a projection has no answer, or a change of one did not happen.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ProjectionError {
    /// No projection of this name was ever run on this store.
    #[error("there is no projection {projection}; run it first, or correct the name")]
    Unknown {
        /// The name asked for.
        projection: String,
    },
    /// The projection did not get as far as asked in the time given.
    #[error(
        "projection {projection} is {state} at position {reached} and did not reach {wanted} in \
         time; ask again later, or without a position"
    )]
    Behind {
        /// Its name.
        projection: String,
        /// Position that was asked for.
        wanted: Position,
        /// Position that it has applied.
        reached: Position,
        /// What it is doing.
        state: ProjectionState,
    },
    /// The projection stands before an event that it cannot apply, and does not get past it by waiting.
    #[error(
        "projection {projection} cannot apply the event at position {position} ({message}); \
         mend the projection and give it a higher version, or retry it"
    )]
    Failed {
        /// Its name.
        projection: String,
        /// Position of the event.
        position: Position,
        /// Why it cannot be applied.
        message: String,
    },
    /// A question, name or setting that cannot be used as it is.
    #[error("{field}: {message}")]
    Invalid {
        /// Which part of it.
        field: &'static str,
        /// What is wrong, and what would be right.
        message: String,
    },
    /// The database could not be asked. Asking again is always safe.
    #[error("the projections are unavailable ({message}); try again later")]
    Unavailable {
        /// What happened, without secrets.
        message: String,
    },
    /// A stored document is not JSON any more: somebody changed it behind the store's back.
    #[error("document {key} of tenant {tenant} is corrupt ({message}); clear the projection")]
    Corrupt {
        /// Whose document it is.
        tenant: String,
        /// Its key.
        key: String,
        /// What is wrong with it.
        message: String,
    },
}

impl ProjectionError {
    /// Stable code of the error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => "SIGNET-EVENTS-0070",
            Self::Behind { .. } => "SIGNET-EVENTS-0071",
            Self::Failed { .. } => "SIGNET-EVENTS-0072",
            Self::Invalid { .. } => "SIGNET-EVENTS-0073",
            Self::Unavailable { .. } => "SIGNET-EVENTS-0074",
            Self::Corrupt { .. } => "SIGNET-EVENTS-0075",
        }
    }

    pub(crate) fn unknown(projection: &str) -> Self {
        let projection = projection.to_owned();
        Self::Unknown { projection }
    }

    pub(crate) fn invalid(field: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self::Invalid { field, message }
    }
}

impl From<sqlx::Error> for ProjectionError {
    fn from(error: sqlx::Error) -> Self {
        let message = error.to_string();
        Self::Unavailable { message }
    }
}
