//! Where a subscription stands: its checkpoints, what they cover, and where it begins.

use std::sync::Arc;
use std::time::Duration;

use eventstore::consumer::{
    ConsumerError, ConsumerOptions, Delivery, EventFilter, PartitionState, Reset, Start,
    Subscriptions,
};
use eventstore::{Append, ExpectedVersion, NewEvent, Options, Position, ReadError, StreamKey};
use time::OffsetDateTime;

use super::stage::{
    Effects, Log, NAME, append, assert_exactly_once, consumers, effects, effects_table, logging,
    options, status, until, until_all_at,
};
use crate::database::{Database, contract};
use crate::samples::all;

contract!(
    events_are_handled_in_order_and_the_checkpoint_follows,
    what_was_killed_between_effect_and_checkpoint_has_each_effect_once,
    what_was_killed_handles_each_event_at_least_once_and_skips_none,
    the_checkpoint_moves_over_what_the_filter_leaves_out,
    a_subscription_begins_where_it_is_told_to,
    a_checkpoint_beyond_the_end_is_an_error_at_once,
    who_runs_notices_that_the_store_was_put_back,
    another_number_of_partitions_is_refused,
    pause_and_resume_reach_other_processes_and_survive_them,
    a_paused_subscription_can_be_put_back_to_a_time,
    what_is_not_paused_is_neither_reset_nor_removed,
);

async fn events_are_handled_in_order_and_the_checkpoint_follows(database: Arc<Database>) {
    let store = database.open().await;
    append(&*store, 7, 20).await;
    let (log, consumers) = (Arc::new(Log::default()), consumers(&store));
    let delivery = Delivery::at_least_once(logging(&log));
    consumers.start(options(), delivery).await.unwrap();
    let head = append(&*store, 7, 20).await;
    until_all_at(&store, head).await;

    let stored = all(&*store).await;
    let streams = log.streams();
    assert_eq!(streams.len(), 7);
    for (stream, handled) in streams {
        let of_stream = stored.iter().filter(|event| event.stream == stream);
        let positions: Vec<_> = of_stream.map(|event| event.position).collect();
        assert_eq!(handled, positions, "{stream}");
    }
    let statistics = &consumers.statistics()[0];
    assert_eq!(statistics.handled, 280);
    assert_eq!((statistics.failed, statistics.dead_lettered), (0, 0));
    assert!(statistics.batches >= 4 && statistics.batch_seconds_longest > 0.0);

    consumers.shutdown(Duration::from_secs(10)).await;
    let status = status(&store).await;
    assert_eq!(status.partitions.len(), 4);
    for partition in status.partitions {
        assert_eq!(partition.owner, None);
        assert_eq!((partition.position, partition.lag_events), (head, 0));
        assert!(partition.moved_at.is_some());
    }
}

/// How often a consumer is cut off in the scenarios below.
const KILLS: usize = 6;

/// Some milliseconds, drawn anew each time.
async fn a_while() {
    let milliseconds = u64::from(uuid::Uuid::new_v4().as_bytes()[0]) / 2;
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}

fn short_lease() -> ConsumerOptions {
    ConsumerOptions {
        lease: Duration::from_millis(100),
        batch_size: 7,
        partitions: 3,
        ..options()
    }
}

// "Checkpoint ahead of its effects", and the other way round.
async fn what_was_killed_between_effect_and_checkpoint_has_each_effect_once(
    database: Arc<Database>,
) {
    let store = database.open().await;
    effects_table(&database).await;
    let head = append(&*store, 9, 30).await;
    let handler = || Effects {
        holder: "victim",
        pause: Duration::from_millis(4),
    };
    for _ in 0..KILLS {
        let consumers = consumers(&store);
        let delivery = Delivery::exactly_once(handler());
        consumers.start(short_lease(), delivery).await.unwrap();
        let (before, database) = (effects(&database).await.len(), &database);
        until("some effect", || async move {
            let now = effects(database).await.len();
            now > before || now as u64 == head.0
        })
        .await;
        a_while().await;
        drop(consumers);
    }
    let consumers = consumers(&store);
    let delivery = Delivery::exactly_once(handler());
    consumers.start(short_lease(), delivery).await.unwrap();

    until_all_at(&store, head).await;

    assert_exactly_once(&effects(&database).await, head);
}

