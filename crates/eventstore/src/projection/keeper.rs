//! Bringing inline projections up to date that are not: new ones, new versions, those that another
//! replica appended past.
//!
//! Most of it is built as an asynchronous projection is, page by page and without the lane. The rest is
//! folded while the lane is held, shortly: nobody can append meanwhile, and from the next append on
//! the projection is current.

use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::engine::{Engine, Limits, Signals, Task};
use super::fold::Fold;
use super::inline::{self, GAP, Inline};
use super::partition::Share;
use super::register::{self, Layout};
use super::runner::RunnerOptions;
use super::table::{Lock, Mode, checkpoints, control, documents, events};
use super::worker::{self, Ended};
use super::{Projection, ProjectionError, swap, table};
use crate::database::Database;
use crate::error::OpenError;

/// How often to look whether somebody appended past a projection.
const LOOK: Duration = Duration::from_millis(250);

/// How often in a row to try to finish.
const ATTEMPTS: u32 = 5;

impl Inline {
    /// Makes the projections known, brings those up to date for which that takes no time, and starts a
    /// keeper for each.
    pub(crate) async fn start(
        &self,
        database: &Database,
        clock: fn() -> OffsetDateTime,
        tasks: &TaskTracker,
        cancelled: &CancellationToken,
    ) -> Result<(), OpenError> {
        let options = RunnerOptions::default();
        let engine = Arc::new(Engine {
            database: database.clone(),
            clock,
            owner: Uuid::new_v4().to_string(),
            lease: options.lease,
            limits: Limits {
                page_events: u64::from(options.page_events),
                batch_events: u64::from(options.batch_events),
                batch_documents: options.batch_documents as usize,
                cached_documents: options.cached_documents as usize,
            },
            signals: Arc::<Signals>::default(),
        });
        for (place, projection) in self.projections.iter().enumerate() {
            let mut others = self.projections[..place].iter();
            if others.any(|other| other.name() == projection.name()) {
                let message = format!("{} is there twice", projection.name());
                return Err(open_error(ProjectionError::invalid("projection", message)));
            }
            prepare(&engine, projection).await.map_err(open_error)?;
        }
        for projection in self.projections.iter() {
            let keeper = keep(
                Arc::clone(&engine),
                Arc::clone(projection),
                self.clone(),
                cancelled.clone(),
            );
            tasks.spawn(keeper);
        }
        Ok(())
    }
}

fn open_error(error: ProjectionError) -> OpenError {
    match error {
        ProjectionError::Invalid { message, .. } => OpenError::InvalidOption {
            option: "inline_projections",
            message,
        },
        error => OpenError::Unavailable {
            source: sqlx::Error::Protocol(error.to_string()),
        },
    }
}

async fn prepare(engine: &Engine, projection: &Arc<dyn Projection>) -> Result<(), ProjectionError> {
    let database = &engine.database;
    let now = engine.now();
    register::register(database, &**projection, Mode::Inline, Layout::WHOLE, now).await?;
    for task in register::tasks(database, projection, Mode::Inline).await? {
        finish(engine, &task).await?;
    }
    Ok(())
}

/// Keeps one projection up to date, until it is cancelled.
async fn keep(
    engine: Arc<Engine>,
    projection: Arc<dyn Projection>,
    inline: Inline,
    cancelled: CancellationToken,
) {
    while !cancelled.is_cancelled() {
        if let Err(error) = look(&engine, &projection, &cancelled).await {
            let projection = projection.name();
            tracing::warn!(%error, projection, "cannot bring an inline projection up to date");
        }
        tokio::select! {
            () = cancelled.cancelled() => {}
            () = inline.wake.notified() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

async fn look(
    engine: &Arc<Engine>,
    projection: &Arc<dyn Projection>,
    cancelled: &CancellationToken,
) -> Result<(), sqlx::Error> {
    let database = &engine.database;
    for task in register::tasks(database, projection, Mode::Inline).await? {
        let checkpoints = checkpoints::look(database, vec![task.generation]).await?;
        // Read behind the checkpoint: they are moved together, so it cannot be below.
        let head = events::head(database).await?;
        let waits = |one: &checkpoints::Checkpoint| {
            one.failed.is_none() && (task.building || one.position < head)
        };
        if checkpoints.iter().any(waits) {
            catch_up(engine, &task, cancelled).await?;
        }
    }
    swap::sweep_some(database, projection.name()).await?;
    Ok(())
}

async fn catch_up(
    engine: &Arc<Engine>,
    task: &Task,
    cancelled: &CancellationToken,
) -> Result<(), sqlx::Error> {
    for _ in 0..ATTEMPTS {
        if finish(engine, task).await? {
            return Ok(());
        }
        match worker::work(engine, task, None, cancelled).await {
            Ended::AtEnd => {}
            Ended::Cancelled | Ended::Lost | Ended::Failed => return Ok(()),
            Ended::Unavailable(error) => return Err(error),
        }
    }
    Ok(())
}

/// Folds the rest while the lane is held. False: that is too much, or an event stops it; a worker has
/// to be sent.
async fn finish(engine: &Engine, task: &Task) -> Result<bool, sqlx::Error> {
    let mut transaction = engine.database.begin().await?;
    let mut session = transaction.session();
    let head = control::take_lane(&mut session).await?;
    let row = control::read(&mut session, task.name(), Lock::Update).await?;
    let is_wanted = |row: &control::Control| {
        let is_known = row.active == task.generation || row.building == Some(task.generation);
        row.mode == Mode::Inline && !row.paused && is_known
    };
    let Some(mut row) = row.filter(is_wanted) else {
        transaction.rollback().await?;
        return Ok(true);
    };
    let position = table::inline::lock_position(&mut session, task.generation).await?;
    // Failed: that is settled until somebody retries it.
    let Some(position) = position else {
        transaction.rollback().await?;
        return Ok(true);
    };
    if position + GAP < head || position > head {
        transaction.rollback().await?;
        return Ok(false);
    }
    let Some(mut recorded) = events::gap(&mut session, position, head).await? else {
        transaction.rollback().await?;
        return Ok(false);
    };
    let mut fold = Fold::new(Arc::clone(&task.projection), Share::WHOLE, false);
    let touched = fold.touched(&mut recorded);
    let missing = fold.missing(&recorded, &touched).into_iter();
    let wanted = missing.map(|name| (task.generation, name)).collect();
    for found in documents::read(&mut session, wanted).await? {
        fold.load(found.name, found.position, found.data);
    }
    let folded = fold
        .apply(&recorded, touched)
        .and_then(|()| fold.take_changes());
    let Ok(changes) = folded else {
        transaction.rollback().await?;
        return Ok(false);
    };
    inline::store(
        &mut session,
        vec![(task.generation, changes)],
        head,
        engine.now(),
    )
    .await?;
    if row.building == Some(task.generation) {
        swap::activate(&mut session, &mut row, task.generation).await?;
    }
    transaction.commit().await?;
    Ok(true)
}
