//! # protocol
//!
//! The contracts between the operator, central and the sidecars, as protobuf, and the clients and
//! server traits generated from them.
//!
//! **Here:** `proto/` and what is generated from it. **Never here:** a rule of the domain, a
//! connection, a mapping to another crate's types (each program maps at its own edge).
//!
//! **The way through:** `proto/signet/v1/*.proto` → `build.rs` → [`v1`].

/// `signet.v1`: `Provision` (operator to central) and `Sync` (sidecar to central).
pub mod v1 {
    #![allow(missing_docs, clippy::all, unreachable_pub)]
    tonic::include_proto!("signet.v1");
}

/// The file descriptor set of all contracts, for gRPC server reflection.
pub const DESCRIPTORS: &[u8] = tonic::include_file_descriptor_set!("descriptors");
