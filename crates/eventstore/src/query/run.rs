//! Answering a query: bounds, index, then window by window.

use super::plan::{Index, Plan};
use super::range::Range;
use super::statement::{Statement, fetch_listed, fetch_range};
use super::{Direction, EventPage, EventQuery, time, versions};
use crate::backend::{read_error, to_i64};
use crate::error::ReadError;
use crate::event::{Position, RecordedEvent};
use crate::reader::{self, Source};

/// How much is done for one page.
#[derive(Debug, Clone, Copy)]
pub(super) struct Effort {
    /// Events looked at by one statement, where not all of them may be wanted.
    pub(super) window: u64,
    /// Events looked at by one call, before it answers with what it has.
    pub(super) looks: u64,
    /// JSON on one page, before it ends with the event at hand.
    pub(super) bytes: usize,
}

const EFFORT: Effort = Effort {
    window: 5_000,
    looks: 50_000,
    bytes: reader::PAGE_BYTES,
};

/// Events asked for before it is known how large they are: the default page, and some.
const FIRST: usize = 128;

/// Answers a query with one page.
///
/// # Errors
/// See [`ReadError`].
pub(crate) async fn run(
    query: &EventQuery,
    source: &mut Source<'_>,
) -> Result<EventPage, ReadError> {
    run_with(query, EFFORT, source).await
}

pub(super) async fn run_with(
    query: &EventQuery,
    effort: Effort,
    source: &mut Source<'_>,
) -> Result<EventPage, ReadError> {
    query.check()?;
    let head = reader::head(source).await?;
    if let Some(cursor) = query.cursor()
        && cursor > head
    {
        return Err(ReadError::AheadOfStore { cursor, head });
    }
    let Bounds { positions, closed } = bounds(query, head, source).await?;
    let search = Search {
        plan: Plan::choose(query),
        positions,
        effort,
    };
    let (events, rest) = search.page(query.limit, source).await?;
    Ok(EventPage {
        events,
        end: rest.is_none(),
        next: match (rest, query.direction) {
            (Some(looked_at), Direction::Forward) => Some(Position(looked_at)),
            (Some(looked_at), Direction::Backward) => Some(Position(looked_at.saturating_sub(1))),
            (None, Direction::Forward) if !closed => Some(Position(positions.up_to)),
            (None, _) => None,
        },
    })
}

/// The positions that a query may have events at.
struct Bounds {
    positions: Range,
    /// Whether what is appended from now on lies outside.
    closed: bool,
}

async fn bounds(
    query: &EventQuery,
    head: Position,
    source: &mut Source<'_>,
) -> Result<Bounds, ReadError> {
    let at_most = query.at_most.unwrap_or(Position(u64::MAX));
    let mut closed = at_most <= head;
    let mut after = query.after.unwrap_or(Position::START).0;
    let mut up_to = at_most.min(head).0;
    if let Some(until) = query.recorded_until {
        let last = time::last_before(until, after, up_to, source).await?;
        closed |= last < up_to;
        up_to = last;
    }
    if let Some(from) = query.recorded_from {
        after = time::last_before(from, after, up_to, source).await?;
    }
    let direction = query.direction;
    let positions = Range {
        after,
        up_to,
        direction,
    };
    Ok(Bounds { positions, closed })
}

/// A walk along one index.
struct Search<'q> {
    plan: Plan<'q>,
    positions: Range,
    effort: Effort,
}

/// An entry of the index: its key there, and the position of its event.
#[derive(Clone, Copy)]
struct Entry {
    key: u64,
    position: u64,
}

/// Events, and the bytes of their JSON.
struct Found {
    events: Vec<RecordedEvent>,
    bytes: usize,
    /// The bytes are enough; there may be more.
    is_cut: bool,
}

/// How much is wanted of a window.
#[derive(Clone, Copy)]
struct Wanted {
    events: u64,
    bytes: usize,
}

/// What came of one window.
struct Step {
    found: Found,
    /// The last entry that is done with; none when nothing is left of the index.
    stop: Option<Entry>,
}

