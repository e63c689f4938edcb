//! What operators tell a projection.

use std::sync::Arc;
use std::time::Duration;

use eventstore::projection::{ProjectionState, RunnerOptions};
use eventstore::{Position, ProjectionError};
use serde_json::json;

use crate::database::{Database, contract};
use crate::projection::samples::{
    Sums, append, assert_sound, documents, fill, happened, projections, reach, small,
};

contract!(
    a_paused_projection_applies_nothing,
    a_cleared_projection_begins_again,
    a_removed_projection_leaves_nothing,
    documents_in_memory_are_forgotten_on_demand,
);

async fn a_paused_projection_applies_nothing(database: Arc<Database>) {
    let store = database.open().await;
    let projections = projections(&store);
    let last = fill(&store, 5).await;
    let runner = projections.run(Arc::new(Sums::new()), &small()).unwrap();
    reach(&projections, "sums", last).await;

    projections.pause("sums").await.unwrap();
    let further = fill(&store, 5).await;
    runner.stop().await;
    // The pause outlives the program that was told.
    let runner = projections.run(Arc::new(Sums::new()), &small()).unwrap();
    let wait = projections
        .wait("sums", further, Duration::from_millis(300))
        .await
        .unwrap_err();
    assert!(
        matches!(wait, ProjectionError::Behind { reached, state, .. }
            if reached == last && state == ProjectionState::Paused),
        "{wait}"
    );
    assert_sound(&store, &projections, &Sums::new()).await;
    projections.resume("sums").await.unwrap();
    reach(&projections, "sums", further).await;
    assert_sound(&store, &projections, &Sums::new()).await;
    runner.stop().await;
}

async fn a_cleared_projection_begins_again(database: Arc<Database>) {
    let store = database.open().await;
    let projections = projections(&store);
    let last = fill(&store, 10).await;
    let runner = projections.run(Arc::new(Sums::new()), &small()).unwrap();
    reach(&projections, "sums", last).await;
    runner.stop().await;
    let mut outside = database.connect().await;
    outside
        .execute("UPDATE projection_documents SET data = '{}'")
        .await;

    projections.clear("sums").await.unwrap();
    let empty = documents(&projections, "sums").await;
    assert_eq!((empty.as_of, empty.value.len()), (Position::START, 0));
    let _runner = projections.run(Arc::new(Sums::new()), &small()).unwrap();
    reach(&projections, "sums", last).await;
    assert_sound(&store, &projections, &Sums::new()).await;
}

async fn a_removed_projection_leaves_nothing(database: Arc<Database>) {
    let store = database.open().await;
    let projections = projections(&store);
    let last = fill(&store, 10).await;
    let runner = projections.run(Arc::new(Sums::new()), &small()).unwrap();
    reach(&projections, "sums", last).await;
    runner.stop().await;

    projections.remove("sums").await.unwrap();
    let mut outside = database.connect().await;
    for table in [
        "projections",
        "projection_generations",
        "projection_checkpoints",
    ] {
        assert_eq!(
            outside
                .number(&format!("SELECT count(*) FROM {table}"))
                .await,
            0
        );
    }
    assert_eq!(
        outside
            .number("SELECT count(*) FROM projection_documents")
            .await,
        0
    );
    let unknown = projections
        .get("sums", "acme", "1", None)
        .await
        .unwrap_err();
    assert_eq!(unknown.code(), "SIGNET-EVENTS-0070");
    assert!(projections.statuses().await.unwrap().is_empty());
}

async fn documents_in_memory_are_forgotten_on_demand(database: Arc<Database>) {
    let store = database.open().await;
    let projections = projections(&store);
    let options = RunnerOptions {
        cached_documents: 1000,
        ..small()
    };
    let _runner = projections.run(Arc::new(Sums::new()), &options).unwrap();
    let last = append(&store, vec![happened("acme", "1", &[1])]).await;
    reach(&projections, "sums", last).await;
    let mut outside = database.connect().await;
    outside
        .execute("UPDATE projection_documents SET data = '{\"count\": 40, \"sum\": 40}'")
        .await;

    projections.clear_cache("sums").await.unwrap();
    let last = append(&store, vec![happened("acme", "1", &[2])]).await;
    reach(&projections, "sums", last).await;
    let answer = projections.get("sums", "acme", "1", None).await.unwrap();
    assert_eq!(answer.value.unwrap().data["sum"], json!(42));
}
