//! What can be asked of a tenant.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use token::{Algorithm, Jwk};

/// A tenant as it is declared. Validated by [`super::decide`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    /// Its name: a DNS label, since it becomes part of a trust domain. Never changes.
    pub name: String,
    /// What people call it; may be empty.
    pub display_name: String,
    /// Kubernetes namespaces whose pods, Roles and IdGenerators may act for it.
    pub namespaces: BTreeSet<String>,
    /// Of its tokens.
    pub tokens: TokenSettings,
    /// Of its signing keys.
    pub keys: KeySettings,
}

/// How a tenant's tokens are made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenSettings {
    /// What they are signed with.
    pub algorithm: Algorithm,
    /// How long an access token lives: 1 minute to 24 hours.
    pub access_token_lifetime_seconds: u64,
    /// How long a refresh token lives: at least as long as an access token, at most 400 days.
    pub refresh_token_lifetime_seconds: u64,
    /// What tokens may be meant for; the first is the default. At least one, each once.
    pub audiences: Vec<String>,
}

/// How a tenant's signing keys are rotated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeySettings {
    /// How long a key signs: longer than the overlap, at most 3660 days.
    pub rotate_every_seconds: u64,
    /// How long a superseded key stays published, beyond the lifetime of the tokens it signed: at
    /// least the lifetime of an access token.
    pub overlap_seconds: u64,
}

/// What can be asked of a tenant. Times come from the caller's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Make the tenant as declared: open it, change it, adopt it, or open it again.
    Declare(Spec),
    /// The declaration is gone, the tenant stays.
    Release,
    /// The tenant is to be closed.
    Close,
    /// A key was made: publish it.
    AddKey {
        /// Its id, as [`super::State::next_key_step`] asked for it.
        kid: String,
        /// Its algorithm.
        algorithm: Algorithm,
        /// Its public part.
        public_jwk: Jwk,
        /// When.
        at: OffsetDateTime,
    },
    /// Sign with this key from now on.
    ActivateKey {
        /// Its id.
        kid: String,
        /// When.
        at: OffsetDateTime,
    },
    /// Publish this key no more.
    RetireKey {
        /// Its id.
        kid: String,
        /// When.
        at: OffsetDateTime,
    },
}
