//! Reads from a real streaming replica: never older than asked for, whatever it does.

use std::sync::Arc;
use std::time::Duration;

use eventstore::{
    EventQuery, EventStore, ExpectedVersion, OpenError, Options, Position, ReadStatistics,
};

use crate::database::PATIENCE;
use crate::samples::{one, stream};
use crate::server::Server;

async fn open(primary: &Server, replica: &str) -> Arc<dyn EventStore> {
    let options = Options {
        read_replica_url: Some(replica.into()),
        poll_interval: Duration::from_millis(50),
        ..Options::default()
    };
    eventstore::open(&primary.url(), options).await.unwrap()
}

/// Waits until the store has seen the replica at a position.
async fn seen(store: &dyn EventStore, is: impl Fn(Option<Position>) -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !is(store.read_statistics().replica_head) {
        assert!(
            tokio::time::Instant::now() < deadline,
            "{:?}",
            store.read_statistics()
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// What was counted by a read that must see `last`.
async fn read(store: &dyn EventStore, last: Position, within: Duration) -> ReadStatistics {
    let before = store.read_statistics();
    let view = store.at_least(last).within(within);
    let events = view.read_all(Position::START, 1000).await.unwrap();
    assert!(
        events.last().unwrap().position >= last,
        "the read is older than asked for"
    );
    let after = store.read_statistics();
    ReadStatistics {
        replica: after.replica - before.replica,
        primary: after.primary - before.primary,
        behind: after.behind - before.behind,
        away: after.away - before.away,
        ..after
    }
}

fn count(statistics: ReadStatistics) -> [u64; 4] {
    let ReadStatistics {
        replica,
        primary,
        behind,
        away,
        ..
    } = statistics;
    [replica, primary, behind, away]
}

/// What the replica has read is not removed under it.
const SETTINGS: [&str; 2] = ["hot_standby_feedback=on", "max_wal_senders=4"];

const BY_REPLICA: [u64; 4] = [1, 0, 0, 0];
const BEHIND: [u64; 4] = [0, 0, 1, 0];
const AWAY: [u64; 4] = [0, 0, 0, 1];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_follow_a_replica_that_lags_dies_and_comes_back() {
    let Some(primary) = Server::start(&SETTINGS) else {
        return;
    };
    // Its tables are made before the replica is, or after; here before.
    eventstore::open(&primary.url(), Options::default())
        .await
        .unwrap()
        .close()
        .await;
    let replica = Server::replica_of(&primary);
    let store = open(&primary, &replica.url()).await;
    let append = async || {
        let append = one("a", ExpectedVersion::Any);
        store.append(append).await.unwrap().last
    };
    seen(&*store, |head| head.is_some()).await;

    // Each read sees what was just written, and waits for the replica rather than leave it.
    for n in 1..=20 {
        let last = append().await;
        assert_eq!(last, Position(n));
        assert_eq!(count(read(&*store, last, PATIENCE).await), BY_REPLICA);
    }
    // All kinds of reads go there.
    let before = store.read_statistics().replica;
    let view = store.at_least(Position(20)).within(PATIENCE);
    let query = EventQuery::of_stream(&stream("a"));
    assert_eq!(view.query(&query).await.unwrap().events.len(), 20);
    assert_eq!(
        view.read_stream(&stream("a"), 15, 100).await.unwrap().len(),
        5
    );
    assert_eq!(view.head().await.unwrap(), Position(20));
    assert_eq!(store.read_statistics().replica, before + 3);

    // The replica stands still: what it has is read there, what it has not from the primary.
    replica.execute("SELECT pg_wal_replay_pause()").await;
    paused(&replica).await;
    let last = append().await;
    let short = Duration::from_millis(50);
    assert_eq!(count(read(&*store, last, short).await), BEHIND);
    // A cursor counts as a position that has to be there.
    let behind = store.read_statistics().behind;
    let view = store.at_least(Position::START).within(short);
    assert!(view.read_all(last, 10).await.unwrap().is_empty());
    assert_eq!(store.read_statistics().behind, behind + 1);
    assert_eq!(count(read(&*store, Position(20), short).await), BY_REPLICA);
    // Nobody waits for it a second time: with all the patience there is, the answer comes.
    let at_once = tokio::time::timeout(PATIENCE, read(&*store, last, PATIENCE * 10)).await;
    assert_eq!(
        count(at_once.expect("it waits for a replica that stands still")),
        BEHIND
    );
    replica.execute("SELECT pg_wal_replay_resume()").await;
    seen(&*store, |head| head == Some(last)).await;
    assert_eq!(count(read(&*store, last, PATIENCE).await), BY_REPLICA);

    // The replica dies under the reads: they go on.
    replica.stop("immediate");
    let last = append().await;
    assert_eq!(read(&*store, last, short).await.replica, 0);
    seen(&*store, |head| head.is_none()).await;
    assert_eq!(count(read(&*store, Position(1), PATIENCE).await), AWAY);
    assert_eq!(store.head().await.unwrap(), last);

    replica.start_again();
    seen(&*store, |head| head >= Some(last)).await;
    assert_eq!(count(read(&*store, last, PATIENCE).await), BY_REPLICA);
    store.close().await;
}

// As behind the address of a Kubernetes service.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_replicas_behind_one_address_none_answers_what_it_has_not() {
    let Some(primary) = Server::start(&SETTINGS) else {
        return;
    };
    eventstore::open(&primary.url(), Options::default())
        .await
        .unwrap()
        .close()
        .await;
    let replicas = [Server::replica_of(&primary), Server::replica_of(&primary)];
    let address = in_turn([replicas[0].port(), replicas[1].port()]).await;
    replicas[1].execute("SELECT pg_wal_replay_pause()").await;
    paused(&replicas[1]).await;
    let store = open(&primary, &address).await;
    let mut last = Position::START;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let ReadStatistics {
            replica, behind, ..
        } = store.read_statistics();
        if replica > 0 && behind > 0 {
            break;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "only one of them was met"
        );
        last = store
            .append(one("a", ExpectedVersion::Any))
            .await
            .unwrap()
            .last
            .max(last);
        let reads = (0..8).map(|_| async {
            let view = store.at_least(last);
            let events = view.read_all(Position::START, 10_000).await.unwrap();
            assert!(
                events.last().unwrap().position >= last,
                "the read is older than asked for"
            );
        });
        futures::future::join_all(reads).await;
    }
}

/// An address whose connections go to each of these ports in turn.
async fn in_turn(ports: [u16; 2]) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        for port in ports.into_iter().cycle() {
            let (mut from, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut to = tokio::net::TcpStream::connect(("127.0.0.1", port))
                    .await
                    .unwrap();
                // Ends with either side.
                let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
            });
        }
    });
    format!("postgres://postgres@127.0.0.1:{port}/postgres")
}

