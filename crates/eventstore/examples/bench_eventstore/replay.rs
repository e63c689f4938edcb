//! Reading everything in order, against the same columns by one `SELECT`.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use eventstore::{EventStore, Position};
use futures::{StreamExt, TryStreamExt};
use sqlx::{PgPool, Row};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::load;
use crate::report::{Goal, Outcome, Report, Subject, say};
use crate::server::Server;

const EVENTS: u64 = 200_000;
const ROUNDS: usize = 5;

pub(crate) async fn run(server: &Server, report: &mut Report) -> Outcome<()> {
    say("replay");
    let database = server.database("replay").await?;
    load::fill(&database, 0, EVENTS).await?;
    let store = database.open().await?;
    let pool = database.pool(1).await?;
    let (mut subscribed, mut paged) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let raw = select(&pool, EVENTS).await?;
        let subscription = subscribe(&store).await?;
        let pages = read_pages(&store).await?;
        // The first brings everything into memory.
        if round > 0 {
            subscribed.push((subscription, raw));
            paged.push((pages, raw));
        }
    }
    report.compare(
        Subject {
            id: "read/replay",
            work: format!("{EVENTS} events in order through a subscription, PostgreSQL"),
            unit: "events/s",
            baseline_name: "raw ordered SELECT",
            goal: Goal::AtLeast(0.6),
        },
        &subscribed,
    );
    report.compare(
        Subject {
            id: "read/pages",
            work: format!("{EVENTS} events in order, read_all by pages of 1000"),
            unit: "events/s",
            baseline_name: "raw ordered SELECT",
            goal: Goal::None,
        },
        &paged,
    );
    store.close().await;
    pool.close().await;
    Ok(())
}

async fn subscribe(store: &Arc<dyn EventStore>) -> Outcome<f64> {
    let started = Instant::now();
    let mut events = store.subscribe(Position::START);
    for _ in 0..EVENTS {
        black_box(events.next().await.ok_or("the subscription ended")??);
    }
    Ok(EVENTS as f64 / started.elapsed().as_secs_f64())
}

async fn read_pages(store: &Arc<dyn EventStore>) -> Outcome<f64> {
    let started = Instant::now();
    let (mut after, mut events) = (Position::START, 0);
    while let page = store.read_all(after, 1000).await?
        && let Some(last) = page.last()
    {
        after = last.position;
        events += page.len();
        black_box(page);
    }
    Ok(events as f64 / started.elapsed().as_secs_f64())
}

/// The columns as sqlx gives them, the JSON as text.
#[expect(dead_code, reason = "read, that is all")]
struct Raw {
    id: Uuid,
    position: i64,
    tenant: String,
    stream_type: String,
    stream_id: String,
    stream_version: i64,
    event_type: String,
    schema_version: i64,
    recorded_at: OffsetDateTime,
    data: String,
    metadata: String,
    tenant_sequence: i64,
    hash: Vec<u8>,
}

/// Events per second of a plain reader, which gets `expected` of them.
pub(crate) async fn select(pool: &PgPool, expected: u64) -> Outcome<f64> {
    let started = Instant::now();
    let mut rows = sqlx::query(
        "SELECT event_id, position, tenant, stream_type, stream_id, stream_version, event_type, \
           schema_version, recorded_at, data, metadata, tenant_sequence, hash \
         FROM events WHERE lane = 0 AND position > $1 ORDER BY position",
    )
    .bind(0_i64)
    .fetch(pool);
    let mut events = 0;
    while let Some(row) = rows.try_next().await? {
        black_box(Raw {
            id: row.try_get(0)?,
            position: row.try_get(1)?,
            tenant: row.try_get(2)?,
            stream_type: row.try_get(3)?,
            stream_id: row.try_get(4)?,
            stream_version: row.try_get(5)?,
            event_type: row.try_get(6)?,
            schema_version: row.try_get(7)?,
            recorded_at: row.try_get(8)?,
            data: row.try_get_unchecked(9)?,
            metadata: row.try_get_unchecked(10)?,
            tenant_sequence: row.try_get(11)?,
            hash: row.try_get(12)?,
        });
        events += 1;
    }
    if events != expected {
        return Err(format!("{events} events were read instead of {expected}").into());
    }
    Ok(events as f64 / started.elapsed().as_secs_f64())
}
