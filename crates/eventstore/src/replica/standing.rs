//! What is known of a replica. Pure.

use crate::event::Position;

/// Where a replica was last seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// None when it is away.
    head: Option<Position>,
    /// Somebody waited in vain, and it has not moved since: the next one need not wait.
    stuck: bool,
}

impl Standing {
    pub(super) fn head(&self) -> Option<Position> {
        self.head
    }

    pub(super) fn is_stuck(&self) -> bool {
        self.stuck
    }

    /// Whether it is known to have a position; none when it is away.
    pub(super) fn reaches(&self, position: Position) -> Option<bool> {
        self.head.map(|head| head >= position)
    }

    /// Takes note of where it was seen; whether that is news.
    pub(super) fn note(&mut self, head: Option<Position>) -> bool {
        let moved = self.head != head;
        if moved {
            *self = Self { head, stuck: false };
        }
        moved
    }

    /// Takes note that a wait was in vain, which began when it stood as `before`.
    pub(super) fn give_up(&mut self, before: Self) {
        self.stuck |= self.head == before.head;
    }
}

/// What the log was told of a replica, so that each change is said once.
#[derive(Debug, Default)]
pub(super) struct Told(Option<bool>);

impl Told {
    /// Says what came of asking, if that is a change; whether it was.
    pub(super) fn tell(&mut self, asked: &Result<Position, String>) -> bool {
        let is_there = asked.is_ok();
        let before = self.0.replace(is_there);
        match asked {
            _ if before == Some(is_there) => return false,
            Ok(head) => tracing::info!(%head, "the read replica is used"),
            Err(message) => {
                tracing::warn!(%message, "the read replica is away, reading from the primary");
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::{Standing, Told};
    use crate::event::Position;

    fn at(head: u64) -> Standing {
        let mut standing = Standing::default();
        assert!(standing.note(Some(Position(head))));
        standing
    }

    #[test]
    fn a_replica_reaches_what_it_was_seen_at() {
        assert_eq!(at(5).reaches(Position(5)), Some(true));
        assert_eq!(at(5).reaches(Position(6)), Some(false));
        assert_eq!(Standing::default().reaches(Position::START), None);
    }

    #[test]
    fn after_a_wait_in_vain_nobody_waits_until_it_moves() {
        let mut standing = at(5);
        standing.give_up(at(5));
        assert!(standing.is_stuck());
        assert!(!standing.note(Some(Position(5))));
        assert!(standing.is_stuck());
        assert!(standing.note(Some(Position(6))));
        assert!(!standing.is_stuck());
    }

    #[test]
    fn a_replica_that_moved_during_the_wait_is_worth_another() {
        let mut standing = at(6);
        standing.give_up(at(5));
        assert!(!standing.is_stuck());
    }

    #[test]
    fn each_change_is_told_once() {
        let mut told = Told::default();
        let (there, away) = (Ok(Position(1)), Err("gone".to_owned()));
        let asked = [&away, &away, &there, &there, &away, &away, &there];
        let said: Vec<bool> = asked.into_iter().map(|asked| told.tell(asked)).collect();
        assert_eq!(said, [true, false, true, false, true, false, true]);
    }
}
