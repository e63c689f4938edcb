//! Rows of events as they lie there. Whatever somebody wrote into them, they can be read.

use time::OffsetDateTime;
use uuid::Uuid;

use crate::backend::LANE;
use crate::chain::Sealed;
use crate::database::{Database, Enough, Row, Sql, arguments, from_microseconds};
use crate::event::StreamKey;
use crate::reader::PAGE_BYTES;

/// Rows that were read at once.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) rows: Vec<Stored>,
    /// Whether there may be more: they are as many rows or bytes as one page has at most.
    pub(super) is_full: bool,
}

/// A row, with what was found to be unreadable in it.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) position: u64,
    /// If that can be read.
    pub(super) tenant: Option<String>,
    pub(super) content: Result<Content, String>,
}

/// What is hashed of an event, and its hash.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) id: Uuid,
    pub(super) stream: StreamKey,
    pub(super) stream_version: u64,
    pub(super) event_type: String,
    pub(super) schema_version: u32,
    pub(super) recorded_at: OffsetDateTime,
    pub(super) data: String,
    pub(super) metadata: String,
    pub(super) tenant_sequence: u64,
    pub(super) hash: Vec<u8>,
}

impl Content {
    pub(super) fn sealed(&self, position: u64, tenant_sequence: u64) -> Sealed<'_> {
        Sealed {
            tenant_sequence,
            position,
            id: self.id,
            stream: &self.stream,
            stream_version: self.stream_version,
            event_type: &self.event_type,
            schema_version: self.schema_version,
            recorded_at: self.recorded_at,
            data: &self.data,
            metadata: &self.metadata,
        }
    }
}

/// Reads the events of a tenant, or all of the lane, above a position and up to another; no more than
/// [`PAGE_BYTES`], and one at least.
pub(super) async fn page(
    database: &Database,
    tenant: Option<&str>,
    after: u64,
    until: u64,
    limit: usize,
) -> Result<Page, sqlx::Error> {
    // A time outside of what the time type can hold reads as none, instead of failing the statement. Last is
    // whether what SQLite keeps beside the metadata is what they say.
    const POSTGRES: &str = "SELECT position, tenant, stream_type, stream_id, stream_version, \
        event_type, schema_version, \
        CASE WHEN recorded_at BETWEEN TIMESTAMPTZ '0001-01-01 00:00:00+00' \
            AND TIMESTAMPTZ '9999-12-31 23:59:59.999999+00' \
          THEN CAST(extract(epoch FROM recorded_at) * 1000000 AS bigint) END, \
        CAST(data AS text), CAST(metadata AS text), tenant_sequence, hash, \
        CAST(event_id AS text), CAST(1 AS bigint) FROM events WHERE ";
    const SQLITE: &str = "SELECT position, tenant, stream_type, stream_id, stream_version, \
        event_type, schema_version, recorded_at, data, metadata, tenant_sequence, hash, event_id, \
        correlation_id IS NULL OR correlation_id = coalesce( \
          CASE WHEN json_valid(metadata) THEN metadata ->> 'correlation_id' END, '') \
        FROM events WHERE ";
    let whose = match tenant {
        Some(_) => "tenant = $4",
        None => "lane = $4",
    };
    let rest = format!("{whose} AND position > $1 AND position <= $2 ORDER BY position LIMIT $3");
    let mut arguments = arguments![after, until, limit as u64];
    arguments.push(match tenant {
        Some(tenant) => tenant.into(),
        None => i64::from(LANE).into(),
    });
    let sql = Sql::each(format!("{POSTGRES}{rest}"), format!("{SQLITE}{rest}"));
    let enough = Enough {
        bytes: PAGE_BYTES,
        size: json_bytes,
    };
    let read = database.fetch_within(sql, arguments, Some(enough)).await?;
    let rows: Vec<_> = read.rows.iter().map(stored).collect::<Result<_, _>>()?;
    Ok(Page {
        is_full: read.is_cut || rows.len() == limit,
        rows,
    })
}

/// What cannot be read has no bytes.
fn json_bytes(row: &Row) -> usize {
    let bytes = |column| row.json_here(column).map_or(0, str::len);
    bytes(8) + bytes(9)
}

fn stored(row: &Row) -> Result<Stored, sqlx::Error> {
    Ok(Stored {
        position: row.int(0)?.unsigned_abs(),
        tenant: row.optional_text(1).ok().flatten(),
        content: content(row),
    })
}

