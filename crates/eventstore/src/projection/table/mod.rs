//! The tables of projections: every statement, and nothing that decides.

pub(crate) mod checkpoints;
pub(crate) mod control;
pub(crate) mod documents;
pub(crate) mod events;
pub(crate) mod inline;

pub(crate) use control::{Control, Generation, Lock, Mode};

/// A stored number that is never negative.
fn unsigned(number: i64) -> u64 {
    number.unsigned_abs()
}
