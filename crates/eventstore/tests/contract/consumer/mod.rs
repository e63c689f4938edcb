//! Durable subscriptions.

mod failures;
mod fence;
mod leases;
mod letters;
mod progress;
mod stage;
