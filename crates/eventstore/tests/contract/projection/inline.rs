//! Projections that are written by the append itself.

use std::sync::Arc;
use std::time::Duration;

use eventstore::projection::ProjectionState;
use eventstore::{Append, AppendError, EventStore, Options, Position, Projection};
use serde_json::json;

use crate::database::{Database, PATIENCE, contract};
use crate::projection::samples::{
    Sums, append, assert_sound, documents, fill, happened, projections, small, until,
};

contract!(
    an_append_brings_its_documents_with_it,
    an_event_that_cannot_be_applied_is_refused_alone,
    inline_and_behind_make_the_same_documents,
    a_new_inline_projection_is_built_before_it_is_current,
    a_higher_inline_version_is_built_beside_and_swapped,
    what_another_replica_appended_is_caught_up_with_first,
    replicas_with_different_sets_do_not_harm_one_another,
    an_event_of_another_replica_that_cannot_be_applied_stops_the_projection,
    a_paused_inline_projection_catches_up_when_it_is_resumed,
    a_cleared_inline_projection_is_built_again,
    what_is_retried_is_not_applied_twice,
    a_damaged_document_keeps_nobody_from_appending,
);

async fn open(database: &Database, inline: &[Sums]) -> Arc<dyn EventStore> {
    let inline = inline
        .iter()
        .map(|sums| Arc::new(sums.clone()) as Arc<dyn Projection>);
    database
        .open_with(Options {
            inline_projections: inline.collect(),
            ..Options::default()
        })
        .await
}

async fn an_append_brings_its_documents_with_it(database: Arc<Database>) {
    let wide = Sums {
        name: "wide",
        ..Sums::version(3)
    };
    let store = open(&database, &[Sums::new(), wide.clone()]).await;
    let projections = projections(&store);
    for n in 1..10 {
        let last = fill(&store, n).await;
        for sums in [&Sums::new(), &wide] {
            let answer = assert_sound(&store, &projections, sums).await;
            assert_eq!(answer.as_of, last);
        }
    }
    let status = projections.status("sums").await.unwrap();
    assert!(status.inline);
    assert_eq!(status.state, ProjectionState::Running);
}

