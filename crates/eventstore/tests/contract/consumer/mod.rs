//! Durable subscriptions.

mod damaged;
mod divide;
mod failures;
mod fence;
mod held;
mod leases;
mod letters;
mod processes;
mod progress;
pub(crate) mod stage;
