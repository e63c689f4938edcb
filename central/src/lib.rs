//! # central
//!
//! The service: identity provider, policies and id ranges of all tenants, over an event store.
//!
//! **Here:** the HTTP and gRPC edges, who is calling, commands and their retries, read models in
//! memory, private keys at rest, token exchange, rotation of keys. **Never here:** a rule of the
//! domain (`iam`, `policy`, `idgen` decide), SQL of events (`eventstore`), a Kubernetes resource
//! (the operator maps those), a second truth: what is not an event, or a key sealed in its table,
//! does not survive a restart.
//!
//! **The way through:** a call arrives at [`edge`] → `authentication` says whose it is → a command
//! loads its aggregate, lets the domain `decide` and appends the events with the version it expected
//! (`commands`) → every replica's `directory` follows the events into memory → discovery, token
//! exchange and the sync streams of sidecars answer from there.
//!
//! **Behind the calls**, each by one of the replicas: what has to be done about an event
//! (`subscriptions`), what is asked seldom or is much (`projections`), signatures over the events
//! (`checkpoints`).
//!
//! Any number of replicas may share one PostgreSQL: nothing but the append decides who was first. A file of
//! SQLite is for one process (`file_lock`).

mod aggregates;
mod authentication;
mod checkpoints;
mod commands;
mod config;
mod directory;
mod edge;
mod error;
mod event_types;
mod exchange;
mod file_lock;
mod keys;
mod metrics;
mod projections;
mod readiness;
mod replays;
mod service;
mod subscriptions;

pub use authentication::{
    AuthenticationError, Authenticator, Caller, KubernetesAuthenticator, StaticAuthenticator,
    Workload,
};
pub use config::{Config, ServiceAccount, generate_master_key};
pub use error::StartError;
pub use service::{Clock, Running, run, start, start_with_clock};
