//! Tokens that were verified a moment ago.

use std::collections::HashMap;
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256, SHA256_OUTPUT_LEN};
use token::Claims;

use crate::content::HeldKeys;

/// Entries of one generation; at most twice as many are held.
const GENERATION: usize = 512;

/// A token together with the audience asked for, as its SHA-256: no token is kept.
pub(super) type Fingerprint = [u8; SHA256_OUTPUT_LEN];

/// The fingerprint of a verification.
pub(super) fn fingerprint(token: &str, audience: Option<&str>) -> Fingerprint {
    let mut context = Context::new(&SHA256);
    // The length in front keeps ("a", "bc") and ("ab", "c") apart; none differs from empty.
    match audience {
        None => context.update(&u64::MAX.to_be_bytes()),
        Some(audience) => {
            context.update(&(audience.len() as u64).to_be_bytes());
            context.update(audience.as_bytes());
        }
    }
    context.update(token.as_bytes());
    let mut fingerprint = [0; SHA256_OUTPUT_LEN];
    fingerprint.copy_from_slice(context.finish().as_ref());
    fingerprint
}

/// What was verified, by fingerprint, under which keys and when.
///
/// An entry answers only while a full verification could not answer otherwise: under the very same
/// keys, not before the time it was verified at (a clock that was set back), and before the token
/// expires (without leeway). Two generations bound it: when the young one is full, the old one goes.
#[derive(Debug, Default)]
pub(super) struct VerifiedTokens {
    young: HashMap<Fingerprint, Entry>,
    old: HashMap<Fingerprint, Entry>,
}

#[derive(Debug, Clone)]
struct Entry {
    keys: Arc<HeldKeys>,
    claims: Arc<Claims>,
    verified_at: i64,
}

impl VerifiedTokens {
    pub(super) fn get(
        &mut self,
        fingerprint: &Fingerprint,
        keys: &Arc<HeldKeys>,
        now: i64,
    ) -> Option<Arc<Claims>> {
        if let Some(entry) = self.young.get(fingerprint) {
            return entry.answer(keys, now);
        }
        let entry = self.old.remove(fingerprint)?;
        let claims = entry.answer(keys, now)?;
        self.keep(*fingerprint, entry);
        Some(claims)
    }

    pub(super) fn insert(
        &mut self,
        fingerprint: Fingerprint,
        keys: Arc<HeldKeys>,
        claims: Arc<Claims>,
        now: i64,
    ) {
        self.keep(
            fingerprint,
            Entry {
                keys,
                claims,
                verified_at: now,
            },
        );
    }

    fn keep(&mut self, fingerprint: Fingerprint, entry: Entry) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(fingerprint, entry);
    }
}

impl Entry {
    fn answer(&self, keys: &Arc<HeldKeys>, now: i64) -> Option<Arc<Claims>> {
        let holds =
            Arc::ptr_eq(&self.keys, keys) && self.verified_at <= now && now < self.claims.exp;
        holds.then(|| Arc::clone(&self.claims))
    }
}

#[cfg(test)]
mod tests {
    use protocol::v1::KeyState;

    use super::*;

    fn keys() -> Arc<HeldKeys> {
        let state = KeyState {
            closed: true,
            ..KeyState::default()
        };
        Arc::new(HeldKeys::new(1, state).unwrap())
    }

    fn claims(exp: i64) -> Arc<Claims> {
        Arc::new(Claims {
            exp,
            ..Claims::default()
        })
    }

    #[test]
    fn a_fingerprint_is_of_the_token_and_the_audience() {
        let all = [
            fingerprint("abc", None),
            fingerprint("abc", Some("")),
            fingerprint("bc", Some("a")),
            fingerprint("c", Some("ab")),
            fingerprint("abd", None),
        ];
        for (index, one) in all.iter().enumerate() {
            assert!(!all[index + 1..].contains(one), "{index}");
        }
    }

    #[test]
    fn an_entry_answers_only_under_its_keys_and_in_its_time() {
        let (mut cache, keys, token) = (VerifiedTokens::default(), keys(), fingerprint("t", None));
        cache.insert(token, Arc::clone(&keys), claims(200), 100);
        assert!(cache.get(&token, &keys, 100).is_some());
        assert!(cache.get(&token, &keys, 199).is_some());
        assert!(cache.get(&token, &keys, 200).is_none(), "expired");
        assert!(
            cache.get(&token, &keys, 99).is_none(),
            "the clock was set back"
        );
        assert!(
            cache.get(&token, &self::keys(), 150).is_none(),
            "other keys"
        );
        assert!(
            cache.get(&fingerprint("u", None), &keys, 150).is_none(),
            "another token"
        );
    }

    #[test]
    fn the_cache_is_bounded_and_keeps_what_is_in_use() {
        let (mut cache, keys) = (VerifiedTokens::default(), keys());
        let used = fingerprint("used", None);
        cache.insert(used, Arc::clone(&keys), claims(200), 100);
        for number in 0..10 * GENERATION {
            let token = fingerprint(&number.to_string(), None);
            cache.insert(token, Arc::clone(&keys), claims(200), 100);
            if number % 100 == 0 {
                assert!(cache.get(&used, &keys, 100).is_some(), "after {number}");
            }
        }
        assert!(cache.young.len() + cache.old.len() <= 2 * GENERATION);
        assert!(cache.get(&fingerprint("0", None), &keys, 100).is_none());
    }
}
