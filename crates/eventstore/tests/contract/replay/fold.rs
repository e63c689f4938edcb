//! States that are made of replayed events.

use std::sync::Arc;

use eventstore::replay::{Replay, StartingPoint};
use eventstore::{Position, RecordedEvent};

use super::{fill, order, set, ticking_store};
use crate::database::{Database, contract};

contract!(
    a_state_is_folded_to_a_version_or_a_time,
    a_fold_starts_from_a_state_that_is_known,
);

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
