//! Refusals and failures, each with a stable code.

use thiserror::Error;
use uuid::Uuid;

use crate::event::{ExpectedVersion, Position, StreamKey, StreamVersion};

/// Why an append was not stored, or may not have been.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AppendError {
    /// The stream has another version than the writer expected. Nothing of the append is stored.
    #[error(
        "stream {stream} was expected at {expected} but is at version {actual}; \
         read it again and decide anew"
    )]
    Conflict {
        /// Stream that moved.
        stream: StreamKey,
        /// What the writer expected.
        expected: ExpectedVersion,
        /// What is there, with the appends that were queued earlier taken into account.
        actual: StreamVersion,
    },
    /// An event id is in use by another event (other stream, place, type or content), or only a
    /// part of the append is stored. Nothing of the append is stored by this call.
    #[error(
        "event id {id} belongs to another event or another append already; \
         give every new event an id of its own"
    )]
    DuplicateEventId {
        /// The first such id of the append.
        id: Uuid,
    },
    /// The append can never be stored as it is.
    #[error("{field}: {message}")]
    Invalid {
        /// Path of the offending part, e.g. `writes[0].events[2].data`.
        field: String,
        /// What is wrong, and what would be right.
        message: String,
    },
    /// Too many appends are waiting. Nothing of the append is stored; try again after a pause.
    #[error("the append queue is full; try again after a short pause")]
    Overloaded,
    /// The database could not be asked, or its answer got lost: the append may or may not be
    /// stored. Repeating it with the same event ids is safe and tells which.
    #[error(
        "the event store is unavailable ({message}); repeat the append with the same event ids"
    )]
    Unavailable {
        /// What happened, without secrets.
        message: String,
    },
}

impl AppendError {
    /// Stable code of the error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Conflict { .. } => "SIGNET-EVENTS-0001",
            Self::DuplicateEventId { .. } => "SIGNET-EVENTS-0002",
            Self::Invalid { .. } => "SIGNET-EVENTS-0003",
            Self::Overloaded => "SIGNET-EVENTS-0004",
            Self::Unavailable { .. } => "SIGNET-EVENTS-0005",
        }
    }
}

/// Why a read failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReadError {
    /// The database could not be asked. Reading again is always safe.
    #[error("the event store is unavailable ({message}); read again later")]
    Unavailable {
        /// What happened, without secrets.
        message: String,
    },
    /// A stored event cannot be understood: somebody changed it behind the store's back.
    #[error("the event at position {position} is corrupt ({message}); restore it from a backup")]
    Corrupt {
        /// Where it is; 0 when not even that could be read.
        position: Position,
        /// What is wrong with it.
        message: String,
    },
    /// A subscription found a hole in the positions: events were removed behind the store's back.
    #[error("position {expected} is missing, {found} follows; restore the events from a backup")]
    Gap {
        /// Position that had to come next.
        expected: Position,
        /// Position that came.
        found: Position,
    },
    /// The reader's cursor is past the end of the store: the store was restored from an older
    /// backup, or the cursor belongs to another store.
    #[error(
        "the cursor {cursor} is ahead of the store, which ends at {head}; \
         rebuild the reader from the start"
    )]
    AheadOfStore {
        /// Where the reader believes to be.
        cursor: Position,
        /// Where the store ends.
        head: Position,
    },
    /// Another event stands where a subscription has been: the database was put back to an earlier state, as
    /// by a failover that lost the last commits, and what was written since is not what was read.
    #[error(
        "the event at position {position} is not the one that was read there before; \
         rebuild the reader from the start"
    )]
    Rewritten {
        /// Where the reader is.
        position: Position,
    },
    /// The query can never be answered as it is.
    #[error("{field}: {message}")]
    Invalid {
        /// Field of the [`EventQuery`](crate::EventQuery).
        field: &'static str,
        /// What is wrong, and what would be right.
        message: String,
    },
    /// The store did not reach a position in the time the caller gave.
    #[error(
        "the store is at position {head} and did not reach {position} in time; \
         wait longer, or check that the position is one of this store"
    )]
    NotReached {
        /// Position that was waited for.
        position: Position,
        /// Where the store was last known to end.
        head: Position,
    },
}

impl ReadError {
    /// Stable code of the error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unavailable { .. } => "SIGNET-EVENTS-0010",
            Self::Corrupt { .. } => "SIGNET-EVENTS-0011",
            Self::Gap { .. } => "SIGNET-EVENTS-0012",
            Self::AheadOfStore { .. } => "SIGNET-EVENTS-0013",
            Self::Rewritten { .. } => "SIGNET-EVENTS-0017",
            Self::Invalid { .. } => "SIGNET-EVENTS-0014",
            Self::NotReached { .. } => "SIGNET-EVENTS-0015",
        }
    }
}

/// Why a store could not be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The URL is not one of a database that is served here. It is not repeated, for it may hold a
    /// password.
    #[error(
        "unusable database URL ({message}); \
         give postgres://user@host/database, sqlite://path or sqlite::memory:"
    )]
    UnsupportedUrl {
        /// What is wrong with it.
        message: String,
    },
    /// An option is out of its bounds.
    #[error("option {option}: {message}")]
    InvalidOption {
        /// Name of the field of [`Options`](crate::Options).
        option: &'static str,
        /// What would be right.
        message: String,
    },
    /// The database did not answer.
    #[error(
        "the database cannot be reached: {source}; see that the URL names it, that it is there (a \
         file's folder has to be), and that it lets this user in"
    )]
    Unavailable {
        /// Answer of the driver.
        source: sqlx::Error,
    },
    /// There is no store that could be read as it is.
    #[error("there is no event store that can be read as it is: {message}")]
    NoStore {
        /// What is missing.
        message: String,
    },
    /// The tables could not be made or brought up to date.
    #[error("the tables of the event store could not be prepared: {source}")]
    Migration {
        /// Answer of the driver.
        source: sqlx::migrate::MigrateError,
    },
}

impl OpenError {
    /// Stable code of the error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnsupportedUrl { .. } => "SIGNET-EVENTS-0020",
            Self::InvalidOption { .. } => "SIGNET-EVENTS-0021",
            Self::Unavailable { .. } => "SIGNET-EVENTS-0022",
            Self::Migration { .. } => "SIGNET-EVENTS-0023",
            Self::NoStore { .. } => "SIGNET-EVENTS-0024",
        }
    }
}
