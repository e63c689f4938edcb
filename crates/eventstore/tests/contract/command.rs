//! Commands: invariants under concurrency, states that are kept, repetitions, limits.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use eventstore::command::{
    Call, CommandError, Gate, Limits, Outcome, Priority, Rate, Repository, Versioned, Written,
};
use eventstore::{EventStore, Metadata, Position};
use futures::FutureExt;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::account::{
    Account, Fault, Moved, Notes, Watched, account, accounts, at_once, call, draw, pay, snapshots,
};
use crate::database::{Database, contract};
use crate::samples::all;

contract!(
    a_balance_never_falls_below_zero_and_no_acknowledged_command_is_lost,
    what_another_process_appended_is_seen,
    a_state_that_is_known_saves_reading,
    events_carry_the_circumstances_of_the_call,
    work_between_decision_and_append_sees_its_conflict,
    faults_that_pass_are_waited_for_and_others_told,
    a_command_that_loses_too_often_says_so,
    what_cannot_be_stored_or_read_is_told,
    a_stream_that_was_put_back_is_read_anew,
    a_caller_that_goes_away_leaves_nothing_held,
    limits_are_kept_and_told,
);

/// One command of the model: pay (above zero) or draw.
type Move = (u8, i64);

async fn carry_out(accounts: &Repository<Account>, (id, amount): Move) -> Option<Vec<u64>> {
    let amount_of = amount.unsigned_abs();
    let call = call(id);
    let answer = if amount >= 0 {
        accounts.execute(call, pay(amount_of)).await
    } else {
        accounts.execute(call, draw(amount_of)).await
    };
    let done = answer.unwrap().ok()?;
    let appended = done.appended.unwrap();
    assert_eq!(appended.first, appended.last);
    Some(vec![u64::from(id), amount_of, appended.last.0])
}

async fn a_balance_never_falls_below_zero_and_no_acknowledged_command_is_lost(
    database: Arc<Database>,
) {
    let stores = [database.open().await, database.open().await];
    let handle = tokio::runtime::Handle::current();
    let moves = prop::collection::vec((0_u8..2, -5_i64..5), 1..60);
    tokio::task::block_in_place(|| {
        let config = Config {
            cases: 12,
            failure_persistence: None,
            ..Config::default()
        };
        TestRunner::new(config)
            .run(&moves, |moves| {
                handle.block_on(all_at_once(&stores, moves));
                Ok(())
            })
            .unwrap();
    });
}

async fn all_at_once(stores: &[Arc<dyn EventStore>; 2], moves: Vec<Move>) {
    let before = stores[0].head().await.unwrap();
    let notes = Arc::default();
    // Four handlers on two stores, each with a memory of its own.
    let handlers: Vec<_> = (0..4)
        .map(|n| {
            let store = &stores[n % 2];
            let snapshots = snapshots(&**store, &notes);
            Arc::new(accounts(store).with_snapshots(snapshots))
        })
        .collect();
    let mut calls = JoinSet::new();
    for (n, one) in moves.into_iter().enumerate() {
        let handler = Arc::clone(&handlers[n % handlers.len()]);
        calls.spawn(async move { carry_out(&handler, one).await });
    }
    let acknowledged: Vec<_> = calls.join_all().await.into_iter().flatten().collect();

    let stored = stores[1].read_all(before, 1000).await.unwrap();
    let stored: BTreeSet<_> = stored
        .iter()
        .map(|event| {
            let id: u64 = event.stream.stream_id.parse().unwrap();
            vec![id, event.data["amount"].as_u64().unwrap(), event.position.0]
        })
        .collect();
    assert_eq!(stored.len(), acknowledged.len());
    assert_eq!(stored, acknowledged.into_iter().collect());
    for id in 0..2 {
        // To load it is to check it: a state with less than nothing is a panic.
        let alone = accounts(&stores[0]).load(&account(id)).await.unwrap();
        for handler in &handlers {
            let loaded = handler.load(&account(id)).await.unwrap();
            assert_eq!(loaded.state, alone.state);
        }
    }
    assert_eq!(notes.skipped(), []);
}

