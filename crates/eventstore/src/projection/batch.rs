//! Writing a batch: documents and checkpoint in one transaction, or nothing.

use super::changes::Changes;
use super::engine::{Engine, Task};
use super::table::checkpoints::{self, Lease, Step};
use super::table::{Lock, control, documents};
use crate::database::Session;

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    Yes,
    /// Nothing was written: the partition is somebody else's by now, or not to be worked on.
    Lost,
}

/// Writes what was folded between two positions.
pub(crate) async fn write(
    engine: &Engine,
    task: &Task,
    lease: Lease,
    step: Step,
    changes: Changes,
) -> Result<Written, sqlx::Error> {
    let mut transaction = engine.database.begin().await?;
    let mut session = transaction.session();
    let (now, lease_for) = (engine.now(), engine.lease_for());
    if !may_write(&mut session, task, now).await?
        || !checkpoints::advance(&mut session, lease, step, now, lease_for).await?
    {
        transaction.rollback().await?;
        return Ok(Written::Lost);
    }
    let of = task.generation;
    let upserts = changes.upserts.into_iter().map(|upsert| (of, upsert));
    documents::write(&mut session, upserts.collect()).await?;
    let deletes = changes.deletes.into_iter().map(|name| (of, name));
    documents::delete(&mut session, deletes.collect()).await?;
    transaction.commit().await?;
    Ok(Written::Yes)
}

/// Whether a worker may write its generation; holds the answer to the end of the transaction.
async fn may_write(session: &mut Session<'_>, task: &Task, now: i64) -> Result<bool, sqlx::Error> {
    let Some(control) = control::read(session, task.name(), Lock::Share).await? else {
        return Ok(false);
    };
    let is_active = control.active == task.generation;
    let is_building = control.building == Some(task.generation);
    let held = is_active && control.building.is_some() && control.hold_until > now;
    Ok(control.mode == task.mode
        && !control.paused
        && control.cache_epoch == task.cache_epoch
        && (is_active || is_building)
        && !held)
}
