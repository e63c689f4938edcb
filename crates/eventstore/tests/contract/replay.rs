//! Replays: which events they give, how far they say they are, how they stop.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use eventstore::replay::{
    Progress, Replay, ReplayError, Replays, ReplaysOptions, StartingPoint, State, VisitError,
    Visitor,
};
use eventstore::{
    Append, EventStore, ExpectedVersion, NewEvent, Options, Position, ReadError, RecordedEvent,
    StreamKey, StreamWrite,
};
use serde_json::json;
use time::OffsetDateTime;
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::database::{Database, PATIENCE, contract};
use crate::samples::all;

contract!(
    every_scope_gives_its_events_once_and_in_order,
    bounds_hold_together,
    a_time_is_found_among_equal_times_and_beyond_the_ends,
    types_are_selected_in_every_scope,
    totals_are_exact_where_an_index_counts,
    what_is_appended_meanwhile_is_not_part_of_it,
    a_cancelled_replay_says_where_and_can_go_on_there,
    a_visitor_that_fails_or_panics_fails_the_replay,
    a_hole_in_the_positions_fails_the_replay,
    no_more_replays_run_at_once_than_may,
    ended_replays_are_kept_for_a_while,
    a_state_is_folded_to_a_version_or_a_time,
    a_fold_starts_from_a_state_that_is_known,
    a_set_that_is_dropped_cancels_what_runs,
);

static SECONDS: AtomicU64 = AtomicU64::new(0);

/// Every append comes at a later second than the one before; also across tests that run at once.
fn ticking() -> OffsetDateTime {
    let seconds = SECONDS.fetch_add(1, Ordering::Relaxed);
    OffsetDateTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

async fn ticking_store(database: &Database) -> Arc<dyn EventStore> {
    let clock = ticking;
    database
        .open_with(Options {
            clock,
            ..Options::default()
        })
        .await
}

/// `rounds` appends, each with one event for three streams of two tenants and two types.
async fn fill(store: &dyn EventStore, rounds: u64) -> Vec<RecordedEvent> {
    for n in 0..rounds {
        let event_type = if n % 3 == 0 { "Rare" } else { "Common" };
        let streams = [
            StreamKey::new("acme", "order", "1"),
            StreamKey::new("acme", "cart", "1"),
            StreamKey::new("globex", "order", "1"),
        ];
        let write = |stream| StreamWrite {
            stream,
            expected: ExpectedVersion::Any,
            events: vec![NewEvent::new(event_type, 1, json!({ "n": n }))],
        };
        let writes = streams.map(write).to_vec();
        store.append(Append::new(writes)).await.unwrap();
    }
    all(store).await
}

fn set(store: &Arc<dyn EventStore>) -> Replays {
    let options = ReplaysOptions {
        page_len: 4,
        ..ReplaysOptions::default()
    };
    Replays::new(Arc::clone(store), options)
}

/// Runs a replay to its end.
async fn played(replays: &Replays, replay: Replay) -> (Vec<RecordedEvent>, Progress) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let collect = move |events: &[RecordedEvent]| {
        assert!(!events.is_empty());
        sink.lock().unwrap().extend_from_slice(events);
        Ok(())
    };
    let handle = replays.start(replay, collect).unwrap();
    let end = tokio::time::timeout(PATIENCE, handle.finished()).await;
    let seen = std::mem::take(&mut *seen.lock().unwrap());
    (seen, end.unwrap())
}

async fn seen(replays: &Replays, replay: Replay) -> Vec<RecordedEvent> {
    let (events, end) = played(replays, replay).await;
    assert_eq!(end.state, State::Done, "{end:?}");
    assert_eq!(end.matched, events.len() as u64);
    assert_eq!(end.total, Some(end.read));
    events
}

fn only(events: &[RecordedEvent], which: impl Fn(&RecordedEvent) -> bool) -> Vec<RecordedEvent> {
    events
        .iter()
        .filter(|event| which(event))
        .cloned()
        .collect()
}

fn order() -> StreamKey {
    StreamKey::new("acme", "order", "1")
}

