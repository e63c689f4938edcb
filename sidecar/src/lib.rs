//! # sidecar
//!
//! Beside every pod: gives the application its own token, verifies the tokens of others, decides what
//! they may do, and hands out ids. On localhost, with no call out of the pod while a request waits.
//!
//! **Here:** the stream from central and what is held of it ([`content`]), tokens and decisions
//! ([`access`]), the workload's own tokens ([`identity`]), rings fed ahead of demand ([`ids`]), the
//! API ([`api`]), health and metrics ([`health`]). **Never here:** Kubernetes, SQL, a private key, a
//! rule about tenants or roles (crates `policy`, `token` and `idgen` have them), anything that an
//! application needs central for at the moment it asks, except a first token.
//!
//! **The way through:** [`Config`] → [`start`] binds the ports → [`central::Subscription`] keeps
//! [`content::Content`] as central has it → [`startup::Startup`] waits for content, ids and the first
//! token → the API serves from memory, whether central is there or not. After `SIGNET_FAIL_STATIC`
//! without central nothing is verified or decided any more; ids go on, for they are owned for ever.

pub mod access;
pub mod api;
pub mod central;
pub mod clock;
pub mod config;
pub mod content;
pub mod health;
pub mod identity;
pub mod ids;
pub mod metrics;
mod running;
pub mod serve;
pub mod startup;
pub mod telemetry;

pub use self::config::{Config, InvalidConfig};
pub use self::running::{Error, Running, run, start};
