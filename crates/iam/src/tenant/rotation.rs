//! When keys are made, used and let go.
//!
//! ```text
//!            propagation            rotate every                 overlap + token lifetime
//! key 1   ├─ (none: it is the first) ┼───────────────────────────┼──────────────────────────┤
//!         added = activated                          superseded                     retired
//! key 2                                   ├── propagation ──┼───────────────────── …
//!                                        added          activated
//! ```
//!
//! A tenant's first key signs at once, since there is nothing else to sign with and no verifier to
//! surprise. Every later one is published for `propagation` first.

use std::time::Duration;

use time::{Duration as Span, OffsetDateTime};
use token::Algorithm;

use super::command::Spec;
use super::state::{Key, KeyPhase, State};

/// How far the clocks of those who sign and those who verify may lie apart. A superseded key stays
/// published for this long more.
pub const MAX_CLOCK_DIFFERENCE: Duration = Duration::from_secs(60);

/// What the rotation asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyStep {
    /// Make a key, keep its private part, and publish it ([`super::Command::AddKey`]).
    Add {
        /// The id it is to have.
        kid: String,
        /// The algorithm it is to have.
        algorithm: Algorithm,
    },
    /// Sign with this key from now on ([`super::Command::ActivateKey`]).
    Activate {
        /// Its id.
        kid: String,
    },
    /// Publish this key no more and destroy its private part ([`super::Command::RetireKey`]).
    Retire {
        /// Its id.
        kid: String,
    },
}

impl State {
    /// What is to be done next about the keys; none when nothing is until time goes on or the tenant
    /// changes. To be asked again after each step, since several may be due.
    ///
    /// `propagation` is how long a key is published before it signs: at least as long as the fleet
    /// takes to hear of it.
    pub fn next_key_step(&self, now: OffsetDateTime, propagation: Duration) -> Option<KeyStep> {
        let spec = self.spec.as_ref().filter(|_| self.is_open())?;
        let algorithm = spec.tokens.algorithm;
        let pending = self
            .keys
            .iter()
            .find(|key| key.phase() == KeyPhase::Published);
        // The algorithm was changed after the key was made; it never signed.
        if let Some(outdated) = pending.filter(|key| key.algorithm != algorithm) {
            return Some(KeyStep::Retire {
                kid: outdated.kid.clone(),
            });
        }
        let step = match (self.active_key(), pending) {
            (None, Some(pending)) => Some(KeyStep::Activate {
                kid: pending.kid.clone(),
            }),
            (None, None) => Some(self.add(now, algorithm)),
            (Some(_), Some(pending)) => {
                has_passed(pending.added_at, propagation, now).then(|| KeyStep::Activate {
                    kid: pending.kid.clone(),
                })
            }
            (Some(active), None) => {
                is_due(active, spec, propagation, now).then(|| self.add(now, algorithm))
            }
        };
        step.or_else(|| {
            let done = self.keys.iter().find(|key| may_retire(key, spec, now))?;
            Some(KeyStep::Retire {
                kid: done.kid.clone(),
            })
        })
    }

    fn add(&self, now: OffsetDateTime, algorithm: Algorithm) -> KeyStep {
        KeyStep::Add {
            kid: self.next_kid(now),
            algorithm,
        }
    }

    /// The month and the first letters that no key of the tenant ever had: `2026-11-a`, …, `-z`,
    /// `-aa`, ….
    fn next_kid(&self, now: OffsetDateTime) -> String {
        let month = format!("{:04}-{:02}", now.year(), u8::from(now.month()));
        let mut number = 0;
        loop {
            let kid = format!("{month}-{}", letters(number));
            if !self.has_known_key(&kid) {
                return kid;
            }
            number += 1;
        }
    }
}

/// Whether a key may go: it is superseded, and no token it signed may still live.
pub(super) fn may_retire(key: &Key, spec: &Spec, now: OffsetDateTime) -> bool {
    let Some(superseded_at) = key.superseded_at else {
        return false;
    };
    let kept = Duration::from_secs(
        spec.keys
            .overlap_seconds
            .saturating_add(key.longest_token_lifetime_seconds),
    )
    .saturating_add(MAX_CLOCK_DIFFERENCE);
    has_passed(superseded_at, kept, now)
}

/// Whether the key that is to follow should be published, so that it can sign when this one has
/// signed for as long as it should.
fn is_due(active: &Key, spec: &Spec, propagation: Duration, now: OffsetDateTime) -> bool {
    if active.algorithm != spec.tokens.algorithm {
        return true;
    }
    let lasts = Duration::from_secs(spec.keys.rotate_every_seconds).saturating_sub(propagation);
    active
        .activated_at
        .is_some_and(|began| has_passed(began, lasts, now))
}

/// Whether `length` has gone by between `since` and `now`. A length beyond all calendars never has.
fn has_passed(since: OffsetDateTime, length: Duration, now: OffsetDateTime) -> bool {
    Span::try_from(length).is_ok_and(|length| now - since >= length)
}

/// `a`, …, `z`, `aa`, `ab`, …
fn letters(number: usize) -> String {
    let mut letters = Vec::new();
    let mut left = number + 1;
    while left > 0 {
        left -= 1;
        letters.push(b'a' + (left % 26) as u8);
        left /= 26;
    }
    letters.into_iter().rev().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::letters;

    #[test]
    fn letters_go_on_after_z() {
        let cases = [
            (0, "a"),
            (1, "b"),
            (25, "z"),
            (26, "aa"),
            (51, "az"),
            (52, "ba"),
            (701, "zz"),
            (702, "aaa"),
        ];
        for (number, expected) in cases {
            assert_eq!(letters(number), expected);
        }
    }
}