async fn every_scope_gives_its_events_once_and_in_order(database: Arc<Database>) {
    let store = database.open().await;
    let replays = set(&store);
    assert_eq!(seen(&replays, Replay::everything()).await, []);
    assert_eq!(seen(&replays, Replay::stream(order())).await, []);
    let stored = fill(&*store, 8).await;

    assert_eq!(seen(&replays, Replay::everything()).await, stored);
    let of_tenant = only(&stored, |event| event.stream.tenant == "acme");
    assert_eq!(seen(&replays, Replay::tenant("acme")).await, of_tenant);
    let of_stream = only(&stored, |event| event.stream == order());
    assert_eq!(seen(&replays, Replay::stream(order())).await, of_stream);
    assert_eq!(seen(&replays, Replay::tenant("nobody")).await, []);
}

async fn bounds_hold_together(database: Arc<Database>) {
    let store = ticking_store(&database).await;
    let replays = set(&store);
    let stored = fill(&*store, 8).await;
    let bases = [
        Replay::everything(),
        Replay::tenant("acme"),
        Replay::stream(order()),
        Replay::everything().event_types(["Common"]),
        Replay::tenant("acme").event_types(["Common"]),
    ];
    for base in bases {
        let whole = seen(&replays, base.clone()).await;
        for (after, until) in [(0, 24), (0, 10), (5, 24), (7, 11), (9, 9), (3, 1000)] {
            let (after, until) = (Position(after), Position(until));
            let time = stored[15].recorded_at;
            let within = |event: &RecordedEvent| event.position > after && event.position <= until;
            let replay = base.clone().after(after).until(until);
            let expected = only(&whole, within);
            assert_eq!(seen(&replays, replay.clone()).await, expected, "{replay:?}");
            let replay = replay.until_time(time);
            let expected = only(&whole, |event| within(event) && event.recorded_at <= time);
            assert_eq!(seen(&replays, replay.clone()).await, expected, "{replay:?}");
        }
    }
    for version in [0, 1, 5, 8, 100] {
        let replay = Replay::stream(order()).until_version(version);
        let expected = only(&stored, |event| {
            event.stream == order() && event.stream_version <= version
        });
        assert_eq!(seen(&replays, replay).await, expected);
    }

    let backwards = Replay::everything().after(Position(5)).until(Position(4));
    let versions_of_a_tenant = Replay {
        until_version: Some(1),
        ..Replay::tenant("acme")
    };
    for wrong in [backwards, versions_of_a_tenant] {
        let refused = replays.start(wrong, |_: &[RecordedEvent]| Ok(()));
        assert_eq!(refused.unwrap_err().code(), "SIGNET-EVENTS-0051");
    }
    let (_, end) = played(&replays, Replay::everything().after(Position(25))).await;
    assert_eq!(end.state, State::Failed);
    assert_eq!(end.failure.unwrap().code, "SIGNET-EVENTS-0013");
}

async fn a_time_is_found_among_equal_times_and_beyond_the_ends(database: Arc<Database>) {
    let store = ticking_store(&database).await;
    let replays = set(&store);
    let stored = fill(&*store, 5).await;
    let tick = Duration::from_micros(1);
    // Each append has one time for its three events.
    for event in &stored {
        for time in [
            event.recorded_at - tick,
            event.recorded_at,
            event.recorded_at + tick,
        ] {
            let expected = only(&stored, |event| event.recorded_at <= time);
            let replay = Replay::everything().until_time(time);
            assert_eq!(seen(&replays, replay).await, expected);
        }
    }
    let before = Replay::everything().until_time(OffsetDateTime::UNIX_EPOCH - tick);
    assert_eq!(seen(&replays, before).await, []);
    let stream = Replay::stream(order()).until_time(stored[6].recorded_at);
    assert_eq!(seen(&replays, stream).await.len(), 3);
}

async fn types_are_selected_in_every_scope(database: Arc<Database>) {
    let store = database.open().await;
    let replays = set(&store);
    let stored = fill(&*store, 9).await;
    let bases = [
        Replay::everything(),
        Replay::tenant("acme"),
        Replay::stream(order()),
    ];
    for base in bases {
        let whole = seen(&replays, base.clone()).await;
        let rare = only(&whole, |event| event.event_type == "Rare");
        assert!(!rare.is_empty());
        let one = base.clone().event_types(["Rare"]);
        assert_eq!(seen(&replays, one).await, rare);
        let two = base.clone().event_types(["Rare", "Never"]);
        assert_eq!(seen(&replays, two).await, rare);
        let both = base.clone().event_types(["Rare"]).stream_types(["cart"]);
        let expected = only(&rare, |event| event.stream.stream_type == "cart");
        assert_eq!(seen(&replays, both).await, expected);
        let none = base.event_types(["Never"]);
        assert_eq!(seen(&replays, none).await, []);
    }
    assert_eq!(stored.len(), 27);
}

