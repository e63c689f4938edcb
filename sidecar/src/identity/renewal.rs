//! Keeps the workload's tokens young, so that an outage of central finds them so.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{OwnTokens, Slot};
use crate::central::Backoff;
use crate::clock::Moment;

/// The timer stops in suspend; so it looks at the clock that does not at least this often.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Renews every token that was ever asked for when its time has come.
#[derive(Debug)]
pub struct Renewal {
    tokens: Arc<OwnTokens>,
}

impl Renewal {
    /// Of these tokens.
    #[must_use]
    pub fn new(tokens: Arc<OwnTokens>) -> Self {
        Self { tokens }
    }

    /// Renews until cancelled.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        loop {
            let wait = match self.due(Moment::now()) {
                Due::Now(audience, slot) => {
                    if self.renew(&audience, &slot).await {
                        backoff.reset();
                    } else {
                        // The others come first now: one that is refused for good starves none.
                        slot.postpone(Moment::now().plus(backoff.after_failure()));
                    }
                    Duration::ZERO
                }
                Due::In(wait) => wait,
            };
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
                () = self.tokens.added.notified() => {}
            }
        }
    }

    fn due(&self, now: Moment) -> Due {
        self.tokens.drop_withdrawn_audiences();
        let mut next = LONGEST_SLEEP;
        for (audience, slot) in self.tokens.slots().iter() {
            let Some(due) = slot.renewal_due() else {
                continue;
            };
            let wait = due.since(now);
            if wait.is_zero() {
                return Due::Now(audience.clone(), Arc::clone(slot));
            }
            next = next.min(wait);
        }
        Due::In(next)
    }

    async fn renew(&self, audience: &str, slot: &Slot) -> bool {
        let _turn = slot.exchange.lock().await;
        if slot
            .token
            .load()
            .as_ref()
            .is_some_and(|token| token.renew > Moment::now())
        {
            return true;
        }
        match self.tokens.exchange(audience, slot).await {
            Ok(token) => {
                let holds_for = token.remaining(Moment::now());
                debug!(audience, ?holds_for, "renewed the workload's token");
                true
            }
            Err(error) => {
                warn!(audience, problem = %error, "cannot renew the workload's token");
                false
            }
        }
    }
}

enum Due {
    Now(String, Arc<Slot>),
    In(Duration),
}

impl Slot {
    fn postpone(&self, until: Moment) {
        self.postponed_until
            .store(until.as_millis(), Ordering::Relaxed);
    }

    fn renewal_due(&self) -> Option<Moment> {
        let postponed = Moment::from_millis(self.postponed_until.load(Ordering::Relaxed));
        self.token
            .load()
            .as_ref()
            .map(|token| token.renew.max(postponed))
    }
}

impl OwnTokens {
    /// Forgets the tokens for audiences the tenant no longer has.
    fn drop_withdrawn_audiences(&self) {
        if let Some(keys) = self.content.keys() {
            self.slots()
                .retain(|audience, _| keys.audiences().contains(audience));
        }
    }
}
