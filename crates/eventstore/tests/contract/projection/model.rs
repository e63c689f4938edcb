//! Projections under random events, crashes, rebuilds and changes of their lease: whatever happens, the
//! documents are a fold of the events up to the position that they claim.

use std::sync::Arc;
use std::time::Duration;

use eventstore::projection::{ProjectionRunner, ProjectionState};
use eventstore::{EventStore, Options, Position, Projection, ProjectionError};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use tokio::runtime::Runtime;

use crate::database::{Database, PATIENCE, contract};
use crate::projection::samples::{
    Sums, append, assert_sound, documents, fill, happened, model, projections, reach, small, until,
};

contract!(
    whatever_happens_documents_are_a_fold_of_the_events,
    a_killed_runner_leaves_nothing_half_done,
    a_worker_that_lost_its_lease_writes_nothing,
    an_inline_projection_survives_crashes_of_its_replicas,
);

/// A projection per script, so that each begins with the lowest version; a script takes some seconds.
const SCRIPTS: [&str; 4] = ["one", "two", "three", "four"];

/// A process of its own, as far as a test can have one: it can be killed at any await.
struct Replica {
    runtime: Option<Runtime>,
    _kept: Option<(Arc<dyn EventStore>, ProjectionRunner)>,
}

impl Replica {
    async fn start(url: String, sums: Sums) -> Self {
        let start = move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
                .unwrap();
            let kept = runtime.block_on(async {
                let store = eventstore::open(&url, Options::default()).await.ok()?;
                let runner = projections(&store).run(Arc::new(sums), &small()).unwrap();
                Some((store, runner))
            });
            Self {
                runtime: Some(runtime),
                _kept: kept,
            }
        };
        tokio::task::spawn_blocking(start).await.unwrap()
    }

    /// Nothing of it goes on, and nothing is said good-bye to.
    fn kill(mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Append {
        tenant: bool,
        stream: u8,
        numbers: Vec<i64>,
    },
    Start {
        version: u32,
    },
    Kill {
        milliseconds: u64,
    },
    Rebuild,
    Clear,
    Pause,
    Resume,
    Check,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => (any::<bool>(), 0..6u8, proptest::collection::vec(0..9i64, 1..12))
            .prop_map(|(tenant, stream, numbers)| Step::Append { tenant, stream, numbers }),
        3 => (1..4u32).prop_map(|version| Step::Start { version }),
        3 => (0..30u64).prop_map(|milliseconds| Step::Kill { milliseconds }),
        1 => Just(Step::Rebuild),
        1 => Just(Step::Clear),
        1 => Just(Step::Pause),
        2 => Just(Step::Resume),
        6 => Just(Step::Check),
    ]
}

/// A projection that nobody has run yet knows nothing, and that is fine.
fn unless_unknown<T>(outcome: Result<T, ProjectionError>) {
    match outcome {
        Ok(_) | Err(ProjectionError::Unknown { .. }) => {}
        Err(error) => panic!("{error}"),
    }
}

async fn whatever_happens_documents_are_a_fold_of_the_events(database: Arc<Database>) {
    let mut random = TestRunner::deterministic();
    let store = database.open().await;
    let projections = projections(&store);
    for script in SCRIPTS {
        let sums = |version| Sums {
            name: script,
            ..Sums::version(version)
        };
        let steps = proptest::collection::vec(step(), 60);
        let steps = steps.new_tree(&mut random).unwrap().current();
        let mut replicas: Vec<Replica> = Vec::new();
        for step in &steps {
            match step {
                Step::Append {
                    tenant,
                    stream,
                    numbers,
                } => {
                    let tenant = if *tenant { "acme" } else { "globex" };
                    append(&store, vec![happened(tenant, &stream.to_string(), numbers)]).await;
                }
                Step::Start { version } if replicas.len() < 3 => {
                    replicas.push(Replica::start(database.url(), sums(*version)).await);
                }
                Step::Start { .. } => {}
                Step::Kill { milliseconds } => {
                    // At any moment of its work.
                    tokio::time::sleep(Duration::from_millis(*milliseconds)).await;
                    if !replicas.is_empty() {
                        replicas.remove(0).kill();
                    }
                }
                Step::Rebuild => unless_unknown(projections.rebuild(script, None).await),
                Step::Clear => unless_unknown(projections.clear(script).await),
                Step::Pause => unless_unknown(projections.pause(script).await),
                Step::Resume => unless_unknown(projections.resume(script).await),
                Step::Check => check(&store, &projections, script).await,
            }
        }
        // In the end somebody is left, with the highest version.
        drop(replicas);
        unless_unknown(projections.resume(script).await);
        let last = Replica::start(database.url(), sums(3)).await;
        until(&projections, script, |status| {
            status.active.version == 3 && status.building.is_none()
        })
        .await;
        let head = store.head().await.unwrap();
        reach(&projections, script, head).await;
        let answer = assert_sound(&store, &projections, &sums(3)).await;
        assert_eq!(answer.as_of, head, "script {script}: {steps:?}");
        last.kill();
    }
}

