//! Comparing the events with checkpoints: those in the store, those kept elsewhere, those to start from.

use super::checkpoint::Checkpoint;
use super::error::IntegrityError;
use super::faults::FaultKind;
use super::signing::stands_over;
use super::table::{self, Cursor, Kept};
use super::walk::{Seen, Walk};
use crate::event::Position;

/// Checkpoints read at once.
const PAGE: usize = 200;

/// Takes up the checkpoints that were handed in: those to start from have to be good.
pub(super) async fn starts(walk: &mut Walk) -> Result<(), IntegrityError> {
    let (keys, store) = (walk.verify.keys.clone(), walk.store.id());
    let of_scope = walk.verify.tenant_name().map(str::to_owned);
    let concerns = |checkpoint: &Checkpoint| {
        of_scope
            .as_ref()
            .is_none_or(|tenant| *tenant == checkpoint.tenant)
    };
    let start = std::mem::take(&mut walk.verify.start);
    for checkpoint in start.into_iter().filter(concerns) {
        if let Some((_, message)) = keys.objection(&checkpoint, store) {
            return Err(IntegrityError::Start {
                tenant: checkpoint.tenant,
                tenant_sequence: checkpoint.tenant_sequence,
                message,
            });
        }
        anchor(walk, &checkpoint).await?;
        let known = walk.starts.get(&checkpoint.tenant);
        if known.is_none_or(|known| known.tenant_sequence < checkpoint.tenant_sequence) {
            walk.starts.insert(checkpoint.tenant.clone(), checkpoint);
        }
    }
    let kept = std::mem::take(&mut walk.verify.kept);
    for checkpoint in kept.into_iter().filter(concerns) {
        if let Some((kind, message)) = keys.objection(&checkpoint, store) {
            add(walk, &checkpoint, kind, message);
            continue;
        }
        still_there(walk, &checkpoint).await?;
        let position = checkpoint.position.0;
        if position <= walk.verify.after.0 || position > walk.end {
            anchor(walk, &checkpoint).await?;
        } else {
            walk.kept.entry(position).or_default().push(checkpoint);
        }
    }
    Ok(())
}

/// Looks at the event under a checkpoint that the walk does not come along.
async fn anchor(walk: &mut Walk, checkpoint: &Checkpoint) -> Result<(), IntegrityError> {
    let link = table::link_at(&walk.database(), checkpoint.position).await?;
    match link {
        Some(link) if stands_over(checkpoint, &link) => {}
        Some(_) => forked(walk, checkpoint),
        None if checkpoint.position.0 > walk.end => cut_off(walk, checkpoint),
        None => missing(walk, checkpoint),
    }
    Ok(())
}

async fn still_there(walk: &mut Walk, kept: &Checkpoint) -> Result<(), IntegrityError> {
    let stored = table::at(&walk.database(), &kept.tenant, kept.tenant_sequence).await?;
    let said = |checkpoint: &Checkpoint| (checkpoint.position, checkpoint.hash);
    match stored {
        // Signed again over the same event it says the same.
        Some(Ok(stored)) if said(&stored) == said(kept) => {}
        Some(_) => {
            let message = "the store has another checkpoint in its place".to_owned();
            add(walk, kept, FaultKind::CheckpointGone, message);
        }
        None => {
            let message = "the store does not have this checkpoint any more".to_owned();
            add(walk, kept, FaultKind::CheckpointGone, message);
        }
    }
    Ok(())
}

/// Looks for checkpoints beyond the end of the store.
pub(super) async fn beyond(walk: &mut Walk) -> Result<(), IntegrityError> {
    let tenant = walk.verify.tenant_name().map(str::to_owned);
    let rows = table::beyond_head(&walk.database(), tenant.as_deref(), PAGE).await?;
    for row in rows {
        if let Some(checkpoint) = in_itself(walk, row) {
            cut_off(walk, &checkpoint);
        }
    }
    Ok(())
}

/// Compares the events of a page with the checkpoints up to its end.
pub(super) async fn checkpoints(
    walk: &mut Walk,
    seen: &Seen<'_>,
    until: u64,
) -> Result<(), IntegrityError> {
    let later = walk.kept.split_off(&(until + 1));
    let kept = std::mem::replace(&mut walk.kept, later);
    for checkpoint in kept.into_values().flatten() {
        if compare(walk, seen, &checkpoint) {
            walk.kept_checkpoints += 1;
        }
    }
    let tenant = walk.verify.tenant_name().map(str::to_owned);
    let database = walk.database();
    let mut cursor = Cursor::above(Some(walk.done).filter(|done| *done > 0));
    loop {
        let until = Position(until);
        let rows = table::between(&database, tenant.as_deref(), &cursor, until, PAGE).await?;
        let Some(last) = rows.last() else {
            return Ok(());
        };
        cursor = Cursor::behind(last);
        for row in rows {
            if let Some(checkpoint) = in_itself(walk, row)
                && compare(walk, seen, &checkpoint)
            {
                walk.checkpoints += 1;
            }
        }
    }
}

/// The checkpoint of a row, if it is good in itself.
fn in_itself(walk: &mut Walk, row: Kept) -> Option<Checkpoint> {
    match row {
        Ok(checkpoint) => match walk.verify.keys.objection(&checkpoint, walk.store.id()) {
            None => Some(checkpoint),
            Some((kind, message)) => {
                add(walk, &checkpoint, kind, message);
                None
            }
        },
        Err(row) => {
            let place = (row.position.0, Some(row.tenant_sequence));
            let message = format!("a checkpoint cannot be read: {}", row.message);
            let tenant = Some(row.tenant.as_str());
            walk.fault(FaultKind::BadSignature, tenant, place, None, message);
            None
        }
    }
}

/// Whether the event that a checkpoint stands over is the one that was signed.
fn compare(walk: &mut Walk, seen: &Seen<'_>, checkpoint: &Checkpoint) -> bool {
    match seen.get(&checkpoint.position.0) {
        Some((tenant, end))
            if *tenant == checkpoint.tenant
                && end.sequence == checkpoint.tenant_sequence
                && end.hash == checkpoint.hash =>
        {
            return true;
        }
        Some(_) => forked(walk, checkpoint),
        None if checkpoint.position.0 > walk.latest => cut_off(walk, checkpoint),
        None => missing(walk, checkpoint),
    }
    false
}

fn forked(walk: &mut Walk, checkpoint: &Checkpoint) {
    let message = "the event there is not the one that was signed".to_owned();
    add(walk, checkpoint, FaultKind::Forked, message);
}

fn cut_off(walk: &mut Walk, checkpoint: &Checkpoint) {
    let message = "a checkpoint stands there, and the events end before it".to_owned();
    add(walk, checkpoint, FaultKind::CutOff, message);
}

fn missing(walk: &mut Walk, checkpoint: &Checkpoint) {
    let message = "a checkpoint stands there, and the event is missing".to_owned();
    add(walk, checkpoint, FaultKind::Missing, message);
}

fn add(walk: &mut Walk, checkpoint: &Checkpoint, kind: FaultKind, message: String) {
    let Checkpoint {
        tenant,
        tenant_sequence,
        position,
        key_id,
        ..
    } = checkpoint;
    let message = format!("checkpoint {tenant_sequence} of key {key_id:?}: {message}");
    let place = (position.0, Some(*tenant_sequence));
    walk.fault(kind, Some(tenant), place, None, message);
}
