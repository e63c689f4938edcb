//! Durable subscriptions: a name, a handler, and a checkpoint that is written with what it covers.
//!
//! The streams of a subscription are divided into partitions ([`partition_of`]); several processes run
//! the same one, and each partition is leased to one of them. [`Consumers`] runs subscriptions in this
//! process; [`Subscriptions`] looks after all of them from anywhere.
//!
//! **The way through:** the `Keeper` of a subscription takes leases (`lease`), a fair share of the
//! partitions (`balance`) → a `Worker` per partition asks the shared `Pages` what comes next
//! (`dispatch`) → one `attempt` calls the handler and writes the checkpoint, behind a fence that lets
//! only the owner of the partition pass → a failure is tried again (`backoff`), or not for a while
//! (`breaker`), or the event is put `aside` (`dead_letter`), and the later ones of its stream with it.
//!
//! ```
//! use async_trait::async_trait;
//! use eventstore::consumer::{
//!     ConsumerOptions, Consumers, ConsumersOptions, Delivery, Handler, HandlerError,
//! };
//! use eventstore::{Append, ExpectedVersion, NewEvent, Options, RecordedEvent, StreamKey};
//! use tokio::sync::mpsc;
//!
//! struct Tell(mpsc::UnboundedSender<String>);
//!
//! #[async_trait]
//! impl Handler for Tell {
//!     async fn handle(&self, events: &[RecordedEvent]) -> Result<(), HandlerError> {
//!         for event in events {
//!             self.0
//!                 .send(event.event_type.clone())
//!                 .map_err(|_| HandlerError::retryable("nobody listens"))?;
//!         }
//!         Ok(())
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = eventstore::open("sqlite::memory:", Options::default()).await?;
//! let (tell, mut told) = mpsc::unbounded_channel();
//! let consumers = Consumers::new(store.clone(), ConsumersOptions::default());
//! consumers
//!     .start(ConsumerOptions::new("teller"), Delivery::at_least_once(Tell(tell)))
//!     .await?;
//!
//! let order = StreamKey::new("acme", "order", "4711");
//! let placed = NewEvent::new("OrderPlaced", 1, serde_json::json!({ "total": 12 }));
//! store
//!     .append(Append::to(order, ExpectedVersion::NoStream, vec![placed]))
//!     .await?;
//!
//! assert_eq!(told.recv().await.as_deref(), Some("OrderPlaced"));
//! consumers.shutdown(std::time::Duration::from_secs(5)).await;
//! # Ok(())
//! # }
//! ```

mod aside;
mod attempt;
mod backoff;
mod balance;
mod breaker;
mod dead_letter;
mod deliver;
mod dispatch;
mod error;
mod handler;
mod health;
mod keeper;
mod lease;
mod moment;
mod options;
mod pages;
mod rate;
mod registration;
mod repartition;
mod replay;
mod running;
mod set;
mod slots;
mod subscriptions;
mod worker;

pub use backoff::Backoff;
pub use breaker::CircuitBreaker;
pub use dead_letter::{DeadLetter, DeadLetterCursor, DeadLetterPage, DeadLetterQuery};
pub use dispatch::partition_of;
pub use error::ConsumerError;
pub use handler::{Delivery, Handler, HandlerError, TransactionalHandler};
pub use health::{ConsumerHealth, ConsumerStatistics, PartitionHealth, PartitionState};
pub use options::{AfterDeadLetter, ConsumerOptions, EventFilter, Exhausted, Start};
pub use replay::Replayed;
pub use set::{Consumers, ConsumersOptions};
pub use subscriptions::{PartitionStatus, Reset, SubscriptionStatus, Subscriptions};
