//! Projections that follow behind the store.

use std::sync::Arc;
use std::time::Duration;

use eventstore::projection::{AtLeast, PartitionBy, ProjectionState, RunnerOptions};
use eventstore::{Position, ProjectionError};
use serde_json::json;
use time::OffsetDateTime;

use crate::database::{Database, PATIENCE, contract};
use crate::projection::samples::{
    Sums, append, assert_sound, fill, happened, projections, reach, small, until,
};

contract!(
    documents_are_what_the_events_make_of_them,
    partitions_make_the_same_documents,
    a_reader_waits_for_its_own_write,
    a_wait_ends_with_where_the_projection_is,
    an_event_that_cannot_be_applied_stops_the_projection_before_it,
    an_event_that_cannot_be_read_stops_the_projection_before_it,
    of_two_runners_one_works_and_the_other_takes_over,
    a_checkpoint_beyond_the_head_is_an_error,
    a_lease_from_before_the_clock_was_set_back_keeps_nobody_waiting,
);

async fn documents_are_what_the_events_make_of_them(database: Arc<Database>) {
    let store = database.open().await;
    let projections = projections(&store);
    fill(&store, 20).await;

    let runner = projections.run(Arc::new(Sums::new()), &small()).unwrap();
    let last = fill(&store, 20).await;
    reach(&projections, "sums", last).await;
    let answer = assert_sound(&store, &projections, &Sums::new()).await;
    assert_eq!(answer.as_of, last);
    assert!(answer.value.len() > 10);

    let status = projections.status("sums").await.unwrap();
    assert_eq!(status.state, ProjectionState::Running);
    assert_eq!((status.active.lag_events, status.active.progress), (0, 1.0));
    assert!(serde_json::to_value(&status).unwrap()["active"]["position"].is_u64());
    runner.stop().await;

    // Another runner goes on where this one ended.
    let last = fill(&store, 5).await;
    let _runner = projections.run(Arc::new(Sums::new()), &small()).unwrap();
    reach(&projections, "sums", last).await;
    assert_sound(&store, &projections, &Sums::new()).await;
}

async fn partitions_make_the_same_documents(database: Arc<Database>) {
    let store = database.open().await;
    let projections = projections(&store);
    let last = fill(&store, 30).await;
    for (name, partition_by) in [
        ("by-tenant", PartitionBy::Tenant),
        ("by-key", PartitionBy::Key),
    ] {
        let sums = Sums {
            name,
            ..Sums::new()
        };
        let options = RunnerOptions {
            partitions: 3,
            partition_by,
            ..small()
        };
        let runner = projections.run(Arc::new(sums.clone()), &options).unwrap();
        reach(&projections, name, last).await;
        let answer = assert_sound(&store, &projections, &sums).await;
        let status = projections.status(name).await.unwrap();
        assert_eq!(status.active.partitions.len(), 3);

        // Divided in another way, it is built beside.
        let before = answer.generation;
        let four = RunnerOptions {
            partitions: 4,
            ..options
        };
        projections.repartition(name, &four).await.unwrap();
        until(&projections, name, |status| {
            status.active.generation > before
        })
        .await;
        let answer = assert_sound(&store, &projections, &sums).await;
        assert_eq!(answer.as_of, last);
        runner.stop().await;
    }
}

async fn a_reader_waits_for_its_own_write(database: Arc<Database>) {
    let store = database.open().await;
    let projections = projections(&store);
    let _runner = projections
        .run(Arc::new(Sums::new()), &RunnerOptions::default())
        .unwrap();
    until(&projections, "sums", |_| true).await;
    for n in 1..20 {
        let position = append(&store, vec![happened("acme", "1", &[1])]).await;
        let at_least = AtLeast {
            position,
            timeout: PATIENCE,
        };
        let answer = projections
            .get("sums", "acme", "1", Some(at_least))
            .await
            .unwrap();
        assert!(answer.as_of >= position);
        assert_eq!(answer.value.unwrap().data["count"], json!(n));
    }
    // Other tenants and keys have nothing.
    let none = projections.get("sums", "globex", "1", None).await.unwrap();
    assert_eq!(none.value, None);
}

async fn a_wait_ends_with_where_the_projection_is(database: Arc<Database>) {
    let store = database.open().await;
    let projections = projections(&store);
    let unknown = projections.wait("sums", Position(1), Duration::ZERO).await;
    assert_eq!(unknown.unwrap_err().code(), "SIGNET-EVENTS-0070");
    let last = fill(&store, 3).await;
    let runner = projections.run(Arc::new(Sums::new()), &small()).unwrap();
    reach(&projections, "sums", last).await;
    runner.stop().await;

    let beyond = AtLeast {
        position: Position(last.0 + 1),
        timeout: Duration::from_millis(50),
    };
    let behind = projections
        .get("sums", "acme", "1", Some(beyond))
        .await
        .unwrap_err();
    assert_eq!(behind.code(), "SIGNET-EVENTS-0071");
    let ProjectionError::Behind {
        wanted, reached, ..
    } = behind
    else {
        panic!("{behind}");
    };
    assert_eq!((wanted, reached), (beyond.position, last));
}

