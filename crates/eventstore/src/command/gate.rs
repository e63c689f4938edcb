//! Who may run a command now: by rate, by number, by priority.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::call::Priority;
use super::error::CommandError;
use super::lines::Lines;
use super::rates::{Rate, Rates};

/// Bounds of what runs at once, and how often.
#[derive(Debug, Clone)]
pub struct Limits {
    /// How often a tenant may call a command that has no rate of its own. None: any number of times.
    pub rate: Option<Rate>,
    /// Rates by command.
    pub rates: HashMap<&'static str, Option<Rate>>,
    /// How many commands may run at once; 0 means the same as 1.
    pub in_flight: usize,
    /// How many may wait beyond that, of each priority: a flood of unimportant ones does not shut out
    /// the others.
    pub waiting: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            rate: Some(Rate::default()),
            rates: HashMap::new(),
            in_flight: 256,
            waiting: 1024,
        }
    }
}

/// Lets commands in. One gate may stand before many repositories.
///
/// More urgent ones go first, but a line that others were called before eight times in a row is called
/// next, so low priority means at least every ninth turn.
pub struct Gate {
    rates: Rates,
    doors: Doors,
}

type Doors = Arc<Mutex<Open>>;

struct Open {
    free: usize,
    lines: Lines<oneshot::Sender<Permit>>,
}

impl Gate {
    /// A gate with these limits.
    pub fn new(limits: &Limits) -> Self {
        let open = Open {
            free: limits.in_flight.max(1),
            lines: Lines::new(limits.waiting),
        };
        Self {
            rates: Rates::new(limits.rate, &limits.rates),
            doors: Arc::new(Mutex::new(open)),
        }
    }

    /// Waits for the permission to run a command. Whoever stops waiting has taken nothing but a token
    /// of the rate.
    pub(super) async fn enter(
        &self,
        tenant: &str,
        command: &'static str,
        priority: Priority,
    ) -> Result<Permit, CommandError> {
        self.rates
            .take(tenant, command)
            .map_err(|retry_after| CommandError::Limited {
                command,
                retry_after,
            })?;
        let turn = {
            let mut open = lock(&self.doors);
            if open.free > 0 {
                open.free -= 1;
                return Ok(Permit(Some(Arc::clone(&self.doors))));
            }
            let (call, turn) = oneshot::channel();
            if !open.lines.push(priority, call, waits) {
                return Err(CommandError::Busy);
            }
            turn
        };
        turn.await.map_err(|_| CommandError::Busy)
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new(&Limits::default())
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Gate")
            .field("free", &lock(&self.doors).free)
            .finish_non_exhaustive()
    }
}

fn lock(doors: &Doors) -> MutexGuard<'_, Open> {
    doors.lock().unwrap_or_else(PoisonError::into_inner)
}

fn waits(call: &oneshot::Sender<Permit>) -> bool {
    !call.is_closed()
}

/// The permission to run one command. Dropped, it goes to the next who waits, also when it is still on
/// its way to one who went away.
pub(super) struct Permit(Option<Doors>);

impl Drop for Permit {
    fn drop(&mut self) {
        let Some(doors) = self.0.take() else {
            return;
        };
        let mut open = lock(&doors);
        while let Some(call) = open.lines.pop(waits) {
            match call.send(Self(Some(Arc::clone(&doors)))) {
                Ok(()) => return,
                // Disarmed, for its drop would wait for the lock that is held here.
                Err(mut unsent) => drop(unsent.0.take()),
            }
        }
        open.free += 1;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::FutureExt;

    use super::{Gate, Limits, lock};
    use crate::command::{CommandError, Priority};

    fn gate(in_flight: usize, waiting: usize) -> Arc<Gate> {
        Arc::new(Gate::new(&Limits {
            rate: None,
            in_flight,
            waiting,
            ..Limits::default()
        }))
    }

    #[tokio::test]
    async fn no_more_than_allowed_run_at_once_and_the_urgent_go_first() {
        let gate = gate(1, 10);
        let enter = |priority| gate.enter("acme", "Do", priority).boxed();
        let first = enter(Priority::Low).await.unwrap();
        let (mut low, mut high) = (enter(Priority::Low), enter(Priority::High));
        assert!(low.as_mut().now_or_never().is_none());
        assert!(high.as_mut().now_or_never().is_none());

        drop(first);

        assert!(low.as_mut().now_or_never().is_none());
        drop(high.as_mut().now_or_never().unwrap().unwrap());
        drop(low.now_or_never().unwrap().unwrap());
        assert_eq!(lock(&gate.doors).free, 1);
    }

    #[tokio::test]
    async fn a_full_line_refuses_its_own_priority_only() {
        let gate = gate(1, 1);
        let enter = |priority| gate.enter("acme", "Do", priority).boxed();
        let _first = enter(Priority::Normal).await.unwrap();
        let mut low = enter(Priority::Low);
        assert!(low.as_mut().now_or_never().is_none());
        let refused = enter(Priority::Low).now_or_never().unwrap();
        assert_eq!(refused.err(), Some(CommandError::Busy));
        assert!(enter(Priority::High).now_or_never().is_none());
        // Who went away makes room.
        drop(low);
        assert!(enter(Priority::Low).now_or_never().is_none());
    }

    #[tokio::test]
    async fn nobody_keeps_a_place_by_going_away() {
        let gate = gate(1, 10);
        let enter = || gate.enter("acme", "Do", Priority::Normal).boxed();
        let first = enter().await.unwrap();
        // One goes while it waits, one when it was called already.
        let (mut left, mut called, mut last) = (enter(), enter(), enter());
        for waiting in [&mut left, &mut called, &mut last] {
            assert!(waiting.now_or_never().is_none());
        }
        drop(left);
        drop(first);
        drop(called);
        drop(last.now_or_never().unwrap().unwrap());
        assert_eq!(lock(&gate.doors).free, 1);
    }
}
