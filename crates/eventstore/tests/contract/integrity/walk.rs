//! How a verification goes: from a checkpoint on, with progress, cancelled, while others append.

use std::sync::Arc;

use eventstore::Position;
use eventstore::integrity::FaultKind::{Changed, Forked, Missing};
use eventstore::integrity::verify;
use eventstore::replay::State;

use super::{everything, fill, named, report, sign_all, signing, tenant};
use crate::database::{Database, contract};

contract!(
    a_verification_goes_on_behind_a_trusted_checkpoint,
    everything_goes_on_behind_trusted_checkpoints,
    a_start_that_does_not_fit_the_events_is_a_fault,
    progress_counts_and_a_cancelled_verification_is_not_complete,
    appends_meanwhile_are_no_faults,
);

async fn a_verification_goes_on_behind_a_trusted_checkpoint(database: Arc<Database>) {
    let store = database.open().await;
    fill(&*store, 5).await;
    let trusted = sign_all(&store).await.swap_remove(0);
    fill(&*store, 5).await;
    let resumed = || tenant("acme").resume(trusted.position, vec![trusted.clone()]);
    let found = report(&store, resumed()).await;
    assert!(found.is_sound(), "{:?}", found.faults);
    assert_eq!((found.events, found.after), (5, Position(9)));

    let mut outside = database.connect().await;
    let change = |position: u64| {
        format!("UPDATE events SET event_type = 'Happens' WHERE position = {position}")
    };
    // What was verified already is not verified again.
    outside.execute(&change(3)).await;
    assert!(report(&store, resumed()).await.is_sound());
    outside.execute(&change(11)).await;
    let found = report(&store, resumed()).await;
    assert_eq!(named(&found), [(Changed, Some("acme"), 11)]);
    outside.close().await;
}

async fn everything_goes_on_behind_trusted_checkpoints(database: Arc<Database>) {
    let store = database.open().await;
    fill(&*store, 4).await;
    let mut trusted = Vec::new();
    let signed = signing(&store, 1)
        .sign_all(|made| trusted.push(made.clone()))
        .await;
    let covered = signed.unwrap().covered;
    assert_eq!(covered, Position(8));
    fill(&*store, 4).await;
    // A later checkpoint of one of them, as when it is signed while others append.
    let later = signing(&store, 1).sign("globex").await.unwrap().unwrap();
    fill(&*store, 2).await;
    trusted[1] = later.checkpoint;
    let found = report(&store, everything().resume(covered, trusted.clone())).await;
    assert!(found.is_sound(), "{:?}", found.faults);
    assert_eq!(found.events, 12);

    // A tenant without a checkpoint, or with an older one, is verified from there.
    let found = report(&store, everything().resume(covered, trusted[..1].to_vec())).await;
    assert!(found.is_sound(), "{:?}", found.faults);
    assert_eq!(found.events, 12 + 4);
    let mut outside = database.connect().await;
    outside
        .execute("UPDATE events SET event_type = 'Happens' WHERE position IN (4, 5)")
        .await;
    let found = report(&store, everything().resume(covered, trusted[..1].to_vec())).await;
    assert_eq!(named(&found), [(Changed, Some("globex"), 4)]);
    outside
        .execute("DELETE FROM events WHERE position = 9")
        .await;
    let found = report(&store, everything().resume(covered, trusted)).await;
    assert_eq!(
        named(&found),
        [(Missing, None, 9), (Missing, Some("acme"), 11)]
    );
    outside.close().await;

    let beyond = verify(
        Arc::clone(&store),
        everything().resume(Position(1000), Vec::new()),
    );
    let refused = beyond.finished().await.unwrap_err();
    assert_eq!(refused.code(), "SIGNET-EVENTS-0013");
    assert_eq!(beyond.progress().state, State::Failed);
}

async fn a_start_that_does_not_fit_the_events_is_a_fault(database: Arc<Database>) {
    let store = database.open().await;
    fill(&*store, 3).await;
    let trusted = sign_all(&store).await.swap_remove(0);
    let mut outside = database.connect().await;
    outside
        .execute("UPDATE events SET tenant_sequence = 30 WHERE position = 5")
        .await;
    outside.close().await;
    let resumed = tenant("acme").resume(trusted.position, vec![trusted.clone()]);
    assert_eq!(
        named(&report(&store, resumed).await),
        [(Forked, Some("acme"), 5)]
    );

    let mut forged = trusted;
    forged.tenant_sequence = 30;
    let resumed = tenant("acme").resume(forged.position, vec![forged]);
    let refused = verify(store, resumed).finished().await.unwrap_err();
    assert_eq!(refused.code(), "SIGNET-EVENTS-0084");
}

async fn progress_counts_and_a_cancelled_verification_is_not_complete(database: Arc<Database>) {
    let store = database.open().await;
    fill(&*store, 40).await;
    let whole = verify(Arc::clone(&store), everything());
    assert!(whole.finished().await.unwrap().complete);
    let end = whole.progress();
    assert_eq!(
        (end.state, end.read, end.total),
        (State::Done, 80, Some(80))
    );
    assert_eq!(end.position, Position(80));

    let mut small = everything();
    small.page_len = 1;
    let cancelled = verify(Arc::clone(&store), small);
    let mut progress = cancelled.watch();
    let begun = progress.wait_for(|progress| progress.read > 0).await;
    assert_eq!(begun.unwrap().total, Some(80));
    cancelled.cancel();
    let report = cancelled.finished().await.unwrap();
    let end = cancelled.progress();
    assert_eq!(report.until, end.position);
    if report.complete {
        // It was done before it was cancelled.
        assert_eq!(report.events, 80);
    } else {
        assert_eq!(end.state, State::Cancelled);
        assert!(!report.is_sound() && report.faults.is_empty());
        assert_eq!(report.until.0, report.events);
    }
}

async fn appends_meanwhile_are_no_faults(database: Arc<Database>) {
    let store = database.open().await;
    fill(&*store, 3).await;
    let appending = {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for _ in 0..20 {
                fill(&*store, 1).await;
                sign_all(&store).await;
            }
        })
    };
    while !appending.is_finished() {
        let found = report(&store, everything()).await;
        assert!(found.is_sound(), "{:?}", found.faults);
        let found = report(&store, tenant("acme")).await;
        assert!(found.is_sound(), "{:?}", found.faults);
    }
    appending.await.unwrap();
    let found = report(&store, everything()).await;
    assert_eq!((found.events, found.checkpoints), (46, 40));
}
