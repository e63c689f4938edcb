//! # idgen
//!
//! Gives out ids from ranges that were committed beforehand.
//!
//! **Here:** ranges ([`Range`]), the ring of ranges ([`Ring`]), the measure of how fast it empties
//! ([`RateMeter`]), the aggregate that commits ranges ([`generator`]), the error codes
//! ([`ErrorCode`]). **Never here:** HTTP, SQL, Kubernetes, a clock or a random source (callers hand
//! them in), a configuration file.
//!
//! **The way through:** [`generator::decide`] commits a [`Range`] as an event → a [`Ring`] holds
//! ranges → [`Ring::take`] gives an id. Nothing flows back except [`Ring::demand`]. A range belongs
//! to whoever it was committed to, for ever: what is lost with a process is never given again.
//!
//! ```
//! use std::time::Duration;
//! use idgen::{Range, Ring, RingSettings};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let ring = Ring::new(RingSettings {
//!     capacity: 1000,
//!     refill_at_percent: 10,
//!     outage_budget: Duration::from_secs(600),
//! });
//! assert_eq!(ring.demand(0.0), 1000);
//! ring.push(Range::new(1, 1001, 1, 1)?)?;
//! assert_eq!(ring.take(), Some(1));
//! assert_eq!(ring.level(), 999);
//! assert_eq!(ring.demand(0.0), 0);
//! # Ok(())
//! # }
//! ```

mod error_code;
pub mod generator;
mod range;
mod rate;
mod ring;

pub use error_code::ErrorCode;
pub use range::{Ids, InvalidRange, MAX_ID, Range};
pub use rate::RateMeter;
pub use ring::{RangeRefused, Ring, RingSettings};

#[cfg(test)]
mod tests;
