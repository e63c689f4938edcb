//! Appends of 200 events, against the insertion of the same rows by one statement.

use std::sync::Arc;
use std::time::Instant;

use eventstore::{Append, EventStore, ExpectedVersion, StreamWrite};
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::report::{Goal, Outcome, Report, Subject, median, say};
use crate::sample;
use crate::server::Server;

const BATCH: usize = 200;
/// Streams of a batch; each gets as many events.
const STREAMS: usize = 10;
const ROUNDS: usize = 5;
/// Batches of each side in one round, taken in turn.
const BATCHES: usize = 40;

pub(crate) async fn run(server: &Server, report: &mut Report) -> Outcome<()> {
    say("batches of 200 events");
    let store = server.database("batches").await?.open().await?;
    let raw = server.database("batches_raw").await?;
    let pool = raw.pool(1).await?;
    let mut connection = pool.acquire().await?;
    let mut rounds = Vec::new();
    let mut number = 0;
    for round in 0..=ROUNDS {
        let (mut ours, mut baseline) = (Vec::new(), Vec::new());
        for _ in 0..BATCHES {
            let append = batch(number);
            let rows = Rows::of(&append, number)?;
            number += 1;
            ours.push(append_once(&store, append).await?);
            baseline.push(rows.insert(&mut connection).await?);
        }
        // The first is for connections, prepared statements and first pages.
        if round > 0 {
            let rate = |times| BATCH as f64 / median(times);
            rounds.push((rate(ours), rate(baseline)));
        }
    }
    report.compare(
        Subject {
            id: "append/batches-of-200",
            work: "200 events of 10 streams per append, one caller, PostgreSQL, durable".into(),
            unit: "events/s",
            baseline_name: "raw unnest insert",
            goal: Goal::AtLeast(0.8),
        },
        &rounds,
    );
    drop(connection);
    pool.close().await;
    store.close().await;
    Ok(())
}

async fn append_once(store: &Arc<dyn EventStore>, append: Append) -> Outcome<f64> {
    let started = Instant::now();
    store.append(append).await?;
    Ok(started.elapsed().as_secs_f64())
}

fn batch(number: usize) -> Append {
    let write = |stream: usize| StreamWrite {
        stream: sample::stream(&format!("batch-{number}"), stream),
        expected: ExpectedVersion::NoStream,
        events: (0..BATCH / STREAMS)
            .map(|event| sample::event((stream * 1000 + event) as u64))
            .collect(),
    };
    Append::new((0..STREAMS).map(write).collect())
}

/// The same rows, ready to be sent.
#[derive(Default)]
struct Rows {
    positions: Vec<i64>,
    ids: Vec<Uuid>,
    tenants: Vec<String>,
    types: Vec<String>,
    streams: Vec<String>,
    versions: Vec<i64>,
    event_types: Vec<String>,
    schema_versions: Vec<i64>,
    data: Vec<String>,
    metadata: Vec<String>,
    hashes: Vec<Vec<u8>>,
}

impl Rows {
    fn of(append: &Append, number: usize) -> Outcome<Self> {
        let mut rows = Self::default();
        for write in &append.writes {
            for (index, event) in write.events.iter().enumerate() {
                let position = number * BATCH + rows.ids.len() + 1;
                rows.positions.push(position as i64);
                rows.ids.push(event.id);
                rows.tenants.push(write.stream.tenant.clone());
                rows.types.push(write.stream.stream_type.clone());
                rows.streams.push(write.stream.stream_id.clone());
                rows.versions.push(index as i64 + 1);
                rows.event_types.push(event.event_type.clone());
                rows.schema_versions.push(1);
                rows.data.push(serde_json::to_string(&event.data)?);
                rows.metadata.push(serde_json::to_string(&event.metadata)?);
                rows.hashes.push(event.id.as_bytes().repeat(2));
            }
        }
        Ok(rows)
    }

    /// Seconds until they are durable.
    async fn insert(&self, connection: &mut PgConnection) -> Outcome<f64> {
        let started = Instant::now();
        sqlx::query(
            "INSERT INTO events (lane, recorded_at, position, event_id, tenant, stream_type, \
               stream_id, stream_version, event_type, schema_version, data, metadata, \
               tenant_sequence, hash) \
             SELECT 0, $1, position, event_id, tenant, stream_type, stream_id, stream_version, \
               event_type, schema_version, data::json, metadata::json, position, hash \
             FROM unnest($2::bigint[], $3::uuid[], $4::text[], $5::text[], $6::text[], \
                 $7::bigint[], $8::text[], $9::bigint[], $10::text[], $11::text[], $12::bytea[]) \
               AS new (position, event_id, tenant, stream_type, stream_id, stream_version, \
                 event_type, schema_version, data, metadata, hash)",
        )
        .bind(OffsetDateTime::now_utc())
        .bind(&self.positions)
        .bind(&self.ids)
        .bind(&self.tenants)
        .bind(&self.types)
        .bind(&self.streams)
        .bind(&self.versions)
        .bind(&self.event_types)
        .bind(&self.schema_versions)
        .bind(&self.data)
        .bind(&self.metadata)
        .bind(&self.hashes)
        .execute(connection)
        .await?;
        Ok(started.elapsed().as_secs_f64())
    }
}
