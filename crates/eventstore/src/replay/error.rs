//! Why there is no replay, or why it ended early.

use thiserror::Error;
use uuid::Uuid;

use super::progress::Failure;
use crate::error::ReadError;
use crate::event::Position;

/// Refusal or end of a replay.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReplayError {
    /// As many replays run as may run at once.
    #[error("{running} replays run already, which is the most at once; cancel one or wait")]
    Busy {
        /// How many run.
        running: usize,
    },
    /// The request contradicts itself.
    #[error("{field}: {message}")]
    Invalid {
        /// Field of [`Replay`](super::Replay).
        field: &'static str,
        /// What is wrong, and what would be right.
        message: &'static str,
    },
    /// There is no replay of this id, or it ended long ago.
    #[error("there is no replay {id}, or it ended long ago; list them to see which there are")]
    Unknown {
        /// The id asked for.
        id: Uuid,
    },
    /// The visitor refused a page, or panicked.
    #[error(
        "the visitor failed on the events after position {after} ({message}); mend it and replay again from there"
    )]
    Visitor {
        /// Up to here it has seen everything.
        after: Position,
        /// What it said.
        message: String,
    },
    /// It was cancelled before its end, so that there is no state.
    #[error("the replay was cancelled at position {position}; start it again")]
    Cancelled {
        /// Up to here it came.
        position: Position,
    },
    /// The events could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It failed; this is what its progress says.
    #[error("{0}")]
    Failed(Failure),
}

impl ReplayError {
    /// Stable code of the error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Busy { .. } => "SIGNET-EVENTS-0050",
            Self::Invalid { .. } => "SIGNET-EVENTS-0051",
            Self::Unknown { .. } => "SIGNET-EVENTS-0052",
            Self::Visitor { .. } => "SIGNET-EVENTS-0053",
            Self::Cancelled { .. } => "SIGNET-EVENTS-0054",
            Self::Read(error) => error.code(),
            Self::Failed(failure) => failure.code,
        }
    }
}
