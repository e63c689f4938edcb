//! Processes that are killed while they append: what they were answered is there, once and whole.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use eventstore::{
    Append, ExpectedVersion, NewEvent, Options, Position, SnapshotRecord, StreamWrite,
};
use futures::StreamExt;
use serde_json::json;
use time::OffsetDateTime;
use tokio::sync::watch;
use uuid::Uuid;

use crate::database::{Database, PATIENCE, contract};
use crate::proof::{Line, assert_whole, times};
use crate::samples::{event, one, stream, write};

contract!(
    what_was_acknowledged_survives_the_kill,
    when_one_of_two_replicas_is_killed_the_other_goes_on,
);

/// Names the database to the child.
const CHILD_URL: &str = "SIGNET_TEST_KILL_URL";

const WRITERS: usize = 8;

async fn what_was_acknowledged_survives_the_kill(database: Arc<Database>) {
    // The tables are made beforehand, so that the kill meets appends and nothing else.
    database.open().await.close().await;
    let mut acknowledged = BTreeSet::new();
    for n in 0..times(20, 200) {
        let mut replica = Replica::start(&database);
        // Another moment each time.
        replica.acknowledged(1 + n * 7 % 40).await;
        acknowledged.extend(replica.kill().await.acknowledged);
    }

    let lines = assert_whole(&database).await;

    assert_acknowledged(&lines, &acknowledged);
    // Whoever comes next goes on where the dead one stopped.
    let store = database.open().await;
    let appended = store.append(one("after", ExpectedVersion::NoStream)).await;
    assert_eq!(appended.unwrap().last.0, lines.len() as u64 + 1);
}

async fn when_one_of_two_replicas_is_killed_the_other_goes_on(database: Arc<Database>) {
    database.open().await.close().await;
    let mut survivor = Replica::start(&database);
    let mut acknowledged = BTreeSet::new();
    for _ in 0..times(4, 40) {
        let mut victim = Replica::start(&database);
        victim.acknowledged(10).await;
        acknowledged.extend(victim.kill().await.acknowledged);
        survivor.acknowledged(10).await;
    }
    // It sees what was appended before this, by whomever.
    let head = assert_whole(&database).await.len();
    survivor.seen(head).await;
    let survivor = survivor.kill().await;
    acknowledged.extend(survivor.acknowledged);

    let lines = assert_whole(&database).await;

    assert_acknowledged(&lines, &acknowledged);
    let log = lines.iter().map(|line| (line.position, line.id));
    assert!(
        survivor
            .seen
            .iter()
            .copied()
            .eq(log.take(survivor.seen.len()))
    );
}

/// Every append is there as a whole or not at all, and all that were acknowledged are there.
fn assert_acknowledged(lines: &[Line], acknowledged: &BTreeSet<Uuid>) {
    let mut appends: BTreeMap<Uuid, Vec<&Line>> = BTreeMap::new();
    for line in lines {
        let data: serde_json::Value = serde_json::from_str(&line.data).unwrap();
        let append = Uuid::parse_str(data["append"].as_str().unwrap()).unwrap();
        appends.entry(append).or_default().push(line);
    }
    for (append, lines) in &appends {
        assert_eq!(lines.len(), 3, "half of {append} is there");
        assert_eq!(lines[2].position, lines[0].position + 2);
    }
    let lost: Vec<_> = acknowledged
        .iter()
        .filter(|id| !appends.contains_key(id))
        .collect();
    assert!(lost.is_empty(), "acknowledged and not there: {lost:?}");
}

/// What a replica said.
#[derive(Debug, Clone, Default)]
struct Said {
    acknowledged: BTreeSet<Uuid>,
    seen: Vec<(i64, Uuid)>,
}

/// This test binary, started again as a process that appends and follows.
struct Replica {
    child: Child,
    said: watch::Receiver<Said>,
    reader: Option<JoinHandle<()>>,
}

impl Replica {
    fn start(database: &Database) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kill::child", "--nocapture"])
            .env(CHILD_URL, database.url())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (say, said) = watch::channel(Said::default());
        let reader = std::thread::spawn(move || {
            for line in lines.map(Result::unwrap) {
                // The last line may be cut off.
                let words: Vec<_> = line.split(' ').collect();
                let id = words.last().and_then(|id| Uuid::parse_str(id).ok());
                say.send_modify(|said| match (words.first().copied(), id) {
                    (Some("acknowledged"), Some(id)) => drop(said.acknowledged.insert(id)),
                    (Some("seen"), Some(id)) => said.seen.push((words[1].parse().unwrap(), id)),
                    _ => {}
                });
            }
        });
        Self {
            child,
            said,
            reader: Some(reader),
        }
    }

    /// Waits until it was answered `more` appends than by now.
    async fn acknowledged(&mut self, more: usize) {
        let goal = self.said.borrow().acknowledged.len() + more;
        self.wait(|said| said.acknowledged.len() >= goal).await;
    }

    async fn seen(&mut self, count: usize) {
        self.wait(|said| said.seen.len() >= count).await;
    }

    async fn wait(&mut self, until: impl FnMut(&Said) -> bool) {
        let wait = tokio::time::timeout(PATIENCE, self.said.wait_for(until)).await;
        let waited = wait.expect("the replica does not go on");
        drop(waited.expect("the replica ended by itself"));
    }

    /// Ends it in the middle (SIGKILL), and gives everything it said.
    async fn kill(mut self) -> Said {
        self.child.kill().unwrap();
        tokio::task::spawn_blocking(move || {
            self.child.wait().unwrap();
            self.reader.take().unwrap().join().unwrap();
            self.said.borrow().clone()
        })
        .await
        .unwrap()
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        // Also after a failure of the test; a child that was killed before does not mind.
        drop(self.child.kill());
        drop(self.child.wait());
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
    let mut subscription = store.subscribe(Position::START);
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move {
        while let Some(event) = subscription.next().await {
            let event = event.unwrap();
            say(&format!("seen {} {}", event.position, event.id));
        }
    });
    for _ in 0..WRITERS {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            loop {
                let id = Uuid::new_v4();
                // Another process may keep SQLite's lock for too long.
                while store.append(append(id)).await.is_err() {}
                say(&format!("acknowledged {id}"));
            }
        });
    }
    // A panic of one is one of the child.
    tasks.join_next().await.unwrap().unwrap();
}

/// Two streams and a snapshot, under ids that follow from `id`.
fn append(id: Uuid) -> Append {
    let part = |n: u128| NewEvent {
        id: Uuid::from_u128(id.as_u128() ^ n),
        data: json!({ "append": id }),
        ..event(1)
    };
    let own: StreamWrite = write(id, ExpectedVersion::NoStream, vec![part(1), part(2)]);
    let shared = write("shared", ExpectedVersion::Any, vec![part(3)]);
    Append::new(vec![own, shared]).with_snapshot(SnapshotRecord {
        stream: stream(id),
        stream_version: 2,
        schema_version: 1,
        format: "json".into(),
        key_id: None,
        data: b"{}".to_vec(),
        checksum: [0; 32],
        taken_at: OffsetDateTime::UNIX_EPOCH,
        pruning: None,
    })
}

fn say(line: &str) {
    // One call for the whole line: what two tasks say must not mix.
    let mut out = std::io::stdout().lock();
    out.write_all(format!("{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}
