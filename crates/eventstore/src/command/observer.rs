//! Telling what becomes of commands, to count and to measure it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::error::CommandError;
use crate::event::StreamKey;

/// What became of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Its events are stored.
    Stored,
    /// A call with the same key was stored before.
    Repeated,
    /// There was nothing to change.
    Unchanged,
    /// The domain refused.
    Refused,
    /// It can never be stored as it is, or its key was used for another.
    Invalid,
    /// It was called too often.
    Limited,
    /// Too many were waiting.
    Busy,
    /// Others were first too often.
    Contended,
    /// The store was away.
    Unavailable,
    /// Something is broken: stored events, or the domain's code.
    Failed,
    /// Its caller went away, or never appended what it decided.
    Abandoned,
}

impl Outcome {
    /// The outcome as a label of a metric.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Repeated => "repeated",
            Self::Unchanged => "unchanged",
            Self::Refused => "refused",
            Self::Invalid => "invalid",
            Self::Limited => "limited",
            Self::Busy => "busy",
            Self::Contended => "contended",
            Self::Unavailable => "unavailable",
            Self::Failed => "failed",
            Self::Abandoned => "abandoned",
        }
    }
}

impl From<&CommandError> for Outcome {
    fn from(error: &CommandError) -> Self {
        match error {
            CommandError::Unavailable { .. } => Self::Unavailable,
            CommandError::Contended { .. } => Self::Contended,
            CommandError::Limited { .. } => Self::Limited,
            CommandError::Busy => Self::Busy,
            CommandError::Invalid { .. } | CommandError::KeyReused { .. } => Self::Invalid,
            CommandError::NotUnderstood { .. }
            | CommandError::Corrupt { .. }
            | CommandError::Unwritable { .. } => Self::Failed,
        }
    }
}

/// What is told about one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandReport {
    /// The command.
    pub command: &'static str,
    /// Its stream, with its tenant; not for a label, there are too many.
    pub stream: StreamKey,
    /// What became of it.
    pub outcome: Outcome,
    /// Time from the call to the end, waiting included.
    pub duration: Duration,
    /// How much of it was spent waiting for its turn.
    pub waited: Duration,
    /// How often something was appended or tried to be.
    pub attempts: u32,
    /// How often somebody else was first.
    pub conflicts: u32,
    /// How often the store failed.
    pub faults: u32,
    /// Events that were stored.
    pub events: usize,
}

/// Is told about every call, once, when it ends. It must not block.
pub trait Observer: Send + Sync + 'static {
    /// A call ended.
    fn ended(&self, report: &CommandReport);
}

/// Observes nothing.
impl Observer for () {
    fn ended(&self, _report: &CommandReport) {}
}

/// The report of a call in progress. It is handed over when it is dropped, so also when the caller
/// goes away.
pub(super) struct Running {
    observer: Arc<dyn Observer>,
    started: Instant,
    pub(super) report: CommandReport,
}

impl Running {
    pub(super) fn start(
        observer: Arc<dyn Observer>,
        command: &'static str,
        stream: StreamKey,
    ) -> Self {
        let report = CommandReport {
            command,
            stream,
            outcome: Outcome::Abandoned,
            duration: Duration::ZERO,
            waited: Duration::ZERO,
            attempts: 0,
            conflicts: 0,
            faults: 0,
            events: 0,
        };
        Self {
            observer,
            started: Instant::now(),
            report,
        }
    }

    /// Its turn came.
    pub(super) fn let_in(&mut self) {
        self.report.waited = self.started.elapsed();
    }

    /// Notes how it failed.
    pub(super) fn failed(&mut self, error: CommandError) -> CommandError {
        self.report.outcome = Outcome::from(&error);
        error
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.report.duration = self.started.elapsed();
        self.observer.ended(&self.report);
    }
}
