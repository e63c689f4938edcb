//! The workload's own tokens: one per audience asked for, obtained from central by exchanging the
//! projected ServiceAccount token, renewed ahead, kept while central is away.
//!
//! **Invariants.** A token is served only before it expires, counted from when it was *asked for*, on
//! the clock that runs through suspend and on the wall's, by which others judge it, and only while its
//! key is among the tenant's: closing a tenant withdraws its keys for good, also if it opens again. No
//! audience is asked for that the tenant does not have, so that the number of tokens is bounded. Tokens
//! are never logged.

mod renewal;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use rand::RngExt;
use token::Rejection;
use tokio::sync::Notify;

pub use self::renewal::Renewal;
use crate::central::{CallError, Connection};
use crate::clock::{Moment, unix_now};
use crate::content::{Content, HeldKeys};
use crate::metrics::Metrics;

/// A token that expires sooner is of no use to anybody.
const SHORTEST_REST: Duration = Duration::from_secs(1);

/// Why there is no token.
#[derive(Debug, Clone, thiserror::Error)]
pub enum OwnTokenError {
    /// The tenant has no such audience.
    #[error("the tenant has no audience {asked:?}; it has {}", .known.join(", "))]
    UnknownAudience {
        /// What was asked for.
        asked: String,
        /// What there is.
        known: Vec<String>,
    },
    /// The tenant is closed.
    #[error("the tenant is closed: it gives out no tokens any more")]
    TenantClosed,
    /// Central does not give this workload a token.
    #[error("{0}")]
    Refused(CallError),
    /// Central is away, and no token is left that holds.
    #[error("there is no token that still holds, and {0}")]
    Unavailable(CallError),
    /// The keys and audiences of the tenant are not held yet.
    #[error("the sidecar does not hold the tenant's audiences yet")]
    NotStarted,
}

/// A token of the workload. `Debug` does not show it.
pub struct OwnToken {
    /// The token, in compact form.
    pub access_token: Arc<str>,
    expires: Moment,
    /// The same on the wall's clock, in seconds since 1970.
    expires_unix: i64,
    renew: Moment,
    /// The version of the tenant's keys up to which its own is known not to be withdrawn.
    good_under: AtomicU64,
}

impl std::fmt::Debug for OwnToken {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("OwnToken")
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

impl OwnToken {
    /// A token that lives for `lifetime` since `asked` (`asked_unix` on the wall's clock), to be
    /// renewed at two thirds of it, a little earlier by `share` (0 to 1), so that a fleet does not
    /// renew in one wave. `keys`: the version of the tenant's keys that was held when it was asked for.
    fn new(
        access_token: String,
        (asked, asked_unix): (Moment, i64),
        lifetime: Duration,
        share: f64,
        keys: u64,
    ) -> Self {
        let seconds = i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX);
        Self {
            access_token: access_token.into(),
            expires: asked.plus(lifetime),
            expires_unix: asked_unix.saturating_add(seconds),
            renew: asked.plus(lifetime.mul_f64(2.0 / 3.0 - 0.1 * share)),
            good_under: AtomicU64::new(keys),
        }
    }

    /// How long it still holds.
    #[must_use]
    pub fn remaining(&self, now: Moment) -> Duration {
        self.expires.since(now)
    }

    fn holds(&self, now: Moment, now_unix: i64) -> bool {
        self.remaining(now) >= SHORTEST_REST && now_unix < self.expires_unix
    }

    /// Whether these keys still have the one it is signed with. Keys as old as the token prove nothing:
    /// central may have been ahead of what is held here.
    fn is_withdrawn(&self, keys: &HeldKeys, now_unix: i64) -> bool {
        if keys.version() <= self.good_under.load(Ordering::Relaxed) {
            return false;
        }
        let verified = keys.verify(&self.access_token, None, now_unix);
        if let Some(Err(Rejection::UnknownKey | Rejection::BadSignature)) = verified {
            return true;
        }
        self.good_under.fetch_max(keys.version(), Ordering::Relaxed);
        false
    }
}

/// The tokens of the workload, by audience.
#[derive(Debug)]
pub struct OwnTokens {
    connection: Arc<Connection>,
    content: Arc<Content>,
    metrics: Arc<Metrics>,
    slots: Mutex<BTreeMap<String, Arc<Slot>>>,
    added: Notify,
}

#[derive(Debug, Default)]
struct Slot {
    token: ArcSwapOption<OwnToken>,
    // One exchange at a time: whoever comes meanwhile waits for its result.
    exchange: tokio::sync::Mutex<()>,
    // Milliseconds of `Moment` before which a failed renewal is not tried again.
    postponed_until: AtomicU64,
}

impl OwnTokens {
    /// No tokens yet.
    #[must_use]
    pub fn new(connection: Arc<Connection>, content: Arc<Content>, metrics: Arc<Metrics>) -> Self {
        let slots = Mutex::default();
        Self {
            connection,
            content,
            metrics,
            slots,
            added: Notify::new(),
        }
    }

