//! Why a command was not carried out. That the domain refuses is no error of this kind.

use std::time::Duration;

use thiserror::Error;

use super::aggregate::Invalid;
use crate::event::{Position, StreamKey};

/// Why a command was not carried out, or may not have been.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CommandError {
    /// The store did not answer, more than once.
    #[error(
        "the event store is unavailable ({message}); {}",
        if *.may_be_stored { "the command may have been carried out: repeat it with the same key" }
        else { "nothing was stored, repeat it later" }
    )]
    Unavailable {
        /// What happened, without secrets.
        message: String,
        /// Whether the command may have been carried out all the same.
        may_be_stored: bool,
    },
    /// Others wrote to the stream again and again, each time between the decision and the append.
    #[error("{conflicts} others wrote to {stream} meanwhile; nothing was stored, repeat it")]
    Contended {
        /// Stream that is written to so much.
        stream: StreamKey,
        /// How often somebody else was first.
        conflicts: u32,
    },
    /// The tenant calls this command more often than is allowed.
    #[error("{command} is called too often; repeat it after {} ms", retry_after.as_millis())]
    Limited {
        /// The command.
        command: &'static str,
        /// When the next call is allowed, if there are no others.
        retry_after: Duration,
    },
    /// Too many commands of this priority are waiting.
    #[error("too many commands are waiting; repeat it after a pause")]
    Busy,
    /// The command or its events can never be stored as they are.
    #[error("{field}: {message}")]
    Invalid {
        /// Path of the offending part.
        field: String,
        /// What is wrong, and what would be right.
        message: String,
    },
    /// The idempotency key was used for another command on this stream.
    #[error(
        "the key {key} was used for another command on {stream}; use a new key for each command"
    )]
    KeyReused {
        /// The key.
        key: String,
        /// The stream.
        stream: StreamKey,
    },
    /// A stored event is not understood.
    #[error(
        "event {event_type} (schema {schema_version}) at position {position} of stream {stream} is \
         not understood: {message}; it may be of a newer release"
    )]
    NotUnderstood {
        /// Its stream.
        stream: Box<StreamKey>,
        /// Its place in the store.
        position: Position,
        /// Its name.
        event_type: String,
        /// The version of its shape.
        schema_version: u32,
        /// What the domain says.
        message: String,
    },
    /// The stream cannot be read as it is stored.
    #[error("stream {stream} is corrupt ({message}); restore it from a backup")]
    Corrupt {
        /// The stream.
        stream: StreamKey,
        /// What is wrong with it.
        message: String,
    },
    /// An event that was decided on cannot be written; a defect of the domain's code.
    #[error("an event of stream {stream} cannot be written: {message}; report it")]
    Unwritable {
        /// The stream.
        stream: StreamKey,
        /// What is wrong with the event.
        message: String,
    },
}

impl CommandError {
    /// Stable code of the error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unavailable { .. } => "SIGNET-EVENTS-0090",
            Self::Contended { .. } => "SIGNET-EVENTS-0091",
            Self::Limited { .. } => "SIGNET-EVENTS-0092",
            Self::Busy => "SIGNET-EVENTS-0093",
            Self::Invalid { .. } => "SIGNET-EVENTS-0094",
            Self::KeyReused { .. } => "SIGNET-EVENTS-0095",
            Self::NotUnderstood { .. } => "SIGNET-EVENTS-0096",
            Self::Corrupt { .. } => "SIGNET-EVENTS-0097",
            Self::Unwritable { .. } => "SIGNET-EVENTS-0098",
        }
    }

    /// Whether the same call may succeed later. After [`CommandError::Unavailable`] with
    /// `may_be_stored`, only a call with a key is safe to repeat.
    pub fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::Unavailable { .. } | Self::Contended { .. } | Self::Limited { .. } | Self::Busy
        )
    }
}

impl From<Invalid> for CommandError {
    fn from(Invalid { field, message }: Invalid) -> Self {
        Self::Invalid { field, message }
    }
}
