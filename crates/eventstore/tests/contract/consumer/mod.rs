//! Durable subscriptions.

mod stage;

mod progress;
