//! Verifying: what is asked, and the verification that runs.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::checkpoint::Checkpoint;
use super::error::IntegrityError;
use super::faults::Report;
use super::keys::PublicKeys;
use super::walk::Walk;
use crate::event::Position;
use crate::replay::{Failure, Meter, Progress, State};
use crate::store::EventStore;

/// Whose events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum VerifyScope {
    /// The chain of one tenant.
    Tenant(String),
    /// All chains, and that no position is missing.
    Everything,
}

/// What is verified, and with what.
#[derive(Debug, Clone)]
pub struct Verify {
    /// Whose events.
    pub scope: VerifyScope,
    /// Keys that are trusted. From somewhere else than the database.
    pub keys: PublicKeys,
    /// Events up to here are taken as verified, as far as `start` stands over them.
    pub after: Position,
    /// Trusted checkpoints to start from.
    pub start: Vec<Checkpoint>,
    /// Checkpoints that were kept elsewhere: the events must fit them, and the store must still have
    /// them. Those of other tenants than that of the scope are passed over.
    pub kept: Vec<Checkpoint>,
    /// Events read at once; fewer if they are big.
    pub page_len: usize,
    /// Source of the times in the progress.
    pub clock: fn() -> OffsetDateTime,
}

impl Verify {
    /// All of `scope`, with these keys.
    pub fn of(scope: VerifyScope, keys: PublicKeys) -> Self {
        Self {
            scope,
            keys,
            after: Position::START,
            start: Vec::new(),
            kept: Vec::new(),
            page_len: 500,
            clock: OffsetDateTime::now_utc,
        }
    }

    /// The whole chain of a tenant.
    pub fn tenant(tenant: impl Into<String>, keys: PublicKeys) -> Self {
        Self::of(VerifyScope::Tenant(tenant.into()), keys)
    }

    /// The whole store.
    pub fn everything(keys: PublicKeys) -> Self {
        Self::of(VerifyScope::Everything, keys)
    }

    /// Only what is behind a position, taking the chains up as trusted checkpoints say: for a tenant
    /// the position of its checkpoint, for everything [`SignedAll::covered`](super::SignedAll) and the
    /// newest checkpoint of every tenant then. A tenant that has later events, but whose checkpoint is
    /// missing or older, is verified from its checkpoint (or its beginning) on.
    #[must_use]
    pub fn resume(mut self, after: Position, start: Vec<Checkpoint>) -> Self {
        self.after = after;
        self.start = start;
        self
    }

    /// Also against checkpoints that were kept elsewhere.
    #[must_use]
    pub fn against(mut self, kept: Vec<Checkpoint>) -> Self {
        self.kept = kept;
        self
    }

    pub(super) fn tenant_name(&self) -> Option<&str> {
        match &self.scope {
            VerifyScope::Tenant(tenant) => Some(tenant),
            VerifyScope::Everything => None,
        }
    }
}

/// Starts a verification on the Tokio runtime that it is called in. It reads up to where the store ends
/// then; memory grows with the number of tenants only. Dropping it stops nothing.
pub fn verify(store: Arc<dyn EventStore>, verify: Verify) -> Verification {
    let clock = verify.clock;
    let meter = Meter::new(clock(), Instant::now());
    let (sender, progress) = watch::channel(meter.progress().clone());
    let (ended, report) = watch::channel(None);
    let cancelled = CancellationToken::new();
    let walk = Walk::new(store, verify, meter, sender, cancelled.clone());
    tokio::spawn(async move {
        let (outcome, mut meter, sender) = walk.run().await;
        let (state, failure) = match &outcome {
            Ok(report) if report.complete => (State::Done, None),
            Ok(_) => (State::Cancelled, None),
            Err(error) => {
                let (code, message) = (error.code(), error.to_string());
                (State::Failed, Some(Failure { code, message }))
            }
        };
        meter.end(state, clock(), failure);
        sender.send_replace(meter.progress().clone());
        ended.send_replace(Some(outcome));
    });
    Verification {
        progress,
        cancelled,
        report,
    }
}

/// A verification that runs; clones are the same.
#[derive(Clone)]
pub struct Verification {
    progress: watch::Receiver<Progress>,
    cancelled: CancellationToken,
    report: watch::Receiver<Option<Result<Report, IntegrityError>>>,
}

impl Verification {
    /// How far it is now.
    pub fn progress(&self) -> Progress {
        self.progress.borrow().clone()
    }

    /// Its progress as it changes, page by page.
    pub fn watch(&self) -> watch::Receiver<Progress> {
        self.progress.clone()
    }

    /// Stops it behind the page in hand; the report is then not complete.
    pub fn cancel(&self) {
        self.cancelled.cancel();
    }

    /// Waits for the report.
    ///
    /// # Errors
    /// [`IntegrityError::Start`], [`IntegrityError::Read`], [`IntegrityError::BrokenOff`]. Faults are
    /// not errors: they are in the report.
    pub async fn finished(&self) -> Result<Report, IntegrityError> {
        let mut report = self.report.clone();
        match report.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(outcome)) => outcome.clone(),
            // It panicked, or the runtime shuts down.
            _ => Err(IntegrityError::BrokenOff),
        }
    }
}

impl fmt::Debug for Verification {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Verification")
    }
}
