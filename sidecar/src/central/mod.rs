//! The way to central: one connection, one sync stream on it, and the two calls beside the stream.
//!
//! **Invariants.** The workload's token is read from disk for every call. Nothing here is needed to
//! answer an application from what is held: central may be away for as long as it likes.

mod backoff;
mod call;
mod connection;
mod subscription;

pub use self::backoff::Backoff;
pub use self::call::{Allocation, CallError};
pub use self::connection::{Connection, ConnectionState};
pub use self::subscription::Subscription;
