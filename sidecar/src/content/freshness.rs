//! How long ago what is held was known to be current, and what follows from that.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use protocol::v1::Content as Kind;

use crate::clock::Moment;

/// What a kind of content is worth now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nothing was ever held.
    Missing,
    /// It may be used. `age`: time since it was last known to be current.
    Usable {
        /// Time since it was last known to be current.
        age: Duration,
    },
    /// Central has been away, or what it sent was unusable, for too long: fail closed.
    Expired {
        /// Time since it was last known to be current.
        age: Duration,
    },
}

/// When central was last heard, and since when a kind of content has been refused.
///
/// A message of any kind proves that central is there, and that everything it did not send anew is
/// current. Of a kind whose last state was refused, that stops being so at the refusal.
#[derive(Debug)]
pub struct Freshness {
    fail_static: Duration,
    // Milliseconds of `Moment`; 0: never.
    contact: AtomicU64,
    refused: [AtomicU64; 4],
}

impl Freshness {
    /// No contact yet.
    #[must_use]
    pub fn new(fail_static: Duration) -> Self {
        Self {
            fail_static,
            contact: AtomicU64::new(0),
            refused: Default::default(),
        }
    }

    /// For how long content is used without proof that it is current.
    #[must_use]
    pub fn fail_static(&self) -> Duration {
        self.fail_static
    }

    /// Central was heard.
    pub fn contact(&self) {
        self.contact_at(Moment::now());
    }

    /// This kind is held as central has it.
    pub fn current(&self, kind: Kind) {
        self.refused[kind as usize].store(0, Ordering::Release);
    }

    /// Central has another state of this kind, which cannot be used.
    pub fn refused(&self, kind: Kind) {
        self.refused_at(kind, Moment::now());
    }

    /// Time since central was last heard; none: never.
    #[must_use]
    pub fn since_contact(&self) -> Option<Duration> {
        moment(&self.contact).map(|contact| Moment::now().since(contact))
    }

    /// What a kind of content is worth now.
    #[must_use]
    pub fn standing(&self, kind: Kind) -> Standing {
        self.standing_at(kind, Moment::now())
    }

    fn contact_at(&self, now: Moment) {
        self.contact
            .store(now.as_millis().max(1), Ordering::Release);
    }

    fn refused_at(&self, kind: Kind, now: Moment) {
        // The first refusal counts: the ones after it do not make what is held any younger.
        let _ = self.refused[kind as usize].compare_exchange(
            0,
            now.as_millis().max(1),
            Ordering::AcqRel,
            Ordering::Acquire,
        );
    }

    fn standing_at(&self, kind: Kind, now: Moment) -> Standing {
        let Some(contact) = moment(&self.contact) else {
            return Standing::Missing;
        };
        let current = moment(&self.refused[kind as usize]).map_or(contact, |at| at.min(contact));
        let age = now.since(current);
        if age > self.fail_static {
            Standing::Expired { age }
        } else {
            Standing::Usable { age }
        }
    }
}

fn moment(milliseconds: &AtomicU64) -> Option<Moment> {
    match milliseconds.load(Ordering::Acquire) {
        0 => None,
        milliseconds => Some(Moment::from_millis(milliseconds)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::from_millis(seconds * 1_000)
    }

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn content_is_used_until_central_was_away_too_long() {
        let freshness = Freshness::new(seconds(60));
        assert_eq!(freshness.standing_at(Kind::Keys, at(5)), Standing::Missing);
        freshness.contact_at(at(10));
        let standing = |now| freshness.standing_at(Kind::Keys, at(now));
        assert_eq!(standing(70), Standing::Usable { age: seconds(60) });
        assert_eq!(standing(71), Standing::Expired { age: seconds(61) });
        freshness.contact_at(at(71));
        assert_eq!(standing(72), Standing::Usable { age: seconds(1) });
    }

    #[test]
    fn refused_content_ages_though_central_is_heard() {
        let freshness = Freshness::new(seconds(60));
        freshness.contact_at(at(10));
        freshness.refused_at(Kind::Policy, at(20));
        freshness.refused_at(Kind::Policy, at(50));
        freshness.contact_at(at(90));
        let standing = |kind| freshness.standing_at(kind, at(90));
        assert_eq!(
            standing(Kind::Policy),
            Standing::Expired { age: seconds(70) }
        );
        assert_eq!(standing(Kind::Keys), Standing::Usable { age: seconds(0) });
        freshness.current(Kind::Policy);
        assert_eq!(standing(Kind::Policy), Standing::Usable { age: seconds(0) });
    }
}
