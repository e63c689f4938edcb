//! What can go wrong with snapshots. That one cannot be used is no error; see [`super::SkipReason`].

use thiserror::Error;

/// Why a snapshot was not made, or the table of them could not be asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SnapshotError {
    /// The database could not be asked. Doing it again is always safe.
    #[error("the snapshots are unavailable ({message}); try again later")]
    Unavailable {
        /// What happened, without secrets.
        message: String,
    },
    /// The state is too large to be kept as a snapshot.
    #[error(
        "the state has {bytes} bytes as JSON, {most} are allowed; \
         raise SnapshotOptions::max_state_bytes, or split the aggregate"
    )]
    TooLarge {
        /// Size of the state as JSON.
        bytes: usize,
        /// What is allowed.
        most: usize,
    },
    /// The state cannot be written as JSON.
    #[error("the state cannot be written as JSON: {message}")]
    Unwritable {
        /// What the state's serialisation says.
        message: String,
    },
    /// The provider of cryptography refused.
    #[error("a snapshot could not be encrypted; check the system's random source")]
    Encryption,
}

impl SnapshotError {
    /// Stable code of the error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unavailable { .. } => "SIGNET-EVENTS-0040",
            Self::TooLarge { .. } => "SIGNET-EVENTS-0041",
            Self::Unwritable { .. } => "SIGNET-EVENTS-0042",
            Self::Encryption => "SIGNET-EVENTS-0043",
        }
    }
}

pub(crate) fn unavailable(error: sqlx::Error) -> SnapshotError {
    SnapshotError::Unavailable {
        message: error.to_string(),
    }
}

/// Why a set of keys cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SnapshotKeysError {
    /// A key has no usable id.
    #[error("the id of a snapshot key must have 1 to 128 bytes and no NUL")]
    InvalidId,
    /// Two keys have one id.
    #[error("two snapshot keys have the id {id}; give each key its own")]
    DoubleId {
        /// The id.
        id: String,
    },
}

impl SnapshotKeysError {
    /// Stable code of the error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::InvalidId => "SIGNET-EVENTS-0044",
            Self::DoubleId { .. } => "SIGNET-EVENTS-0045",
        }
    }
}
