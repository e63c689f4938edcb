//! The generator: what commits ranges of ids.
//!
//! One aggregate, and one stream of events, per tenant and generator **name**. Generators of that
//! name in several namespaces are its members and share one space of ids, so that two namespaces
//! cannot be given the same id by construction.
//!
//! **Invariants.** No two ranges ever overlap, whoever got them. Every range lies inside the segment
//! its member declared at that time. Segments of declared members never overlap each other, nor what
//! a removed member had handed out. The high-water mark of a member outlives its removal: declared
//! again, it goes on where it stopped.
//!
//! ```
//! use idgen::generator::{
//!     Algorithm, Buffer, Command, Context, Event, Segment, Spec, State, decide, evolve,
//! };
//! use time::OffsetDateTime;
//!
//! let declare = Command::Declare {
//!     namespace: "shop".into(),
//!     spec: Spec {
//!         algorithm: Algorithm::Segment(Segment { start: 1, max: 1_000_000, step: 1000 }),
//!         buffer: Buffer::default(),
//!     },
//!     context: Context {
//!         tenant_open: true,
//!         namespace_admitted: true,
//!         now: OffsetDateTime::UNIX_EPOCH,
//!     },
//! };
//! let mut state = State::default();
//! for event in decide(&state, declare).unwrap() {
//!     state = evolve(state, &event);
//! }
//! let allocate =
//!     Command::Allocate { namespace: "shop".into(), count: 1500, owner: "checkout-1".into() };
//! let events = decide(&state, allocate).unwrap();
//! let [Event::RangeAllocated { range, .. }] = &events[..] else { panic!() };
//! assert_eq!((range.start, range.end, range.epoch), (1, 2001, 1));
//! ```

mod command;
mod decide;
mod event;
mod refusal;
mod spec;
mod state;
#[cfg(test)]
mod tests;

pub use command::{Command, Context};
pub use decide::decide;
pub use event::{EVENT_TYPES, Event, SCHEMA_VERSION};
pub use refusal::{Reason, Refusal};
pub use spec::{Algorithm, Buffer, Segment, Snowflake, Spec};
pub use state::{Member, State, evolve};
