//! A process that is killed while it appends: what it was answered is there, once.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;

use eventstore::{Append, ExpectedVersion, Options};

use crate::database::{Database, contract};
use crate::samples::{all, assert_in_order, event, ids, write};

contract!(what_was_acknowledged_survives_the_kill);

/// Names the database to the child.
const CHILD_URL: &str = "SIGNET_TEST_KILL_URL";

const WRITERS: usize = 8;
/// Acknowledgements to wait for before each kill.
const ACKNOWLEDGED: usize = 60;
const KILLS: usize = 3;

async fn what_was_acknowledged_survives_the_kill(database: Arc<Database>) {
    // The tables are made beforehand, so that the kill meets appends and nothing else.
    database.open().await.close().await;
    let mut acknowledged: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..KILLS {
        let url = database.url();
        let lines = tokio::task::spawn_blocking(move || append_until_killed(&url));
        for id in lines.await.unwrap() {
            *acknowledged.entry(id).or_default() += 1;
        }
    }

    let store = database.open().await;
    let stored = all(&*store).await;

    assert!(acknowledged.len() >= KILLS * ACKNOWLEDGED);
    assert_in_order(&stored, 1);
    assert_eq!(store.head().await.unwrap(), stored.last().unwrap().position);
    for id in acknowledged.keys() {
        let times = stored
            .iter()
            .filter(|event| event.id.to_string() == *id)
            .count();
        assert_eq!(
            times, 1,
            "the acknowledged event {id} is there {times} times"
        );
    }
    // Whoever comes next goes on where the dead one stopped.
    let append = Append::new(vec![write(
        "after",
        ExpectedVersion::NoStream,
        vec![event(1)],
    )]);
    let appended = store.append(append).await.unwrap();
    assert_eq!(appended.last.0, stored.len() as u64 + 1);
}

/// Starts this test binary again as a writer, kills it in the middle, and gives the ids that it was
/// answered.
fn append_until_killed(url: &str) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::child", "--nocapture"])
        .env(CHILD_URL, url)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut acknowledged = Vec::new();
    let mut read = |lines: &mut dyn Iterator<Item = std::io::Result<String>>| {
        let line = lines.next()?.unwrap();
        if let Some(id) = line.strip_prefix("acknowledged ") {
            acknowledged.push(id.to_owned());
        }
        Some(acknowledged.len())
    };
    while read(&mut lines).expect("the child ended by itself") < ACKNOWLEDGED {}
    // SIGKILL on Unix.
    child.kill().unwrap();
    while read(&mut lines).is_some() {}
    child.wait().unwrap();
    acknowledged
}

/// The child; does nothing unless it was started as one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Ok(url) = std::env::var(CHILD_URL) else {
        return;
    };
    let store = eventstore::open(&url, Options::default()).await.unwrap();
    let writers = (0..WRITERS).map(|writer| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            loop {
                let append = Append::new(vec![
                    write(writer, ExpectedVersion::Any, vec![event(1), event(2)]),
                    write("shared", ExpectedVersion::Any, vec![event(3)]),
                ]);
                store.append(append.clone()).await.unwrap();
                let mut out = std::io::stdout().lock();
                for id in ids(&append) {
                    writeln!(out, "acknowledged {id}").unwrap();
                }
                out.flush().unwrap();
            }
        })
    });
    futures::future::join_all(writers).await;
}
