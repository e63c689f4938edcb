//! Reading page by page along a walk, ahead of the visitor.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::bounds::{Path, Walk};
use super::request::Replay;
use crate::backend::LANE;
use crate::database::{Argument, arguments};
use crate::error::ReadError;
use crate::event::{Position, RecordedEvent};
use crate::reader::{PAGE_BYTES, Reader, columns, recorded};

/// How often a page is tried when the database is away, and how long the first pause is; each is twice
/// the one before.
const ATTEMPTS: u32 = 7;
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// What was read at once.
#[derive(Debug)]
pub(super) struct Page {
    /// Those that passed the filters.
    pub(super) events: Vec<RecordedEvent>,
    /// How many were looked at.
    pub(super) read: u64,
    /// Everything up to here was looked at.
    pub(super) position: Position,
}

/// Reads a walk to its end, or until nobody takes the pages any more.
pub(super) async fn read_ahead(
    reader: Reader,
    replay: Replay,
    mut walk: Walk,
    page_len: usize,
    pages: mpsc::Sender<Result<Page, ReadError>>,
    cancelled: CancellationToken,
) {
    while walk.after < walk.until {
        // Room first: one page waits, one is being read, and the visitor has one.
        let Some(Ok(room)) = cancelled.run_until_cancelled(pages.reserve()).await else {
            return;
        };
        let page = patiently(&reader, &replay, &mut walk, page_len);
        let Some(page) = cancelled.run_until_cancelled(page).await else {
            return;
        };
        let failed = page.is_err();
        room.send(page);
        if failed {
            return;
        }
    }
}

