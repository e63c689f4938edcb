//! A worker: takes the lease of a partition, and folds its events as long as it has it.
//!
//! Three things go on at once: the next page is read, the last one is folded, the batch before is
//! written. A batch is whatever was folded while the one before was written, so it grows under load
//! and is one event when there is one.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::batch::{self, Written};
use super::engine::{Engine, Task};
use super::fold::{Fold, Stop};
use super::page::{Page, Pages};
use super::table::checkpoints::{self, Failed, Lease, Step, Taken};
use super::table::documents;
use super::{lease, swap};
use crate::event::Position;

/// How often a lease is prolonged while nothing is written.
const RENEWALS_PER_LEASE: u32 = 3;

/// Why a worker ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// It was told to.
    Cancelled,
    /// It is at the end of the store, and was to go no further.
    AtEnd,
    /// It lost the lease, or the generation is not to be worked on any more.
    Lost,
    /// The projection cannot get past an event; the checkpoint says so.
    Failed,
    /// The database does not answer.
    Unavailable(sqlx::Error),
}

/// Why the folding stopped, beside the ends of a worker.
enum Interruption {
    End(Ended),
    /// Again from the checkpoint, up to this event.
    Stopped(Stop),
}

impl From<sqlx::Error> for Interruption {
    fn from(error: sqlx::Error) -> Self {
        Self::End(Ended::Unavailable(error))
    }
}

impl From<Stop> for Interruption {
    fn from(stop: Stop) -> Self {
        Self::Stopped(stop)
    }
}

/// Works on a partition: for as long as `head` gives news, or without it to the end of the store.
pub(crate) async fn work(
    engine: &Arc<Engine>,
    task: &Task,
    head: Option<watch::Receiver<Position>>,
    cancelled: &CancellationToken,
) -> Ended {
    let mut stop = None;
    loop {
        let taken = match lease::acquire(engine, task, cancelled).await {
            Ok(Some(taken)) => taken,
            Ok(None) => return Ended::Cancelled,
            Err(error) => return Ended::Unavailable(error),
        };
        let worker = Worker::start(engine, task, taken, head.clone(), stop.take());
        match worker.run(cancelled).await {
            Interruption::Stopped(earlier) => stop = Some(earlier),
            Interruption::End(ended) => {
                if !matches!(ended, Ended::Lost | Ended::Failed) {
                    // If it cannot be given back it runs out.
                    let _ = lease::give_back(engine, taken.lease).await;
                }
                return ended;
            }
        }
    }
}

/// A batch on its way.
struct Writing {
    to: u64,
    outcome: JoinHandle<Result<Written, sqlx::Error>>,
}

struct Worker<'a> {
    engine: &'a Arc<Engine>,
    task: &'a Task,
    lease: Lease,
    fold: Fold,
    pages: Pages,
    /// Position of the checkpoint.
    written: u64,
    /// Position up to which events are folded.
    folded: u64,
    writing: Option<Writing>,
    /// Whether the store ended at `folded` when it was read.
    at_end: bool,
    /// Whether there is somebody to say what comes after the end.
    follows: bool,
    /// Whether no page comes any more.
    over: bool,
    /// The event that nothing goes past.
    stop: Option<Stop>,
    /// Events per second, the last batches counting most.
    rate: f64,
    /// Since when there is something to do that is not done: the last batch, or the end of a rest.
    busy_since: Option<Instant>,
}

impl<'a> Worker<'a> {
    fn start(
        engine: &'a Arc<Engine>,
        task: &'a Task,
        taken: Taken,
        head: Option<watch::Receiver<Position>>,
        stop: Option<Stop>,
    ) -> Self {
        let limits = engine.limits;
        let is_empty = taken.position == 0 && taken.documents == 0;
        Self {
            engine,
            task,
            lease: taken.lease,
            fold: Fold::new(Arc::clone(&task.projection), task.share, is_empty),
            follows: head.is_some(),
            pages: Pages::start(
                engine.database.clone(),
                task.share,
                taken.position,
                limits.page_events,
                head,
            ),
            written: taken.position,
            folded: taken.position,
            writing: None,
            at_end: false,
            over: false,
            stop,
            rate: 0.0,
            busy_since: Some(Instant::now()),
        }
    }

    async fn run(mut self, cancelled: &CancellationToken) -> Interruption {
        let ended = self.follow(cancelled).await;
        // What is on its way may still be stored; nothing may be begun anew before that is known.
        if let Some(writing) = self.writing.take() {
            let _ = writing.outcome.await;
        }
        match ended {
            Err(interruption) => interruption,
            Ok(ended) => Interruption::End(ended),
        }
    }

    async fn follow(&mut self, cancelled: &CancellationToken) -> Result<Ended, Interruption> {
        let limits = self.engine.limits;
        let mut renewal = tokio::time::interval(self.engine.lease / RENEWALS_PER_LEASE);
        renewal.reset();
        loop {
            if self.writing.is_none() {
                if self.folded > self.written {
                    self.write()?;
                } else if let Some(ended) = self.settled().await? {
                    return Ok(ended);
                }
            }
            let has_room = !self.over
                && !self.is_stopped()
                && self.folded - self.written < limits.batch_events
                && self.fold.changed() < limits.batch_documents;
            tokio::select! {
                () = cancelled.cancelled() => return Ok(Ended::Cancelled),
                outcome = outcome(&mut self.writing) => self.wrote(outcome?)?,
                page = self.pages.next(), if has_room => match page {
                    Some(page) => self.fold(page?).await?,
                    None => self.over = true,
                },
                _ = renewal.tick(), if self.writing.is_none() => self.renew().await?,
            }
        }
    }

