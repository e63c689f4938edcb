//! Events behind the closing one: wherever the run that catches up ends, the next one has the rest.

use std::sync::Arc;

use eventstore::migration::{MigrationRunner, RunnerOptions, StreamMigrated};
use eventstore::{EventStore, ExpectedVersion, StreamKey};
use serde_json::json;

use super::faults::{Stopping, run_of_tenant};
use super::samples::{
    Split, append, assert_caught_up, fill, hasty, order, read, registry, run, runner, shapes,
    target,
};
use crate::database::{Database, PATIENCE, contract};
use crate::samples::all;

contract!(
    a_catch_up_that_breaks_off_at_any_piece_is_resumed_to_the_same_end,
    a_catch_up_that_gave_up_between_two_pieces_is_gone_on_with,
);

async fn a_catch_up_that_breaks_off_at_any_piece_is_resumed_to_the_same_end(
    database: Arc<Database>,
) {
    let store = database.open().await;
    let mut longest = 0;
    for stored in [false, true] {
        for at in 1.. {
            let tenant = format!("tenant-{stored}-{at}");
            let source = StreamKey::new(tenant.as_str(), "order", "a");
            fill(&*store, &source, &[1, 2]).await;
            let closed = run_of_tenant(&tenant, &store, usize::MAX, false).await;
            assert_eq!(closed.unwrap().streams.migrated, 1);
            // Three pieces.
            fill(&*store, &source, &[2, 1, 0, 3, 1, 2]).await;

            let first = run_of_tenant(&tenant, &store, at, stored).await;
            let rest = run_of_tenant(&tenant, &store, usize::MAX, false).await;

            assert_eq!(rest.unwrap().streams.failed, 0);
            assert_caught_up(&*store, &source).await;
            // However many closing events there are by now.
            let before = all(&*store).await.len();
            let again = run_of_tenant(&tenant, &store, usize::MAX, false).await;
            let again = again.unwrap();
            assert_eq!(again.streams.already_migrated, 1, "{again:?}");
            assert!(again.back_up.is_none(), "{again:?}");
            assert_eq!(all(&*store).await.len(), before);
            longest = longest.max(at);
            if first.is_some() {
                break;
            }
        }
    }
    assert!(longest > 3, "there were only {longest} appends");
}

async fn a_catch_up_that_gave_up_between_two_pieces_is_gone_on_with(database: Arc<Database>) {
    let store = database.open().await;
    fill(&*store, &order("a"), &[1]).await;
    run(&store, &Split::new()).await;
    fill(&*store, &order("a"), &[3, 3, 3]).await;
    let stopping = Stopping::new(&store, 2, false);
    let inner: Arc<dyn EventStore> = Arc::clone(&stopping) as _;
    let running = tokio::spawn(async move {
        let folder = tempfile::TempDir::new().unwrap();
        let options = RunnerOptions {
            max_conflicts: 0,
            lease: PATIENCE,
            ..hasty()
        };
        let runner = MigrationRunner::new(inner, registry(), options);
        runner.run(&Split::new(), folder.path()).await
    });
    let stopped = tokio::time::timeout(PATIENCE, stopping.stopped.notified());
    stopped.await.unwrap();
    append(&*store, &target("a"), ExpectedVersion::Any, 77).await;
    stopping.go_on.notify_one();
    let report = running.await.unwrap().unwrap();
    assert_eq!(report.streams.failed, 1, "{report:?}");
    assert!(report.failures[0].message.contains("run it again"));
    let source = read(&*store, &order("a")).await;
    assert!(StreamMigrated::of(source.last().unwrap()).is_some());

    let foreseen = runner(&store).dry_run(&Split::new()).await.unwrap();
    let report = run(&store, &Split::new()).await;

    assert_eq!(foreseen.streams.caught_up, 1, "{foreseen:?}");
    assert_eq!(report.streams.caught_up, 1, "{report:?}");
    let of = |version: u64| (0..3).map(move |index| json!([version, index]));
    let mut expected = vec![json!([1, 0])];
    expected.extend(of(3));
    expected.push(json!(77));
    expected.extend(of(4).chain(of(5)));
    assert_eq!(shapes(&read(&*store, &target("a")).await), expected);
}