async fn patiently(
    reader: &Reader,
    replay: &Replay,
    walk: &mut Walk,
    page_len: usize,
) -> Result<Page, ReadError> {
    let mut pause = FIRST_PAUSE;
    for _ in 1..ATTEMPTS {
        match next(reader, replay, walk, page_len).await {
            Err(ReadError::Unavailable { message }) => {
                tracing::warn!(%message, after = walk.after, "a replay cannot read");
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            page => return page,
        }
    }
    next(reader, replay, walk, page_len).await
}

/// Reads the next page, and moves the walk behind it.
async fn next(
    reader: &Reader,
    replay: &Replay,
    walk: &mut Walk,
    page_len: usize,
) -> Result<Page, ReadError> {
    if walk.path == Path::Everything && replay.filters() {
        return window(reader, replay, walk, page_len as u64).await;
    }
    let (events, more) = along(reader, walk, page_len).await?;
    let read = events.len() as u64;
    check_order(walk, &events, more)?;
    match events.last() {
        Some(last) if more => {
            walk.after = place(walk, last);
            walk.positions.0 = last.position;
        }
        _ => {
            walk.after = walk.until;
            walk.positions.0 = walk.positions.1;
        }
    }
    let events = events.into_iter().filter(|event| replay.selects(event));
    Ok(Page {
        events: events.collect(),
        read,
        position: walk.positions.0,
    })
}

/// The place of an event on the path.
fn place(walk: &Walk, event: &RecordedEvent) -> u64 {
    match walk.path {
        Path::Stream(_) => event.stream_version,
        _ => event.position.0,
    }
}

async fn along(
    reader: &Reader,
    walk: &Walk,
    page_len: usize,
) -> Result<(Vec<RecordedEvent>, bool), ReadError> {
    macro_rules! read {
        ($condition:literal, $order:literal) => {
            concat!(
                "SELECT ",
                columns!(),
                " FROM events WHERE ",
                $condition,
                " ORDER BY ",
                $order,
                " LIMIT $3"
            )
        };
    }
    let (sql, mut arguments) = match &walk.path {
        Path::Stream(stream) => (
            read!(
                "tenant = $4 AND stream_type = $5 AND stream_id = $6 \
                 AND stream_version > $1 AND stream_version <= $2",
                "stream_version"
            ),
            arguments![
                stream.tenant.as_str(),
                stream.stream_type.as_str(),
                stream.stream_id.as_str(),
            ],
        ),
        Path::Tenant(tenant) => (
            read!(
                "tenant = $4 AND position > $1 AND position <= $2",
                "position"
            ),
            arguments![tenant.as_str()],
        ),
        Path::TenantType(tenant, event_type) => (
            read!(
                "tenant = $4 AND event_type = $5 AND position > $1 AND position <= $2",
                "position"
            ),
            arguments![tenant.as_str(), event_type.as_str()],
        ),
        Path::Everything => (
            read!("lane = $4 AND position > $1 AND position <= $2", "position"),
            arguments![i64::from(LANE)],
        ),
    };
    let mut all = arguments![walk.after, walk.until, page_len as u64];
    all.append(&mut arguments);
    let (events, is_cut) = read(reader, sql, all).await?;
    let more = is_cut || events.len() == page_len;
    Ok((events, more))
}

/// Events, up to the one with which there are enough bytes, and whether that ended it.
async fn read(
    reader: &Reader,
    sql: &str,
    arguments: Vec<Argument>,
) -> Result<(Vec<RecordedEvent>, bool), ReadError> {
    let mut source = reader.source();
    let rows = source.fetch_within(sql, arguments, PAGE_BYTES).await?;
    let events = rows.rows.iter().map(recorded);
    Ok((events.collect::<Result<_, _>>()?, rows.is_cut))
}

/// Reads a run of positions, of which the database keeps back what does not pass the filters. It has
/// no gaps, so the number of those is known.
async fn window(
    reader: &Reader,
    replay: &Replay,
    walk: &mut Walk,
    page_len: u64,
) -> Result<Page, ReadError> {
    let until = walk.after.saturating_add(page_len).min(walk.until);
    let mut sql = String::from(concat!(
        "SELECT ",
        columns!(),
        " FROM events WHERE lane = $1 AND position > $2 AND position <= $3"
    ));
    let mut arguments = arguments![i64::from(LANE), walk.after, until];
    let filters = [
        ("event_type", &replay.event_types),
        ("stream_type", &replay.stream_types),
    ];
    for (column, types) in filters {
        if types.is_empty() {
            continue;
        }
        let places: Vec<String> = (1..=types.len())
            .map(|n| format!("${}", arguments.len() + n))
            .collect();
        // Without an index of their own: they only keep back rows that the key has found.
        sql.push_str(&format!(" AND {column} IN ({})", places.join(", ")));
        arguments.extend(types.iter().map(|name| name.as_str().into()));
    }
    sql.push_str(" ORDER BY position");
    let (events, is_cut) = read(reader, &sql, arguments).await?;
    let until = match events.last() {
        Some(last) if is_cut => last.position.0,
        _ => until,
    };
    let read = until - walk.after;
    walk.after = until;
    walk.positions.0 = Position(until);
    Ok(Page {
        events,
        read,
        position: Position(until),
    })
}

/// Nothing may be missing on a path that counts.
fn check_order(walk: &Walk, events: &[RecordedEvent], more: bool) -> Result<(), ReadError> {
    if !matches!(walk.path, Path::Stream(_) | Path::Everything) {
        return Ok(());
    }
    let gap = |expected: u64, event: Option<&RecordedEvent>| match (&walk.path, event) {
        (Path::Stream(stream), event) => {
            let message = format!("version {expected} of the stream {stream} is missing");
            let position = event.map_or(walk.positions.1, |event| event.position);
            Err(ReadError::Corrupt { position, message })
        }
        (_, event) => Err(ReadError::Gap {
            expected: Position(expected),
            found: event.map_or(walk.positions.1, |event| event.position),
        }),
    };
    let mut expected = walk.after + 1;
    for event in events {
        if place(walk, event) != expected {
            return gap(expected, Some(event));
        }
        expected += 1;
    }
    if !more && expected <= walk.until {
        return gap(expected, None);
    }
    Ok(())
}
