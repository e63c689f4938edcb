//! Where a verification ends, and what lies outside of where events may lie.

use super::error::IntegrityError;
use super::faults::FaultKind;
use super::table;
use super::walk::Walk;
use crate::backend::{LANE, read_error};
use crate::database::arguments;
use crate::error::ReadError;
use crate::event::Position;

/// Finds the end, and events where none can be. Gives the number of events on the way, as far as the
/// positions (or the tenant's sequences, which are not verified yet) tell.
pub(super) async fn find(walk: &mut Walk) -> Result<Option<u64>, IntegrityError> {
    // One statement each: the head and the events are seen at the same moment.
    const OF_ALL: &str = "SELECT head, \
          (SELECT position FROM events WHERE lane = $1 AND position > event_lanes.head \
            ORDER BY position LIMIT 1), \
          (SELECT position FROM events WHERE lane = $1 AND position <= 0 \
            ORDER BY position LIMIT 1), \
          (SELECT position FROM events WHERE lane < $1 ORDER BY lane, position LIMIT 1), \
          (SELECT position FROM events WHERE lane > $1 ORDER BY lane, position LIMIT 1) \
        FROM event_lanes WHERE lane = $1";
    const OF_ONE: &str = "SELECT head, \
          (SELECT position FROM events WHERE tenant = $2 AND position > event_lanes.head \
            ORDER BY position LIMIT 1), \
          (SELECT position FROM events WHERE tenant = $2 AND position <= 0 \
            ORDER BY position LIMIT 1) \
        FROM event_lanes WHERE lane = $1";
    let tenant = walk.verify.tenant_name().map(str::to_owned);
    let mut arguments = arguments![i64::from(LANE)];
    let (sql, looks) = match &tenant {
        Some(tenant) => {
            arguments.push(tenant.as_str().into());
            (OF_ONE, 2)
        }
        None => (OF_ALL, 4),
    };
    let rows = walk.database().fetch(sql, arguments).await;
    let rows = rows.map_err(read_error)?;
    let row = rows
        .first()
        .ok_or_else(|| read_error(sqlx::Error::RowNotFound))?;
    walk.end = row.int(0).map_err(read_error)?.unsigned_abs();
    let head = Position(walk.end);
    if walk.verify.after > head {
        let cursor = walk.verify.after;
        return Err(ReadError::AheadOfStore { cursor, head }.into());
    }
    for look in 1..=looks {
        let Some(position) = row.optional_int(look).map_err(read_error)? else {
            continue;
        };
        let message = match look {
            1 => format!("it lies beyond the head of the store, which is {head}"),
            2 => format!("it has the position {position}"),
            _ => "it lies in a lane that the store does not have".to_owned(),
        };
        let place = (u64::try_from(position).unwrap_or(0), None);
        walk.fault(FaultKind::Added, tenant.as_deref(), place, None, message);
    }
    let Some(tenant) = tenant else {
        return Ok(Some(walk.end - walk.verify.after.0));
    };
    let last = table::chain_end(&walk.database(), &tenant)
        .await
        .ok()
        .flatten();
    let before = walk
        .verify
        .start
        .iter()
        .filter(|start| start.tenant == tenant);
    let before = before.map(|start| start.tenant_sequence).max().unwrap_or(0);
    Ok(last.map(|last| last.end.sequence.saturating_sub(before)))
}
