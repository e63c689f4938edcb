//! Refusals and failures of subscriptions, each with a stable code.

use thiserror::Error;

use crate::error::ReadError;
use crate::event::Position;

/// Why something about a subscription was not done.
#[derive(Debug, Error)]
pub enum ConsumerError {
    /// An option is out of its bounds.
    #[error("option {option}: {message}")]
    InvalidOption {
        /// Name of the field of [`ConsumerOptions`](super::ConsumerOptions).
        option: &'static str,
        /// What would be right.
        message: String,
    },
    /// The subscription exists with another number of partitions, and its checkpoints rest on it.
    #[error(
        "subscription {subscription} is divided into {stored} partitions, not {asked}; \
         ask for {stored}, or pause it, let it be repartitioned, and resume it"
    )]
    PartitionsChanged {
        /// Its name.
        subscription: String,
        /// Number that its checkpoints were made with.
        stored: u32,
        /// Number that was asked for.
        asked: u32,
    },
    /// There is no such subscription, or it does not run in this process.
    #[error("subscription {subscription} is not known here; check the name, or start it first")]
    NotFound {
        /// The name that was given.
        subscription: String,
    },
    /// Only a paused subscription can be reset or removed.
    #[error("subscription {subscription} is not paused; pause it first")]
    NotPaused {
        /// Its name.
        subscription: String,
    },
    /// It runs in this process already.
    #[error("subscription {subscription} runs here already; stop it before you start it again")]
    AlreadyRunning {
        /// Its name.
        subscription: String,
    },
    /// There is no such dead letter; perhaps it was replayed or dropped meanwhile.
    #[error("subscription {subscription} has no dead letter at {position}; list them again")]
    NoDeadLetter {
        /// Name of the subscription.
        subscription: String,
        /// Position of the event.
        position: Position,
    },
    /// Somebody replays the dead letter just now.
    #[error("the dead letter at {position} is being replayed; look again when that is done")]
    DeadLetterBusy {
        /// Position of the event.
        position: Position,
    },
    /// The dead letter waits behind another of its stream, which has to be handled or dropped first.
    #[error(
        "the dead letter at {position} is held back behind {behind} of its stream; \
         replay or drop that one first"
    )]
    DeadLetterHeldBack {
        /// Position of the event.
        position: Position,
        /// Position of the first dead letter of its stream.
        behind: Position,
    },
    /// The handler failed again; the dead letter stays.
    #[error("the replay of the event at {position} failed ({message}); mend the cause and repeat")]
    ReplayFailed {
        /// Position of the event.
        position: Position,
        /// What the handler said.
        message: String,
    },
    /// The store could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The tables of the subscriptions could not be asked. What was to be written may be or not;
    /// everything can be repeated.
    #[error("the tables of the subscriptions are unavailable ({0}); try again later")]
    Database(#[from] sqlx::Error),
}

impl ConsumerError {
    /// Stable code of the error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::InvalidOption { .. } => "SIGNET-EVENTS-0060",
            Self::PartitionsChanged { .. } => "SIGNET-EVENTS-0061",
            Self::NotFound { .. } => "SIGNET-EVENTS-0062",
            Self::NotPaused { .. } => "SIGNET-EVENTS-0063",
            Self::AlreadyRunning { .. } => "SIGNET-EVENTS-0064",
            Self::NoDeadLetter { .. } => "SIGNET-EVENTS-0065",
            Self::DeadLetterBusy { .. } => "SIGNET-EVENTS-0066",
            Self::ReplayFailed { .. } => "SIGNET-EVENTS-0067",
            Self::Database(_) => "SIGNET-EVENTS-0068",
            Self::DeadLetterHeldBack { .. } => "SIGNET-EVENTS-0069",
            Self::Read(error) => error.code(),
        }
    }
}
