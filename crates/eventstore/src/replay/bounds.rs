//! From a request to where a walk begins and ends, by look-ups in indexes.

use time::OffsetDateTime;

use super::bisection::Bisection;
use super::request::{Replay, ReplayScope};
use crate::backend::{LANE, read_error};
use crate::database::{Argument, Row, arguments};
use crate::error::ReadError;
use crate::event::{Position, StreamKey};
use crate::reader::Reader;

/// Along which index.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Path {
    /// Versions of a stream.
    Stream(StreamKey),
    /// Positions of a tenant's events.
    Tenant(String),
    /// Positions of a tenant's events of one type.
    TenantType(String, String),
    /// All positions.
    Everything,
}

/// A way to go.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Walk {
    pub(super) path: Path,
    /// Version or position, as the path has it, before the first.
    pub(super) after: u64,
    /// The last.
    pub(super) until: u64,
    /// The same as positions.
    pub(super) positions: (Position, Position),
    /// How many events there are on it, if an index tells.
    pub(super) total: Option<u64>,
}

/// Looks up where a replay begins and ends. What is appended from now on is not part of it.
pub(super) async fn walk(reader: &Reader, replay: &Replay) -> Result<Walk, ReadError> {
    let head = reader.head().await?;
    if replay.after > head {
        let cursor = replay.after;
        return Err(ReadError::AheadOfStore { cursor, head });
    }
    let until = replay.until.unwrap_or(head).min(head);
    match &replay.scope {
        ReplayScope::Stream(stream) => stream_walk(reader, replay, stream, until).await,
        ReplayScope::Tenant(tenant) => {
            let until = until_time(reader, replay, until).await?;
            let total = if replay.event_types.len() == 1 {
                None
            } else {
                let before = sequence_at(reader, tenant, replay.after).await?;
                let last = sequence_at(reader, tenant, until).await?;
                Some(last.saturating_sub(before))
            };
            let path = match replay.event_types.as_slice() {
                [one] => Path::TenantType(tenant.clone(), one.clone()),
                _ => Path::Tenant(tenant.clone()),
            };
            Ok(along_positions(path, replay.after, until, total))
        }
        ReplayScope::Everything => {
            let until = until_time(reader, replay, until).await?;
            let total = Some(until.0.saturating_sub(replay.after.0));
            Ok(along_positions(
                Path::Everything,
                replay.after,
                until,
                total,
            ))
        }
    }
}

fn along_positions(path: Path, after: Position, until: Position, total: Option<u64>) -> Walk {
    Walk {
        path,
        after: after.0,
        until: until.0,
        positions: (after, until.max(after)),
        total,
    }
}

async fn until_time(
    reader: &Reader,
    replay: &Replay,
    until: Position,
) -> Result<Position, ReadError> {
    match replay.until_time {
        Some(time) => position_at(reader, time, until).await,
        None => Ok(until),
    }
}

/// The last position up to `last` that was recorded at `time` or earlier.
async fn position_at(
    reader: &Reader,
    time: OffsetDateTime,
    last: Position,
) -> Result<Position, ReadError> {
    let mut bisection = Bisection::new(0, last.0);
    while let Some(probe) = bisection.probe() {
        const LOOK: &str = "SELECT recorded_at FROM events WHERE lane = $1 AND position <= $2 \
            ORDER BY position DESC LIMIT 1";
        let found = first(reader, LOOK, arguments![i64::from(LANE), probe]).await?;
        let at = found.map(|row| row.time(0)).transpose();
        bisection.answer(at.map_err(read_error)?.is_none_or(|at| at <= time));
    }
    Ok(Position(bisection.found()))
}

/// How many events a tenant had up to a position.
async fn sequence_at(reader: &Reader, tenant: &str, at: Position) -> Result<u64, ReadError> {
    const LOOK: &str = "SELECT tenant_sequence FROM events WHERE tenant = $1 AND position <= $2 \
        ORDER BY position DESC LIMIT 1";
    let found = first(reader, LOOK, arguments![tenant, at.0]).await?;
    let sequence = found.map(|row| row.int(0)).transpose();
    Ok(sequence.map_err(read_error)?.unwrap_or(0).unsigned_abs())
}

/// An event of a stream, as far as bounds go.
#[derive(Debug, Clone, Copy)]
struct Place {
    version: u64,
    position: Position,
    recorded_at: OffsetDateTime,
}

async fn stream_walk(
    reader: &Reader,
    replay: &Replay,
    stream: &StreamKey,
    until: Position,
) -> Result<Walk, ReadError> {
    let greatest = replay.until_version.unwrap_or(u64::MAX);
    let last = place(reader, stream, greatest).await?;
    let last = last.map_or(0, |place| place.version);
    let after = if replay.after == Position::START {
        0
    } else {
        last_version(reader, stream, last, |place| place.position <= replay.after).await?
    };
    let within = |place: Place| {
        place.position <= until
            && replay
                .until_time
                .is_none_or(|time| place.recorded_at <= time)
    };
    let bounded = replay.until.is_some() || replay.until_time.is_some();
    let last = if bounded {
        last_version(reader, stream, last, within).await?
    } else {
        last
    };
    let end = place(reader, stream, last).await?;
    let end = end.map_or(replay.after, |place| place.position);
    Ok(Walk {
        path: Path::Stream(stream.clone()),
        after,
        until: last.max(after),
        positions: (replay.after, end.max(replay.after)),
        total: Some(last.saturating_sub(after)),
    })
}

/// The last version up to `last` that fits.
async fn last_version(
    reader: &Reader,
    stream: &StreamKey,
    last: u64,
    fits: impl Fn(Place) -> bool,
) -> Result<u64, ReadError> {
    let mut bisection = Bisection::new(0, last);
    while let Some(probe) = bisection.probe() {
        let place = place(reader, stream, probe).await?;
        bisection.answer(place.is_none_or(&fits));
    }
    Ok(bisection.found())
}

/// The event of a stream at a version, or the one before it.
async fn place(
    reader: &Reader,
    stream: &StreamKey,
    version: u64,
) -> Result<Option<Place>, ReadError> {
    const LOOK: &str = "SELECT stream_version, position, recorded_at FROM events \
        WHERE tenant = $1 AND stream_type = $2 AND stream_id = $3 AND stream_version <= $4 \
        ORDER BY stream_version DESC LIMIT 1";
    let StreamKey {
        tenant,
        stream_type,
        stream_id,
    } = stream;
    let arguments = arguments![
        tenant.as_str(),
        stream_type.as_str(),
        stream_id.as_str(),
        version,
    ];
    let read = |row: Row| {
        Ok(Place {
            version: row.int(0)?.unsigned_abs(),
            position: Position(row.int(1)?.unsigned_abs()),
            recorded_at: row.time(2)?,
        })
    };
    let found = first(reader, LOOK, arguments).await?;
    found.map(read).transpose().map_err(read_error)
}

async fn first(
    reader: &Reader,
    sql: &str,
    arguments: Vec<Argument>,
) -> Result<Option<Row>, ReadError> {
    let rows = reader.database().fetch(sql, arguments).await;
    Ok(rows.map_err(read_error)?.into_iter().next())
}
