//! The store against a simple model: random calls at the same time on two replicas, repetitions,
//! callers that leave, crashes, followers. Whatever the order was, there has to be one that explains
//! every answer and the log that it left.

mod reference;
mod replica;
mod script;

use std::cell::RefCell;

use eventstore::Append;
use proptest::test_runner::{Config, TestRunner};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;

use crate::database::{Database, Outside, PATIENCE};
use crate::proof::{Line, assert_whole, times};
use reference::{Answer, Entry, Model};
use replica::{Follower, Replica};
use script::{REPLICAS, Step, script};

#[test]
fn whatever_happens_on_sqlite_the_model_explains_it() {
    run(&runtime(), Database::sqlite);
}

#[test]
fn whatever_happens_on_postgres_the_model_explains_it() {
    let runtime = runtime();
    let Some(database) = runtime.block_on(Database::postgres()) else {
        return;
    };
    let (url, name) = match &database {
        Database::Postgres { admin, name } => (admin.clone(), name.clone()),
        Database::Sqlite { .. } => unreachable!(),
    };
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        run(&runtime, || {
            let database = Database::Postgres {
                admin: url.clone(),
                name: name.clone(),
            };
            // Another database for each case would take far longer.
            runtime.block_on(async {
                let mut outside = database.connect().await;
                outside
                    .execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
                    .await;
                outside.close().await;
            });
            database
        });
    }));
    runtime.block_on(database.run(|_| async {}));
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

fn runtime() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
}

fn run(runtime: &Runtime, database: impl Fn() -> Database) {
    let config = Config {
        cases: times(12, 600) as u32,
        // The order of events differs from run to run, so a smaller script need not fail as well.
        max_shrink_iters: 40,
        failure_persistence: None,
        ..Config::default()
    };
    let totals = RefCell::new(Totals::default());
    let outcome = TestRunner::new(config).run(&script(), |script| {
        let database = database();
        runtime.block_on(play(&database, script, &totals));
        Ok(())
    });
    let totals = totals.into_inner();
    eprintln!("{totals:?}");
    if let Err(error) = outcome {
        panic!("{error}");
    }
    // Otherwise it showed nothing.
    assert!(totals.stored > 0 && totals.repeated > 0 && totals.refused > 0 && totals.crashes > 0);
}

/// What was tried.
#[derive(Debug, Default)]
struct Totals {
    stored: usize,
    repeated: usize,
    refused: usize,
    untold: usize,
    crashes: usize,
    followers: usize,
}

async fn play(database: &Database, script: Vec<Step>, totals: &RefCell<Totals>) {
    let url = database.url();
    let mut replicas = Vec::new();
    for _ in 0..REPLICAS {
        replicas.push(Replica::open(&url).await);
    }
    let mut model = Model::default();
    let mut earlier: Vec<Append> = Vec::new();
    let mut followers: Vec<Follower> = Vec::new();
    for step in script {
        match step {
            Step::Burst { calls, crash } => {
                let mut burst = Vec::new();
                for call in calls {
                    let append = call.what.append(&model, &earlier);
                    earlier.push(append.clone());
                    burst.push((call.replica, append, call.leaves));
                }
                let answers = answers(&mut replicas, &burst, crash).await;
                if let Some((crashed, _)) = crash {
                    totals.borrow_mut().crashes += 1;
                    forget(&mut followers, crashed);
                    replicas.insert(crashed, Replica::open(&url).await);
                }
                totals.borrow_mut().count(&answers);
                let log = log(&assert_whole(database).await);
                let queue = |replica| {
                    let all = burst.iter().zip(&answers);
                    let own = all.filter(|((on, _, _), _)| *on == replica);
                    own.map(|((_, append, _), answer)| (append.clone(), answer.clone()))
                        .collect::<Vec<_>>()
                };
                let queues: Vec<_> = (0..REPLICAS).map(queue).collect();
                let queues: Vec<_> = queues.iter().map(Vec::as_slice).collect();
                let explained = model.explain(&queues, &log);
                model = explained.unwrap_or_else(|| {
                    panic!("no order explains {queues:#?}\nbefore: {model:#?}\nafter: {log:#?}")
                });
            }
            Step::Reopen { replica } => {
                forget(&mut followers, replica);
                replicas.remove(replica).close().await;
                replicas.insert(replica, Replica::open(&url).await);
            }
            Step::Follow { replica, from } => {
                let from = model.log.len() * from / 1000;
                followers.push(replicas[replica].follow(replica, from));
            }
        }
    }
    let lines = assert_whole(database).await;
    assert_eq!(log(&lines), model.log);
    assert_eq!(snapshots(database).await, model.snapshots.len() as i64);
    totals.borrow_mut().followers += followers.len();
    for follower in followers {
        assert_follows(&follower, &lines).await;
    }
    for replica in replicas {
        replica.close().await;
    }
}