    /// The token for an audience; none: the tenant's default. From memory as long as one holds.
    ///
    /// # Errors
    /// There is none that holds, and central gives none.
    pub async fn get(&self, audience: Option<&str>) -> Result<Arc<OwnToken>, OwnTokenError> {
        let audience = self.audience(audience)?;
        let slot = self.slot(&audience);
        if let Some(token) = self.held(&slot) {
            return Ok(token);
        }
        let _turn = slot.exchange.lock().await;
        if let Some(token) = self.held(&slot) {
            return Ok(token);
        }
        self.exchange(&audience, &slot).await
    }

    /// For how long the token of each audience still holds.
    #[must_use]
    pub fn remaining(&self) -> Vec<(String, Duration)> {
        let now = Moment::now();
        self.slots()
            .iter()
            .filter_map(|(audience, slot)| {
                let token = slot.token.load_full()?;
                Some((audience.clone(), token.remaining(now)))
            })
            .collect()
    }

    fn audience(&self, asked: Option<&str>) -> Result<String, OwnTokenError> {
        let keys = self.content.keys().ok_or(OwnTokenError::NotStarted)?;
        if keys.is_closed() {
            return Err(OwnTokenError::TenantClosed);
        }
        let known = keys.audiences();
        let found = match asked.filter(|asked| !asked.is_empty()) {
            None => known.first(),
            Some(asked) => known.iter().find(|known| *known == asked),
        };
        found
            .cloned()
            .ok_or_else(|| OwnTokenError::UnknownAudience {
                asked: asked.unwrap_or_default().to_owned(),
                known: known.to_vec(),
            })
    }

    /// Gets a token whatever is held. The caller holds the slot's turn.
    async fn exchange(&self, audience: &str, slot: &Slot) -> Result<Arc<OwnToken>, OwnTokenError> {
        let asked = (Moment::now(), unix_now());
        let keys = self.content.keys().map_or(0, |keys| keys.version());
        let result = self.connection.exchange(audience).await;
        let label = result.as_ref().map_or_else(CallError::reason, |_| "given");
        self.metrics
            .token_exchanges
            .with_label_values(&[label])
            .inc();
        let answer = result.map_err(|error| match error {
            CallError::Denied(_) | CallError::Invalid(_) => OwnTokenError::Refused(error),
            CallError::NoToken { .. }
            | CallError::Unauthenticated(_)
            | CallError::Unreachable(_) => OwnTokenError::Unavailable(error),
        })?;
        let lifetime = Duration::from_secs(answer.expires_in_seconds);
        let share = rand::rng().random_range(0.0..=1.0);
        let token = OwnToken::new(answer.access_token, asked, lifetime, share, keys);
        let token = Arc::new(token);
        slot.token.store(Some(Arc::clone(&token)));
        self.added.notify_one();
        if token.holds(Moment::now(), unix_now()) {
            Ok(token)
        } else {
            Err(OwnTokenError::Unavailable(CallError::Unreachable(
                "the token it gave has expired on the way".to_owned(),
            )))
        }
    }

    /// The token of a slot, if it still holds.
    fn held(&self, slot: &Slot) -> Option<Arc<OwnToken>> {
        let (keys, now) = (self.content.keys(), unix_now());
        slot.token.load_full().filter(|token| {
            token.holds(Moment::now(), now)
                && !keys.is_some_and(|keys| token.is_withdrawn(&keys, now))
        })
    }

    fn slot(&self, audience: &str) -> Arc<Slot> {
        Arc::clone(self.slots().entry(audience.to_owned()).or_default())
    }

    fn slots(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::from_millis(seconds * 1_000)
    }

    #[test]
    fn a_token_holds_until_its_last_second() {
        let asked = (at(100), 5_000);
        let token = OwnToken::new("t".to_owned(), asked, Duration::from_secs(900), 0.5, 1);
        assert!(token.holds(at(999), 5_899));
        assert!(!token.holds(at(1_000), 5_899));
        assert!(
            !token.holds(at(999), 5_900),
            "the wall's clock was set forward"
        );
        assert_eq!(token.remaining(at(400)), Duration::from_secs(600));
        assert_eq!(token.remaining(at(2_000)), Duration::ZERO);
    }

    #[test]
    fn renewal_is_at_two_thirds_or_a_little_before() {
        let renew = |share| {
            let lifetime = Duration::from_secs(900);
            OwnToken::new("t".to_owned(), (at(0), 0), lifetime, share, 1)
                .renew
                .as_millis()
        };
        assert_eq!((renew(0.0), renew(1.0)), (600_000, 510_000));
    }

    #[test]
    fn a_token_is_not_shown() {
        let token = OwnToken::new(
            "secret".to_owned(),
            (at(0), 0),
            Duration::from_secs(1),
            0.0,
            1,
        );
        assert!(!format!("{token:?}").contains("secret"));
    }
}
