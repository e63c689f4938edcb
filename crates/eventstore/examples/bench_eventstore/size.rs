//! What a store's size costs: reads of a stream and appends while it grows, and reads from a small
//! and a large one in turn.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use eventstore::{EventStore, StreamKey};
use serde_json::json;

use crate::callers::rate;
use crate::load::{self, STREAM_EVENTS};
use crate::machine::free_bytes;
use crate::report::{Goal, Line, Outcome, Plot, Report, Subject, median, quantile, say};
use crate::server::{Database, Server};
use crate::settings::Settings;

const ROUNDS: usize = 7;
/// Reads of each side in one round, taken in turn.
const READS: u64 = 400;
const SLICE: Duration = Duration::from_secs(2);
/// What an event takes with its index entries, generously, and what its write-ahead log does.
const EVENT_BYTES: u64 = 1500;

/// A loaded range of positions, and so a set of streams.
#[derive(Clone, Copy)]
struct Block {
    from: u64,
    to: u64,
}

impl Block {
    /// One of its streams, any other for each number.
    fn stream(self, number: u64) -> StreamKey {
        let stream = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) % load::streams(self.from, self.to);
        let tenant = format!("tenant-{:02}", stream % 16);
        StreamKey::new(tenant, "order", format!("{}-{stream}", self.from))
    }
}

pub(crate) async fn run(server: &Server, settings: &Settings, report: &mut Report) -> Outcome<()> {
    let Settings { small, large, .. } = *settings;
    let needed = (small + large) * EVENT_BYTES;
    let free = free_bytes(Path::new("/tmp"));
    if free < needed {
        return Err(format!("{free} bytes are free in /tmp, {needed} are needed").into());
    }
    say(&format!("stores of {small} and {large} events"));
    let small_one = server.database("small").await?;
    load::fill(&small_one, 0, small).await?;
    let large_one = server.database("large").await?;
    let largest = grow(&large_one, large, report).await?;

    let (few, many) = (small_one.open().await?, large_one.open().await?);
    let of_few = Block { from: 0, to: small };
    let (mut rounds, mut tails) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let (mut from_few, mut from_many) = (Vec::new(), Vec::new());
        for read in 0..READS {
            let number = round as u64 * READS + read;
            from_many.push(read_stream(&many, &largest.stream(number)).await?);
            from_few.push(read_stream(&few, &of_few.stream(number)).await?);
        }
        if round > 0 {
            rounds.push((median(from_many.clone()), median(from_few.clone())));
            tails.push((quantile(from_many, 0.99), quantile(from_few, 0.99)));
        }
    }
    report.compare(
        Subject {
            id: "size/read-stream",
            work: format!("a stream of 20 events out of {large} events, against {small}"),
            unit: "µs",
            baseline_name: "the small store",
            goal: Goal::AtMost(1.2),
        },
        &rounds,
    );
    report.compare(
        Subject {
            id: "size/read-stream-p99",
            work: format!("the same, 99 of 100 such reads out of {large} events"),
            unit: "µs",
            baseline_name: "the small store",
            goal: Goal::AtMostOurs(5000.0),
        },
        &tails,
    );
    few.close().await;
    many.close().await;
    plans(&large_one, large, report).await
}

/// Fills a store by and by and measures at every size; gives the last block.
async fn grow(database: &Database, large: u64, report: &mut Report) -> Outcome<Block> {
    let (mut reads, mut appends) = (Vec::new(), Vec::new());
    let mut sizes: Vec<u64> = (0..3).map(|step| large / 10_u64.pow(step)).collect();
    sizes.push(large / 3);
    sizes.sort_unstable();
    let (mut from, mut last) = (0, None);
    for size in sizes {
        // Every stream has all of its events.
        let to = size - (size - from) % STREAM_EVENTS;
        let block = Block { from, to };
        load::fill(database, from, to).await?;
        let store = database.open().await?;
        let mut times = Vec::new();
        for number in 0..READS * 2 {
            times.push(read_stream(&store, &block.stream(number)).await?);
        }
        // The first of them found nothing in memory.
        let read = median(times.split_off(READS as usize));
        let appended = rate(&Arc::new(Arc::clone(&store)), 64, SLICE).await?;
        (from, last) = (store.head().await?.0, Some(block));
        store.close().await;
        say(&format!(
            "{size} events: {read:.0} µs for a stream, {appended:.0} events/s appended"
        ));
        reads.push((size as f64, read));
        appends.push((size as f64, 1e6 / appended));
    }
    report.plots.push(Plot {
        id: "cost-by-size",
        title: "Cost by the size of the store (PostgreSQL, durable)",
        x: "events in the store",
        y: "microseconds",
        curves: vec![
            ("read a stream of 20 events", reads),
            ("append an event, 64 callers", appends),
        ],
    });
    last.ok_or_else(|| "no size was measured".into())
}

/// Microseconds for a stream.
async fn read_stream(store: &Arc<dyn EventStore>, stream: &StreamKey) -> Outcome<f64> {
    let started = Instant::now();
    let events = store.read_stream(stream, 0, 100).await?;
    let elapsed = started.elapsed();
    if events.len() as u64 != STREAM_EVENTS {
        return Err(format!("{stream} has {} events", events.len()).into());
    }
    Ok(elapsed.as_secs_f64() * 1e6)
}

/// How the server went about all of it. The stores are closed: a session reports when it ends.
async fn plans(database: &Database, large: u64, report: &mut Report) -> Outcome<()> {
    let mut connection = database.connection().await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    // To build an index, the table is read once.
    let scans: i64 = sqlx::query_scalar(
        "SELECT seq_scan - (SELECT count(*) FROM pg_index WHERE indrelid = 'events'::regclass) \
         FROM pg_stat_user_tables WHERE relname = 'events'",
    )
    .fetch_one(&mut connection)
    .await?;
    report.measured.push(Line {
        id: "size/sequential-scans",
        work: format!("sequential scans of the events during all of that, {large} events"),
        unit: "scans",
        ours: scans as f64,
        baseline: 0.0,
        baseline_name: "none",
        ratio: 0.0,
        rounds: Vec::new(),
        goal: "none at all".into(),
        holds: scans == 0,
    });
    let bytes: Vec<(String, i64)> = sqlx::query_as(
        "SELECT 'table', pg_table_size('events') \
         UNION ALL SELECT indexrelid::regclass::text, pg_relation_size(indexrelid) \
         FROM pg_index WHERE indrelid = 'events'::regclass",
    )
    .fetch_all(&mut connection)
    .await?;
    let per_event = |bytes: i64| (bytes as f64 / large as f64).round();
    let sizes: serde_json::Map<_, _> = bytes
        .into_iter()
        .map(|(name, bytes)| (name, json!(per_event(bytes))))
        .collect();
    let facts = &mut report.facts;
    facts.insert("postgres_bytes_per_event".into(), json!(sizes));
    facts.insert("events_of_large_store".into(), json!(large));
    Ok(())
}
