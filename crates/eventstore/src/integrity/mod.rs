//! Tamper evidence: signed checkpoints over the hash chains, and a verifier that names the first fault.
//!
//! Every event seals the one before it (`chain.rs`), so a change shows at the event itself or at the
//! next one, unless every later hash of the tenant is made anew. [`Checkpoints`] signs the ends of the
//! chains that have moved; [`verify`] walks along the events, computes every hash from the stored text,
//! compares with every checkpoint, and gives a [`Report`] with the first [`Fault`] of each tenant.
//!
//! # What is found, and what cannot be
//!
//! Somebody who can write to the database, past the store:
//!
//! * changes, removes, adds, swaps or renumbers events without making later hashes anew: found, and
//!   named where it shows first, with or without checkpoints. If the event's own hash is made anew, it
//!   shows at the tenant's next event;
//! * takes away the last events: found if a checkpoint stands over them, or by the positions when
//!   everything is verified and the head of the lane was left as it is;
//! * makes all hashes behind the change anew: found by any checkpoint at or behind the change;
//! * deletes those checkpoints as well: found only by checkpoints that are **kept elsewhere**
//!   ([`Checkpoint::to_line`], [`Verify::against`]). What lies behind the last one of those can be
//!   rewritten unnoticed;
//! * appends events properly: not found. That is what the store's own writer does;
//! * has the signing key as well: can rewrite everything behind the last checkpoint kept elsewhere.
//!
//! So: sign often, send every new checkpoint away at once (to a log, another cluster, a printer), keep
//! the key out of the database's reach, verify with the public keys of a configuration and not with any
//! that lie beside the events. Snapshots, read models and the checkpoints of subscribers are not under
//! the chain: they are made of events, and can be made again.
//!
//! # The bytes that are signed
//!
//! | part | bytes |
//! | --- | --- |
//! | `eventstore checkpoint 1` and a zero byte | 24 |
//! | id of the store | 16 |
//! | `tenant_sequence`, `position` | 8 each, big-endian |
//! | hash of the event | 32 |
//! | `signed_at` in microseconds since 1970 | 8, big-endian, signed |
//! | tenant, key id, algorithm | each its length (8, big-endian) and its UTF-8 |

mod bounds;
mod chain_check;
mod checkpoint;
mod compare;
mod error;
mod faults;
mod keys;
mod signing;
mod stored;
mod streams;
mod table;
mod verify;
mod walk;

pub use checkpoint::Checkpoint;
pub use error::IntegrityError;
pub use faults::{Fault, FaultKind, Report};
pub use keys::{CheckpointSigner, ED25519, Ed25519Signer, PublicKeys};
pub use signing::{Checkpoints, Refused, Signed, SignedAll, newest};
pub use verify::{Verification, Verify, VerifyScope, verify};
