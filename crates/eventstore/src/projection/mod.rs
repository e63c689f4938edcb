//! Projections: documents that are folded from events, to be asked instead of the events.
//!
//! A [`Projection`] is a pure function: no clock, no database, no effects. So nothing has to be kept
//! from happening twice when it is run again, and a rebuild is only that: the same function over the
//! same events, into another *generation* of documents beside the one that is asked.
//!
//! **The way through, asynchronously:** [`Projections::run`] starts a runner → it registers the
//! projection and has a worker per generation and partition → a worker takes the lease, reads pages
//! ahead, folds them in memory and writes documents and checkpoint in one transaction. **Inline:** the
//! lane folds the events of a group into their documents before it commits them
//! ([`Options::inline_projections`](crate::Options::inline_projections)).
//!
//! **What is written where:** the row in `projections` names the active generation; it is read in the
//! same statement as the documents, so an answer is of one generation. Batches hold that row shared,
//! and whoever swaps, pauses or clears holds it alone: after any of these no batch of before comes.
//! Locks are taken in the order lane, `projections`, checkpoints, documents.

mod batch;
mod changes;
mod control;
mod cursor;
mod engine;
mod error;
mod field;
mod fold;
mod inline;
mod keeper;
mod lease;
mod page;
mod partition;
mod query;
mod register;
mod runner;
mod select;
mod status;
mod swap;
mod table;
mod text;
mod wait;
mod worker;

use std::fmt;

use serde_json::Value;

use crate::event::RecordedEvent;

pub use control::{ProjectionOptions, Projections};
pub use error::ProjectionError;
pub use field::{Compare, Field, Filter};
pub(crate) use inline::{Inline, InlineFailure};
pub use partition::PartitionBy;
pub use query::{Answer, AtLeast, Document, DocumentPage, DocumentQuery, Sort, Tenants};
pub use runner::{ProjectionRunner, RunnerOptions};
pub use status::{Failure, GenerationStatus, PartitionStatus, ProjectionState, ProjectionStatus};

/// Folds events into documents: JSON values named by a key, each of one tenant.
///
/// All methods have to be pure: what they answer depends on their arguments alone. A change of what
/// they answer needs a higher [`version`](Self::version).
pub trait Projection: Send + Sync + 'static {
    /// Name, for good: 1 to 128 bytes, no NUL.
    fn name(&self) -> &str;

    /// Counts up with every change. The documents of another version are built beside the old ones and
    /// swapped when they are as far; a lower version than the active one waits.
    fn version(&self) -> u32;

    /// Whether the event matters here at all; it is as it was stored, of whatever schema version.
    fn selects(&self, event: &RecordedEvent) -> bool;

    /// Brings a selected event to the shape that the methods below know, e.g. by
    /// [`Registry::upcast`](crate::Registry::upcast). By default it stays as it is.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    fn upcast(&self, event: &mut RecordedEvent) -> Result<(), String> {
        let _ = event;
        Ok(())
    }

    /// Documents that the event touches, within its tenant: keys of 1 to 512 bytes, no NUL.
    fn keys(&self, event: &RecordedEvent) -> Vec<String>;

    /// The document after the event; none deletes it.
    ///
    /// # Errors
    /// An explanation for the operator. Asynchronously the projection stops before the event; inline
    /// the append that brought the event is refused.
    fn apply(
        &self,
        document: Option<Value>,
        key: &str,
        event: &RecordedEvent,
    ) -> Result<Option<Value>, String>;
}

impl fmt::Debug for dyn Projection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} v{}", self.name(), self.version())
    }
}
