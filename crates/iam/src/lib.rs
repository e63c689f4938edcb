//! # iam
//!
//! What a tenant, its signing keys and its roles are, and how they may change; and whom a policy sees
//! when it is shown a token.
//!
//! **Here:** two aggregates, each a pure `decide` (a command becomes events, or a [`Refusal`]) and a
//! pure `evolve` (an event becomes the next state). **Never here:** a clock, randomness, a private
//! key, SQL, HTTP, Kubernetes; times, public keys and what is known of other aggregates come in with
//! the command.
//!
//! **The way through:** a caller reads a stream and folds its events with `evolve` → asks `decide`
//! with a command → appends the events it gets, expecting the stream's version → folds them too.
//! [`tenant::State::next_key_step`] says what the key rotation asks for next; the caller makes the
//! key, and comes back with a command.
//!
//! **Invariants:** a tenant has at most one active key; a retired key never comes back; a key stays
//! published as long as a token it signed may live; the same declaration twice gives no event.

mod names;
mod refusal;
pub mod role;
mod subject;
pub mod tenant;
mod unreadable;

pub use refusal::{Reason, Refusal};
pub use subject::subject_of;
pub use unreadable::UnreadableEvent;
