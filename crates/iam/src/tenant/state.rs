//! What a tenant is after its events.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use token::{Algorithm, Jwk, Jwks};

use super::command::Spec;
use super::event::Event;

/// Where a tenant stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Standing {
    /// Never declared.
    #[default]
    Unknown,
    /// Declared.
    Open,
    /// No longer declared, and otherwise as it was: its tokens are issued and accepted.
    Released,
    /// Closed: no token is issued or accepted.
    Closed,
}

/// Where a signing key stands. A retired one is no longer held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyPhase {
    /// In the JWKS, but not signing yet.
    Published,
    /// Signing.
    Active,
    /// In the JWKS, signing no more.
    Superseded,
}

/// A signing key of a tenant: its public part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// Its id.
    pub kid: String,
    /// Its algorithm.
    pub algorithm: Algorithm,
    /// Its public part.
    pub public_jwk: Jwk,
    /// When it was published.
    #[serde(with = "time::serde::rfc3339")]
    pub added_at: OffsetDateTime,
    /// When it began to sign.
    #[serde(with = "time::serde::rfc3339::option")]
    pub activated_at: Option<OffsetDateTime>,
    /// When another took its place.
    #[serde(with = "time::serde::rfc3339::option")]
    pub superseded_at: Option<OffsetDateTime>,
    /// The longest lifetime of an access token that was in force while it was active.
    pub longest_token_lifetime_seconds: u64,
}

impl Key {
    /// Where it stands.
    pub fn phase(&self) -> KeyPhase {
        match (self.activated_at, self.superseded_at) {
            (_, Some(_)) => KeyPhase::Superseded,
            (Some(_), None) => KeyPhase::Active,
            (None, None) => KeyPhase::Published,
        }
    }
}

/// A tenant after its events.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct State {
    /// Where it stands.
    pub standing: Standing,
    /// As it was declared last; none when it never was.
    pub spec: Option<Spec>,
    /// Its keys that are published, oldest first.
    pub keys: Vec<Key>,
    /// Ids of keys that were and are no more. None of them may ever be used again.
    pub retired: BTreeSet<String>,
}

impl State {
    /// Whether tokens are issued and accepted, and things may be declared for it.
    pub fn is_open(&self) -> bool {
        matches!(self.standing, Standing::Open | Standing::Released)
    }

    /// Whether it is open and admits pods, Roles and IdGenerators of the namespace.
    pub fn admits(&self, namespace: &str) -> bool {
        self.is_open()
            && self
                .spec
                .as_ref()
                .is_some_and(|spec| spec.namespaces.contains(namespace))
    }

    /// The key of this id, unless it was retired.
    pub fn key(&self, kid: &str) -> Option<&Key> {
        self.keys.iter().find(|key| key.kid == kid)
    }

    /// The key that signs.
    pub fn active_key(&self) -> Option<&Key> {
        self.keys.iter().find(|key| key.phase() == KeyPhase::Active)
    }

    /// The key set to publish, oldest key first. Empty when the tenant is not open.
    pub fn jwks(&self) -> Jwks {
        Jwks {
            keys: self.keys.iter().map(|key| key.public_jwk.clone()).collect(),
        }
    }

    /// Whether a key of this id is or ever was.
    pub(super) fn has_known_key(&self, kid: &str) -> bool {
        self.key(kid).is_some() || self.retired.contains(kid)
    }

    fn token_lifetime_seconds(&self) -> u64 {
        self.spec
            .as_ref()
            .map_or(0, |spec| spec.tokens.access_token_lifetime_seconds)
    }

    fn declare(&mut self, spec: Spec) {
        self.standing = Standing::Open;
        let lifetime = spec.tokens.access_token_lifetime_seconds;
        self.spec = Some(spec);
        for key in &mut self.keys {
            if key.phase() == KeyPhase::Active {
                key.longest_token_lifetime_seconds =
                    key.longest_token_lifetime_seconds.max(lifetime);
            }
        }
    }

    fn activate(&mut self, kid: &str, at: OffsetDateTime) {
        let lifetime = self.token_lifetime_seconds();
        for key in &mut self.keys {
            if key.kid == kid {
                key.activated_at = Some(at);
                key.longest_token_lifetime_seconds = lifetime;
            } else if key.phase() == KeyPhase::Active {
                // Should clocks differ, a key still cannot have been superseded before it signed.
                key.superseded_at = Some(key.activated_at.map_or(at, |began| began.max(at)));
            }
        }
    }
}

/// The state after one more event.
pub fn evolve(mut state: State, event: &Event) -> State {
    match event {
        Event::Declared { spec }
        | Event::Changed { spec }
        | Event::Adopted { spec }
        | Event::Reopened { spec } => state.declare(spec.clone()),
        Event::Released => state.standing = Standing::Released,
        Event::Closed => {
            state.standing = Standing::Closed;
            let gone = std::mem::take(&mut state.keys);
            state.retired.extend(gone.into_iter().map(|key| key.kid));
        }
        Event::KeyAdded {
            kid,
            algorithm,
            public_jwk,
            at,
        } => state.keys.push(Key {
            kid: kid.clone(),
            algorithm: *algorithm,
            public_jwk: public_jwk.clone(),
            added_at: *at,
            activated_at: None,
            superseded_at: None,
            longest_token_lifetime_seconds: 0,
        }),
        Event::KeyActivated { kid, at } => state.activate(kid, *at),
        Event::KeyRetired { kid, .. } => {
            state.keys.retain(|key| key.kid != *kid);
            state.retired.insert(kid.clone());
        }
    }
    state
}
