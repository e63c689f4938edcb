//! Why a run ends, and why a stream is left as it is.

use thiserror::Error;
use time::OffsetDateTime;

use crate::backend::read_error;
use crate::error::{AppendError, ReadError};
use crate::event::{Position, StreamKey};
use crate::registry::RegistryError;

/// Why a run, a back-up or a restore came to no end. Running it again is safe.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MigrationError {
    /// The migration cannot be run as it is.
    #[error("migration {name:?}: {message}")]
    Definition {
        /// Name of the migration.
        name: String,
        /// What is wrong, and what would be right.
        message: String,
    },
    /// Somebody else runs it, or did so until a moment ago.
    #[error(
        "migration {name} is run by somebody else, who has it until {until} at least; \
         wait for its end"
    )]
    Leased {
        /// Name of the migration.
        name: String,
        /// When it can be taken unless the lease is renewed.
        until: OffsetDateTime,
    },
    /// The lease ran out, and somebody else took it.
    #[error("migration {name} was taken over by another run; see that run's report")]
    LeaseLost {
        /// Name of the migration.
        name: String,
    },
    /// A back-up cannot be written, read or restored.
    #[error("back-up {path}: {message}")]
    BackUp {
        /// File it is about.
        path: String,
        /// What is wrong, and how to mend it.
        message: String,
    },
    /// The store cannot be written.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The store cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl MigrationError {
    /// Stable code of the error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Definition { .. } => "SIGNET-EVENTS-0036",
            Self::Leased { .. } | Self::LeaseLost { .. } => "SIGNET-EVENTS-0037",
            Self::BackUp { .. } => "SIGNET-EVENTS-0039",
            Self::Append(error) => error.code(),
            Self::Read(error) => error.code(),
        }
    }
}

impl From<sqlx::Error> for MigrationError {
    fn from(error: sqlx::Error) -> Self {
        Self::Read(read_error(error))
    }
}

/// Why one stream was not migrated. The others are; nothing of it is lost, and its source stays open.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StreamError {
    /// The migration cannot transform an event.
    #[error("the event at position {position} cannot be transformed: {message}")]
    Transform {
        /// The source event.
        position: Position,
        /// What the migration says.
        message: String,
    },
    /// What an event was transformed to cannot be stored.
    #[error("the event at position {position} became one that cannot be stored: {message}")]
    Unstorable {
        /// The source event.
        position: Position,
        /// What the store says.
        message: String,
    },
    /// What an event was transformed to cannot be read.
    #[error(
        "the event at position {position} became one that the registry cannot read; \
         mend the migration or the registry ({source})"
    )]
    Unreadable {
        /// The source event.
        position: Position,
        /// What the registry says.
        source: RegistryError,
    },
    /// The migration's own check of the stream failed.
    #[error("the transformed stream is not valid: {message}")]
    Invalid {
        /// What the migration says.
        message: String,
    },
    /// The target has an event that this migration did not put there.
    #[error(
        "the target {target} has an event of somebody else at position {position}; \
         choose an empty stream"
    )]
    ForeignEvent {
        /// The target.
        target: StreamKey,
        /// The event.
        position: Position,
    },
    /// An earlier run put something else there.
    #[error(
        "the event at position {position} of the target {target} is not what the migration makes now; \
         run it as it was, or under another name into another stream"
    )]
    Changed {
        /// The target.
        target: StreamKey,
        /// The event.
        position: Position,
    },
    /// The target is the source, or the target of another source.
    #[error("the target {target} is taken; give every source a target of its own")]
    TargetTaken {
        /// The target.
        target: StreamKey,
    },
    /// The stream does not fit into the bound of memory.
    #[error(
        "the stream has more than {limit} events before or after the transformation; \
         raise max_stream_events"
    )]
    TooLong {
        /// The bound.
        limit: usize,
    },
    /// Versions of the source do not follow one another, or the target lacks what was written.
    #[error("{stream} is incomplete behind version {version}; restore the events from a backup")]
    Incomplete {
        /// The stream.
        stream: StreamKey,
        /// Last version that is there.
        version: u64,
    },
    /// Another migration closed the source while it was copied.
    #[error("migration {migration} closed the stream meanwhile; run one migration after the other")]
    ClosedMeanwhile {
        /// The other migration.
        migration: String,
    },
    /// The source or the target never stood still.
    #[error("the streams changed {attempts} times while they were copied; run it again")]
    Restless {
        /// How often it was tried.
        attempts: u32,
    },
    /// The store refuses what is to be written.
    #[error(transparent)]
    Append(AppendError),
    /// An event of the source or target is corrupt.
    #[error(transparent)]
    Read(ReadError),
}

impl StreamError {
    /// Stable code of the error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { source, .. } => source.code(),
            Self::Append(error) => error.code(),
            Self::Read(error) => error.code(),
            _ => "SIGNET-EVENTS-0038",
        }
    }

    /// The event it is about, of the source or of the target.
    pub fn position(&self) -> Option<Position> {
        match self {
            Self::Transform { position, .. }
            | Self::Unstorable { position, .. }
            | Self::Unreadable { position, .. }
            | Self::ForeignEvent { position, .. }
            | Self::Changed { position, .. }
            | Self::Read(ReadError::Corrupt { position, .. }) => Some(*position),
            _ => None,
        }
    }
}

/// What stops a stream, and what stops the run.
#[derive(Debug, PartialEq)]
pub(super) enum Failure {
    Stream(StreamError),
    Run(MigrationError),
}

impl From<StreamError> for Failure {
    fn from(error: StreamError) -> Self {
        Self::Stream(error)
    }
}

impl From<MigrationError> for Failure {
    fn from(error: MigrationError) -> Self {
        Self::Run(error)
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Corrupt { .. } => Self::Stream(StreamError::Read(error)),
            _ => Self::Run(error.into()),
        }
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        read_error(error).into()
    }
}
