//! Appends of one event by many callers at once, each with a stream of its own whose version it
//! expects.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use eventstore::{Append, EventStore, ExpectedVersion, NewEvent, Options, StreamKey};
use tokio::task::JoinSet;

use crate::raw_postgres::RawPostgres;
use crate::raw_sqlite::RawSqlite;
use crate::report::{Goal, Outcome, Plot, Report, Subject, say};
use crate::sample;
use crate::server::Server;
use crate::settings::Settings;

const ROUNDS: usize = 5;
/// Time of one side of one round.
const SLICE: Duration = Duration::from_millis(1500);
/// Time of one point of the plot.
const POINT: Duration = Duration::from_millis(1200);
const SWEEP: [usize; 9] = [1, 2, 4, 8, 16, 32, 64, 128, 256];
/// More connections than this help nobody, and a server would refuse them.
const MOST_CONNECTIONS: u32 = 64;

/// Appends an event to a stream that has `version` events.
#[async_trait]
pub(crate) trait Appender: Send + Sync + 'static {
    async fn append(&self, stream: &StreamKey, version: u64, event: NewEvent) -> Outcome<()>;
}

#[async_trait]
impl Appender for Arc<dyn EventStore> {
    async fn append(&self, stream: &StreamKey, version: u64, event: NewEvent) -> Outcome<()> {
        let expected = ExpectedVersion::Exact(version);
        let append = Append::to(stream.clone(), expected, vec![event]);
        EventStore::append(&**self, append).await?;
        Ok(())
    }
}

/// Events per second while `callers` append one after the other, for about as long as said.
pub(crate) async fn rate(
    appender: &Arc<impl Appender>,
    callers: usize,
    time: Duration,
) -> Outcome<f64> {
    let name = uuid::Uuid::now_v7().simple().to_string();
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for number in 0..callers {
        let appender = Arc::clone(appender);
        let stream = sample::stream(&name, number);
        tasks.spawn(async move {
            let mut version = 0;
            while started.elapsed() < time {
                let event = sample::event(version);
                appender.append(&stream, version, event).await?;
                version += 1;
            }
            Outcome::Ok(version)
        });
    }
    let mut events = 0;
    while let Some(done) = tasks.join_next().await {
        events += done??;
    }
    Ok(events as f64 / started.elapsed().as_secs_f64())
}

async fn rounds(ours: &Arc<impl Appender>, raw: &Arc<impl Appender>) -> Outcome<Vec<(f64, f64)>> {
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let ours = rate(ours, 64, SLICE).await?;
        rounds.push((ours, rate(raw, 64, SLICE).await?));
    }
    Ok(rounds)
}

async fn sweep(appender: &Arc<impl Appender>, what: &str) -> Outcome<Vec<(f64, f64)>> {
    let mut points = Vec::new();
    for callers in SWEEP {
        let rate = rate(appender, callers, POINT).await?;
        say(&format!("{what}, {callers} callers: {rate:.0} events/s"));
        points.push((callers as f64, rate));
    }
    Ok(points)
}

pub(crate) async fn postgres(
    server: &Server,
    settings: &Settings,
    report: &mut Report,
) -> Outcome<()> {
    say("appends of one event on PostgreSQL");
    let store = server.database("callers").await?.open().await?;
    let ours = Arc::new(Arc::clone(&store));
    let raw = server.database("raw").await?;
    let pool = raw.pool(MOST_CONNECTIONS).await?;
    let raw = Arc::new(RawPostgres::step_by_step(pool.clone()));
    let other = server.database("raw_at_once").await?;
    let other_pool = other.pool(MOST_CONNECTIONS).await?;
    let at_once = Arc::new(RawPostgres::at_once(other_pool.clone()));
    report.compare(
        Subject {
            id: "append/64-callers",
            work: "1 event per append, 64 callers, PostgreSQL, durable".into(),
            unit: "events/s",
            baseline_name: "a transaction each",
            goal: Goal::AtLeast(3.0),
        },
        &rounds(&ours, &raw).await?,
    );
    report.compare(
        Subject {
            id: "append/64-callers-one-statement",
            work: "the same, against one statement for all that leaves checks to constraints"
                .into(),
            unit: "events/s",
            baseline_name: "a statement each",
            goal: Goal::None,
        },
        &rounds(&ours, &at_once).await?,
    );
    if settings.plots {
        report.plots.push(Plot {
            id: "throughput-postgres",
            title: "Appends of one event by callers (PostgreSQL, durable)",
            x: "callers",
            y: "events per second",
            curves: vec![
                ("eventstore", sweep(&ours, "PostgreSQL").await?),
                (
                    "a transaction each",
                    sweep(&raw, "a transaction each").await?,
                ),
                (
                    "a statement each",
                    sweep(&at_once, "a statement each").await?,
                ),
            ],
        });
    }
    store.close().await;
    pool.close().await;
    other_pool.close().await;
    Ok(())
}

pub(crate) async fn sqlite(folder: &Path, settings: &Settings, report: &mut Report) -> Outcome<()> {
    say("appends of one event on SQLite");
    let url = |name: &str| format!("sqlite://{}", folder.join(name).display());
    let store = eventstore::open(&url("ours.db"), Options::default()).await?;
    eventstore::open(&url("raw.db"), Options::default())
        .await?
        .close()
        .await;
    let ours = Arc::new(Arc::clone(&store));
    let raw = Arc::new(RawSqlite::open(&folder.join("raw.db")).await?);
    report.compare(
        Subject {
            id: "sqlite/64-callers",
            work: "1 event per append, 64 callers, SQLite, durable".into(),
            unit: "events/s",
            baseline_name: "a transaction each",
            goal: Goal::AtLeast(5.0),
        },
        &rounds(&ours, &raw).await?,
    );
    if settings.plots {
        report.plots.push(Plot {
            id: "throughput-sqlite",
            title: "Appends of one event by callers (SQLite, durable)",
            x: "callers",
            y: "events per second",
            curves: vec![
                ("eventstore", sweep(&ours, "SQLite").await?),
                (
                    "a transaction each",
                    sweep(&raw, "a transaction each").await?,
                ),
            ],
        });
    }
    store.close().await;
    raw.close().await;
    Ok(())
}