async fn an_event_that_cannot_be_applied_is_refused_alone(database: Arc<Database>) {
    let sums = Sums::refusing(-7);
    let store = open(&database, std::slice::from_ref(&sums)).await;
    let projections = projections(&store);
    // Held up, they are committed as one group.
    let hold = database.hold_lane().await;
    let mut appends = Vec::new();
    for n in 0..20 {
        let numbers = if n == 11 { vec![1, -7] } else { vec![1, 2] };
        let request = Append::new(vec![happened("acme", &n.to_string(), &numbers)]);
        let store = Arc::clone(&store);
        appends.push(tokio::spawn(async move { store.append(request).await }));
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    hold.release().await;
    for (n, append) in appends.into_iter().enumerate() {
        let outcome = append.await.unwrap();
        if n != 11 {
            outcome.unwrap();
            continue;
        }
        let Err(AppendError::Invalid { message, .. }) = outcome else {
            panic!("{outcome:?}");
        };
        assert!(
            message.contains("sums") && message.contains("-7 is refused"),
            "{message}"
        );
    }
    let answer = assert_sound(&store, &projections, &sums).await;
    assert_eq!(answer.as_of, Position(38));
    assert_eq!(store.head().await.unwrap(), Position(38));
}

async fn inline_and_behind_make_the_same_documents(database: Arc<Database>) {
    let store = open(&database, &[Sums::new()]).await;
    let projections = projections(&store);
    let behind = Sums {
        name: "behind",
        ..Sums::new()
    };
    let _runner = projections.run(Arc::new(behind), &small()).unwrap();
    let last = fill(&store, 25).await;
    until(&projections, "behind", |status| {
        status.active.position == last
    })
    .await;
    let (inline, behind) = (
        documents(&projections, "sums").await,
        documents(&projections, "behind").await,
    );
    assert_eq!((inline.as_of, behind.as_of), (last, last));
    assert_eq!(inline.value, behind.value);
}

async fn a_new_inline_projection_is_built_before_it_is_current(database: Arc<Database>) {
    let before = database.open().await;
    // More than an append would catch up with by itself.
    for _ in 0..3 {
        let many: Vec<i64> = (0..400).collect();
        append(&before, vec![happened("acme", "1", &many)]).await;
    }
    before.close().await;

    let store = open(&database, &[Sums::new()]).await;
    let projections = projections(&store);
    let is_current = async {
        loop {
            let last = append(&store, vec![happened("acme", "2", &[1])]).await;
            let answer = assert_sound(&store, &projections, &Sums::new()).await;
            if answer.as_of >= last {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, is_current)
        .await
        .expect("it never is current");
    // And stays so.
    for _ in 0..5 {
        let last = append(&store, vec![happened("acme", "2", &[1])]).await;
        assert_eq!(
            assert_sound(&store, &projections, &Sums::new()).await.as_of,
            last
        );
    }
}

async fn a_higher_inline_version_is_built_beside_and_swapped(database: Arc<Database>) {
    let old = open(&database, &[Sums::version(1)]).await;
    let projections = projections(&old);
    let many: Vec<i64> = (0..700).collect();
    append(&old, vec![happened("acme", "1", &many)]).await;
    assert_sound(&old, &projections, &Sums::version(1)).await;

    // Both append, as while a release is rolled out; answers are of one version or the other.
    let new = open(&database, &[Sums::version(2)]).await;
    let swapped = async {
        loop {
            fill(&old, 1).await;
            fill(&new, 1).await;
            let version = documents(&projections, "sums").await.version;
            let answer = assert_sound(&new, &projections, &Sums::version(version)).await;
            if answer.version == 2 {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, swapped)
        .await
        .expect("it is never swapped");
    // The old program appends without it, the new one notices.
    fill(&old, 3).await;
    let last = fill(&new, 1).await;
    assert_eq!(
        assert_sound(&new, &projections, &Sums::version(2))
            .await
            .as_of,
        last
    );
}

async fn what_another_replica_appended_is_caught_up_with_first(database: Arc<Database>) {
    let with = open(&database, &[Sums::new()]).await;
    let without = database.open().await;
    let projections = projections(&with);
    for n in 1..10 {
        fill(&without, n).await;
        let last = fill(&with, 1).await;
        assert_eq!(
            assert_sound(&with, &projections, &Sums::new()).await.as_of,
            last
        );
    }
    // Also if nobody appends any more.
    let last = fill(&without, 3).await;
    until(&projections, "sums", |status| {
        status.active.position == last
    })
    .await;
    assert_sound(&with, &projections, &Sums::new()).await;
}

async fn replicas_with_different_sets_do_not_harm_one_another(database: Arc<Database>) {
    let (a, b, c) = (
        Sums {
            name: "a",
            ..Sums::version(1)
        },
        Sums {
            name: "b",
            ..Sums::version(2)
        },
        Sums {
            name: "c",
            ..Sums::version(3)
        },
    );
    let stores = [
        open(&database, &[a.clone(), b.clone()]).await,
        open(&database, &[b.clone(), c.clone()]).await,
        open(&database, &[]).await,
    ];
    let projections = projections(&stores[0]);
    let writers = stores.iter().map(|store| {
        let store = Arc::clone(store);
        tokio::spawn(async move { fill(&store, 15).await })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let head = stores[0].head().await.unwrap();
    for sums in [&a, &b, &c] {
        until(&projections, sums.name, |status| {
            status.active.position == head
        })
        .await;
        assert_sound(&stores[0], &projections, sums).await;
    }
}

async fn an_event_of_another_replica_that_cannot_be_applied_stops_the_projection(
    database: Arc<Database>,
) {
    let sums = Sums::refusing(-7);
    let with = open(&database, std::slice::from_ref(&sums)).await;
    let without = database.open().await;
    let projections = projections(&with);
    append(&with, vec![happened("acme", "1", &[1, 2])]).await;
    let guilty = append(&without, vec![happened("acme", "1", &[3, -7])]).await;

    // It is not the fault of those that append now.
    append(&with, vec![happened("acme", "1", &[4])]).await;
    let status = until(&projections, "sums", |status| {
        status.state == ProjectionState::Failed
    })
    .await;
    assert_eq!(status.active.position, Position(guilty.0 - 1));
    let last = append(&with, vec![happened("acme", "1", &[5])]).await;
    assert_sound(&with, &projections, &sums).await;
    with.close().await;

    let mended = open(&database, &[Sums::new()]).await;
    let projections = crate::projection::samples::projections(&mended);
    projections.retry("sums").await.unwrap();
    projections.wait("sums", last, PATIENCE).await.unwrap();
    assert_sound(&mended, &projections, &Sums::new()).await;
}

async fn a_paused_inline_projection_catches_up_when_it_is_resumed(database: Arc<Database>) {
    let store = open(&database, &[Sums::new()]).await;
    let projections = projections(&store);
    let paused_at = fill(&store, 3).await;
    projections.pause("sums").await.unwrap();
    fill(&store, 3).await;
    let answer = assert_sound(&store, &projections, &Sums::new()).await;
    assert_eq!(answer.as_of, paused_at);

    projections.resume("sums").await.unwrap();
    let last = fill(&store, 1).await;
    assert_eq!(
        assert_sound(&store, &projections, &Sums::new()).await.as_of,
        last
    );
}

async fn a_cleared_inline_projection_is_built_again(database: Arc<Database>) {
    let store = open(&database, &[Sums::new()]).await;
    let projections = projections(&store);
    let last = fill(&store, 5).await;
    let mut outside = database.connect().await;
    outside
        .execute("UPDATE projection_documents SET data = '{}'")
        .await;
    let before = documents(&projections, "sums").await;
    assert!(
        before
            .value
            .values()
            .all(|(_, document)| *document == json!({}))
    );

    projections.clear("sums").await.unwrap();
    projections.wait("sums", last, PATIENCE).await.unwrap();
    assert_sound(&store, &projections, &Sums::new()).await;

    // And a full refresh builds beside, while appends go on.
    let appends = async {
        for _ in 0..10 {
            let last = fill(&store, 1).await;
            assert_eq!(
                assert_sound(&store, &projections, &Sums::new()).await.as_of,
                last
            );
        }
    };
    let (refreshed, ()) = tokio::join!(projections.refresh_full("sums", PATIENCE), appends);
    refreshed.unwrap();
    assert_sound(&store, &projections, &Sums::new()).await;
}

async fn what_is_retried_is_not_applied_twice(database: Arc<Database>) {
    let store = open(&database, &[Sums::new()]).await;
    let projections = projections(&store);
    let request = Append::new(vec![happened("acme", "1", &[1, 2])]);
    store.append(request.clone()).await.unwrap();
    assert!(store.append(request).await.unwrap().already_stored);
    let answer = assert_sound(&store, &projections, &Sums::new()).await;
    assert_eq!(answer.as_of, Position(2));
}

async fn a_damaged_document_keeps_nobody_from_appending(database: Arc<Database>) {
    let wide = Sums {
        name: "wide",
        ..Sums::version(3)
    };
    let store = open(&database, &[Sums::new(), wide.clone()]).await;
    let projections = projections(&store);
    append(&store, vec![happened("acme", "1", &[1])]).await;
    let damage = "UPDATE projection_documents SET data = '{' WHERE key = '1' AND generation = \
        (SELECT active FROM projections WHERE projection = 'sums')";
    database.connect().await.execute(damage).await;

    // Both want the document, and one of them something else, too.
    append(&store, vec![happened("acme", "1", &[2])]).await;
    let last = append(&store, vec![happened("acme", "2", &[3])]).await;

    let answer = assert_sound(&store, &projections, &wide).await;
    assert_eq!(answer.as_of, last);
    projections.clear("sums").await.unwrap();
    let mended = until(&projections, "sums", |status| {
        status.state == ProjectionState::Running && status.active.position == last
    });
    mended.await;
    assert_sound(&store, &projections, &Sums::new()).await;
}
