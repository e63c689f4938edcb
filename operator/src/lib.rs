//! # operator
//!
//! Makes central hold what Kubernetes declares, and puts the sidecar into pods that ask for it.
//!
//! **Here:** the reconcilers of Tenant, Role and IdGenerator, the mutating webhook, the certificates
//! of the release, leader election. **Never here:** a rule of the domain (central judges), a database,
//! a token or an id.
//!
//! **The way through:** [`watch`] fills caches and says what changed → a kind's five steps
//! ([`tenant`], [`role`], [`id_generator`]: dereference, validate, build, apply, update_status) →
//! [`provision`] asks central → the status and an Event say what came of it. Beside it: an
//! AdmissionReview → [`webhook`] → [`injection`] (pure) → a JSON patch. Only the replica that the
//! [`election`] chose reconciles; the webhook answers on all.

#[cfg(test)]
mod api_double;
pub mod certificates;
mod config;
mod coverage;
pub mod election;
mod error;
mod health;
mod http;
pub mod id_generator;
pub mod injection;
mod invalid;
mod leadership;
mod membership;
mod metrics;
mod namespaces;
pub mod provision;
mod reconcile;
pub mod role;
mod run;
mod tasks;
pub mod tenant;
pub mod watch;
pub mod webhook;

#[cfg(test)]
mod tests;

pub use config::{Config, ConfigError, PullPolicy};
pub use error::RunError;
pub use health::Health;
pub use invalid::InvalidResource;
pub use metrics::Metrics;
pub use namespaces::{NamespaceLabels, admits, labels_of};
pub use run::run;
