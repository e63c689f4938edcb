//! Building documents beside the old ones, and swapping them in.

use std::sync::Arc;
use std::time::Duration;

use eventstore::Position;
use eventstore::projection::ProjectionState;
use serde_json::json;

use crate::database::{Database, PATIENCE, contract};
use crate::projection::samples::{
    Sums, append, assert_sound, documents, fill, happened, model, projections, reach, small, until,
};

contract!(
    a_higher_version_is_built_beside_and_swapped,
    a_lower_version_waits_until_it_is_asked_for,
    a_reader_sees_the_old_or_the_new_build_and_never_a_mixture,
    a_full_refresh_mends_documents_that_somebody_changed,
    a_failed_projection_goes_on_with_a_higher_version,
    a_build_that_cannot_go_on_is_a_failure_and_not_put_in,
    a_build_that_is_given_up_leaves_the_old_documents,
);

async fn a_higher_version_is_built_beside_and_swapped(database: Arc<Database>) {
    let store = database.open().await;
    let projections = projections(&store);
    let last = fill(&store, 20).await;
    let old = projections
        .run(Arc::new(Sums::version(1)), &small())
        .unwrap();
    reach(&projections, "sums", last).await;

    // Both are run, as while a release is rolled out, and events come all the time.
    let new = projections
        .run(Arc::new(Sums::version(2)), &small())
        .unwrap();
    let mut appends = 0;
    while projections.status("sums").await.unwrap().active.version == 1 {
        fill(&store, 1).await;
        appends += 1;
        assert!(appends < 5000, "it is never swapped");
    }
    old.stop().await;
    let last = fill(&store, 1).await;
    reach(&projections, "sums", last).await;
    let answer = assert_sound(&store, &projections, &Sums::version(2)).await;
    assert_eq!(answer.version, 2);
    until(&projections, "sums", |status| status.building.is_none()).await;

    // What was swapped out goes away.
    let mut outside = database.connect().await;
    let others = format!(
        "SELECT count(*) FROM projection_documents WHERE generation <> {}",
        answer.generation
    );
    let gone = async {
        while outside.number(&others).await > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone)
        .await
        .expect("the old documents stay");
    new.stop().await;
}

async fn a_lower_version_waits_until_it_is_asked_for(database: Arc<Database>) {
    let store = database.open().await;
    let projections = projections(&store);
    let last = fill(&store, 5).await;
    let new = projections
        .run(Arc::new(Sums::version(2)), &small())
        .unwrap();
    reach(&projections, "sums", last).await;
    new.stop().await;

    let _old = projections
        .run(Arc::new(Sums::version(1)), &small())
        .unwrap();
    fill(&store, 1).await;
    let status = until(&projections, "sums", |status| status.active.lag_events > 0).await;
    assert_eq!((status.active.version, status.building), (2, None));
    assert_eq!(status.state, ProjectionState::Behind);
    let reason = status.reason.unwrap();
    assert!(reason.starts_with("nobody works on version 2"), "{reason}");
    projections.rebuild("sums", Some(1)).await.unwrap();
    until(&projections, "sums", |status| status.active.version == 1).await;
    assert_sound(&store, &projections, &Sums::version(1)).await;
}

async fn a_reader_sees_the_old_or_the_new_build_and_never_a_mixture(database: Arc<Database>) {
    let store = database.open().await;
    let projections = projections(&store);
    let last = fill(&store, 20).await;
    let _one = projections
        .run(Arc::new(Sums::version(1)), &small())
        .unwrap();
    reach(&projections, "sums", last).await;

    let _two = projections
        .run(Arc::new(Sums::version(2)), &small())
        .unwrap();
    let events = store.read_all(Position::START, 1000).await.unwrap();
    let mut seen = 1;
    let mut answers = 0;
    while seen == 1 || answers < 20 {
        let answer = documents(&projections, "sums").await;
        assert_eq!(answer.as_of, last, "an answer went back");
        assert!(answer.version >= seen, "the old build came back");
        seen = answer.version;
        let build = Sums::version(answer.version);
        assert_eq!(answer.value, model(&build, &events));
        answers += 1;
    }
}

