//! # policy
//!
//! Says whether a subject may do an action on a resource, and why.
//!
//! **Here:** roles (rules, inheritance, bindings), the grammar of patterns, CEL conditions, the
//! decision with its explanation. **Never here:** tokens and who issued them, tenants, HTTP, SQL,
//! Kubernetes, a clock (a condition reads the time from `environment`, which callers hand in).
//!
//! **The way through:** a [`Role`] is looked over by [`check`] (a [`Defect`] says how to mend it) →
//! all roles of one tenant become a [`Policy`] by [`Policy::compile`] → [`Policy::decide`] answers a
//! [`Request`] with a [`Decision`]. Nothing is written on the way: a decision reads the policy and
//! what the request carries, so that a policy may be shared between threads.
//!
//! **Invariants:** deny overrides; what no rule allows is refused; a condition that fails never
//! opens anything; a broken role gives nothing and stops no other; no input, however hostile, makes
//! `check`, `compile` or `decide` panic, hang or overflow the stack.

#[cfg(not(panic = "unwind"))]
compile_error!("panics of conditions are caught; see docs/decisions/0013-panics-unwind.md");

mod check;
mod condition;
mod decide;
mod defect;
mod index;
mod inheritance;
pub mod limits;
mod names;
mod pattern;
mod policy;
mod request;
mod role;
#[cfg(test)]
mod tests;

pub use check::check;
pub use defect::{Defect, DefectKind};
pub use inheritance::check_inheritance;
pub use policy::Policy;
pub use request::{Decision, Request, Subject};
pub use role::{Binding, Effect, Role, Rule, SubjectKind};