    fn is_stopped(&self) -> bool {
        let stop = self.stop.as_ref();
        stop.is_some_and(|stop| stop.position <= self.folded + 1)
    }

    /// Folds a page, up to the event that nothing goes past.
    async fn fold(&mut self, mut page: Page) -> Result<(), Interruption> {
        if self.stop.is_none() {
            self.stop = page.stop.take();
        }
        if let Some(stop) = &self.stop {
            page.events.retain(|event| event.position.0 < stop.position);
            page.last = page.last.min(stop.position.saturating_sub(1));
        }
        let touched = self.fold.touched(&mut page.events);
        let missing = self.fold.missing(&page.events, &touched);
        let missing = missing.into_iter().map(|name| (self.task.generation, name));
        match documents::look(&self.engine.database, missing.collect()).await {
            Ok(found) => {
                for found in found {
                    self.fold.load(found.name, found.position, found.data);
                }
            }
            Err(sqlx::Error::Decode(error)) => {
                let message = format!("a document is corrupt ({error}); clear the projection");
                let position = self.folded + 1;
                self.stop = Some(Stop { position, message });
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        }
        self.fold.apply(&page.events, touched)?;
        self.folded = page.last.max(self.folded);
        self.at_end = page.end;
        if self.folded > self.written && self.busy_since.is_none() {
            self.busy_since = Some(Instant::now());
        }
        Ok(())
    }

    /// Sends what was folded on its way.
    fn write(&mut self) -> Result<(), Interruption> {
        let changes = self.fold.take_changes()?;
        let step = Step {
            from: self.written,
            to: self.folded,
            grows: changes.grows,
            rate: self.rate as u64,
        };
        let (engine, task, lease) = (Arc::clone(self.engine), self.task.clone(), self.lease);
        let outcome = async move { batch::write(&engine, &task, lease, step, changes).await };
        self.writing = Some(Writing {
            to: self.folded,
            outcome: tokio::spawn(outcome),
        });
        Ok(())
    }

    fn wrote(&mut self, (written, to): (Written, u64)) -> Result<(), Interruption> {
        if written == Written::Lost {
            return Err(Interruption::End(Ended::Lost));
        }
        if let Some(since) = self.busy_since.take() {
            let events = to.saturating_sub(self.written) as f64;
            let rate = events / since.elapsed().as_secs_f64().max(1e-6);
            self.rate = if self.rate == 0.0 {
                rate
            } else {
                self.rate.mul_add(0.8, rate * 0.2)
            };
        }
        let rests = self.at_end && self.folded == to;
        self.busy_since = (!rests).then(Instant::now);
        self.written = to;
        self.fold.forget_beyond(self.engine.limits.cached_documents);
        self.tell();
        Ok(())
    }

    /// Everything folded is written: whether that is the end of something.
    async fn settled(&mut self) -> Result<Option<Ended>, Interruption> {
        if let Some(stop) = self.stop.take_if(|stop| stop.position <= self.written + 1) {
            self.fail(stop).await?;
            return Ok(Some(Ended::Failed));
        }
        if !self.at_end {
            return match self.over {
                true => Err(sqlx::Error::WorkerCrashed.into()),
                false => Ok(None),
            };
        }
        if !self.follows {
            return Ok(Some(Ended::AtEnd));
        }
        if self.task.building && swap::try_swap(self.engine, self.task).await? {
            // From now on it is the active one, and another worker's task.
            return Ok(Some(Ended::Lost));
        }
        Ok(None)
    }

    async fn fail(&mut self, stop: Stop) -> Result<(), sqlx::Error> {
        tracing::error!(
            projection = self.task.name(),
            position = stop.position,
            message = %stop.message,
            "a projection cannot get past an event"
        );
        let failed = Failed {
            position: stop.position,
            message: stop.message,
            at: self.engine.now(),
        };
        let mut transaction = self.engine.database.begin().await?;
        checkpoints::fail(&mut transaction.session(), self.lease, &failed).await?;
        transaction.commit().await?;
        self.tell();
        Ok(())
    }

    fn tell(&self) {
        let partition = (self.task.generation, self.task.share.partition);
        self.engine.signals.progressed(partition, self.written);
    }

    async fn renew(&mut self) -> Result<(), Interruption> {
        match lease::renew(self.engine, self.lease).await? {
            true => Ok(()),
            false => Err(Interruption::End(Ended::Lost)),
        }
    }
}

/// Waits for a batch that is on its way; for ever if there is none.
async fn outcome(writing: &mut Option<Writing>) -> Result<(Written, u64), sqlx::Error> {
    let Some(on_its_way) = writing else {
        return std::future::pending().await;
    };
    let joined = (&mut on_its_way.outcome).await;
    let to = on_its_way.to;
    *writing = None;
    let written = joined.map_err(|_| sqlx::Error::WorkerCrashed)??;
    Ok((written, to))
}