async fn totals_are_exact_where_an_index_counts(database: Arc<Database>) {
    let store = database.open().await;
    let replays = set(&store);
    fill(&*store, 8).await;
    let cases = [
        (Replay::everything(), Some(24)),
        (Replay::everything().event_types(["Rare"]), Some(24)),
        (Replay::tenant("acme").after(Position(3)), Some(14)),
        (Replay::stream(order()).after(Position(3)), Some(7)),
        (Replay::tenant("acme").event_types(["Rare"]), None),
    ];
    for (replay, total) in cases {
        let gate = Gate::default();
        let handle = replays.start(replay.clone(), gate.visitor()).unwrap();
        gate.reached().await;
        let waiting = handle.progress();
        assert_eq!(waiting.state, State::Running);
        assert_eq!((waiting.total, waiting.read), (total, 0), "{replay:?}");
        assert_eq!(waiting.total_is_exact, total.is_some());
        gate.open.add_permits(1000);
        let end = handle.finished().await;
        assert_eq!(end.state, State::Done);
        assert!(total.is_none_or(|total| total == end.read), "{end:?}");
        let shown = serde_json::to_value(handle.status()).unwrap();
        assert_eq!(shown["progress"]["state"], "done");
        assert_eq!(shown["progress"]["read"], json!(end.read));
    }
}

/// A visitor that tells when it has a page, and waits for leave to go on.
#[derive(Clone)]
struct Gate {
    reached: Arc<Semaphore>,
    open: Arc<Semaphore>,
    seen: Arc<Mutex<Vec<Position>>>,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            reached: Arc::new(Semaphore::new(0)),
            open: Arc::new(Semaphore::new(0)),
            seen: Arc::default(),
        }
    }
}

impl Gate {
    fn visitor(&self) -> Self {
        self.clone()
    }

    async fn reached(&self) {
        let reached = tokio::time::timeout(PATIENCE, self.reached.acquire()).await;
        reached.unwrap().unwrap().forget();
    }
}

#[async_trait]
impl Visitor for Gate {
    async fn visit(&mut self, events: &[RecordedEvent]) -> Result<(), VisitError> {
        self.reached.add_permits(1);
        self.open.acquire().await.unwrap().forget();
        let positions = events.iter().map(|event| event.position);
        self.seen.lock().unwrap().extend(positions);
        Ok(())
    }
}

async fn what_is_appended_meanwhile_is_not_part_of_it(database: Arc<Database>) {
    let store = database.open().await;
    let replays = set(&store);
    fill(&*store, 4).await;
    let gate = Gate::default();
    let handle = replays.start(Replay::everything(), gate.visitor()).unwrap();
    gate.reached().await;
    fill(&*store, 4).await;
    gate.open.add_permits(1000);
    let end = handle.finished().await;
    assert_eq!(
        (end.state, end.read, end.position),
        (State::Done, 12, Position(12))
    );
}

async fn a_cancelled_replay_says_where_and_can_go_on_there(database: Arc<Database>) {
    let store = database.open().await;
    let replays = set(&store);
    fill(&*store, 8).await;
    let gate = Gate::default();
    let handle = replays.start(Replay::everything(), gate.visitor()).unwrap();
    gate.reached().await;
    gate.open.add_permits(1);
    gate.reached().await;
    // Within its second page; it has that to its end.
    replays.cancel(handle.id()).unwrap();
    gate.open.add_permits(1000);
    let end = handle.finished().await;
    assert_eq!(end.state, State::Cancelled);
    assert_eq!((end.read, end.position), (8, Position(8)));
    assert!(end.ended_at.is_some());

    let rest = Replay::everything().after(end.position);
    let handle = replays.start(rest, gate.visitor()).unwrap();
    assert_eq!(handle.finished().await.state, State::Done);
    let positions: Vec<Position> = (1..=24).map(Position).collect();
    assert_eq!(*gate.seen.lock().unwrap(), positions);
}