impl Search<'_> {
    /// Up to `limit` events, and the position up to which all is looked at; none when that is all.
    async fn page(
        &self,
        limit: usize,
        source: &mut Source<'_>,
    ) -> Result<(Vec<RecordedEvent>, Option<u64>), ReadError> {
        let mut events = Vec::new();
        let mut keys = match self.plan.index {
            _ if self.positions.is_empty() => self.positions,
            Index::Stream(stream) => versions::within(stream, self.positions, source).await?,
            _ => self.positions,
        };
        let mut looked_at = None;
        let mut looks = self.effort.looks;
        let mut bytes = 0;
        while !keys.is_empty() && events.len() < limit && looks > 0 && bytes < self.effort.bytes {
            let rest = self.effort.bytes - bytes;
            // What would not fit is not to be read in vain.
            let affordable = match events.len() {
                0 => FIRST,
                known => rest / (bytes / known).max(1) + 1,
            };
            let wanted = Wanted {
                events: affordable.min(limit - events.len()) as u64,
                bytes: rest,
            };
            let Step { found, stop } = match self.plan.index {
                Index::Positions => {
                    self.step_of_positions(keys, wanted, &mut looks, source)
                        .await
                }
                _ => self.step(keys, wanted, &mut looks, source).await,
            }?;
            events.extend(found.events);
            bytes += found.bytes;
            match stop {
                Some(stop) => keys.advance(stop.key),
                None => keys.finish(),
            }
            looked_at = stop.map(|stop| stop.position);
        }
        let rest = if keys.is_empty() { None } else { looked_at };
        Ok((events, rest))
    }

    /// Looks at the next window of the index, for what is `wanted`.
    async fn step(
        &self,
        keys: Range,
        wanted: Wanted,
        looks: &mut u64,
        source: &mut Source<'_>,
    ) -> Result<Step, ReadError> {
        let window = if self.plan.remaining.is_empty() {
            // One more, to know whether anything follows.
            wanted.events + 1
        } else {
            self.effort.window.min(*looks)
        };
        let (entries, read) = self.look(keys, window, source).await?;
        *looks = looks.saturating_sub(read.max(1));
        let goes_on = entries.len() as u64 == window;
        let found = self.fetch(&entries, wanted, source).await?;
        let stop = match found.events.last() {
            Some(last) if found.is_full(wanted) => entries
                .iter()
                .position(|entry| entry.position == last.position.0),
            _ => entries.len().checked_sub(1),
        };
        let stop = stop.filter(|stop| goes_on || stop + 1 < entries.len());
        Ok(Step {
            found,
            stop: stop.map(|stop| entries[stop]),
        })
    }

    /// As [`step`](Self::step), for the primary key: its entries are known without looking.
    async fn step_of_positions(
        &self,
        keys: Range,
        wanted: Wanted,
        looks: &mut u64,
        source: &mut Source<'_>,
    ) -> Result<Step, ReadError> {
        let count = if self.plan.remaining.is_empty() {
            wanted.events
        } else {
            self.effort.window.min(*looks)
        };
        *looks = looks.saturating_sub(count);
        let window = keys.window(count);
        let statement = fetch_range(&self.plan.remaining, window, wanted.events);
        let found = read(statement, wanted.bytes, source).await?;
        let position = match found.events.last() {
            Some(last) if found.is_full(wanted) => last.position.0,
            _ => window.last(),
        };
        Ok(Step {
            found,
            stop: Some(Entry {
                key: position,
                position,
            }),
        })
    }

    /// The first `window` entries of what is left, and how many were read for them.
    async fn look(
        &self,
        keys: Range,
        window: u64,
        source: &mut Source<'_>,
    ) -> Result<(Vec<Entry>, u64), ReadError> {
        let mut entries = Vec::new();
        for Statement { sql, arguments } in self.plan.looks(keys, window) {
            for row in source.fetch(sql, arguments).await? {
                let number = |column| row.int(column).map(i64::unsigned_abs).map_err(read_error);
                let (key, position) = (number(0)?, number(1)?);
                entries.push(Entry { key, position });
            }
        }
        let cost = entries.len() as u64;
        entries.sort_by_key(|entry| entry.key);
        if keys.direction == Direction::Backward {
            entries.reverse();
        }
        entries.truncate(usize::try_from(window).unwrap_or(usize::MAX));
        Ok((entries, cost))
    }

    /// The events of these entries that are wanted.
    async fn fetch(
        &self,
        entries: &[Entry],
        wanted: Wanted,
        source: &mut Source<'_>,
    ) -> Result<Found, ReadError> {
        if entries.is_empty() {
            return Ok(Found {
                events: Vec::new(),
                bytes: 0,
                is_cut: false,
            });
        }
        let positions = entries.iter().map(|entry| to_i64(entry.position)).collect();
        let direction = self.positions.direction;
        let remaining = &self.plan.remaining;
        let statement = fetch_listed(remaining, positions, direction, wanted.events);
        read(statement, wanted.bytes, source).await
    }
}

impl Found {
    /// Whether there may be more than what was wanted.
    fn is_full(&self, wanted: Wanted) -> bool {
        self.is_cut || self.events.len() as u64 == wanted.events
    }
}

async fn read(
    statement: Statement,
    bytes: usize,
    source: &mut Source<'_>,
) -> Result<Found, ReadError> {
    let Statement { sql, arguments } = statement;
    let rows = source.fetch_within(sql, arguments, bytes).await?;
    let events = rows.rows.iter().map(reader::recorded);
    Ok(Found {
        events: events.collect::<Result<_, _>>()?,
        bytes: rows.bytes,
        is_cut: rows.is_cut,
    })
}
