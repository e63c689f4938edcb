//! Signing keys: their private parts at rest, the one in use, and their rotation.
//!
//! Public parts are events of the tenant. Private parts lie in a table of their own, sealed by the
//! master key, and are written there before the event that announces them, so that no announced key
//! is ever without its private part.

mod checkpoint;
mod rotation;
mod sealing;
mod store;
mod table;

pub(crate) use self::{
    checkpoint::CheckpointKey, rotation::Rotation, sealing::MasterKey, store::KeyStore,
};
