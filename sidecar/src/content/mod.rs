//! What the sidecar holds of its tenant: keys, policy and the list of generators, each under the
//! version central gave it, and how long ago it was known to be current.
//!
//! **Invariants.** A state is either taken whole or not at all. What is held is replaced, never
//! emptied: when central is away or sends something unusable, the sidecar goes on with what it had.
//! Readers never wait (`ArcSwap`).

mod freshness;
mod generators;
mod keys;
mod policy;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use protocol::v1::{
    Content as Kind, GeneratorState, PolicyState, SubscribeResponse, subscribe_response::State,
};
use tokio::sync::watch;

pub use self::freshness::{Freshness, Standing};
pub use self::generators::{HeldGenerators, KnownGenerator, Origin};
pub use self::keys::HeldKeys;
pub use self::policy::HeldPolicy;

/// The kinds of content, in the order they are asked for.
pub const KINDS: [Kind; 3] = [Kind::Keys, Kind::Policy, Kind::Generators];

/// A kind of content as metrics, logs and `/v1/status` name it.
#[must_use]
pub fn name_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Keys => "keys",
        Kind::Policy => "policy",
        Kind::Generators => "generators",
        Kind::Unspecified => "unspecified",
    }
}

/// What came of a message of the sync stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A new state is held under its version.
    Taken,
    /// Nothing changed: a sign of life.
    Current,
    /// The state is unusable, for this reason; what was held is still held.
    Refused(String),
}

/// Everything held. Shared by all parts; written by the sync stream alone.
#[derive(Debug)]
pub struct Content {
    keys: ArcSwapOption<HeldKeys>,
    policy: ArcSwapOption<HeldPolicy>,
    generators: ArcSwapOption<HeldGenerators>,
    /// The store that each version counts in.
    stores: Mutex<BTreeMap<&'static str, String>>,
    freshness: Freshness,
    changes: watch::Sender<u64>,
}

impl Content {
    /// Nothing held yet. Decisions are trusted for `fail_static` after the last contact.
    #[must_use]
    pub fn new(fail_static: Duration) -> Self {
        Self {
            keys: ArcSwapOption::empty(),
            policy: ArcSwapOption::empty(),
            generators: ArcSwapOption::empty(),
            stores: Mutex::default(),
            freshness: Freshness::new(fail_static),
            changes: watch::Sender::new(0),
        }
    }

    /// The keys held.
    #[must_use]
    pub fn keys(&self) -> Option<Arc<HeldKeys>> {
        self.keys.load_full()
    }

    /// The policy held.
    #[must_use]
    pub fn policy(&self) -> Option<Arc<HeldPolicy>> {
        self.policy.load_full()
    }

    /// The generators held.
    #[must_use]
    pub fn generators(&self) -> Option<Arc<HeldGenerators>> {
        self.generators.load_full()
    }

    /// Since when it has been without proof that it is current.
    #[must_use]
    pub fn freshness(&self) -> &Freshness {
        &self.freshness
    }

    /// Tells about every change of what is held.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// The version held of a kind; 0: nothing.
    #[must_use]
    pub fn version(&self, kind: Kind) -> u64 {
        self.held_version(kind).unwrap_or_default()
    }

    /// The store that the version held of a kind counts in; empty: nothing is held.
    #[must_use]
    pub fn store(&self, kind: Kind) -> String {
        let stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        stores.get(name_of(kind)).cloned().unwrap_or_default()
    }

    /// Whether anything of a kind is held.
    #[must_use]
    pub fn holds(&self, kind: Kind) -> bool {
        self.held_version(kind).is_some()
    }

    /// The kinds of which nothing is held yet.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        let missing = KINDS
            .into_iter()
            .filter(|kind| self.held_version(*kind).is_none());
        missing.map(name_of).collect()
    }

    fn held_version(&self, kind: Kind) -> Option<u64> {
        match kind {
            Kind::Keys => self.keys.load().as_ref().map(|held| held.version()),
            Kind::Policy => self.policy.load().as_ref().map(|held| held.version()),
            Kind::Generators => self.generators.load().as_ref().map(|held| held.version()),
            Kind::Unspecified => None,
        }
    }

    /// Takes a message of the sync stream in.
    pub fn apply(&self, message: SubscribeResponse) -> Outcome {
        let (kind, version, store) = (message.content(), message.version, message.store.clone());
        self.freshness.contact();
        let outcome = match message.state {
            None => Outcome::Refused("the message has no state".to_owned()),
            // Only what the sidecar holds can be current: central at another version means that the
            // last state it sent was refused here.
            Some(State::Current(_)) => match self.held_version(kind) {
                // Only what is held can be current: central at another version means that the state
                // it sent last was refused here.
                Some(held) if held == version && self.store(kind) == store => {
                    return self.unchanged(kind);
                }
                Some(_) => return Outcome::Current,
                // Nothing is held, and nothing is what there is.
                None if version == 0 => match empty(kind) {
                    Some(state) => self.take(kind, version, store, state),
                    None => return Outcome::Current,
                },
                None => return Outcome::Current,
            },
            Some(state) => self.take(kind, version, store, state),
        };
        match &outcome {
            Outcome::Refused(_) => self.freshness.refused(kind),
            Outcome::Taken | Outcome::Current => {
                self.freshness.current(kind);
                self.changes.send_modify(|count| *count += 1);
            }
        }
        outcome
    }

    fn unchanged(&self, kind: Kind) -> Outcome {
        self.freshness.current(kind);
        Outcome::Current
    }

    fn take(&self, kind: Kind, version: u64, store: String, state: State) -> Outcome {
        let (held, held_store) = (self.version(kind), self.store(kind));
        let another = !held_store.is_empty() && held_store != store;
        if another {
            // Versions of two stores cannot be compared: what central serves now is what there is.
            tracing::warn!(
                content = name_of(kind),
                version,
                held,
                "central has another event store than before"
            );
        }
        if version < held && !another {
            return Outcome::Refused(format!(
                "version {version} is older than {held}, which is held: a replica lags, or central \
                 was restored from a backup and its sidecars must be started anew"
            ));
        }
        match (kind, state) {
            (Kind::Keys, State::Keys(state)) => match HeldKeys::new(version, state) {
                Ok(keys) => self.keys.store(Some(Arc::new(keys))),
                Err(reason) => return Outcome::Refused(reason),
            },
            (Kind::Policy, State::Policy(state)) => match HeldPolicy::new(version, state) {
                Ok(policy) => self.policy.store(Some(Arc::new(policy))),
                Err(reason) => return Outcome::Refused(reason),
            },
            (Kind::Generators, State::Generators(state)) => {
                self.generators
                    .store(Some(Arc::new(HeldGenerators::new(version, state))));
            }
            (kind, _) => {
                return Outcome::Refused(format!(
                    "the state is not of the kind it is sent as ({})",
                    name_of(kind)
                ));
            }
        }
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        stores.insert(name_of(kind), store);
        Outcome::Taken
    }
}

/// What a tenant has that never had any of a kind. It has keys from its first day.
fn empty(kind: Kind) -> Option<State> {
    match kind {
        Kind::Policy => Some(State::Policy(PolicyState::default())),
        Kind::Generators => Some(State::Generators(GeneratorState::default())),
        Kind::Keys | Kind::Unspecified => None,
    }
}

#[cfg(test)]
mod tests;
