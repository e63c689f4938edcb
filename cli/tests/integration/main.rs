//! Central, the reconciler and sidecars together over real sockets, without Kubernetes.

mod isolation;
mod reload;
mod restart;
mod world;