async fn what_was_killed_handles_each_event_at_least_once_and_skips_none(database: Arc<Database>) {
    let store = database.open().await;
    let head = append(&*store, 9, 30).await;
    let log = Arc::new(Log::default());
    for _ in 0..KILLS {
        let consumers = consumers(&store);
        let delivery = Delivery::at_least_once(logging(&log));
        consumers.start(short_lease(), delivery).await.unwrap();
        let before = log.positions().len();
        let log = &log;
        until("some event", || async move {
            log.positions().len() > before || log.positions().contains(&head)
        })
        .await;
        drop(consumers);
    }
    let consumers = consumers(&store);
    let delivery = Delivery::at_least_once(logging(&log));
    consumers.start(short_lease(), delivery).await.unwrap();
    until_all_at(&store, head).await;

    let stored = all(&*store).await;
    for (stream, handled) in log.streams() {
        let of_stream = stored.iter().filter(|event| event.stream == stream);
        let expected: Vec<_> = of_stream.map(|event| event.position).collect();
        // Repetitions go back, but nobody ever goes forward over an event.
        let mut known = 0;
        for position in handled {
            let index = expected.iter().position(|at| *at == position).unwrap();
            assert!(index <= known, "{position} came too early in {stream}");
            known = known.max(index + 1);
        }
        assert_eq!(known, expected.len(), "{stream}");
    }
}

async fn the_checkpoint_moves_over_what_the_filter_leaves_out(database: Arc<Database>) {
    let store = database.open().await;
    let (log, consumers) = (Arc::new(Log::default()), consumers(&store));
    append(&*store, 5, 10).await;
    let stream = StreamKey::new("other", "invoice", "1");
    let events = vec![
        NewEvent::new("Sent", 1, serde_json::json!({})),
        NewEvent::new("Paid", 1, serde_json::json!({})),
    ];
    let write = Append::to(stream, ExpectedVersion::NoStream, events);
    let paid = store.append(write).await.unwrap().last;
    append(&*store, 5, 10).await;
    let filters = [
        (Some("other"), "invoice", "Paid"),
        (None, "invoice", "Paid"),
        (Some("other"), "order", "Paid"),
    ];
    for (number, (tenant, stream_type, event_type)) in filters.into_iter().enumerate() {
        let options = ConsumerOptions {
            name: format!("{NAME}-{number}"),
            filter: EventFilter {
                tenant: tenant.map(str::to_owned),
                stream_types: vec![stream_type.into(), "nothing".into()],
                event_types: vec![event_type.into()],
            },
            ..options()
        };
        let delivery = Delivery::at_least_once(logging(&log));
        consumers.start(options, delivery).await.unwrap();
    }

    let (head, subscriptions) = (
        store.head().await.unwrap(),
        Subscriptions::new(store.clone()),
    );
    let subscriptions = &subscriptions;
    until("all checkpoints at the end", || async move {
        let all = subscriptions.all(OffsetDateTime::now_utc()).await.unwrap();
        assert_eq!(all.len(), 3);
        let mut partitions = all.iter().flat_map(|status| &status.partitions);
        partitions.all(|partition| partition.position == head)
    })
    .await;

    assert_eq!(log.positions(), [paid, paid]);
    // Where nothing was handled, nothing was written but the renewals.
    let nothing = subscriptions.status("mail-2", OffsetDateTime::now_utc());
    for partition in nothing.await.unwrap().partitions {
        assert_eq!(partition.moved_at, None);
    }
}