async fn a_visitor_that_fails_or_panics_fails_the_replay(database: Arc<Database>) {
    let store = database.open().await;
    let replays = set(&store);
    fill(&*store, 8).await;
    let fails = |events: &[RecordedEvent]| match events[0].position {
        Position(5) => Err(VisitError("it is five".into())),
        _ => Ok(()),
    };
    let panics = |events: &[RecordedEvent]| {
        assert_ne!(events[0].position, Position(5), "it is five");
        Ok(())
    };
    let failing = replays.start(Replay::everything(), fails).unwrap();
    let panicking = replays.start(Replay::everything(), panics).unwrap();
    for handle in [failing, panicking] {
        let end = tokio::time::timeout(PATIENCE, handle.finished())
            .await
            .unwrap();
        assert_eq!((end.state, end.position), (State::Failed, Position(4)));
        let failure = end.failure.unwrap();
        assert_eq!(failure.code, "SIGNET-EVENTS-0053");
        assert!(
            failure.message.contains("it is five"),
            "{}",
            failure.message
        );
    }
}

async fn a_hole_in_the_positions_fails_the_replay(database: Arc<Database>) {
    let store = database.open().await;
    let replays = set(&store);
    let stored = fill(&*store, 8).await;
    let mut outside = database.connect().await;
    for gone in [10, 24] {
        let delete = format!("DELETE FROM events WHERE position = {gone}");
        outside.execute(&delete).await;
        let (seen, end) = played(&replays, Replay::everything()).await;
        let gap = ReadError::Gap {
            expected: Position(10),
            found: Position(11),
        };
        assert_eq!(end.failure.unwrap().code, gap.code());
        assert_eq!(seen, stored[..8]);
    }
    let rest = Replay::everything().after(Position(20));
    assert_eq!(played(&replays, rest).await.1.state, State::Failed);
    let stream = stored[9].stream.clone();
    assert_eq!(
        played(&replays, Replay::stream(stream)).await.1.state,
        State::Failed
    );
    outside.close().await;
}

async fn no_more_replays_run_at_once_than_may(database: Arc<Database>) {
    let store = database.open().await;
    fill(&*store, 2).await;
    let options = ReplaysOptions {
        most_at_once: 2,
        ..ReplaysOptions::default()
    };
    let replays = Replays::new(Arc::clone(&store), options);
    let gate = Gate::default();
    let first = replays.start(Replay::everything(), gate.visitor()).unwrap();
    let second = replays
        .start(Replay::tenant("acme"), gate.visitor())
        .unwrap();
    let refused = replays.start(Replay::everything(), gate.visitor());
    assert_eq!(refused.unwrap_err(), ReplayError::Busy { running: 2 });

    let ids = |tenant, before| -> Vec<Uuid> {
        let listed = replays.list(tenant, before, 10);
        listed.into_iter().map(|status| status.id).collect()
    };
    assert_eq!(ids(None, None), [second.id(), first.id()]);
    assert_eq!(ids(None, Some(second.id())), [first.id()]);
    assert_eq!(ids(Some("acme"), None), [second.id()]);
    assert!(ids(Some("globex"), None).is_empty());
    assert_eq!(replays.list(None, None, 1).len(), 1);

    gate.open.add_permits(1000);
    first.finished().await;
    second.finished().await;
    let third = replays.start(Replay::everything(), gate.visitor()).unwrap();
    assert_eq!(third.finished().await.state, State::Done);
}

async fn ended_replays_are_kept_for_a_while(database: Arc<Database>) {
    let store = database.open().await;
    fill(&*store, 1).await;
    let keeping = |keep_ended, keep_for| {
        let options = ReplaysOptions {
            keep_ended,
            keep_for,
            ..ReplaysOptions::default()
        };
        Replays::new(Arc::clone(&store), options)
    };
    let two = keeping(2, PATIENCE);
    let mut ids = Vec::new();
    for _ in 0..3 {
        let handle = two.start(Replay::everything(), |_: &[RecordedEvent]| Ok(()));
        let handle = handle.unwrap();
        handle.finished().await;
        ids.push(handle.id());
    }
    assert_eq!(two.get(ids[2]).unwrap().progress().state, State::Done);
    assert!(two.get(ids[1]).is_ok());
    assert_eq!(
        two.get(ids[0]).unwrap_err(),
        ReplayError::Unknown { id: ids[0] }
    );
    assert_eq!(two.cancel(ids[0]).unwrap_err().code(), "SIGNET-EVENTS-0052");

    let none = keeping(10, Duration::ZERO);
    let handle = none.start(Replay::everything(), |_: &[RecordedEvent]| Ok(()));
    let handle = handle.unwrap();
    handle.finished().await;
    assert!(none.list(None, None, 10).is_empty());
}

