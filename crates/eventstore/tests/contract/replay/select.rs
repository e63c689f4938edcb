//! Which events a replay gives.

use std::sync::Arc;
use std::time::Duration;

use eventstore::replay::{Replay, State};
use eventstore::{Position, RecordedEvent};
use time::OffsetDateTime;

use super::{fill, only, order, played, seen, set, ticking_store};
use crate::database::{Database, contract};

contract!(
    every_scope_gives_its_events_once_and_in_order,
    bounds_hold_together,
    a_time_is_found_among_equal_times_and_beyond_the_ends,
    types_are_selected_in_every_scope,
);

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
