//! A disk that is full, under SQLite: nothing is half done, and it goes on when there is space again.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use eventstore::{AppendError, EventStore, ExpectedVersion, NewEvent, Options, Position};
use serde_json::json;
use tempfile::TempDir;

use crate::database::{Database, PATIENCE};
use crate::load::Load;
use crate::proof::{assert_whole, times};
use crate::samples::{event, next, one, write};

/// A small file system, gone when this is dropped.
struct Disk(TempDir);

impl Disk {
    /// None where this process may not mount one.
    fn mount(size: &str) -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]);
        let mounted = mount.arg(folder.path()).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(folder));
        }
        eprintln!("not tested: no file system can be mounted here");
        None
    }

    fn filler(&self) -> PathBuf {
        self.0.path().join("filler")
    }

    /// Takes all of the space that is left, to the last page.
    fn fill(&self) {
        let mut left = std::fs::OpenOptions::new();
        let mut file = left.append(true).create(true).open(self.filler()).unwrap();
        while std::io::Write::write_all(&mut file, &[0; 4096]).is_ok() {}
    }

    fn free(&self) {
        std::fs::remove_file(self.filler()).unwrap();
    }

    fn database(&self) -> Database {
        let folder = tempfile::tempdir_in(self.0.path()).unwrap();
        Database::Sqlite { folder }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a failed test leaves files open.
        let unmounted = Command::new("umount").arg("-l").arg(self.0.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_told_and_survived() {
    let Some(disk) = Disk::mount("12m") else {
        return;
    };
    for _ in 0..times(3, 30) {
        fill_and_free(&disk).await;
    }
}

/// With a new database each time: a log that has grown is written over before the disk is asked.
async fn fill_and_free(disk: &Disk) {
    let database = disk.database();
    let store = database.open().await;
    let mut subscription = store.subscribe(Position::START);
    let first = one("first", ExpectedVersion::NoStream);
    store.append(first).await.unwrap();
    disk.fill();
    let large = NewEvent::new("Large", 1, json!("x".repeat(800_000)));
    let small = write("small", ExpectedVersion::NoStream, vec![event(2)]);
    let append = eventstore::Append::new(vec![
        write("large", ExpectedVersion::NoStream, vec![event(1), large]),
        small,
    ]);
    for _ in 0..2 {
        let error = store.append(append.clone()).await.unwrap_err();
        let AppendError::Unavailable { message } = &error else {
            panic!("{error}")
        };
        assert!(message.contains("full"), "{message}");
    }
    // Reading goes on, and so does opening.
    assert_eq!(store.head().await.unwrap(), Position(1));
    let second = database.open().await;
    assert_eq!(second.read_all(Position::START, 10).await.unwrap().len(), 1);
    second.close().await;
    disk.free();

    let appended = store.append(append).await.unwrap();

    let told = (appended.first, appended.last, appended.already_stored);
    assert_eq!(told, (Position(2), Position(4), false));
    assert_eq!(assert_whole(&database).await.len(), 4);
    next(&mut subscription, 4).await;
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_is_full_now_and_then_loses_nothing() {
    let Some(disk) = Disk::mount("24m") else {
        return;
    };
    let database = disk.database();
    let options = Options {
        poll_interval: std::time::Duration::from_millis(20),
        ..Options::default()
    };
    let stores = [
        database.open_with(options.clone()).await,
        database.open_with(options).await,
    ];
    let load = Load::start(&stores, 6);
    for _ in 0..times(4, 12) {
        load.acknowledged(20).await;
        disk.fill();
        load.until(|told| &told.failures, 20).await;
        disk.free();
    }
    load.acknowledged(20).await;
    load.stop_and_check(&database).await;
}

/// Names the folder of the database to the child.
const CHILD_FOLDER: &str = "SIGNET_TEST_DISK_FOLDER";

// A limit of the process where no file system can be made: what is beyond it cannot be written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_of_the_file_size_is_told_and_survived() {
    let database = Database::sqlite();
    let Database::Sqlite { folder } = &database else {
        unreachable!()
    };
    // `ulimit` counts blocks of 512 bytes; the signal that comes with the limit is not wanted.
    let line = "trap '' XFSZ; ulimit -S -f 2000; exec \"$0\" --exact disk::child --nocapture";
    let mut child = Command::new("sh")
        .args(["-c", line])
        .arg(std::env::current_exe().unwrap())
        .env(CHILD_FOLDER, folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let told = tokio::task::spawn_blocking(move || {
        let told = wait_for(&mut child, "full after ");
        let limit = ["--fsize=unlimited:unlimited", "--pid"];
        let pid = child.id().to_string();
        let raised = Command::new("prlimit").args(limit).arg(&pid).status();
        assert!(raised.unwrap().success());
        let all = wait_for(&mut child, "went on to ");
        assert!(child.wait().unwrap().success());
        (told, all)
    });
    let (told, all) = told.await.unwrap();
    assert!(told > 10, "{told}");
    assert_eq!(assert_whole(&database).await.len(), all);
}

/// Waits for a line of the child, and gives the number behind `prefix`.
fn wait_for(child: &mut Child, prefix: &str) -> usize {
    // Unbuffered: what comes behind the line is for the next call.
    let lines = BufReader::with_capacity(1, child.stdout.as_mut().unwrap()).lines();
    let found = lines
        .map(Result::unwrap)
        .find_map(|line| line.split_once(prefix)?.1.parse().ok());
    found.expect("the child ended by itself")
}

/// The child; does nothing unless it was started as one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Ok(folder) = std::env::var(CHILD_FOLDER) else {
        return;
    };
    let url = format!(
        "sqlite://{}",
        Path::new(&folder).join("events.db").display()
    );
    let store: Arc<dyn EventStore> = eventstore::open(&url, Options::default()).await.unwrap();
    let large = || NewEvent::new("Large", 1, json!("x".repeat(20_000)));
    let mut stored = 0;
    let mut append;
    let error = loop {
        append = eventstore::Append::new(vec![write(
            "a",
            ExpectedVersion::Exact(stored),
            vec![large(), large()],
        )]);
        match store.append(append.clone()).await {
            Ok(_) => stored += 2,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, AppendError::Unavailable { .. }), "{error}");
    println!("full after {stored}");
    let deadline = std::time::Instant::now() + PATIENCE;
    while let Err(error) = store.append(append.clone()).await {
        assert!(matches!(error, AppendError::Unavailable { .. }), "{error}");
        assert!(std::time::Instant::now() < deadline);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    println!("went on to {}", stored + 2);
    store.close().await;
}
