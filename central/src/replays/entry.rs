//! One replay that runs or ran.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use eventstore::{
    integrity::Verification,
    replay::{Failure, Progress, ReplayHandle, State},
};
use futures::FutureExt as _;
use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use super::request::ReplayRequest;

/// What runs.
pub(super) enum Work {
    /// Counting, and what was counted by type so far.
    Count(ReplayHandle, Arc<Mutex<BTreeMap<String, u64>>>),
    /// Verifying.
    Verify(Verification),
}

/// A replay with what was asked.
pub(super) struct Entry {
    pub(super) id: Uuid,
    request: ReplayRequest,
    work: Work,
    /// When it was first seen to have ended.
    ended: Option<Instant>,
}

impl Entry {
    pub(super) fn new(id: Uuid, request: ReplayRequest, work: Work) -> Self {
        Self {
            id,
            request,
            work,
            ended: None,
        }
    }

    pub(super) fn tenant(&self) -> Option<&str> {
        self.request.tenant()
    }

    fn progress(&self) -> Progress {
        match &self.work {
            Work::Count(handle, _) => handle.progress(),
            Work::Verify(verification) => {
                let mut progress = verification.progress();
                match verification.finished().now_or_never() {
                    // Its report comes a moment after its last progress.
                    None => progress.state = State::Running,
                    // It panicked, and told nobody.
                    Some(Err(error)) if progress.state == State::Running => {
                        progress.state = State::Failed;
                        progress.failure = Some(Failure {
                            code: error.code(),
                            message: error.to_string(),
                        });
                    }
                    Some(_) => {}
                }
                progress
            }
        }
    }

    pub(super) fn runs(&self) -> bool {
        self.progress().state == State::Running
    }

    pub(super) fn cancel(&self) {
        match &self.work {
            Work::Count(handle, _) => handle.cancel(),
            Work::Verify(verification) => verification.cancel(),
        }
    }

    pub(super) fn notice_end(&mut self) {
        if self.ended.is_none() && !self.runs() {
            self.ended = Some(Instant::now());
        }
    }

    /// Whether its end was noticed.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    pub(super) fn ended_for(&self) -> Option<Duration> {
        self.ended.map(|ended| ended.elapsed())
    }

    /// What was found: counts while it runs already, a report when it has ended.
    fn result(&self) -> Value {
        match &self.work {
            Work::Count(_, counts) => {
                let counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
                json!({ "events": counts.values().sum::<u64>(), "by_type": &*counts })
            }
            Work::Verify(verification) => match verification.finished().now_or_never() {
                Some(Ok(report)) => json!({
                    "sound": report.is_sound(),
                    "first_fault": report.first(),
                    "report": report,
                }),
                Some(Err(_)) | None => Value::Null,
            },
        }
    }

    /// As the API shows it.
    pub(super) fn view(&self) -> Value {
        // First, so that an end that is shown has its result beside it.
        let progress = self.progress();
        let mut view = json!({
            "id": self.id,
            "purpose": self.request.purpose,
            "tenant": self.request.tenant,
            "request": self.request,
            "result": self.result(),
        });
        if let (Value::Object(view), Ok(Value::Object(progress))) =
            (&mut view, serde_json::to_value(progress))
        {
            view.extend(progress);
        }
        view
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicBool, Ordering},
        time::Duration,
    };

    use eventstore::{
        Options,
        integrity::{PublicKeys, Verify, verify},
    };
    use serde_json::json;
    use time::OffsetDateTime;
    use uuid::Uuid;

    use super::{Entry, Work};

    /// Tells the time once, which is when a verification begins.
    fn breaks() -> OffsetDateTime {
        static TOLD: AtomicBool = AtomicBool::new(false);
        assert!(!TOLD.swap(true, Ordering::Relaxed), "of a verification");
        OffsetDateTime::now_utc()
    }

    #[tokio::test]
    async fn a_verification_that_panicked_does_not_run_for_ever() {
        let store = eventstore::open("sqlite::memory:", Options::default());
        let asked = Verify {
            clock: breaks,
            ..Verify::everything(PublicKeys::none())
        };
        let verification = verify(store.await.unwrap(), asked);
        let request = serde_json::from_value(json!({ "purpose": "verify" })).unwrap();
        let mut entry = Entry::new(Uuid::now_v7(), request, Work::Verify(verification));

        for _ in 0..1000 {
            if !entry.runs() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }

        let view = entry.view();
        assert_eq!(view["state"], "failed", "{view}");
        assert_eq!(view["failure"]["code"], "SIGNET-EVENTS-0085");
        entry.notice_end();
        assert!(entry.ended_for().is_some());
    }
}