async fn a_subscription_begins_where_it_is_told_to(database: Arc<Database>) {
    let store = database.open().await;
    append(&*store, 1, 5).await;
    let consumers = consumers(&store);
    let starts = [
        ("beginning", Start::Beginning, 1..=6),
        ("now", Start::Now, 6..=6),
        ("after", Start::After(Position(3)), 4..=6),
    ];
    let mut expected = Vec::new();
    for (name, start, positions) in starts {
        let log = Arc::new(Log::default());
        let options = ConsumerOptions {
            name: name.into(),
            start,
            ..options()
        };
        let delivery = Delivery::at_least_once(logging(&log));
        consumers.start(options, delivery).await.unwrap();
        expected.push((log, positions.map(Position).collect::<Vec<_>>()));
    }
    append(&*store, 1, 1).await;

    for (log, positions) in expected {
        let last = positions.last();
        let log = &*log;
        until("the last event", || async move {
            log.positions().last() == last
        })
        .await;
        assert_eq!(log.positions(), positions);
    }
}

async fn a_checkpoint_beyond_the_end_is_an_error_at_once(database: Arc<Database>) {
    let store = database.open().await;
    append(&*store, 1, 5).await;
    let (log, consumers) = (Arc::new(Log::default()), consumers(&store));
    let ahead = |cursor| ReadError::AheadOfStore {
        cursor: Position(cursor),
        head: Position(5),
    };
    let asked = ConsumerOptions {
        name: "asked".into(),
        start: Start::After(Position(6)),
        ..options()
    };
    let delivery = Delivery::at_least_once(logging(&log));
    let refused = consumers.start(asked.clone(), delivery.clone()).await;
    let Err(ConsumerError::Read(error)) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(error, ahead(6));
    // Nothing of it is left behind.
    let start = Start::Beginning;
    let asked = ConsumerOptions { start, ..asked };
    consumers.start(asked, delivery.clone()).await.unwrap();

    consumers.start(options(), delivery.clone()).await.unwrap();
    until_all_at(&store, Position(5)).await;
    consumers.shutdown(Duration::from_secs(10)).await;
    let put_ahead = "UPDATE event_subscription_partitions SET position = 9 WHERE partition = 1";
    database.connect().await.execute(put_ahead).await;

    let refused = consumers.start(options(), delivery).await;
    let Err(ConsumerError::Read(error)) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(error, ahead(9));
    assert_eq!(error.code(), "SIGNET-EVENTS-0013");
}

async fn who_runs_notices_that_the_store_was_put_back(database: Arc<Database>) {
    let store = database.open_with(short_poll()).await;
    append(&*store, 1, 5).await;
    let (log, consumers) = (Arc::new(Log::default()), consumers(&store));
    let delivery = Delivery::at_least_once(logging(&log));
    consumers.start(options(), delivery).await.unwrap();
    until_all_at(&store, Position(5)).await;

    let mut outside = database.connect().await;
    outside
        .execute("DELETE FROM events WHERE position > 2")
        .await;
    outside.execute("UPDATE event_lanes SET head = 2").await;

    let consumers = &consumers;
    until("all partitions failed", || async move {
        let health = consumers.health().remove(0);
        assert_eq!(health.subscription, NAME);
        health.partitions.iter().all(|partition| {
            matches!(&partition.state, PartitionState::Failed { reason }
                if reason.contains("ahead of the store"))
        })
    })
    .await;
}

async fn another_number_of_partitions_is_refused(database: Arc<Database>) {
    let store = database.open().await;
    let (log, consumers) = (Arc::new(Log::default()), consumers(&store));
    let delivery = Delivery::at_least_once(logging(&log));
    consumers.start(options(), delivery.clone()).await.unwrap();
    let again = consumers.start(options(), delivery.clone()).await;
    assert!(matches!(again, Err(ConsumerError::AlreadyRunning { .. })));
    consumers.stop(NAME, Duration::ZERO).await.unwrap();

    let eight = ConsumerOptions {
        partitions: 8,
        ..options()
    };
    let refused = consumers.start(eight, delivery).await.unwrap_err();

    assert_eq!(refused.code(), "SIGNET-EVENTS-0061");
    let text = refused.to_string();
    assert!(text.contains("into 4 partitions, not 8"), "{text}");
}