/// Waits until the replica has stopped replaying: it takes effect with a delay.
async fn paused(replica: &Server) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let sql = "SELECT (pg_get_wal_replay_pause_state() = 'paused')::int::bigint";
    while replica.number(sql).await == 0 {
        assert!(
            tokio::time::Instant::now() < deadline,
            "the replica does not pause"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_has_another_store_is_not_taken_for_a_replica() {
    let Some(primary) = Server::start(&SETTINGS) else {
        return;
    };
    let stranger = Server::start(&SETTINGS).unwrap();
    let other = eventstore::open(&stranger.url(), Options::default())
        .await
        .unwrap();
    for _ in 0..5 {
        other
            .append(one("theirs", ExpectedVersion::Any))
            .await
            .unwrap();
    }
    let store = open(&primary, &stranger.url()).await;
    let last = store
        .append(one("ours", ExpectedVersion::Any))
        .await
        .unwrap()
        .last;

    let view = store.at_least(last);
    let events = view.read_all(Position::START, 10).await.unwrap();

    assert_eq!(events.len(), 1);
    assert_eq!(events[0].stream, stream("ours"));
    assert_eq!(count(store.read_statistics()), AWAY);
}

#[tokio::test]
async fn a_replica_of_a_database_that_has_none_is_refused() {
    let options = |url: &str| Options {
        read_replica_url: Some(url.into()),
        ..Options::default()
    };
    let replica = "postgres://reader:hunter2@host/db";
    assert!(!format!("{:?}", options(replica)).contains("hunter2"));
    let unusable = [
        ("sqlite::memory:", replica),
        ("postgres://nobody@127.0.0.1:1/db", "sqlite://hunter2"),
        (
            "postgres://nobody@127.0.0.1:1/db",
            "postgres://u:hunter2@host:port/db",
        ),
    ];
    for (url, replica) in unusable {
        let error = eventstore::open(url, options(replica)).await.err().unwrap();
        assert!(!error.to_string().contains("hunter2"), "{error}");
        assert!(
            matches!(
                error,
                OpenError::InvalidOption {
                    option: "read_replica_url",
                    ..
                }
            ),
            "{error}"
        );
    }
}
