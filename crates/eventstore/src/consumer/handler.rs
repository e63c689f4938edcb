//! What a subscription calls for its events.

use std::sync::Arc;

use async_trait::async_trait;
use thiserror::Error;

use crate::database::Transaction;
use crate::event::RecordedEvent;

/// A handler whose effects lie outside of the database: each event at least once.
///
/// The checkpoint is written after it returned; when the process dies between the two, the same
/// events come again. Events of one stream come in their order and never two batches of one
/// partition at a time, as long as the lease is kept.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Handles the next events of a partition, in order; never none.
    ///
    /// # Errors
    /// [`HandlerError`]; the batch counts as not handled, and its events come again one by one.
    async fn handle(&self, events: &[RecordedEvent]) -> Result<(), HandlerError>;
}

/// A handler whose effects lie in the same database: each event exactly once.
///
/// The checkpoint is written in the transaction of the effects. The handler must not append to the
/// store or read through it: on SQLite the transaction has the only connection that writes.
#[async_trait]
pub trait TransactionalHandler: Send + Sync + 'static {
    /// Handles the next events of a partition, in order; never none. What it does outside of
    /// `transaction` may happen more than once.
    ///
    /// # Errors
    /// [`HandlerError`]; the transaction is rolled back, and the events come again one by one.
    async fn handle(
        &self,
        events: &[RecordedEvent],
        transaction: &mut Transaction,
    ) -> Result<(), HandlerError>;
}

/// Why a handler did not handle its events.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct HandlerError {
    /// What happened; shown in health and kept with the dead letter.
    pub message: String,
    /// Whether another attempt may succeed. If not, the event becomes a dead letter at once.
    pub retry: bool,
}

impl HandlerError {
    /// A failure that may pass, e.g. a service that does not answer.
    pub fn retryable(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            retry: true,
        }
    }

    /// A failure that will come again with every attempt, e.g. an event that makes no sense.
    pub fn permanent(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            retry: false,
        }
    }
}

/// A failed statement may succeed the next time.
impl From<sqlx::Error> for HandlerError {
    fn from(error: sqlx::Error) -> Self {
        Self::retryable(error.to_string())
    }
}

/// A handler of either kind.
///
/// A panic of it is a failure that may pass, with the panic's text; in a program that is built with
/// `panic = "abort"` it is the end of the process.
#[derive(Clone)]
pub enum Delivery {
    /// At least once.
    AtLeastOnce(Arc<dyn Handler>),
    /// Exactly once.
    ExactlyOnce(Arc<dyn TransactionalHandler>),
}

impl Delivery {
    /// Delivers at least once, to a handler with effects outside of the database.
    pub fn at_least_once(handler: impl Handler) -> Self {
        Self::AtLeastOnce(Arc::new(handler))
    }

    /// Delivers exactly once, to a handler with effects in the same database.
    pub fn exactly_once(handler: impl TransactionalHandler) -> Self {
        Self::ExactlyOnce(Arc::new(handler))
    }
}

impl std::fmt::Debug for Delivery {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::AtLeastOnce(_) => "AtLeastOnce",
            Self::ExactlyOnce(_) => "ExactlyOnce",
        })
    }
}