async fn check(store: &Arc<dyn EventStore>, projections: &eventstore::Projections, name: &str) {
    if projections.status(name).await.is_err() {
        return;
    }
    let answer = documents(projections, name).await;
    let mut events = store.read_all(Position::START, 100_000).await.unwrap();
    events.retain(|event| event.position <= answer.as_of);
    let wanted = model(&Sums::version(answer.version), &events);
    assert_eq!(answer.value, wanted, "as of {}", answer.as_of);
}

async fn a_killed_runner_leaves_nothing_half_done(database: Arc<Database>) {
    let store = database.open().await;
    let projections = projections(&store);
    let mut kills = 0;
    let head = fill(&store, 60).await;
    let mut reached = Position::START;
    while reached < head {
        let replica = Replica::start(database.url(), Sums::new()).await;
        // Until it did something more, or nothing at all.
        tokio::time::sleep(Duration::from_millis(10 + kills * 7)).await;
        replica.kill();
        kills += 1;
        check(&store, &projections, "sums").await;
        if let Ok(status) = projections.status("sums").await {
            assert!(status.active.position >= reached, "it went back");
            reached = status.active.position;
        }
        assert!(kills < 300, "it does not get on");
    }
    assert_sound(&store, &projections, &Sums::new()).await;
}

async fn a_worker_that_lost_its_lease_writes_nothing(database: Arc<Database>) {
    let store = database.open().await;
    let projections = projections(&store);
    let last = fill(&store, 3).await;
    let _runner = projections.run(Arc::new(Sums::new()), &small()).unwrap();
    reach(&projections, "sums", last).await;

    // Somebody else takes it, as after a long stall; the runner does not know.
    let until_then = time::OffsetDateTime::now_utc() + Duration::from_secs(4);
    let taken = format!(
        "UPDATE projection_checkpoints SET owner = 'another', epoch = epoch + 1, lease_until = {}",
        until_then.unix_timestamp_nanos() / 1000
    );
    let mut outside = database.connect().await;
    outside.execute(&taken).await;
    let further = fill(&store, 3).await;
    let wait = projections
        .wait("sums", further, Duration::from_millis(300))
        .await
        .unwrap_err();
    assert!(
        matches!(wait, ProjectionError::Behind { reached, state, .. }
            if reached == last && state == ProjectionState::Behind),
        "{wait}"
    );
    let status = projections.status("sums").await.unwrap();
    assert_eq!(
        status.active.partitions[0].runner.as_deref(),
        Some("another")
    );

    // It never comes back: the lease runs out, and nothing is missing or doubled.
    let over = "UPDATE projection_checkpoints SET lease_until = 0";
    outside.execute(over).await;
    projections.wait("sums", further, PATIENCE).await.unwrap();
    assert_sound(&store, &projections, &Sums::new()).await;
}

async fn an_inline_projection_survives_crashes_of_its_replicas(database: Arc<Database>) {
    let store = database.open().await;
    let projections = projections(&store);
    for n in 0..8 {
        let url = database.url();
        let replica = tokio::task::spawn_blocking(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let options = Options {
                    inline_projections: vec![
                        Arc::new(Sums::version(n / 3 + 1)) as Arc<dyn Projection>
                    ],
                    ..Options::default()
                };
                let store = eventstore::open(&url, options).await.unwrap();
                tokio::spawn(async move {
                    loop {
                        let numbers = [1, 2, 0, 4];
                        let append = eventstore::Append::new(vec![happened("acme", "1", &numbers)]);
                        let _ = store.append(append).await;
                    }
                });
            });
            runtime
        });
        let runtime = replica.await.unwrap();
        fill(&store, 3).await;
        runtime.shutdown_background();
        check(&store, &projections, "sums").await;
    }
    let options = Options {
        inline_projections: vec![Arc::new(Sums::version(3))],
        ..Options::default()
    };
    let with = database.open_with(options).await;
    let last = append(&with, vec![happened("acme", "1", &[1])]).await;
    reach(&projections, "sums", last).await;
    until(&projections, "sums", |status| status.active.version == 3).await;
    assert_sound(&store, &projections, &Sums::version(3)).await;
}