async fn what_another_process_appended_is_seen(database: Arc<Database>) {
    let [here, there] = [database.open().await, database.open().await];
    let watched = Watched::new(&here);
    let (here, there) = (watched.accounts(), accounts(&there));
    here.execute(call("a"), pay(10)).await.unwrap().unwrap();
    there.execute(call("a"), draw(8)).await.unwrap().unwrap();

    let refused = here.execute(call("a"), draw(3)).await.unwrap();
    assert_eq!(refused.unwrap_err(), "only 2 are left");
    watched.events_read();
    there.execute(call("a"), pay(1)).await.unwrap().unwrap();
    let done = here.execute(call("a"), draw(3)).await.unwrap().unwrap();

    assert_eq!((done.version, done.state.amount), (4, 0));
    assert_eq!(watched.events_read(), 1);
}

async fn a_state_that_is_known_saves_reading(database: Arc<Database>) {
    let store = database.open().await;
    for _ in 0..5 {
        let accounts = accounts(&store);
        accounts.execute(call("a"), pay(2)).await.unwrap().unwrap();
    }
    let read_model = accounts(&store).load_at(&account("a"), 4).await.unwrap();
    let watched = Watched::new(&store);
    let accounts = watched.accounts();

    let known = call("a").with_known(Some(read_model.clone()));
    let loaded = accounts.open(known).await.unwrap();
    assert_eq!(
        (loaded.version(), loaded.position(), loaded.state().amount),
        (5, Position(5), 10)
    );
    assert_eq!(watched.events_read(), 1);
    drop(loaded);
    // An older one does not set it back.
    let older = call("a").with_known(Some(Versioned {
        version: 1,
        ..read_model
    }));
    let loaded = accounts.open(older).await.unwrap();
    assert_eq!(loaded.state().amount, 10);
    assert_eq!(watched.events_read(), 0);
}

async fn events_carry_the_circumstances_of_the_call(database: Arc<Database>) {
    let store = database.open().await;
    let metadata = Metadata {
        actor: Some("ada".into()),
        ..Metadata::default()
    };
    let call = call("a").with_metadata(metadata.clone());
    let accounts = accounts(&store);
    let none = accounts
        .execute(call, |_| Ok::<_, String>(Vec::new()))
        .await;
    let none = none.unwrap().unwrap();
    assert_eq!((none.version, none.appended), (0, None));
    let call = crate::account::call("a").with_metadata(metadata.clone());
    let both = vec![Moved::Paid(1), Moved::Drawn(1)];
    accounts
        .execute(call, |_| Ok::<_, String>(both.clone()))
        .await
        .unwrap()
        .unwrap();

    let events = all(&*store).await;
    assert_eq!(events.len(), 2);
    assert!(events.iter().all(|event| event.metadata == metadata));
}

async fn work_between_decision_and_append_sees_its_conflict(database: Arc<Database>) {
    let [here, there] = [database.open().await, database.open().await];
    let (here, there) = (accounts(&here), accounts(&there));
    here.execute(call("a"), pay(10)).await.unwrap().unwrap();

    let loaded = here.open(call("a")).await.unwrap();
    let decided = [Moved::Drawn(loaded.state().amount)];
    // The work: meanwhile somebody else draws.
    there.execute(call("a"), draw(4)).await.unwrap().unwrap();
    let Written::Conflict(again) = loaded.append(&decided).await.unwrap() else {
        panic!("it was decided over a state that is gone");
    };
    assert_eq!(
        (again.version(), again.position(), again.state().amount),
        (2, Position(2), 6)
    );
    let Written::Done(done) = again.append(&[Moved::Drawn(6)]).await.unwrap() else {
        panic!("nobody else was there");
    };
    assert_eq!((done.version, done.state.amount), (3, 0));
}

