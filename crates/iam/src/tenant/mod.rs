//! A tenant: an isolated realm with its own issuer, its own signing keys, and the namespaces that may
//! act for it.
//!
//! A tenant is *unknown*, then *open*; its declaration may be taken away while it stays open
//! (*released*), or it is *closed*: no token is issued or accepted for it any more, and its keys are
//! gone. Declaring it again adopts a released one as it is, and opens a closed one with new keys.
//!
//! Its signing keys live in the same stream, so that "at most one is active" is decided where it is
//! kept: a key is *added* (published in the JWKS, not yet signing), *activated* (signs, and supersedes
//! the one before), *superseded* (still published, since its tokens live on), and *retired* (gone for
//! good). Only public parts are here.

mod check;
mod command;
mod decide;
mod event;
mod rotation;
mod state;
#[cfg(test)]
mod tests;

pub use command::{Command, KeySettings, Spec, TokenSettings};
pub use decide::decide;
pub use event::{EVENT_TYPES, Event, SCHEMA_VERSION};
pub use rotation::{KeyStep, MAX_CLOCK_DIFFERENCE};
pub use state::{Key, KeyPhase, Standing, State, evolve};
