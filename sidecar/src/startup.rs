//! Starting in order: content held, rings warmed, the workload's first token; then the API serves.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::central::{Backoff, Connection, ConnectionState};
use crate::clock::Moment;
use crate::content::Content;
use crate::identity::OwnTokens;
use crate::ids::{Generators, IdError, Supply};
use crate::metrics::Metrics;

const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// How often a start that takes long is told about in the log.
const REMIND_EVERY: Duration = Duration::from_secs(10);

/// How far the start is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// Whether the API serves.
    pub started: bool,
    /// What is waited for: `content`, `generators`, `token`; none when started.
    pub waiting_for: Option<&'static str>,
    /// Why it is not there yet, a sentence.
    pub reason: Option<String>,
}

/// Walks through the start once, and knows where it is.
#[derive(Debug)]
pub struct Startup {
    connection: Arc<Connection>,
    content: Arc<Content>,
    generators: Arc<Generators>,
    tokens: Arc<OwnTokens>,
    metrics: Arc<Metrics>,
    warm: Vec<String>,
    /// What is waited for, and why it is not there yet. Several steps go on side by side.
    pending: Mutex<BTreeMap<Step, String>>,
    progress: watch::Sender<Progress>,
}

/// One thing to be waited for; the first of them names the stage.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Content,
    Generator(String),
    Token,
}

impl Step {
    fn stage(&self) -> &'static str {
        match self {
            Self::Content => "content",
            Self::Generator(_) => "generators",
            Self::Token => "token",
        }
    }
}

impl Startup {
    /// `warm`: the generators that must hold ids.
    #[must_use]
    pub fn new(
        connection: Arc<Connection>,
        content: Arc<Content>,
        generators: Arc<Generators>,
        tokens: Arc<OwnTokens>,
        metrics: Arc<Metrics>,
        warm: Vec<String>,
    ) -> Self {
        let progress = watch::Sender::new(waiting("content", "central is being connected to"));
        Self {
            connection,
            content,
            generators,
            tokens,
            metrics,
            warm,
            pending: Mutex::default(),
            progress,
        }
    }

    /// How far the start is, now and whenever that changes.
    #[must_use]
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Whether the API serves.
    #[must_use]
    pub fn is_started(&self) -> bool {
        self.progress.borrow().started
    }

    /// Walks through the start; tries again what fails, until it succeeds or is cancelled.
    pub async fn run(&self, shutdown: CancellationToken) {
        let began = Moment::now();
        let steps = async {
            self.hold_content().await;
            // Side by side: each is a call to central.
            let warm = futures::future::join_all(self.warm.iter().map(|name| self.warm(name)));
            futures::future::join(warm, self.obtain_token()).await;
        };
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = steps => {}
            () = self.remind() => {}
        }
        self.metrics.started.set(1);
        info!(after = ?Moment::now().since(began), "started");
        let started = Progress {
            started: true,
            waiting_for: None,
            reason: None,
        };
        self.progress.send_replace(started);
    }

    async fn hold_content(&self) {
        let (mut changes, mut connection) = (self.content.changes(), self.connection.state());
        loop {
            let missing = self.content.missing();
            if missing.is_empty() {
                return self.done(&Step::Content);
            }
            let reason = match &*connection.borrow_and_update() {
                ConnectionState::Connecting => "central is being connected to".to_owned(),
                ConnectionState::Away { problem } => problem.clone(),
                ConnectionState::Connected => {
                    format!(
                        "central has not sent anything usable of: {}",
                        missing.join(", ")
                    )
                }
            };
            self.wait_for(Step::Content, reason);
            // Neither sender goes away before this does.
            tokio::select! {
                _ = changes.changed() => {}
                _ = connection.changed() => {}
            }
        }
    }

    /// Waits until the generator holds ids. One that is not declared yet may be.
    async fn warm(&self, name: &str) {
        let (mut changes, step) = (self.content.changes(), Step::Generator(name.to_owned()));
        loop {
            changes.mark_unchanged();
            let mut supply = match self.generators.generator(name) {
                Ok(generator) => {
                    let supply = generator.supply();
                    if generator.level() > 0 {
                        return self.done(&step);
                    }
                    supply
                }
                Err(error) => {
                    self.wait_for(step.clone(), error.to_string());
                    let _ = changes.changed().await;
                    continue;
                }
            };
            let reason = match &*supply.borrow() {
                Supply::Arriving => format!("the first ids of generator {name} are on the way"),
                Supply::Failing(problem) => format!("no ids of generator {name}: {problem}"),
                Supply::Exhausted => IdError::Exhausted {
                    name: name.to_owned(),
                }
                .to_string(),
                Supply::Unknown => IdError::Unknown {
                    name: name.to_owned(),
                }
                .to_string(),
            };
            self.wait_for(step.clone(), reason);
            tokio::select! {
                _ = supply.changed() => {}
                _ = changes.changed() => {}
            }
        }
    }

    async fn obtain_token(&self) {
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        while let Err(error) = self.tokens.get(None).await {
            self.wait_for(Step::Token, error.to_string());
            tokio::time::sleep(backoff.after_failure()).await;
        }
        self.done(&Step::Token);
    }

    fn wait_for(&self, step: Step, reason: String) {
        self.change_pending(|pending| pending.insert(step, reason));
    }

    fn done(&self, step: &Step) {
        self.change_pending(|pending| pending.remove(step));
    }

    fn change_pending(&self, change: impl FnOnce(&mut BTreeMap<Step, String>) -> Option<String>) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut pending);
        let Some(first) = pending.keys().next() else {
            return;
        };
        let reasons: Vec<&str> = pending.values().map(String::as_str).collect();
        let progress = waiting(first.stage(), reasons.join("; "));
        self.progress.send_if_modified(|current| {
            let changed = *current != progress;
            *current = progress;
            changed
        });
    }

    /// Says in the log why the start takes long. Never ends.
    async fn remind(&self) {
        loop {
            tokio::time::sleep(REMIND_EVERY).await;
            let progress = self.progress.borrow().clone();
            warn!(
                waiting_for = progress.waiting_for,
                reason = progress.reason,
                "not started yet"
            );
        }
    }
}

fn waiting(what: &'static str, reason: impl Into<String>) -> Progress {
    Progress {
        started: false,
        waiting_for: Some(what),
        reason: Some(reason.into()),
    }
}