/// Makes the calls, and gives what they were told; one replica is gone afterwards if it crashes.
async fn answers(
    replicas: &mut Vec<Replica>,
    burst: &[(usize, Append, bool)],
    crash: Option<(usize, usize)>,
) -> Vec<Answer> {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    for (replica, running) in replicas.iter().enumerate() {
        let numbered = burst.iter().enumerate();
        let own = numbered.filter(|(_, (on, _, _))| *on == replica);
        let calls = own.map(|(n, (_, append, leaves))| (n, append.clone(), *leaves));
        running.append(calls.collect(), sender.clone());
    }
    drop(sender);
    let mut answers = vec![None; burst.len()];
    let mut told = 0;
    let ends = crash;
    let mut crash = crash;
    loop {
        if let Some((replica, _)) = crash.take_if(|(_, after)| *after <= told) {
            replicas.remove(replica).crash();
        }
        let next = tokio::time::timeout(PATIENCE, receiver.recv()).await;
        let Some((n, answer)) = next.expect("a call hangs") else {
            break;
        };
        // A store that crashes may still say so.
        let nothing = matches!(&answer, Some(Err(error)) if error.code() == "SIGNET-EVENTS-0005");
        assert!(
            !nothing || ends.is_some_and(|(replica, _)| replica == burst[n].0),
            "{answer:?}"
        );
        answers[n] = answer.filter(|_| !nothing);
        told += 1;
    }
    // It was to crash after more answers than there were.
    if let Some((replica, _)) = crash {
        replicas.remove(replica).crash();
    }
    answers
}

fn forget(followers: &mut [Follower], replica: usize) {
    let of_replica = followers
        .iter_mut()
        .filter(|follower| follower.replica == replica);
    of_replica.for_each(|follower| follower.lives = false);
}

/// It saw the log from its place on, up to the end unless its replica is gone.
async fn assert_follows(follower: &Follower, lines: &[Line]) {
    let expected = &lines[follower.from..];
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let seen = || follower.seen.lock().unwrap().clone();
    while follower.lives && seen().len() < expected.len() {
        assert!(
            tokio::time::Instant::now() < deadline,
            "{follower:?} of {}",
            expected.len()
        );
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    let seen = seen();
    assert!(seen.len() <= expected.len());
    for (event, line) in seen.iter().zip(expected) {
        assert_eq!(
            (event.id, event.position.0),
            (line.id, line.position.unsigned_abs())
        );
        assert_eq!(event.hash.0.as_slice(), line.hash);
    }
}

fn log(lines: &[Line]) -> Vec<Entry> {
    let entry = |line: &Line| {
        let [tenant, stream_type, stream_id] = line.stream.clone();
        Entry {
            id: line.id,
            stream: eventstore::StreamKey::new(tenant, stream_type, stream_id),
            stream_version: line.stream_version.unsigned_abs(),
            event_type: line.event_type.clone(),
            data: serde_json::from_str(&line.data).unwrap(),
        }
    };
    lines.iter().map(entry).collect()
}

async fn snapshots(database: &Database) -> i64 {
    let mut outside: Outside = database.connect().await;
    let count = outside.number("SELECT count(*) FROM event_snapshots").await;
    outside.close().await;
    count
}

impl Totals {
    fn count(&mut self, answers: &[Answer]) {
        for answer in answers {
            *match answer {
                Some(Ok(appended)) if appended.already_stored => &mut self.repeated,
                Some(Ok(_)) => &mut self.stored,
                Some(Err(_)) => &mut self.refused,
                None => &mut self.untold,
            } += 1;
        }
    }
}
