//! A role of one namespace, acting for one tenant: what [`policy::Role`] says, declared, changed and
//! removed.
//!
//! A role is only accepted whole: its patterns and conditions can be read, its tenant is open and
//! admits its namespace, and what it inherits is there and does not lead back to it. What its tenant
//! and its parents are at that moment comes in with the command; should a parent go later, the policy
//! treats the role as broken until it is back.

mod command;
mod decide;
mod event;
mod state;
#[cfg(test)]
mod tests;

pub use command::{Command, Context};
pub use decide::decide;
pub use event::{EVENT_TYPES, Event, SCHEMA_VERSION};
pub use state::{State, evolve};
