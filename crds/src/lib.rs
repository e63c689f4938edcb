//! # crds
//!
//! The three custom resources of `signet.dev/v1alpha1` as Rust types, and the YAML made from them.
//!
//! **Here:** [`Tenant`], [`Role`], [`IdGenerator`], their schemas, defaults, CEL rules, printer
//! columns and statuses; the labels and annotations users write ([`names`]). **Never here:** a
//! client, a reconciler, a rule of the domain that a schema cannot say (those are central's).
//!
//! **The way through:** a type derives its schema → [`render`] turns each into one YAML document →
//! `signet-crds --output DIR` writes them → the chart and `kubectl` apply them. A test fails when
//! the committed files under `yaml/` are not what [`render`] gives.

mod duration;
mod id_generator;
pub mod names;
mod role;
mod status;
mod tenant;
mod yaml;

#[cfg(test)]
mod tests;

pub use duration::{Duration, DurationError};
pub use id_generator::{
    Buffer, IdGenerator, IdGeneratorSpec, IdGeneratorStatus, Segment, Snowflake,
};
pub use role::{Effect, Role, RoleSpec, RoleStatus, Rule, Subject, SubjectKind};
pub use status::{Condition, Phase};
pub use tenant::{DeletionPolicy, Keys, Tenant, TenantSpec, TenantStatus, TokenAlgorithm, Tokens};
pub use yaml::{Manifest, RenderError, render};
