//! A call that is repeated with its key is answered as it was, whatever happened since.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use eventstore::command::{Call, CommandError, Done, Outcome, Repository};
use tokio::task::JoinSet;

use crate::account::{
    Account, Fault, Moved, Notes, Watched, account, accounts, call, draw, pay, snapshots,
};
use crate::database::{Database, contract};
use crate::samples::all;

contract!(
    a_repetition_is_answered_as_the_first_call_was,
    a_repetition_after_a_crash_is_answered_by_another_replica,
    a_key_stands_for_one_command_only,
    the_same_key_on_another_stream_is_another_key,
    an_answer_that_got_lost_is_found_again,
    of_many_equal_calls_at_once_one_is_carried_out,
    of_different_commands_with_one_key_one_is_carried_out,
    a_refusal_leaves_no_trace,
);

fn keyed(id: &str, key: &str, command: u64) -> Call<Account> {
    call(id).with_key(key, &command).unwrap()
}

type Answer = (u64, u64, u64, u64, Vec<u64>);

/// Everything that is answered, but for whether it was stored already.
fn answer(done: &Done<Account>) -> Answer {
    let appended = done.appended.as_ref().unwrap();
    let (first, last) = (appended.first.0, appended.last.0);
    assert_eq!(done.position, appended.last);
    let versions = appended.versions.clone();
    (done.version, done.state.amount, first, last, versions)
}

/// Pays twice, in one command.
fn pay_both(amount: u64) -> impl FnMut(&crate::account::Balance) -> Result<Vec<Moved>, String> {
    move |_| Ok(vec![Moved::Paid(amount), Moved::Paid(amount + 1)])
}

async fn paid(accounts: &Repository<Account>, id: &str, key: &str, amount: u64) -> Done<Account> {
    let call = keyed(id, key, amount);
    accounts
        .execute(call, pay_both(amount))
        .await
        .unwrap()
        .unwrap()
}

async fn a_repetition_is_answered_as_the_first_call_was(database: Arc<Database>) {
    let store = database.open().await;
    let notes = Arc::<Notes>::default();
    let accounts = accounts(&store)
        .with_snapshots(snapshots(&*store, &notes))
        .with_observer(Arc::clone(&notes) as _);

    let first = paid(&accounts, "a", "one", 5).await;
    let at_once = paid(&accounts, "a", "one", 5).await;
    // The state moves on, beyond what the repetition could do now.
    accounts
        .execute(call("a"), draw(11))
        .await
        .unwrap()
        .unwrap();
    for _ in 0..20 {
        accounts.execute(call("b"), pay(1)).await.unwrap().unwrap();
        accounts.execute(call("a"), pay(1)).await.unwrap().unwrap();
    }
    notes.reports();
    let late = keyed("a", "one", 5);
    let asked = AtomicUsize::new(0);
    let late = accounts.execute(late, |_| {
        asked.fetch_add(1, Ordering::SeqCst);
        Err("must not be asked")
    });
    let late = late.await.unwrap().unwrap();

    assert_eq!(answer(&first), (2, 11, 1, 2, vec![2]));
    assert!(!first.is_repeated() && at_once.is_repeated() && late.is_repeated());
    assert_eq!(answer(&at_once), answer(&first));
    assert_eq!(answer(&late), answer(&first));
    assert_eq!(asked.into_inner(), 0);
    assert_eq!(notes.reports()[0].outcome, Outcome::Repeated);
    assert_eq!(all(&*store).await.len(), 43);
}

async fn a_repetition_after_a_crash_is_answered_by_another_replica(database: Arc<Database>) {
    let store = database.open().await;
    let first = paid(&accounts(&store), "a", "one", 5).await;
    store.close().await;

    let store = database.open().await;
    let accounts = accounts(&store);
    accounts.execute(call("a"), pay(1)).await.unwrap().unwrap();
    let again = paid(&accounts, "a", "one", 5).await;

    assert!(again.is_repeated());
    assert_eq!(answer(&again), answer(&first));
    // By hand, too: what is appended is not stored.
    let loaded = accounts.open(keyed("a", "one", 5)).await.unwrap();
    assert_eq!(loaded.answered().map(answer), Some(answer(&first)));
    let written = loaded.append(&[Moved::Paid(1000)]).await.unwrap();
    let eventstore::command::Written::Done(done) = written else {
        panic!("a conflict with itself");
    };
    assert_eq!(answer(&done), answer(&first));
    assert_eq!(all(&*store).await.len(), 3);
}

