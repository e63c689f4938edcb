//! One replay that runs or ran.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use eventstore::{
    integrity::Verification,
    replay::{Progress, ReplayHandle, State},
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
                // Its report comes a moment after its last progress.
                if verification.finished().now_or_never().is_none() {
                    progress.state = State::Running;
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
