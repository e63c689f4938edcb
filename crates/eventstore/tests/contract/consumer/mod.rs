//! Durable subscriptions.

mod failures;
mod fence;
mod held;
mod leases;
mod letters;
mod processes;
mod progress;
mod stage;