async fn a_full_refresh_mends_documents_that_somebody_changed(database: Arc<Database>) {
    let store = database.open().await;
    let projections = projections(&store);
    let last = fill(&store, 10).await;
    let _runner = projections.run(Arc::new(Sums::new()), &small()).unwrap();
    reach(&projections, "sums", last).await;
    let mut outside = database.connect().await;
    outside
        .execute("UPDATE projection_documents SET data = '{}'")
        .await;
    assert_eq!(projections.refresh("sums", PATIENCE).await.unwrap(), last);
    assert!(
        documents(&projections, "sums")
            .await
            .value
            .values()
            .all(|one| one.1 == json!({}))
    );

    let reached = projections.refresh_full("sums", PATIENCE).await.unwrap();
    assert_eq!(reached, last);
    assert_sound(&store, &projections, &Sums::new()).await;
}

async fn a_failed_projection_goes_on_with_a_higher_version(database: Arc<Database>) {
    let store = database.open().await;
    let projections = projections(&store);
    let sums = Sums::refusing(-7);
    append(&store, vec![happened("acme", "1", &[1, -7])]).await;
    let _old = projections.run(Arc::new(sums.clone()), &small()).unwrap();
    until(&projections, "sums", |status| {
        status.state == ProjectionState::Failed
    })
    .await;

    let _new = projections
        .run(Arc::new(Sums::version(2)), &small())
        .unwrap();
    until(&projections, "sums", |status| status.active.version == 2).await;
    assert_sound(&store, &projections, &Sums::version(2)).await;
}

async fn a_build_that_is_given_up_leaves_the_old_documents(database: Arc<Database>) {
    let store = database.open().await;
    let projections = projections(&store);
    let last = append(&store, vec![happened("acme", "1", &[1, 2])]).await;
    let _runner = projections.run(Arc::new(Sums::new()), &small()).unwrap();
    reach(&projections, "sums", last).await;
    let former = until(&projections, "sums", |_| true)
        .await
        .active
        .generation;
    projections.pause("sums").await.unwrap();
    projections.rebuild("sums", None).await.unwrap();
    until(&projections, "sums", |status| status.building.is_some()).await;

    assert!(projections.cancel_rebuild("sums").await.unwrap());

    projections.resume("sums").await.unwrap();
    let last = append(&store, vec![happened("acme", "1", &[3])]).await;
    reach(&projections, "sums", last).await;
    let status = until(&projections, "sums", |_| true).await;
    assert_eq!(status.active.generation, former);
    assert!(status.building.is_none());
    assert_sound(&store, &projections, &Sums::new()).await;
    assert!(!projections.cancel_rebuild("sums").await.unwrap());
}

async fn a_build_that_cannot_go_on_is_a_failure_and_not_put_in(database: Arc<Database>) {
    let store = database.open().await;
    let projections = projections(&store);
    let guilty = append(&store, vec![happened("acme", "1", &[1, -7])]).await;
    let last = append(&store, vec![happened("acme", "1", &[2])]).await;
    let _old = projections.run(Arc::new(Sums::new()), &small()).unwrap();
    reach(&projections, "sums", last).await;
    let refusing = Sums {
        refused: Some(-7),
        ..Sums::version(2)
    };

    let new = projections.run(Arc::new(refusing), &small()).unwrap();

    let status = until(&projections, "sums", |status| {
        status.state == ProjectionState::Failed
    })
    .await;
    let reason = status.reason.unwrap();
    for part in ["version 2", &format!("position {guilty}"), "-7 is refused"] {
        assert!(reason.contains(part), "{reason}");
    }
    // The old documents answer, and go on.
    assert_eq!(status.active.version, 1);
    assert!(status.building.is_some());
    // Given up it would leave nobody to follow with them.
    let refused = projections.cancel_rebuild("sums").await.unwrap_err();
    assert!(refused.to_string().contains("version 2"), "{refused}");
    let last = append(&store, vec![happened("acme", "1", &[3])]).await;
    reach(&projections, "sums", last).await;
    assert_sound(&store, &projections, &Sums::new()).await;

    // Mended and told to try again, it is built to its end.
    new.stop().await;
    let _mended = projections
        .run(Arc::new(Sums::version(2)), &small())
        .unwrap();
    assert_eq!(projections.retry("sums").await.unwrap(), 1);
    until(&projections, "sums", |status| {
        status.active.version == 2 && status.state == ProjectionState::Running
    })
    .await;
    assert_sound(&store, &projections, &Sums::version(2)).await;
}
