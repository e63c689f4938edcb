//! Migrations of streams: what they do, what they refuse, and what they survive.

mod backup;
mod exclusion;
mod faults;
mod late;
mod refusals;
mod samples;

use std::sync::Arc;

use eventstore::migration::{
    EventCounts, Phase, Report, StreamCounts, StreamMigrated, StreamQuery, StreamState,
    migration_streams, migrations,
};
use eventstore::{ExpectedVersion, Position, StreamKey};
use serde_json::json;

use crate::database::{Database, contract};
use crate::samples::all;
use samples::{
    Split, append, assert_migrated, fill, order, read, registry, run, runner, shapes, target,
};

contract!(
    a_stream_is_copied_transformed_and_closed,
    a_dry_run_tells_everything_and_writes_nothing,
    a_migration_that_is_done_has_nothing_more_to_do,
    a_selection_names_streams_or_tenants,
    a_target_of_the_migration_is_no_source_of_it,
    a_stream_without_anything_to_keep_is_closed_all_the_same,
    events_behind_the_closing_one_are_caught_up_by_the_next_run,
    a_second_migration_leaves_closed_streams_alone,
    migrations_and_their_streams_are_listed_by_tenant,
);

async fn a_stream_is_copied_transformed_and_closed(database: Arc<Database>) {
    let store = database.open().await;
    // 1: one, 2: two, 0: none.
    fill(&*store, &order("a"), &[1, 2, 0, 1]).await;
    fill(&*store, &order("b"), &[1]).await;
    let before = read(&*store, &order("a")).await;
    let folder = tempfile::TempDir::new().unwrap();
    let runner = runner(&store);
    let progress = runner.progress();

    let report = runner.run(&Split::new(), folder.path()).await.unwrap();

    let copied = read(&*store, &target("a")).await;
    assert_eq!(
        shapes(&copied),
        [json!([1, 0]), json!([2, 0]), json!([2, 1]), json!([4, 0])]
    );
    for event in &copied {
        let from = event.data[0].as_u64().unwrap();
        let source = before.iter().find(|source| source.stream_version == from);
        let source = source.unwrap();
        assert_eq!(event.metadata.causation_id, Some(source.id));
        assert_eq!(
            event.metadata.correlation_id,
            source.metadata.correlation_id
        );
        assert_eq!(
            (event.event_type.as_str(), event.schema_version),
            ("Part", 1)
        );
    }
    let source = read(&*store, &order("a")).await;
    assert_eq!(source[..4], before[..]);
    assert_eq!(source.len(), 5);
    let marker = StreamMigrated {
        migration: "split".into(),
        target: target("a"),
        source_version: 4,
        target_version: 4,
    };
    assert_eq!(StreamMigrated::of(&source[4]), Some(marker));
    // The last events and the closing one are one append.
    assert_eq!(source[4].position.0, copied[3].position.0 + 1);
    let streams = StreamCounts {
        selected: 2,
        migrated: 2,
        ..StreamCounts::default()
    };
    let events = EventCounts {
        read: 5,
        written: 5,
        dropped: 1,
        split: 1,
    };
    assert_eq!((report.streams, report.events), (streams, events));
    assert!(report.failures.is_empty() && !report.dry_run);
    assert_eq!(report.back_up.as_ref().map(|made| made.events), Some(5));
    let progress = progress.borrow().clone();
    assert_eq!(progress.phase, Phase::Done);
    assert_eq!((progress.streams, progress.streams_done), (2, 2));
    assert_eq!((progress.events_read, progress.events_appended), (5, 5));
    let written = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&written).unwrap(), report);
    assert!(registry().check(&*store).await.unwrap().is_readable());
}

async fn a_dry_run_tells_everything_and_writes_nothing(database: Arc<Database>) {
    let store = database.open().await;
    fill(&*store, &order("a"), &[1, 2, 0]).await;
    fill(&*store, &order("bad"), &[1, 99]).await;
    let before = all(&*store).await;

    let report = runner(&store).dry_run(&Split::new()).await.unwrap();

    assert_eq!(all(&*store).await, before);
    let mut outside = database.connect().await;
    let rows = "SELECT (SELECT count(*) FROM event_migrations) \
        + (SELECT count(*) FROM event_migration_streams)";
    assert_eq!(outside.number(rows).await, 0);
    outside.close().await;
    assert!(report.dry_run && report.back_up.is_none());
    assert_eq!((report.streams.migrated, report.streams.failed), (1, 1));
    assert_eq!(report.failures[0].stream, order("bad"));
    assert_eq!(report.failures[0].position, Some(before[4].position));
    let sample = &report.samples[0];
    assert_eq!((sample.position, report.samples.len()), (Position(1), 1));
    assert_eq!(sample.before.data, json!(1));
    assert_eq!(sample.after[0].data, json!([1, 0]));
}

async fn a_migration_that_is_done_has_nothing_more_to_do(database: Arc<Database>) {
    let store = database.open().await;
    fill(&*store, &order("a"), &[1, 2]).await;
    run(&store, &Split::new()).await;
    let before = all(&*store).await;

    let report = run(&store, &Split::new()).await;

    assert_eq!(all(&*store).await, before);
    assert_eq!(report.streams.already_migrated, 1);
    assert_eq!(report.streams.selected, 1);
    assert!(report.back_up.is_none());
}

