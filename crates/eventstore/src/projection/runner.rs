//! A runner: sees to it that there is a worker for everything of a projection that is to be worked on.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Projection;
use super::engine::{Engine, Task, pause};
use super::partition::PartitionBy;
use super::register::{self, Layout, MAX_PARTITIONS};
use super::table::Mode;
use super::worker::{self, Ended};
use super::{ProjectionError, swap};
use crate::event::Position;

/// Pause between two pieces of clearing away, so that appends on SQLite get their turn.
const SWEEP_PAUSE: Duration = Duration::from_millis(5);

/// How a projection is run; the defaults suit production.
#[derive(Debug, Clone)]
pub struct RunnerOptions {
    /// Into how many parts the documents are divided, 1 to 256: each has a worker and a checkpoint.
    /// Counts for generations that are built from now on; those that exist stay as they are.
    pub partitions: u32,
    /// What they are divided by.
    pub partition_by: PartitionBy,
    /// For how long a worker may be silent until another takes its place.
    pub lease: Duration,
    /// How often to look what other processes changed (pause, rebuild), at the latest.
    pub poll_interval: Duration,
    /// Events read at once.
    pub page_events: u32,
    /// Events written by one transaction, about. One event is written alone when there is only one.
    pub batch_events: u32,
    /// Documents written by one transaction, about.
    pub batch_documents: u32,
    /// Documents kept in memory between batches, of each partition.
    pub cached_documents: u32,
}

impl Default for RunnerOptions {
    fn default() -> Self {
        Self {
            partitions: 1,
            partition_by: PartitionBy::Tenant,
            lease: Duration::from_secs(10),
            poll_interval: Duration::from_secs(1),
            page_events: 1024,
            batch_events: 65_536,
            batch_documents: 20_000,
            cached_documents: 100_000,
        }
    }
}

impl RunnerOptions {
    pub(crate) fn check(&self) -> Result<(), ProjectionError> {
        let sizes = [self.page_events, self.batch_events, self.batch_documents];
        if !(1..=MAX_PARTITIONS).contains(&self.partitions) {
            let message = format!("there have to be 1 to {MAX_PARTITIONS}");
            return Err(ProjectionError::invalid("partitions", message));
        }
        if self.lease < Duration::from_millis(100) || self.poll_interval.is_zero() {
            let message = "a lease of less than 100 ms, or no time between looks, is too short";
            return Err(ProjectionError::invalid("lease", message));
        }
        if sizes.contains(&0) {
            let message = "pages and batches need at least one event and document";
            return Err(ProjectionError::invalid("batch_events", message));
        }
        Ok(())
    }

    fn layout(&self) -> Layout {
        Layout {
            partitions: self.partitions,
            by: self.partition_by,
        }
    }
}

/// A projection that is run by this process, or waits to be while another process does. It stops when
/// this is dropped.
#[derive(Debug)]
pub struct ProjectionRunner {
    cancelled: CancellationToken,
    task: JoinHandle<()>,
    _cancel_on_drop: DropGuard,
}

impl ProjectionRunner {
    pub(crate) fn start(
        engine: Engine,
        projection: Arc<dyn Projection>,
        options: &RunnerOptions,
        head: watch::Receiver<Position>,
    ) -> Self {
        let cancelled = CancellationToken::new();
        let supervisor = Supervisor {
            engine: Arc::new(engine),
            projection,
            layout: options.layout(),
            poll_interval: options.poll_interval,
            head,
            workers: Vec::new(),
        };
        Self {
            task: tokio::spawn(supervisor.run(cancelled.clone())),
            _cancel_on_drop: cancelled.clone().drop_guard(),
            cancelled,
        }
    }

    /// Ends the workers behind the batch that they are writing, and lets others take over at once.
    pub async fn stop(self) {
        self.cancelled.cancel();
        let _ = self.task.await;
    }
}

struct Supervisor {
    engine: Arc<Engine>,
    projection: Arc<dyn Projection>,
    layout: Layout,
    poll_interval: Duration,
    head: watch::Receiver<Position>,
    workers: Vec<Working>,
}

/// A worker in its own task.
struct Working {
    task: Task,
    cancelled: CancellationToken,
    outcome: JoinHandle<()>,
}

impl Supervisor {
    async fn run(mut self, cancelled: CancellationToken) {
        let mut control = self.engine.signals.control();
        let mut is_registered = false;
        while !cancelled.is_cancelled() {
            control.mark_unchanged();
            match self.look(&mut is_registered).await {
                // There may be more at once.
                Ok(true) => {
                    pause(&cancelled, SWEEP_PAUSE).await;
                    continue;
                }
                Ok(false) => {}
                Err(ProjectionError::Invalid { field, message }) => {
                    tracing::error!(field, message, "a projection cannot be run");
                    return;
                }
                Err(error) => tracing::warn!(
                    %error,
                    projection = self.projection.name(),
                    "cannot look what is to be done about a projection"
                ),
            }
            tokio::select! {
                () = cancelled.cancelled() => {}
                _ = control.changed() => {}
                () = tokio::time::sleep(self.poll_interval) => {}
            }
        }
        for worker in &self.workers {
            worker.cancelled.cancel();
        }
        for worker in self.workers {
            let _ = worker.outcome.await;
        }
    }

    /// Starts and ends workers as it is wanted, and clears a piece away. True: there is more of it.
    async fn look(&mut self, is_registered: &mut bool) -> Result<bool, ProjectionError> {
        let database = &self.engine.database;
        if !*is_registered {
            let (projection, now) = (&*self.projection, self.engine.now());
            register::register(database, projection, Mode::Async, self.layout, now).await?;
            *is_registered = true;
        }
        let wanted = register::tasks(database, &self.projection, Mode::Async).await?;
        self.workers.retain(|worker| {
            let is_wanted = wanted.iter().any(|task| task.is_like(&worker.task));
            if !is_wanted {
                worker.cancelled.cancel();
            }
            is_wanted && !worker.outcome.is_finished()
        });
        for task in wanted {
            if !self.workers.iter().any(|worker| worker.task.is_like(&task)) {
                let worker = self.work(task);
                self.workers.push(worker);
            }
        }
        Ok(swap::sweep_some(&self.engine.database, self.projection.name()).await?)
    }

    fn work(&self, task: Task) -> Working {
        let cancelled = CancellationToken::new();
        let (engine, head) = (Arc::clone(&self.engine), self.head.clone());
        let (its_task, its_token) = (task.clone(), cancelled.clone());
        let outcome = tokio::spawn(async move {
            let ended = worker::work(&engine, &its_task, Some(head), &its_token).await;
            let (projection, generation) = (its_task.name(), its_task.generation);
            match ended {
                Ended::Unavailable(error) => {
                    tracing::warn!(%error, projection, generation, "a projection cannot go on");
                }
                ended => tracing::debug!(?ended, projection, generation, "a worker ended"),
            }
        });
        Working {
            task,
            cancelled,
            outcome,
        }
    }
}
