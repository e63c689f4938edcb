//! Commands over aggregates: load, decide, append, and decide anew when somebody else was first.
//!
//! **The way through:** a [`Call`] names a command and a stream → the [`Gate`] lets it in, by rate and
//! by priority → the [`Repository`] brings the state up to date: what it kept, or a snapshot, and the
//! events behind it → a pure `decide` gives events or refuses → they are appended with the version
//! they were decided over, together with a snapshot when one is due → on a conflict the state is
//! read again and the command decides anew.
//!
//! A refusal of the domain is an answer (`Ok(Err(refusal))`, of the caller's type); a
//! [`CommandError`] means that the command was not carried out, or that nobody knows.
//!
//! Time: waiting and measuring go by `tokio::time`, which a test can pause; what is stored takes its
//! time from the clocks handed in. Randomness comes from [`Retries::random`].
//!
//! ```
//! use std::sync::Arc;
//!
//! use eventstore::Options;
//! use eventstore::command::{Aggregate, Call, Encoded, Repository};
//! use serde_json::{Value, json};
//!
//! struct Account;
//!
//! enum Moved {
//!     Paid(u64),
//!     Drawn(u64),
//! }
//!
//! impl Aggregate for Account {
//!     type State = u64;
//!     type Event = Moved;
//!     const STREAM_TYPE: &'static str = "account";
//!
//!     fn encode(event: &Moved) -> Result<Encoded, String> {
//!         Ok(match event {
//!             Moved::Paid(amount) => Encoded::new("Paid", 1, json!(amount)),
//!             Moved::Drawn(amount) => Encoded::new("Drawn", 1, json!(amount)),
//!         })
//!     }
//!
//!     fn decode(event_type: &str, _schema_version: u32, data: Value) -> Result<Moved, String> {
//!         let amount = data.as_u64().ok_or("no amount")?;
//!         match event_type {
//!             "Paid" => Ok(Moved::Paid(amount)),
//!             "Drawn" => Ok(Moved::Drawn(amount)),
//!             _ => Err("not known".into()),
//!         }
//!     }
//!
//!     fn evolve(balance: u64, event: &Moved) -> u64 {
//!         match event {
//!             Moved::Paid(amount) => balance + amount,
//!             Moved::Drawn(amount) => balance - amount,
//!         }
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = eventstore::open("sqlite::memory:", Options::default()).await?;
//! let accounts = Repository::<Account>::new(Arc::clone(&store));
//! let account = Account::stream("acme", "4711");
//!
//! let pay = Call::new("Pay", account.clone());
//! accounts
//!     .execute(pay, |_| Ok::<_, String>(vec![Moved::Paid(10)]))
//!     .await??;
//! let draw = Call::new("Draw", account);
//! let refused = accounts
//!     .execute(draw, |balance| match balance {
//!         0..12 => Err(format!("only {balance} are left")),
//!         _ => Ok(vec![Moved::Drawn(12)]),
//!     })
//!     .await?;
//! assert_eq!(refused.err().as_deref(), Some("only 10 are left"));
//! # Ok(())
//! # }
//! ```

mod aggregate;
mod call;
mod drafts;
mod error;
mod gate;
mod idempotency;
mod lines;
mod loaded;
mod loading;
mod observer;
mod rates;
mod repository;
mod retries;
mod states;

pub use aggregate::{Aggregate, Command, Encoded, Invalid, StateCodec, Versioned};
pub use call::{Call, Priority};
pub use error::CommandError;
pub use gate::{Gate, Limits};
pub use loaded::{Done, Loaded, Written};
pub use loading::Upcast;
pub use observer::{CommandReport, Observer, Outcome};
pub use rates::Rate;
pub use repository::Repository;
pub use retries::{Backoff, Retries};
