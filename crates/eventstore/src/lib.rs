//! # eventstore
//!
//! Keeps events: append, read a stream, read everything in order, subscribe. On SQLite and on
//! PostgreSQL, with one behaviour.
//!
//! **Here:** the [`EventStore`] trait, the append lane, the two databases, their migrations; and what
//! builds on them, each in a room of its own: [`command`], [`snapshot`], [`registry`], [`migration`],
//! [`consumer`], [`projection`], [`replay`], [`integrity`].
//! **Never here:** what an event means, HTTP, gRPC, Kubernetes, a configuration file, a clock of
//! its own (it comes in with [`Options::clock`]).
//!
//! **The way through:** [`EventStore::append`] checks an [`Append`] and queues it → the lane takes
//! everything that queued while it was busy and opens one transaction, whose first statement takes
//! the lane's row → a pure `plan` decides each request alone → one insert, one commit, one wake-up
//! → every caller gets its own answer. Readers follow [`Position`]s: without gaps, and in the order
//! of commits, so `position > cursor` never misses an event.
//!
//! ```
//! use eventstore::{Append, EventStore, ExpectedVersion, NewEvent, Options, Position};
//! use eventstore::StreamKey;
//! use futures::StreamExt;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = eventstore::open("sqlite::memory:", Options::default()).await?;
//! let order = StreamKey::new("acme", "order", "4711");
//!
//! let appended = store
//!     .append(Append::to(
//!         order.clone(),
//!         ExpectedVersion::NoStream,
//!         vec![NewEvent::new("OrderPlaced", 1, serde_json::json!({ "total": 12 }))],
//!     ))
//!     .await?;
//! assert_eq!(appended.last, Position(1));
//! assert_eq!(appended.versions, [1]);
//!
//! // What is stored already comes first, then what is yet to come, for ever.
//! let mut events = store.subscribe(Position::START);
//! let first = events.next().await.ok_or("the store was closed")??;
//! assert_eq!(first.event_type, "OrderPlaced");
//! assert_eq!(first.stream, order);
//! # Ok(())
//! # }
//! ```

#[cfg(not(panic = "unwind"))]
compile_error!("panics of handlers are caught; see docs/decisions/0013-panics-unwind.md");

mod backend;
mod chain;
pub mod command;
pub mod consumer;
mod database;
mod error;
mod event;
mod guess;
mod head;
mod identity;
pub mod integrity;
mod lane;
mod memory;
pub mod migration;
mod open;
mod options;
mod plan;
mod postgres;
pub mod projection;
mod query;
mod read_only;
mod reader;
pub mod registry;
pub mod replay;
mod replica;
mod request;
pub mod snapshot;
mod sqlite;
mod store;
mod subscription;
mod view;

pub use chain::Hash;
pub use database::{Database, Transaction};
pub use error::{AppendError, OpenError, ReadError};
pub use event::{
    Append, Appended, ExpectedVersion, Metadata, NewEvent, Position, RecordedEvent, StreamKey,
    StreamPage, StreamVersion, StreamWrite,
};
pub use open::open;
pub use options::{DatabaseUrl, Options};
pub use projection::{Projection, ProjectionError, Projections};
pub use query::{Direction, EventPage, EventQuery};
pub use read_only::open_to_read;
pub use registry::{Registry, RegistryBuilder, RegistryError};
pub use replica::ReadStatistics;
pub use snapshot::SnapshotRecord;
pub use store::EventStore;
pub use subscription::Subscription;
pub use view::View;

/// The example of the README, so that it compiles and runs.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
