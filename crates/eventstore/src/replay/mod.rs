//! Replaying: what is stored is read again, in order, by somebody who wants to see it.
//!
//! [`Replays::start`] takes a [`Replay`] (which events: a stream to a version or a time, a tenant,
//! everything, by types, between positions) and a [`Visitor`] (who sees them, page by page) and gives
//! a [`ReplayHandle`] at once: live [`Progress`], [`cancel`](ReplayHandle::cancel),
//! [`finished`](ReplayHandle::finished). [`Replays::fold`] makes a state of them instead, and starts
//! from a snapshot if the caller has one ([`StartingPoints`]).
//!
//! The end is fixed when a replay begins: what is appended meanwhile is not part of it. The next page
//! is read while the visitor has the last one. `recorded_at` never decreases along the positions, so a
//! time is found by bisection over the primary key.
//!
//! ```
//! use eventstore::replay::{Replay, Replays, ReplaysOptions, State};
//! use eventstore::{Append, EventStore, ExpectedVersion, NewEvent, Options, StreamKey};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = eventstore::open("sqlite::memory:", Options::default()).await?;
//! let order = StreamKey::new("acme", "order", "4711");
//! let events = (1..=3).map(|n| NewEvent::new("Added", 1, serde_json::json!({ "n": n })));
//! store
//!     .append(Append::to(order.clone(), ExpectedVersion::NoStream, events.collect()))
//!     .await?;
//!
//! let replays = Replays::new(store, ReplaysOptions::default());
//! // The state as it was at version 2.
//! let total = replays.fold(Replay::stream(order).until_version(2), (), 0, |total, event| {
//!     total + event.data["n"].as_i64().unwrap_or(0)
//! })?;
//! assert_eq!(total.finished().await?.state, 3);
//! # Ok(())
//! # }
//! ```

mod bisection;
mod bounds;
mod error;
mod fold;
mod handle;
mod pages;
mod progress;
mod request;
mod run;
mod set;
mod visitor;

pub use error::ReplayError;
pub use fold::{Folded, Folding, StartingPoint, StartingPoints};
pub use handle::{ReplayHandle, ReplayStatus};
pub use progress::{Failure, Progress, State};
pub use request::{Replay, ReplayScope};
pub use set::{Replays, ReplaysOptions};
pub use visitor::{VisitError, Visitor};

pub(crate) use progress::Meter;
