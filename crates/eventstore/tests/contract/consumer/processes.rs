//! Processes that are killed while they consume: what they did and what they wrote down agree.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use eventstore::consumer::{ConsumerOptions, Delivery, Handler, HandlerError};
use eventstore::{EventStore, Options, Position, RecordedEvent};

use super::stage::{
    Effect, Effects, append, assert_exactly_once, consumers, effects, effects_table, options,
    until, until_all_at,
};
use crate::database::{Database, Outside, PATIENCE, contract};
use crate::proof::times;

contract!(
    a_subscriber_killed_between_effect_and_checkpoint_has_each_effect_once,
    a_subscriber_with_effects_elsewhere_that_is_killed_leaves_none_out,
    when_one_of_two_consuming_processes_is_killed_the_other_takes_over,
);

/// Name the database and the handler to the child.
const CHILD_URL: &str = "SIGNET_TEST_CONSUMER_URL";
const CHILD_HANDLER: &str = "SIGNET_TEST_CONSUMER_HANDLER";

const VICTIM: &str = "victim";
const SURVIVOR: &str = "survivor";
/// Writes its effects past the transaction of the checkpoint.
const OUTSIDE: &str = "outside";

const STREAMS: usize = 9;

/// This test binary, started again as a process that consumes.
struct Process(Child);

impl Process {
    fn start(database: &Database, handler: &str) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "consumer::processes::child", "--nocapture"])
            .env(CHILD_URL, database.url())
            .env(CHILD_HANDLER, handler)
            .stdout(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }
}

/// SIGKILL.
impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn holding() -> ConsumerOptions {
    ConsumerOptions {
        lease: Duration::from_millis(150),
        batch_size: 5,
        partitions: 3,
        ..options()
    }
}

async fn count(database: &Database, holder: &str) -> usize {
    let effects = effects(database).await;
    let by = effects.iter().filter(|effect| effect.holder == holder);
    by.count()
}

/// Starts victims, each killed at another moment after its first effect, while events are appended.
async fn kill_again_and_again(
    database: &Arc<Database>,
    store: &Arc<dyn EventStore>,
    handler: &str,
) -> Position {
    let mut head = Position::START;
    for n in 0..times(5, 100) {
        head = append(&**store, STREAMS, 4).await;
        let before = count(database, handler).await;
        let (victim, began) = (Process::start(database, handler), Instant::now());
        let goal = before + 1 + n * 5 % 13;
        while count(database, handler).await < goal {
            assert!(began.elapsed() < PATIENCE, "the victim does nothing");
            if effects(database).await.len() as u64 >= head.0 {
                // Others were faster.
                head = append(&**store, STREAMS, 1).await;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        drop(victim);
    }
    head
}

async fn a_subscriber_killed_between_effect_and_checkpoint_has_each_effect_once(
    database: Arc<Database>,
) {
    let store = database.open().await;
    effects_table(&database).await;
    let head = kill_again_and_again(&database, &store, VICTIM).await;

    let _last = Process::start(&database, SURVIVOR);
    until_all_at(&store, head).await;

    assert_exactly_once(&effects(&database).await, head);
}

async fn a_subscriber_with_effects_elsewhere_that_is_killed_leaves_none_out(
    database: Arc<Database>,
) {
    let store = database.open().await;
    effects_table(&database).await;
    let head = kill_again_and_again(&database, &store, OUTSIDE).await;

    let _last = Process::start(&database, OUTSIDE);
    until_all_at(&store, head).await;

    let effects = effects(&database).await;
    let handled: BTreeSet<u64> = effects.iter().map(|effect| effect.position).collect();
    assert!(handled.into_iter().eq(1..=head.0), "some were left out");
    // Each stream's events come in turn; repetitions go back, but nobody goes forward over an event.
    let mut known: BTreeMap<&str, u64> = BTreeMap::new();
    for Effect {
        stream, position, ..
    } in &effects
    {
        let known = known.entry(stream).or_insert(0);
        assert!(
            *position <= *known + STREAMS as u64,
            "{position} in {stream}"
        );
        *known = (*position).max(*known);
    }
}

async fn when_one_of_two_consuming_processes_is_killed_the_other_takes_over(
    database: Arc<Database>,
) {
    let store = database.open().await;
    effects_table(&database).await;
    let database = &database;
    append(&*store, STREAMS, 4).await;
    let _survivor = Process::start(database, SURVIVOR);
    until("effects of the survivor", || async move {
        count(database, SURVIVOR).await > 0
    })
    .await;

    let head = kill_again_and_again(database, &store, VICTIM).await;
    until_all_at(&store, head).await;

    let effects = effects(database).await;
    assert_exactly_once(&effects, head);
}

/// Writes each effect at once and for good, whatever becomes of the checkpoint.
struct Elsewhere(String);

#[async_trait]
impl Handler for Elsewhere {
    async fn handle(&self, events: &[RecordedEvent]) -> Result<(), HandlerError> {
        let mut outside = Outside::open(&self.0).await;
        for event in events {
            let (position, stream) = (event.position, &event.stream);
            let insert = format!(
                "INSERT INTO effects (position, stream, holder) \
                 VALUES ({position}, '{stream}', '{OUTSIDE}')"
            );
            outside.execute(&insert).await;
        }
        outside.close().await;
        Ok(())
    }
}

/// The child; does nothing unless it was started as one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Ok(url) = std::env::var(CHILD_URL) else {
        return;
    };
    let options = Options {
        poll_interval: Duration::from_millis(50),
        ..Options::default()
    };
    let store = eventstore::open(&url, options).await.unwrap();
    let delivery = match std::env::var(CHILD_HANDLER).unwrap().as_str() {
        OUTSIDE => Delivery::at_least_once(Elsewhere(url)),
        name => Delivery::exactly_once(Effects {
            holder: if name == VICTIM { VICTIM } else { SURVIVOR },
            pause: Duration::from_millis(4),
        }),
    };
    let consumers = consumers(&store);
    consumers.start(holding(), delivery).await.unwrap();
    std::future::pending::<()>().await;
}