fn content(row: &Row) -> Result<Content, String> {
    fn readable<T>(column: &str, value: Result<T, sqlx::Error>) -> Result<T, String> {
        value.map_err(|error| format!("{column} cannot be read: {error}"))
    }
    let number = |column: &str, at: usize| {
        let number = readable(column, row.int(at))?;
        u64::try_from(number).map_err(|_| format!("{column} is {number}"))
    };
    let text = |column: &str, at: usize| readable(column, row.text(at));

    if number("correlation_id", 13)? == 0 {
        return Err("correlation_id is not the one in its metadata".to_owned());
    }
    let schema_version = number("schema_version", 6)?;
    let recorded_at = readable("recorded_at", row.optional_int(7))?
        .ok_or("recorded_at is out of all bounds")
        .map(from_microseconds)?;
    let written_id = text("event_id", 12)?;
    // There are several ways to write an id, and the store writes one of them.
    let id = Uuid::parse_str(&written_id)
        .ok()
        .filter(|id| id.hyphenated().to_string() == written_id)
        .ok_or_else(|| format!("event_id is {written_id:?}"))?;
    Ok(Content {
        id,
        stream: StreamKey {
            tenant: text("tenant", 1)?,
            stream_type: text("stream_type", 2)?,
            stream_id: text("stream_id", 3)?,
        },
        stream_version: number("stream_version", 4)?,
        event_type: text("event_type", 5)?,
        schema_version: u32::try_from(schema_version)
            .map_err(|_| format!("schema_version is {schema_version}"))?,
        recorded_at: readable("recorded_at", recorded_at)?,
        data: text("data", 8)?,
        metadata: text("metadata", 9)?,
        tenant_sequence: number("tenant_sequence", 10)?,
        hash: readable("hash", row.bytes(11))?,
    })
}

/// How many rows to read at once, so that a page is neither many rows nor, as a rule, cut short by its
/// bytes, which costs PostgreSQL a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct PageLen {
    most: usize,
    now: usize,
}

impl PageLen {
    /// Begins small, for nothing is known about the events.
    pub(super) fn new(most: usize) -> Self {
        let most = most.max(1);
        Self {
            most,
            now: most.min(16),
        }
    }

    pub(super) fn rows(self) -> usize {
        self.now
    }

    /// Learns from a page.
    pub(super) fn learn(&mut self, rows: &[Stored]) {
        let bytes: usize = rows
            .iter()
            .filter_map(|row| row.content.as_ref().ok())
            .map(|content| content.data.len() + content.metadata.len())
            .sum();
        let each = bytes / rows.len().max(1);
        let fit = PAGE_BYTES / each.max(1);
        self.now = fit.clamp(1, self.most).min(self.now * 4);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{Append, ExpectedVersion, NewEvent, Options};

    fn rows(count: usize, bytes: usize) -> Vec<Stored> {
        let row = |position| Stored {
            position,
            tenant: Some("acme".into()),
            content: Ok(Content {
                id: Uuid::nil(),
                stream: StreamKey::new("acme", "order", "1"),
                stream_version: 1,
                event_type: "Happened".into(),
                schema_version: 1,
                recorded_at: OffsetDateTime::UNIX_EPOCH,
                data: "x".repeat(bytes),
                metadata: String::new(),
                tenant_sequence: 1,
                hash: Vec::new(),
            }),
        };
        (1..=count as u64).map(row).collect()
    }

    #[tokio::test]
    async fn a_page_ends_with_the_bytes_that_are_enough_however_many_rows_are_wanted() {
        let options = Options::default();
        let store = crate::open("sqlite::memory:", options).await.unwrap();
        let stream = StreamKey::new("acme", "order", "1");
        for (count, bytes) in [(20, 10), (5, 1_000_000), (5, 1_000_000)] {
            let event = || NewEvent::new("Happened", 1, json!("x".repeat(bytes)));
            let events = (0..count).map(|_| event()).collect();
            let append = Append::to(stream.clone(), ExpectedVersion::Any, events);
            store.append(append).await.unwrap();
        }

        let first = page(store.database(), None, 0, 30, 500).await.unwrap();
        let read = first.rows.len();
        let rest = page(store.database(), None, read as u64, 30, 500);
        let rest = rest.await.unwrap();

        assert!(first.is_full && read == 29, "{read}");
        assert!(!rest.is_full && rest.rows.len() == 1);
    }

    #[test]
    fn pages_of_big_events_have_few_rows_and_never_none() {
        let mut page_len = PageLen::new(500);
        assert_eq!(page_len.rows(), 16);
        page_len.learn(&rows(16, 100));
        page_len.learn(&rows(64, 100));
        page_len.learn(&rows(256, 100));
        assert_eq!(page_len.rows(), 500);
        page_len.learn(&rows(2, 4 * 1024 * 1024));
        assert_eq!(page_len.rows(), 2);
        page_len.learn(&rows(1, 20 * 1024 * 1024));
        assert_eq!(page_len.rows(), 1);
        page_len.learn(&rows(1, 100));
        assert_eq!(page_len.rows(), 4);
        page_len.learn(&[]);
        assert_eq!(page_len.rows(), 16);
        assert_eq!(PageLen::new(0).rows(), 1);
    }
}
