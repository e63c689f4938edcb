//! What the reconcilers of all kinds share: the queue, the finalizer, the pace of retries, the status.
//!
//! A reconciliation is five steps, each a module of its kind's folder:
//! `dereference → validate → build → apply → update_status`. Types make the order the only possible
//! one: `build` takes what `validate` gives, `update_status` takes what `apply` gives.

mod backoff;
mod conditions;
mod context;
mod engine;
mod error;
mod events;
mod status;

#[cfg(test)]
pub(crate) use conditions::{Verdict, conditions};
pub(crate) use context::Context;
pub(crate) use engine::{Reconciled, run};
pub(crate) use error::ReconcileError;
pub(crate) use status::{Reported, Shared, applied, namespaced, released};
#[cfg(test)]
pub(crate) use status::{status_after, with_verdict};