async fn a_selection_names_streams_or_tenants(database: Arc<Database>) {
    let store = database.open().await;
    let of = |tenant: &str, id: &str| StreamKey::new(tenant, "order", id);
    for (tenant, id) in [("acme", "a"), ("acme", "b"), ("globex", "a"), ("zeta", "c")] {
        fill(&*store, &of(tenant, id), &[1]).await;
    }
    fill(&*store, &StreamKey::new("acme", "other", "a"), &[1]).await;
    let mut migration = Split::new();
    migration.selection.tenant = Some("acme".into());
    migration.selection.stream_ids = Some(vec!["b".into(), "nowhere".into()]);
    migration.name = "ids";

    let report = runner(&store).dry_run(&migration).await.unwrap();
    assert_eq!((report.streams.selected, report.streams.missing), (1, 1));
    migration.selection.stream_ids = None;
    let report = runner(&store).dry_run(&migration).await.unwrap();
    assert_eq!(report.streams.selected, 2);
    migration.selection.tenant = None;
    let report = runner(&store).dry_run(&migration).await.unwrap();
    assert_eq!(report.streams.selected, 4);
    migration.except = Some("a");
    let report = run(&store, &migration).await;
    assert_eq!(report.streams.migrated, 2);
    assert_eq!(read(&*store, &of("globex", "a")).await.len(), 1);
    assert_eq!(read(&*store, &of("zeta", "c")).await.len(), 2);
}

async fn a_target_of_the_migration_is_no_source_of_it(database: Arc<Database>) {
    let store = database.open().await;
    let mut migration = Split::new();
    migration.target_type = "order";
    for id in ["a", "b"] {
        fill(&*store, &order(id), &[1]).await;
    }
    for _ in 0..2 {
        let report = run(&store, &migration).await;
        assert_eq!(report.streams.selected, 2, "{report:?}");
        assert!(report.failures.is_empty(), "{report:?}");
    }
    assert_eq!(all(&*store).await.len(), 6);
}

async fn a_stream_without_anything_to_keep_is_closed_all_the_same(database: Arc<Database>) {
    let store = database.open().await;
    fill(&*store, &order("a"), &[0, 0]).await;
    let report = run(&store, &Split::new()).await;
    assert_eq!((report.streams.migrated, report.events.dropped), (1, 2));
    assert_eq!(read(&*store, &target("a")).await, []);
    assert_eq!(read(&*store, &order("a")).await.len(), 3);
}

async fn events_behind_the_closing_one_are_caught_up_by_the_next_run(database: Arc<Database>) {
    let store = database.open().await;
    fill(&*store, &order("a"), &[1, 1]).await;
    run(&store, &Split::new()).await;
    // One writer goes on in the target, as it should; another does not look.
    append(&*store, &target("a"), ExpectedVersion::Exact(2), 77).await;
    fill(&*store, &order("a"), &[2, 2, 1]).await;

    let report = run(&store, &Split::new()).await;

    assert_eq!(report.streams.caught_up, 1, "{report:?}");
    let copied = read(&*store, &target("a")).await;
    let mut expected = vec![json!([1, 0]), json!([2, 0]), json!(77)];
    expected.extend(
        [4, 4, 5, 5]
            .into_iter()
            .zip([0, 1, 0, 1])
            .map(|pair| json!(pair)),
    );
    expected.push(json!([6, 0]));
    assert_eq!(shapes(&copied), expected);
    let before = all(&*store).await;
    let again = run(&store, &Split::new()).await;
    assert_eq!(again.streams.already_migrated, 1);
    assert_eq!(all(&*store).await, before);
}

async fn a_second_migration_leaves_closed_streams_alone(database: Arc<Database>) {
    let store = database.open().await;
    fill(&*store, &order("a"), &[1]).await;
    run(&store, &Split::new()).await;
    let before = all(&*store).await;
    let mut other = Split::new();
    (other.name, other.target_type) = ("other", "elsewhere");

    let report = run(&store, &other).await;

    assert_eq!(report.streams.closed_elsewhere, 1);
    assert_eq!(all(&*store).await, before);
}

async fn migrations_and_their_streams_are_listed_by_tenant(database: Arc<Database>) {
    let store = database.open().await;
    let globex = StreamKey::new("globex", "order", "a");
    fill(&*store, &order("a"), &[1]).await;
    fill(&*store, &order("bad"), &[99]).await;
    fill(&*store, &globex, &[2]).await;
    let report = run(&store, &Split::new()).await;
    let mut query = StreamQuery {
        migration: "split".into(),
        limit: 2,
        ..StreamQuery::default()
    };

    let first = migration_streams(&*store, &query).await.unwrap();
    query.after = first.last().map(|stream| stream.source.clone());
    let rest = migration_streams(&*store, &query).await.unwrap();
    query.after = None;
    query.tenant = Some("globex".into());
    let of_globex = migration_streams(&*store, &query).await.unwrap();

    let states: Vec<_> = first.iter().map(|stream| stream.state).collect();
    assert_eq!(states, [StreamState::Migrated, StreamState::Failed]);
    assert!(
        first[1]
            .failure
            .as_ref()
            .is_some_and(|why| why.contains("99"))
    );
    assert_eq!(rest, of_globex);
    assert_eq!((&rest[0].source, rest[0].target_version), (&globex, 2));
    let listed = migrations(&*store, None, None, 10).await.unwrap();
    assert_eq!((listed.len(), listed[0].runs), (1, 1));
    assert!(listed[0].ended_at.is_some());
    let stored: Report = serde_json::from_value(listed[0].report.clone().unwrap()).unwrap();
    assert_eq!(stored, report);
    let of_globex = migrations(&*store, Some("globex"), None, 10).await.unwrap();
    assert!(of_globex[0].report.is_none());
    let of_nobody = migrations(&*store, Some("nobody"), None, 10).await.unwrap();
    assert_eq!(of_nobody, []);
    assert_migrated(&*store, "a").await;
}
