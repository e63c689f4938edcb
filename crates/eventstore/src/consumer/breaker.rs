//! The circuit breaker of a subscription, as a state machine without a clock.
//!
//! When attempts fail one after the other, it is likelier that what the handler needs is down than
//! that all these events are at fault. The breaker then opens: nobody tries, nothing becomes a dead
//! letter, the position stays. After a while one attempt is let through (half-open); its outcome closes
//! the breaker or opens it again.
//!
//! Such an attempt counts among those that an event has, and may be its last: an event that is at fault itself
//! keeps the circuit open, and would hold its partition for ever. So does an outage that lasts longer than all
//! attempts, at `open_for` each, make a dead letter of an event now and then, to be replayed when it is over.

use std::time::Duration;

use tokio::time::Instant;

/// When the circuit opens, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CircuitBreaker {
    /// Failures in a row, over all partitions of a process, that open it; at least 1.
    pub failures: u32,
    /// How long it stays open before one attempt is let through.
    pub open_for: Duration,
}

impl Default for CircuitBreaker {
    fn default() -> Self {
        Self {
            failures: 5,
            open_for: Duration::from_secs(30),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed {
        failures: u32,
    },
    Open {
        until: Instant,
    },
    /// `trial`: whether the one attempt is under way.
    HalfOpen {
        trial: bool,
    },
}

/// Answer to whoever wants to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// Go on. `trial`: it is the one attempt of a half-open circuit.
    Granted { trial: bool },
    /// Ask again then.
    WaitUntil(Instant),
    /// Another attempt is the trial; ask again when its outcome is known.
    WaitForTrial,
}

/// The state machine; every `Granted` is answered by one of [`succeeded`](Self::succeeded),
/// [`failed`](Self::failed) and [`abandoned`](Self::abandoned).
#[derive(Debug)]
pub(super) struct Breaker {
    settings: CircuitBreaker,
    state: State,
}

impl Breaker {
    pub(super) fn new(settings: CircuitBreaker) -> Self {
        Self {
            settings,
            state: State::Closed { failures: 0 },
        }
    }

    pub(super) fn admit(&mut self, now: Instant) -> Admission {
        if let State::Open { until } = self.state {
            if now < until {
                return Admission::WaitUntil(until);
            }
            self.state = State::HalfOpen { trial: false };
        }
        match self.state {
            State::HalfOpen { trial: true } => Admission::WaitForTrial,
            State::HalfOpen { trial: false } => {
                self.state = State::HalfOpen { trial: true };
                Admission::Granted { trial: true }
            }
            _ => Admission::Granted { trial: false },
        }
    }

    /// The handler answered. What was admitted before the circuit opened says nothing about now.
    pub(super) fn succeeded(&mut self, trial: bool) {
        if trial || matches!(self.state, State::Closed { .. }) {
            self.state = State::Closed { failures: 0 };
        }
    }

    pub(super) fn failed(&mut self, trial: bool, now: Instant) {
        let open = State::Open {
            until: now + self.settings.open_for,
        };
        match self.state {
            State::Closed { failures } if failures + 1 < self.settings.failures => {
                self.state = State::Closed {
                    failures: failures + 1,
                };
            }
            State::Closed { .. } => self.state = open,
            State::HalfOpen { .. } if trial => self.state = open,
            State::HalfOpen { .. } | State::Open { .. } => {}
        }
    }

    /// The attempt ended without an outcome, e.g. because the lease was lost.
    pub(super) fn abandoned(&mut self, trial: bool) {
        if trial && self.state == (State::HalfOpen { trial: true }) {
            self.state = State::HalfOpen { trial: false };
        }
    }

    /// Whether attempts are let through as they come.
    pub(super) fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed { .. })
    }
}

#[cfg(test)]
mod tests;