async fn pause_and_resume_reach_other_processes_and_survive_them(database: Arc<Database>) {
    let (here, there) = (
        database.open_with(short_poll()).await,
        database.open_with(short_poll()).await,
    );
    let log = Arc::new(Log::default());
    let delivery = Delivery::at_least_once(logging(&log));
    let running = consumers(&there);
    running.start(options(), delivery.clone()).await.unwrap();
    let head = append(&*here, 3, 3).await;
    until_all_at(&here, head).await;
    let subscriptions = Subscriptions::new(Arc::clone(&here));

    subscriptions.pause(NAME).await.unwrap();
    let seen = &running;
    until("the pause to be seen", || async move {
        let health = seen.health().remove(0);
        let mut partitions = health.partitions.iter();
        health.paused && partitions.all(|partition| partition.state == PartitionState::Paused)
    })
    .await;
    append(&*here, 3, 3).await;
    running.shutdown(Duration::from_secs(10)).await;
    let restarted = consumers(&there);
    restarted.start(options(), delivery).await.unwrap();
    let seen = &restarted;
    until("the leases", || async move {
        seen.health().remove(0).partitions.len() == 4
    })
    .await;
    let paused = status(&here).await;
    assert!(paused.paused);
    assert!(paused.partitions.iter().all(|at| at.position == head));
    assert!(paused.partitions.iter().all(|at| at.lag_events == 9));
    assert_eq!(log.positions().len(), 9);

    subscriptions.resume(NAME).await.unwrap();
    until_all_at(&here, Position(18)).await;
    assert_eq!(log.positions().len(), 18);
}

async fn a_paused_subscription_can_be_put_back_to_a_time(database: Arc<Database>) {
    let store = database.open().await;
    effects_table(&database).await;
    append(&*store, 3, 2).await;
    // Times are whole microseconds; the next event must not have the same one.
    tokio::time::sleep(Duration::from_millis(5)).await;
    let between = OffsetDateTime::now_utc() - Duration::from_millis(2);
    let head = append(&*store, 3, 2).await;
    let consumers = consumers(&store);
    let delivery = Delivery::exactly_once(Effects {
        holder: "a",
        pause: Duration::ZERO,
    });
    consumers.start(options(), delivery).await.unwrap();
    until_all_at(&store, head).await;
    let subscriptions = Subscriptions::new(Arc::clone(&store));

    subscriptions.pause(NAME).await.unwrap();
    let to = subscriptions.reset(NAME, Reset::Time(between)).await;
    assert_eq!(to.unwrap(), Position(6));
    let beyond = subscriptions.reset(NAME, Reset::After(Position(13))).await;
    assert!(matches!(
        beyond,
        Err(ConsumerError::Read(ReadError::AheadOfStore { .. }))
    ));
    assert_exactly_once(&effects(&database).await, head);
    subscriptions.resume(NAME).await.unwrap();
    until_all_at(&store, head).await;

    let mut positions: Vec<_> = effects(&database).await;
    positions.drain(..12);
    let mut positions: Vec<_> = positions.iter().map(|effect| effect.position).collect();
    positions.sort_unstable();
    assert_eq!(positions, (7..=12).collect::<Vec<_>>());
}

async fn what_is_not_paused_is_neither_reset_nor_removed(database: Arc<Database>) {
    let store = database.open().await;
    let (log, consumers) = (Arc::new(Log::default()), consumers(&store));
    let delivery = Delivery::at_least_once(logging(&log));
    consumers.start(options(), delivery).await.unwrap();
    let subscriptions = Subscriptions::new(Arc::clone(&store));

    let reset = subscriptions.reset(NAME, Reset::After(Position::START));
    assert_eq!(reset.await.unwrap_err().code(), "SIGNET-EVENTS-0063");
    let removed = subscriptions.remove(NAME).await;
    assert_eq!(removed.unwrap_err().code(), "SIGNET-EVENTS-0063");
    let unknown = subscriptions.pause("nobody").await;
    assert_eq!(unknown.unwrap_err().code(), "SIGNET-EVENTS-0062");

    subscriptions.pause(NAME).await.unwrap();
    subscriptions.remove(NAME).await.unwrap();
    assert_eq!(
        subscriptions.all(OffsetDateTime::now_utc()).await.unwrap(),
        []
    );
}

fn short_poll() -> Options {
    Options {
        poll_interval: Duration::from_millis(20),
        ..Options::default()
    }
}
