//! How replays go, end and are kept.

use std::sync::Arc;
use std::time::Duration;

use eventstore::replay::{Replay, ReplayError, Replays, ReplaysOptions, State, VisitError};
use eventstore::{Position, ReadError, RecordedEvent};
use serde_json::json;
use uuid::Uuid;

use super::{Gate, fill, order, played, set};
use crate::database::{Database, PATIENCE, contract};

contract!(
    totals_are_exact_where_an_index_counts,
    what_is_appended_meanwhile_is_not_part_of_it,
    a_cancelled_replay_says_where_and_can_go_on_there,
    a_visitor_that_fails_or_panics_fails_the_replay,
    a_hole_in_the_positions_fails_the_replay,
    no_more_replays_run_at_once_than_may,
    ended_replays_are_kept_for_a_while,
    a_set_that_is_dropped_cancels_what_runs,
);

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