async fn faults_that_pass_are_waited_for_and_others_told(database: Arc<Database>) {
    let store = database.open().await;
    let watched = Watched::new(&store);
    let notes = Arc::<Notes>::default();
    let accounts = watched.accounts().with_observer(Arc::clone(&notes) as _);

    watched.fail([Fault::Overloaded, Fault::Unheard]);
    let done = accounts.execute(call("a"), pay(1)).await.unwrap().unwrap();
    assert_eq!((done.version, done.state.amount), (1, 1));
    let report = notes.reports().remove(0);
    assert_eq!((report.attempts, report.faults, report.events), (3, 2, 1));
    assert_eq!((report.outcome, report.command), (Outcome::Stored, "Move"));

    for (faults, may_be_stored) in [
        ([Fault::Overloaded; 3], false),
        ([Fault::Lost; 3], true),
        ([Fault::Overloaded, Fault::Lost, Fault::Overloaded], true),
    ] {
        watched.fail(faults);
        let error = accounts.execute(call("a"), pay(1)).await.unwrap_err();
        assert!(error.is_retryable());
        assert!(
            matches!(error, CommandError::Unavailable { may_be_stored: told, .. } if told == may_be_stored),
            "{error}"
        );
        assert_eq!(notes.reports()[0].outcome, Outcome::Unavailable);
    }
    let done = accounts.execute(call("a"), draw(1)).await.unwrap().unwrap();
    assert_eq!(done.version, 2);
    store.close().await;
    let error = accounts.execute(call("a"), pay(1)).await.unwrap_err();
    assert_eq!(error.code(), "SIGNET-EVENTS-0090");
}

async fn a_command_that_loses_too_often_says_so(database: Arc<Database>) {
    let [here, there] = [database.open().await, database.open().await];
    let mut retries = at_once(3);
    retries.conflicts.attempts = 3;
    let notes = Arc::<Notes>::default();
    let here = accounts(&here)
        .with_retries(retries)
        .with_observer(Arc::clone(&notes) as _);
    let there = accounts(&there);

    let mut loaded = here.open(call("a")).await.unwrap();
    let mut conflicts = 0;
    let error = loop {
        there.execute(call("a"), pay(1)).await.unwrap().unwrap();
        match loaded.append(&[Moved::Paid(100)]).await {
            Ok(Written::Conflict(again)) => loaded = again,
            Ok(Written::Done(done)) => panic!("{done:?} without a conflict"),
            Err(error) => break error,
        }
        conflicts += 1;
    };
    assert_eq!(conflicts, 2);
    assert_eq!(error.code(), "SIGNET-EVENTS-0091");
    let report = notes.reports().remove(0);
    assert_eq!((report.outcome, report.conflicts), (Outcome::Contended, 3));
    assert_eq!(here.load(&account("a")).await.unwrap().state.amount, 3);
}

async fn what_cannot_be_stored_or_read_is_told(database: Arc<Database>) {
    let store = database.open().await;
    let accounts = accounts(&store);
    let long = call("x".repeat(600));
    let error = accounts.execute(long, pay(1)).await.unwrap_err();
    assert!(matches!(error, CommandError::Invalid { .. }), "{error}");
    let foreign = Call::new("Move", crate::samples::stream("a"));
    let error = accounts.execute(foreign, pay(1)).await.unwrap_err();
    assert!(matches!(error, CommandError::Invalid { .. }), "{error}");

    accounts.execute(call("a"), pay(1)).await.unwrap().unwrap();
    accounts.execute(call("b"), pay(1)).await.unwrap().unwrap();
    accounts.execute(call("b"), pay(1)).await.unwrap().unwrap();
    let mut outside = database.connect().await;
    outside
        .execute("UPDATE events SET schema_version = 2 WHERE stream_id = 'a'")
        .await;
    outside
        .execute("DELETE FROM events WHERE stream_id = 'b' AND stream_version = 1")
        .await;
    outside.close().await;
    let anew = crate::account::accounts(&store);
    let error = anew.execute(call("a"), pay(1)).await.unwrap_err();
    let CommandError::NotUnderstood {
        position,
        schema_version,
        ..
    } = &error
    else {
        panic!("{error}");
    };
    assert_eq!((*position, *schema_version), (Position(1), 2));
    let error = anew.execute(call("b"), pay(1)).await.unwrap_err();
    assert_eq!(error.code(), "SIGNET-EVENTS-0097");
    // An upcaster mends the one.
    let mended =
        Repository::<Account>::new(Arc::clone(&store)).with_upcast(Arc::new(|mut event| {
            event.schema_version = 1;
            Ok(event)
        }));
    assert_eq!(mended.load(&account("a")).await.unwrap().state.amount, 1);
}

