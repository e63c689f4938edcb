//! Projections: what follows behind, what is inline, what is asked, and all of it under faults.

mod control;
mod follow;
mod inline;
mod model;
mod query;
pub(crate) mod samples;
mod swap;
