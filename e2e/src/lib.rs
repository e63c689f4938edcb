//! # e2e
//!
//! Tests on a real cluster. They know a kubeconfig, the names of images that the cluster's nodes hold,
//! and the address of a database that its pods reach; nothing of how these came to be.
//!
//! **Here:** what the tests in `tests/e2e` are made of: resources as JSON, bounded waiting, namespaces
//! that go away, pods of the test application, a dump of everything when a test fails. **Never here:** how a
//! cluster is started (`xtask`), or the programs' own types: what users see is what is tested.
//!
//! **The way through:** [`Environment`] from variables → [`Cluster`] → [`install_signet`] → a test applies
//! resources ([`Scope`]), deploys [`Application`]s, asks from inside them ([`Pod`]) → [`runner`] reports.

pub mod application;
pub mod cluster;
pub mod condition;
pub mod diagnostics;
pub mod environment;
pub mod grpc;
pub mod ids;
pub mod installation;
pub mod jwt;
pub mod logs;
pub mod namespace;
pub mod objects;
pub mod pod;
pub mod resources;
pub mod runner;

pub use application::Application;
pub use cluster::{Cluster, Refused};
pub use condition::{Observed, await_condition};
pub use environment::Environment;
pub use ids::UniqueIds;
pub use installation::{SYSTEM_NAMESPACE, install_signet};
pub use namespace::{Scope, with_temp_namespace, with_tenant};
pub use pod::{Answer, Pod};