async fn a_stream_that_was_put_back_is_read_anew(database: Arc<Database>) {
    let store = database.open().await;
    let accounts = accounts(&store);
    for _ in 0..5 {
        accounts.execute(call("a"), pay(1)).await.unwrap().unwrap();
    }
    let mut outside = database.connect().await;
    outside
        .execute("DELETE FROM events WHERE stream_version > 2")
        .await;
    outside.close().await;

    let done = accounts.execute(call("a"), pay(1)).await.unwrap().unwrap();

    assert_eq!((done.version, done.state.amount), (3, 3));
}

async fn a_caller_that_goes_away_leaves_nothing_held(database: Arc<Database>) {
    let store = database.open().await;
    let watched = Watched::new(&store);
    let notes = Arc::<Notes>::default();
    let gate = Arc::new(Gate::new(&Limits {
        in_flight: 1,
        ..Limits::default()
    }));
    let accounts = watched
        .accounts()
        .with_gate(gate)
        .with_observer(Arc::clone(&notes) as _);
    let hold = database.hold_lane().await;
    // It waits for the lane, the second one for its turn.
    let mut first = accounts.execute(call("a"), pay(1)).boxed();
    let mut second = accounts.execute(call("a"), pay(2)).boxed();
    while watched.appends.load(Ordering::SeqCst) == 0 {
        assert!(first.as_mut().now_or_never().is_none());
        tokio::task::yield_now().await;
    }
    assert!(second.as_mut().now_or_never().is_none());
    drop(first);
    drop(second);
    hold.release().await;

    let done = accounts.execute(call("a"), pay(4)).await.unwrap().unwrap();

    // What was on its way was stored or not, but never in part, and the state knows.
    let stored = accounts.load(&account("a")).await.unwrap();
    let anew = crate::account::accounts(&store)
        .load(&account("a"))
        .await
        .unwrap();
    assert_eq!(stored.state, anew.state);
    assert!([4, 5].contains(&anew.state.amount), "{:?}", anew.state);
    assert_eq!(done.state.amount, anew.state.amount);
    let outcomes: Vec<_> = notes
        .reports()
        .iter()
        .map(|report| report.outcome)
        .collect();
    assert_eq!(
        outcomes,
        [Outcome::Abandoned, Outcome::Abandoned, Outcome::Stored]
    );
}

async fn limits_are_kept_and_told(database: Arc<Database>) {
    let store = database.open().await;
    let limits = Limits {
        rates: [("Rare", Some(Rate::per_second(1)))].into(),
        in_flight: 1,
        waiting: 1,
        ..Limits::default()
    };
    let accounts = Arc::new(accounts(&store).with_gate(Arc::new(Gate::new(&limits))));
    let rare = || accounts.execute(Call::new("Rare", account("a")), pay(1));
    rare().await.unwrap().unwrap();
    let error = rare().await.unwrap_err();
    let CommandError::Limited { retry_after, .. } = &error else {
        panic!("{error}");
    };
    assert!(!retry_after.is_zero() && error.is_retryable());

    let held = accounts.open(call("b")).await.unwrap();
    let entered = Arc::new(Barrier::new(2));
    let waiting = {
        let (accounts, entered) = (Arc::clone(&accounts), Arc::clone(&entered));
        tokio::spawn(async move {
            let mut turn = accounts
                .open(call("c").with_priority(Priority::Low))
                .boxed();
            assert!(turn.as_mut().now_or_never().is_none());
            entered.wait().await;
            drop(turn.await.unwrap());
        })
    };
    entered.wait().await;
    let low = accounts.open(call("d").with_priority(Priority::Low)).await;
    assert_eq!(low.err(), Some(CommandError::Busy));
    drop(held);
    waiting.await.unwrap();
    drop(accounts.open(call("d")).await.unwrap());
}
