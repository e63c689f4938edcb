//! Reading for all partitions of a subscription: what one has read, the others find.
//!
//! Partitions that are about equally far share each page, so an event is read and decoded once in a
//! process. One that lags behind finds nothing here and reads for itself.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::Mutex;

use super::dispatch::{Page, partition_of};
use super::options::{ConsumerOptions, EventFilter};
use crate::backend::LANE;
use crate::database::{Argument, Database, Row, Sql, arguments};
use crate::error::ReadError;
use crate::event::{Position, RecordedEvent, StreamKey};
use crate::reader::{PAGE_BYTES, Reader, columns};

/// Pages that are kept.
const KEPT: usize = 4;
/// Most events on a page, unless a batch asks for more.
const PAGE: usize = 512;
/// Positions that one read goes over at most, when it looks for few events among many.
const WINDOW: u64 = 20_000;

pub(super) struct Pages {
    reader: Reader,
    filter: EventFilter,
    partitions: u32,
    limit: usize,
    kept: Mutex<VecDeque<Arc<Page>>>,
}

impl Pages {
    pub(super) fn new(database: Database, options: &ConsumerOptions) -> Self {
        let wanted = options.batch_size * options.partitions as usize;
        Self {
            reader: Reader::new(database),
            filter: options.filter.clone(),
            partitions: options.partitions,
            limit: wanted.min(PAGE).max(options.batch_size),
            kept: Mutex::new(VecDeque::new()),
        }
    }

    /// The page that tells what comes after a position; none if the store ends there.
    ///
    /// # Errors
    /// [`ReadError::AheadOfStore`] if the store ends before it, [`ReadError::Gap`] if events are missing.
    pub(super) async fn after(&self, position: Position) -> Result<Option<Arc<Page>>, ReadError> {
        // Held while reading, so that the others wait for this page instead of reading it, too.
        let mut kept = self.kept.lock().await;
        if let Some(page) = kept.iter().find(|page| page.follows(position)) {
            return Ok(Some(Arc::clone(page)));
        }
        // What is committed before this is seen by the read after it.
        let head = self.reader.head().await?;
        if head < position {
            let cursor = position;
            return Err(ReadError::AheadOfStore { cursor, head });
        }
        if head == position {
            return Ok(None);
        }
        let page = Arc::new(self.read(position, head).await?);
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(Arc::clone(&page));
        Ok(Some(page))
    }

    /// Forgets all pages; what is read next is what the store holds then.
    pub(super) async fn forget(&self) {
        self.kept.lock().await.clear();
    }

    async fn read(&self, after: Position, head: Position) -> Result<Page, ReadError> {
        let filter = &self.filter;
        let is_filtered = *filter != EventFilter::default();
        // A tenant's events are found by their index, however far apart they are.
        let upto = match filter.tenant {
            Some(_) => head,
            None => head.min(Position(after.0.saturating_add(WINDOW))),
        };
        let (sql, arguments) = statement(filter, after, upto, self.limit);
        let mut source = self.reader.source();
        let rows = source.fetch_within(sql, arguments, PAGE_BYTES).await?;
        let mut events = Vec::with_capacity(rows.rows.len());
        let mut is_cut = rows.is_cut;
        for row in &rows.rows {
            match crate::reader::recorded(row) {
                Ok(event) => events.push(event),
                Err(error @ ReadError::Corrupt { .. }) if events.is_empty() => {
                    return self.corrupt(after, row, error);
                }
                // What is before it is handled; it is met again at the beginning of the next page.
                Err(ReadError::Corrupt { .. }) => {
                    is_cut = true;
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        let reached = match events.last() {
            Some(last) if is_cut || events.len() == self.limit => last.position,
            _ => upto,
        };
        if !is_filtered {
            check_whole(after, reached, &events)?;
        }
        Ok(Page::new(after, reached, events, self.partitions))
    }

    /// The page of an event that cannot be read: it stops its partition, or all of them if its stream
    /// cannot be read, either.
    ///
    /// # Errors
    /// `error`, if not even its position can be read; [`ReadError::Gap`] if it is not the next one.
    fn corrupt(&self, after: Position, row: &Row, error: ReadError) -> Result<Page, ReadError> {
        let Ok(found) = crate::reader::position(row) else {
            return Err(error);
        };
        let expected = Position(after.0 + 1);
        if self.filter == EventFilter::default() && found != expected {
            return Err(ReadError::Gap { expected, found });
        }
        let stream = stream(row).ok();
        let partition = stream.map(|stream| partition_of(&stream, self.partitions));
        Ok(Page::corrupt(after, found, partition, error))
    }
}

/// The stream of a row of [`columns!`].
fn stream(row: &Row) -> Result<StreamKey, sqlx::Error> {
    Ok(StreamKey {
        tenant: row.text(2)?,
        stream_type: row.text(3)?,
        stream_id: row.text(4)?,
    })
}

fn statement(
    filter: &EventFilter,
    after: Position,
    upto: Position,
    limit: usize,
) -> (Sql<'static>, Vec<Argument>) {
    let mut arguments = arguments![after.0, upto.0, limit as u64];
    let mut postgres = String::new();
    match &filter.tenant {
        Some(tenant) => {
            arguments.push(Argument::from(tenant.as_str()));
            postgres.push_str(" AND tenant = $4");
        }
        None => {
            arguments.push(Argument::from(i64::from(LANE)));
            postgres.push_str(" AND lane = $4");
        }
    }
    let mut sqlite = postgres.clone();
    let lists = [
        ("stream_type", &filter.stream_types),
        ("event_type", &filter.event_types),
    ];
    for (column, names) in lists {
        if names.is_empty() {
            continue;
        }
        arguments.push(Argument::from(names.clone()));
        let number = arguments.len();
        postgres.push_str(&format!(" AND {column} = ANY(${number})"));
        let list = format!(" AND {column} IN (SELECT value FROM json_each(${number}))");
        sqlite.push_str(&list);
    }
    let whole = |conditions: &str| {
        format!(
            "SELECT {} FROM events WHERE position > $1 AND position <= $2{conditions} \
             ORDER BY position LIMIT $3",
            columns!()
        )
    };
    (Sql::each(whole(&postgres), whole(&sqlite)), arguments)
}

/// Every position has its event.
fn check_whole(after: Position, upto: Position, events: &[RecordedEvent]) -> Result<(), ReadError> {
    let mut expected = Position(after.0 + 1);
    for event in events {
        if event.position != expected {
            let found = event.position;
            return Err(ReadError::Gap { expected, found });
        }
        expected.0 += 1;
    }
    if expected.0 == upto.0 + 1 {
        return Ok(());
    }
    let found = Position(upto.0 + 1);
    Err(ReadError::Gap { expected, found })
}
