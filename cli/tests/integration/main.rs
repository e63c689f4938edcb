//! Central, the reconciler and sidecars together over real sockets, without Kubernetes.
#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

mod isolation;
mod logs;
mod reload;
mod restart;
mod world;