async fn a_key_stands_for_one_command_only(database: Arc<Database>) {
    let store = database.open().await;
    let accounts = accounts(&store);
    paid(&accounts, "a", "one", 5).await;

    let other_content = keyed("a", "one", 6);
    let other_name = Call::new("Other", account("a"))
        .with_key("one", &5)
        .unwrap();
    for other in [other_content, other_name] {
        let refused = accounts.execute(other, pay_both(5)).await.unwrap_err();
        assert_eq!(
            refused,
            CommandError::KeyReused {
                key: "one".into(),
                stream: account("a"),
            }
        );
    }
    assert_eq!(all(&*store).await.len(), 2);
}

async fn the_same_key_on_another_stream_is_another_key(database: Arc<Database>) {
    let store = database.open().await;
    let accounts = accounts(&store);
    for id in ["a", "b"] {
        let done = paid(&accounts, id, "one", 5).await;
        assert!(!done.is_repeated());
    }
    assert_eq!(all(&*store).await.len(), 4);
}

async fn an_answer_that_got_lost_is_found_again(database: Arc<Database>) {
    let store = database.open().await;
    let watched = Watched::new(&store);
    let accounts = watched.accounts();
    // Within the call.
    watched.fail([Fault::Lost, Fault::Unheard]);
    let done = paid(&accounts, "a", "one", 5).await;
    assert_eq!(answer(&done), (2, 11, 1, 2, vec![2]));
    // By repeating it.
    watched.fail([Fault::Unheard, Fault::Lost, Fault::Lost]);
    let unknown = accounts.execute(keyed("a", "two", 7), pay_both(7)).await;
    let unknown = unknown.unwrap_err();
    assert!(
        matches!(
            unknown,
            CommandError::Unavailable {
                may_be_stored: true,
                ..
            }
        ),
        "{unknown}"
    );
    let done = paid(&accounts, "a", "two", 7).await;
    assert!(done.is_repeated());
    assert_eq!(answer(&done), (4, 26, 3, 4, vec![4]));
    assert_eq!(all(&*store).await.len(), 4);
}

async fn of_many_equal_calls_at_once_one_is_carried_out(database: Arc<Database>) {
    let stores = [database.open().await, database.open().await];
    let replicas = stores.each_ref().map(|store| Arc::new(accounts(store)));
    for round in 0..5_u64 {
        let mut calls = JoinSet::new();
        for n in 0..8 {
            let accounts = Arc::clone(&replicas[n % 2]);
            // What is decided depends on the state, so that a second decision would differ.
            calls.spawn(async move {
                let call = keyed("a", &round.to_string(), round);
                let decided = accounts.execute(call, |balance| {
                    let moves =
                        vec![Moved::Paid(balance.amount + 1); balance.moves as usize % 3 + 1];
                    Ok::<_, String>(moves)
                });
                answer(&decided.await.unwrap().unwrap())
            });
        }
        let answers = calls.join_all().await;
        assert!(
            answers.iter().all(|answer| *answer == answers[0]),
            "{answers:?}"
        );
        let events = all(&*stores[0]).await;
        assert_eq!(events.last().unwrap().position.0, answers[0].3);
    }
}

async fn of_different_commands_with_one_key_one_is_carried_out(database: Arc<Database>) {
    let stores = [database.open().await, database.open().await];
    let replicas = stores.each_ref().map(|store| Arc::new(accounts(store)));
    for round in 0..10_u64 {
        let mut calls = JoinSet::new();
        for n in 0..4 {
            let accounts = Arc::clone(&replicas[n % 2]);
            // The events are the same, so only the command tells them apart.
            calls.spawn(async move {
                let call = keyed("a", &round.to_string(), n as u64);
                accounts.execute(call, pay(1)).await.map(Result::unwrap)
            });
        }
        let answers = calls.join_all().await;
        let reused = answers
            .iter()
            .filter(|answer| matches!(answer, Err(CommandError::KeyReused { .. })));
        assert_eq!(reused.count(), 3, "{answers:?}");
        assert_eq!(all(&*stores[0]).await.len() as u64, round + 1);
    }
}

async fn a_refusal_leaves_no_trace(database: Arc<Database>) {
    let store = database.open().await;
    let accounts = accounts(&store);
    let draw_it = || accounts.execute(keyed("a", "draw", 3), draw(3));
    draw_it().await.unwrap().unwrap_err();
    accounts.execute(call("a"), pay(3)).await.unwrap().unwrap();

    let done = draw_it().await.unwrap().unwrap();

    assert!(!done.is_repeated());
    assert_eq!(answer(&done), (2, 0, 2, 2, vec![2]));
    assert_eq!(answer(&draw_it().await.unwrap().unwrap()), answer(&done));
}
