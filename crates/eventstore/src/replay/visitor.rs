//! Who sees the events.

use async_trait::async_trait;
use thiserror::Error;

use crate::event::{RecordedEvent, StreamKey};

/// Why a visitor does not go on: the replay fails with this message.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct VisitError(pub String);

/// Sees the events of a replay, page by page, each once and in order.
///
/// A closure `FnMut(&[RecordedEvent]) -> Result<(), VisitError>` is one.
#[async_trait]
pub trait Visitor: Send + 'static {
    /// Sees the next events; there is at least one.
    ///
    /// # Errors
    /// Ends the replay as failed. It is not asked again.
    async fn visit(&mut self, events: &[RecordedEvent]) -> Result<(), VisitError>;

    /// Asked before a whole stream is replayed without filters, up to a version: the version at or
    /// below it that the visitor has the state of already, e.g. from a snapshot. The replay goes on
    /// behind it; 0 for everything.
    async fn known_version(&mut self, stream: &StreamKey, at_or_below: u64) -> u64 {
        let _ = (stream, at_or_below);
        0
    }
}

#[async_trait]
impl<F> Visitor for F
where
    F: FnMut(&[RecordedEvent]) -> Result<(), VisitError> + Send + 'static,
{
    async fn visit(&mut self, events: &[RecordedEvent]) -> Result<(), VisitError> {
        self(events)
    }
}