fn sum(sum: u64, event: &RecordedEvent) -> u64 {
    sum + event.data["n"].as_u64().unwrap()
}

async fn a_state_is_folded_to_a_version_or_a_time(database: Arc<Database>) {
    let store = ticking_store(&database).await;
    let replays = set(&store);
    let stored = fill(&*store, 8).await;
    let to_version = Replay::stream(order()).until_version(5);
    let folded = replays.fold(to_version, (), 0, sum).unwrap();
    let folded = folded.finished().await.unwrap();
    assert_eq!((folded.state, folded.version), (1 + 2 + 3 + 4, 5));

    let time = stored
        .iter()
        .find(|event| event.stream_version == 3)
        .unwrap()
        .recorded_at;
    let to_time = Replay::stream(order()).until_time(time);
    let folded = replays.fold(to_time, (), 0, sum).unwrap();
    let folded = folded.finished().await.unwrap();
    assert_eq!((folded.state, folded.version), (1 + 2, 3));

    let panics = |_: u64, _: &RecordedEvent| panic!("it cannot");
    let folding = replays.fold(Replay::everything(), (), 0, panics).unwrap();
    assert_eq!(
        folding.finished().await.unwrap_err().code(),
        "SIGNET-EVENTS-0053"
    );

    let folding = replays.fold(Replay::everything(), (), 0, sum).unwrap();
    folding.handle().cancel();
    match folding.finished().await {
        Err(error) => assert_eq!(error.code(), "SIGNET-EVENTS-0054"),
        // It was done before it was cancelled.
        Ok(folded) => assert_eq!(folded.progress.read, 24),
    }
}

async fn a_fold_starts_from_a_state_that_is_known(database: Arc<Database>) {
    let store = ticking_store(&database).await;
    let replays = set(&store);
    let stored = fill(&*store, 8).await;
    // A wrong state, to see whether it was taken.
    let known = StartingPoint {
        version: 5,
        state: 1000_u64,
    };
    let fold = async |replay: Replay| {
        let folding = replays.fold(replay, known.clone(), 0, sum).unwrap();
        let folded = folding.finished().await.unwrap();
        (folded.state, folded.version, folded.progress.read)
    };
    let stream = Replay::stream(order());
    assert_eq!(fold(stream.clone()).await, (1000 + 5 + 6 + 7, 8, 3));
    assert_eq!(fold(stream.clone().until_version(5)).await, (1000, 5, 0));
    assert_eq!(fold(stream.clone().until_version(4)).await, (6, 4, 4));
    let sixth = stored
        .iter()
        .find(|event| event.stream_version == 6)
        .unwrap();
    let to_time = stream.clone().until_time(sixth.recorded_at);
    assert_eq!(fold(to_time).await, (1000 + 5, 6, 1));
    // A state of all events is not one of some.
    let some = stream.clone().event_types(["Common"]);
    assert_eq!(fold(some).await.0, 1 + 2 + 4 + 5 + 7);
    assert_eq!(fold(stream.after(Position(3))).await.2, 7);
}

async fn a_set_that_is_dropped_cancels_what_runs(database: Arc<Database>) {
    let store = database.open().await;
    let replays = set(&store);
    fill(&*store, 4).await;
    let gate = Gate::default();
    let handle = replays.start(Replay::everything(), gate.visitor()).unwrap();
    gate.reached().await;
    let mut watched = handle.watch();
    drop(replays);
    gate.open.add_permits(1000);
    let end = handle.finished().await;
    assert_eq!((end.state, end.position), (State::Cancelled, Position(4)));
    let last = watched.wait_for(|progress| progress.state != State::Running);
    assert_eq!(last.await.unwrap().read, 4);
}