async fn an_event_that_cannot_be_applied_stops_the_projection_before_it(database: Arc<Database>) {
    let store = database.open().await;
    let projections = projections(&store);
    let sums = Sums::refusing(-7);
    let runner = projections.run(Arc::new(sums.clone()), &small()).unwrap();
    fill(&store, 10).await;
    // In the middle of an append, so that others of the batch are good.
    let guilty = append(&store, vec![happened("acme", "1", &[1, 2, -7])]).await;
    let last = fill(&store, 10).await;

    let status = until(&projections, "sums", |status| {
        status.state == ProjectionState::Failed
    })
    .await;
    assert_eq!(status.active.position, Position(guilty.0 - 1));
    let failure = status.active.partitions[0].failure.as_ref().unwrap();
    assert_eq!(failure.position, guilty);
    assert!(
        failure.message.contains("-7 is refused"),
        "{}",
        failure.message
    );
    assert_sound(&store, &projections, &sums).await;
    let wait = projections.wait("sums", last, PATIENCE).await.unwrap_err();
    assert_eq!(wait.code(), "SIGNET-EVENTS-0072");
    // What is before the event can be had.
    projections
        .wait("sums", Position(guilty.0 - 1), PATIENCE)
        .await
        .unwrap();
    runner.stop().await;

    // A program that can apply it goes on when it is told to.
    let _runner = projections.run(Arc::new(Sums::new()), &small()).unwrap();
    assert_eq!(projections.retry("sums").await.unwrap(), 1);
    reach(&projections, "sums", last).await;
    assert_sound(&store, &projections, &Sums::new()).await;
}

async fn an_event_that_cannot_be_read_stops_the_projection_before_it(database: Arc<Database>) {
    let store = database.open().await;
    let projections = projections(&store);
    fill(&store, 5).await;
    let damaged = append(&store, vec![happened("acme", "1", &[1])]).await;
    let last = fill(&store, 5).await;
    let (whole, broken) = match *database {
        Database::Sqlite { .. } => ("1700000000000000", "9223372036854775807"),
        Database::Postgres { .. } => ("'2026-01-01T00:00:00Z'", "'infinity'"),
    };
    let mut outside = database.connect().await;
    let set =
        |time: &str| format!("UPDATE events SET recorded_at = {time} WHERE position = {damaged}");
    outside.execute(&set(broken)).await;

    let _runner = projections.run(Arc::new(Sums::new()), &small()).unwrap();

    let status = until(&projections, "sums", |status| {
        status.state == ProjectionState::Failed
    })
    .await;
    assert_eq!(status.active.position, Position(damaged.0 - 1));
    let failure = status.active.partitions[0].failure.as_ref().unwrap();
    assert_eq!(failure.position, damaged);
    assert!(failure.message.contains("corrupt"), "{failure:?}");

    outside.execute(&set(whole)).await;
    projections.retry("sums").await.unwrap();
    reach(&projections, "sums", last).await;
    assert_sound(&store, &projections, &Sums::new()).await;
}

async fn of_two_runners_one_works_and_the_other_takes_over(database: Arc<Database>) {
    let (here, there) = (database.open().await, database.open().await);
    let (ours, theirs) = (projections(&here), projections(&there));
    let one = ours.run(Arc::new(Sums::new()), &small()).unwrap();
    let two = theirs.run(Arc::new(Sums::new()), &small()).unwrap();
    for runner in [one, two] {
        let last = fill(&here, 10).await;
        reach(&ours, "sums", last).await;
        assert_sound(&here, &ours, &Sums::new()).await;
        // Whichever of the two it is that works: the last one has to.
        runner.stop().await;
    }
    let status = ours.status("sums").await.unwrap();
    assert_eq!(status.active.partitions[0].runner, None);
}

async fn a_checkpoint_beyond_the_head_is_an_error(database: Arc<Database>) {
    let store = database.open().await;
    let projections = projections(&store);
    let last = fill(&store, 2).await;
    let runner = projections.run(Arc::new(Sums::new()), &small()).unwrap();
    reach(&projections, "sums", last).await;
    runner.stop().await;
    let mut outside = database.connect().await;
    outside
        .execute("UPDATE projection_checkpoints SET position = 1000")
        .await;

    let _runner = projections.run(Arc::new(Sums::new()), &small()).unwrap();
    let status = until(&projections, "sums", |status| {
        status.state == ProjectionState::Failed
    })
    .await;
    assert!(status.reason.unwrap().contains("ahead of the store"));
    projections.clear("sums").await.unwrap();
    reach(&projections, "sums", last).await;
    assert_sound(&store, &projections, &Sums::new()).await;
}

async fn a_lease_from_before_the_clock_was_set_back_keeps_nobody_waiting(database: Arc<Database>) {
    let store = database.open().await;
    let projections = projections(&store);
    let last = fill(&store, 3).await;
    let runner = projections.run(Arc::new(Sums::new()), &small()).unwrap();
    reach(&projections, "sums", last).await;
    runner.stop().await;
    // Somebody died while the clock was an hour ahead. No test can set that of a server.
    let hence = OffsetDateTime::now_utc() + Duration::from_secs(3600);
    let until = hence.unix_timestamp_nanos() / 1000;
    let mut outside = database.connect().await;
    outside
        .execute(&format!(
            "UPDATE projection_checkpoints SET owner = 'dead', lease_until = {until}"
        ))
        .await;

    let _runner = projections.run(Arc::new(Sums::new()), &small()).unwrap();

    let last = fill(&store, 3).await;
    reach(&projections, "sums", last).await;
    assert_sound(&store, &projections, &Sums::new()).await;
}
