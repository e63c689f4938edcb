//! Loading an aggregate of many events from its snapshot, against loading it from the events.

use std::sync::Arc;
use std::time::Instant;

use eventstore::command::{Aggregate, Encoded, Repository, StateCodec};
use eventstore::snapshot::{SnapshotOptions, Snapshots};
use eventstore::{Append, ExpectedVersion, NewEvent};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::report::{Goal, Outcome, Report, Subject, median, say};
use crate::server::Server;

const EVENTS: u64 = 10_000;
/// Events of one append.
const BATCH: u64 = 500;
const ROUNDS: usize = 7;
/// Loads from the snapshot in a round, for one from the events.
const LOADS: usize = 40;

struct Account;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Balance {
    movements: u64,
    cents: i64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Moved {
    cents: i64,
    text: String,
}

impl Aggregate for Account {
    type State = Balance;
    type Event = Moved;
    const STREAM_TYPE: &'static str = "account";

    fn encode(event: &Moved) -> Result<Encoded, String> {
        let data = serde_json::to_value(event).map_err(|error| error.to_string())?;
        Ok(Encoded::new("Moved", 1, data))
    }

    fn decode(_event_type: &str, _schema_version: u32, data: Value) -> Result<Moved, String> {
        serde_json::from_value(data).map_err(|error| error.to_string())
    }

    fn evolve(mut state: Balance, event: &Moved) -> Balance {
        state.movements += 1;
        state.cents += event.cents;
        state
    }

    fn snapshots() -> Option<StateCodec<Balance>> {
        Some(StateCodec::serde(1))
    }
}

pub(crate) async fn run(server: &Server, report: &mut Report) -> Outcome<()> {
    say("an aggregate with and without a snapshot");
    let store = server.database("aggregate").await?.open().await?;
    let stream = Account::stream("acme", "busy");
    for first in (0..EVENTS).step_by(BATCH as usize) {
        let events = (first..first + BATCH).map(|number| {
            let text = format!("a movement of some cents, number {number}");
            NewEvent::new("Moved", 1, json!({ "cents": number % 97, "text": text }))
        });
        let expected = ExpectedVersion::Exact(first);
        let append = Append::to(stream.clone(), expected, events.collect());
        store.append(append).await?;
    }
    let from_events = Repository::<Account>::new(Arc::clone(&store));
    let snapshots = Snapshots::new(store.database(), SnapshotOptions::default());
    let from_snapshot = Repository::<Account>::new(Arc::clone(&store)).with_snapshots(snapshots);
    from_snapshot.take_snapshot(&stream).await?;
    let mut rounds = Vec::new();
    for round in 0..=ROUNDS {
        let mut times = Vec::new();
        // Of a version that is named nothing is kept.
        let started = Instant::now();
        let slowly = from_events.load_at(&stream, EVENTS).await?;
        let slow = started.elapsed().as_secs_f64();
        for _ in 0..LOADS {
            let started = Instant::now();
            let quickly = from_snapshot.load_at(&stream, EVENTS).await?;
            times.push(started.elapsed().as_secs_f64());
            if quickly.state != slowly.state || quickly.version != slowly.version {
                return Err("the snapshot is not what the events say".into());
            }
        }
        if round > 0 {
            rounds.push((1.0 / median(times), 1.0 / slow));
        }
    }
    report.compare(
        Subject {
            id: "aggregate/load",
            work: format!("an aggregate of {EVENTS} events from its snapshot, PostgreSQL"),
            unit: "loads/s",
            baseline_name: "from its events",
            goal: Goal::AtLeast(100.0),
        },
        &rounds,
    );
    store.close().await;
    Ok(())
}
