//! The right to act as the leader, and its end.

use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

/// The clocks are compared this often, for a suspended machine wakes with its timers unfinished.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// When the right to act ends. The monotonic clock stands still while the machine is suspended and
/// the wall clock may be set, so it ends when either says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    monotonic: Instant,
    wall: SystemTime,
}

impl Deadline {
    /// `period` after the given moment.
    pub fn after(period: Duration, monotonic: Instant, wall: SystemTime) -> Self {
        Self {
            monotonic: monotonic + period,
            wall: wall + period,
        }
    }

    /// Whether it is still ahead on both clocks.
    pub fn ahead(&self, monotonic: Instant, wall: SystemTime) -> bool {
        monotonic < self.monotonic && wall < self.wall
    }
}

/// Tells whether this replica may act as the leader. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Fence {
    deadline: watch::Receiver<Option<Deadline>>,
}

/// The end of a [`Fence`] that the election holds.
#[derive(Debug)]
pub(super) struct FenceKeeper {
    deadline: watch::Sender<Option<Deadline>>,
}

impl Fence {
    pub(super) fn new() -> (FenceKeeper, Self) {
        let (sender, deadline) = watch::channel(None);
        (FenceKeeper { deadline: sender }, Self { deadline })
    }

    /// Whether this replica may act now.
    pub fn holds(&self) -> bool {
        let deadline = *self.deadline.borrow();
        deadline.is_some_and(|deadline| deadline.ahead(Instant::now(), SystemTime::now()))
    }

    /// Waits until this replica may act.
    pub async fn gained(&self) {
        let mut deadline = self.deadline.clone();
        while !self.holds() {
            if deadline.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Waits until it may not act any more.
    pub async fn lost(&self) {
        let mut deadline = self.deadline.clone();
        while self.holds() {
            tokio::select! {
                changed = deadline.changed() => if changed.is_err() { return },
                () = sleep(CHECK_INTERVAL) => {}
            }
        }
    }
}

impl FenceKeeper {
    pub(super) fn held_until(&self, deadline: Deadline) {
        self.deadline.send_replace(Some(deadline));
    }

    pub(super) fn lost(&self) {
        self.deadline.send_replace(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_clock_ends_it() {
        let (monotonic, wall) = (Instant::now(), SystemTime::now());
        let second = Duration::from_secs(1);
        let deadline = Deadline::after(second * 10, monotonic, wall);
        assert!(deadline.ahead(monotonic + second * 9, wall + second * 9));
        assert!(!deadline.ahead(monotonic + second * 10, wall + second * 9));
        // Woken from a suspension: the monotonic clock missed it.
        assert!(!deadline.ahead(monotonic + second, wall + second * 3600));
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_by_itself_when_nobody_renews() {
        let (keeper, fence) = Fence::new();
        assert!(!fence.holds());
        let period = Duration::from_secs(10);
        // The wall clock of the test does not move with tokio's.
        let wall = SystemTime::now() + Duration::from_secs(3600);
        keeper.held_until(Deadline::after(period, Instant::now(), wall));
        fence.gained().await;
        let start = Instant::now();
        fence.lost().await;
        assert!(start.elapsed() >= period && start.elapsed() < period + CHECK_INTERVAL * 2);
    }

    #[tokio::test]
    async fn losing_the_lease_ends_it_at_once() {
        let (keeper, fence) = Fence::new();
        let now = (Instant::now(), SystemTime::now());
        keeper.held_until(Deadline::after(Duration::from_secs(3600), now.0, now.1));
        assert!(fence.holds());
        keeper.lost();
        fence.lost().await;
        assert!(!fence.holds());
    }
}
