//! Snapshots: taken with the events, trusted only when they hold, cleaned up.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use eventstore::EventStore;
use eventstore::command::Repository;
use eventstore::snapshot::{
    CleanUpReport, Retention, SkipReason, SnapshotKeys, SnapshotOptions, SnapshotPlace,
    SnapshotPolicy, SnapshotQuery, Snapshots,
};
use time::OffsetDateTime;

use crate::account::{Account, Notes, Watched, account, accounts, call, pay, snapshots};
use crate::database::{Database, Outside, contract};

contract!(
    a_snapshot_is_taken_every_tenth_event_and_two_stay,
    loading_begins_at_the_snapshot,
    a_state_of_the_past_comes_from_a_snapshot_before_it,
    whatever_is_changed_in_a_snapshot_an_older_one_takes_its_place,
    an_encrypted_snapshot_cannot_be_changed_or_moved,
    keys_can_be_replaced,
    a_snapshot_of_a_stream_that_was_put_back_is_not_used,
    a_state_of_a_newer_shape_is_not_used,
    a_snapshot_too_large_to_take_does_not_stop_the_command,
    sizes_and_ages_decide_about_snapshots_too,
    snapshots_are_listed_page_by_page_and_deleted,
    a_clean_up_tells_what_it_deleted,
);

/// Payments of 1, one command each.
async fn pay_in(accounts: &Repository<Account>, id: &str, payments: usize) {
    for _ in 0..payments {
        accounts.execute(call(id), pay(1)).await.unwrap().unwrap();
    }
}

fn everything() -> SnapshotQuery {
    SnapshotQuery {
        limit: 1000,
        ..SnapshotQuery::default()
    }
}

async fn versions(snapshots: &Snapshots) -> Vec<u64> {
    let listed = snapshots.list(&everything()).await.unwrap();
    listed.iter().map(|entry| entry.stream_version).collect()
}

fn keyed(store: &dyn EventStore, notes: &Arc<Notes>, keys: SnapshotKeys) -> Snapshots {
    let options = SnapshotOptions {
        observer: Arc::clone(notes) as _,
        keys: Some(Arc::new(keys)),
        ..SnapshotOptions::default()
    };
    Snapshots::new(store.database(), options)
}

/// Loads the account `a` anew: its balance, and the number of events that had to be read.
async fn load(store: &Arc<dyn EventStore>, snapshots: &Snapshots) -> (u64, usize) {
    let watched = Watched::new(store);
    let accounts = watched.accounts().with_snapshots(snapshots.clone());
    let loaded = accounts.load(&account("a")).await.unwrap();
    assert_eq!(loaded.state.moves, loaded.version);
    (loaded.state.amount, watched.events_read())
}

async fn a_snapshot_is_taken_every_tenth_event_and_two_stay(database: Arc<Database>) {
    let store = database.open().await;
    let snapshots = snapshots(&*store, &Arc::default());
    let accounts = accounts(&store).with_snapshots(snapshots.clone());

    pay_in(&accounts, "a", 9).await;
    assert_eq!(versions(&snapshots).await, [0; 0]);
    pay_in(&accounts, "a", 1).await;
    assert_eq!(versions(&snapshots).await, [10]);
    pay_in(&accounts, "a", 35).await;
    assert_eq!(versions(&snapshots).await, [30, 40]);
}

async fn loading_begins_at_the_snapshot(database: Arc<Database>) {
    let store = database.open().await;
    let notes = Arc::default();
    let snapshots = snapshots(&*store, &notes);
    let accounts = accounts(&store).with_snapshots(snapshots.clone());
    pay_in(&accounts, "a", 43).await;

    assert_eq!(load(&store, &snapshots).await, (43, 3));
    // Also when it is taken by hand, and with nothing behind it.
    assert_eq!(
        accounts.take_snapshot(&account("a")).await.unwrap(),
        Some(43)
    );
    assert_eq!(load(&store, &snapshots).await, (43, 0));
    let watched = Watched::new(&store);
    let anew = watched.accounts().with_snapshots(snapshots);
    let done = anew.execute(call("a"), pay(1)).await.unwrap().unwrap();
    assert_eq!(
        (done.version, done.position.0, done.state.amount),
        (44, 44, 44)
    );
    assert_eq!(watched.events_read(), 0);
    assert_eq!(notes.skipped(), []);
}

async fn a_state_of_the_past_comes_from_a_snapshot_before_it(database: Arc<Database>) {
    let store = database.open().await;
    let snapshots = snapshots(&*store, &Arc::default());
    let writer = accounts(&store).with_snapshots(snapshots.clone());
    pay_in(&writer, "a", 43).await;
    let watched = Watched::new(&store);
    let accounts = watched.accounts().with_snapshots(snapshots);

    for (version, read) in [(35, 5), (30, 0), (29, 29), (0, 0)] {
        let then = accounts.load_at(&account("a"), version).await.unwrap();
        assert_eq!((then.version, then.state.amount), (version, version));
        assert_eq!(watched.events_read(), read);
    }
    let now = accounts.load_at(&account("a"), 1000).await.unwrap();
    assert_eq!(now.version, 43);
}

/// What somebody may do to the newest snapshot, and why it is skipped then.
fn changes(outside: &Outside) -> Vec<(String, SkipReason)> {
    let bytes = |hex: &str| match outside {
        Outside::Sqlite(_) => format!("x'{hex}'"),
        Outside::Postgres(_) => format!("'\\x{hex}'::bytea"),
    };
    let changes = [
        ("stream_version = 19", SkipReason::OtherHistory),
        ("stream_version = 1000", SkipReason::AheadOfStream),
        ("schema_version = 1", SkipReason::Corrupt),
        ("schema_version = 3", SkipReason::Corrupt),
        ("schema_version = -1", SkipReason::Corrupt),
        ("format = 'json+zstd'", SkipReason::Corrupt),
        ("format = 'json+aes256gcm'", SkipReason::Corrupt),
        ("format = 'yaml'", SkipReason::UnknownFormat),
        ("key_id = 'a'", SkipReason::Corrupt),
        ("taken_at = taken_at + 1", SkipReason::Corrupt),
        ("taken_at = 9223372036854775807", SkipReason::Corrupt),
    ];
    let mut changes = changes
        .map(|(change, reason)| (change.to_owned(), reason))
        .to_vec();
    for column in ["data", "checksum"] {
        for hex in ["", "00", "7b7d"] {
            changes.push((format!("{column} = {}", bytes(hex)), SkipReason::Checksum));
        }
    }
    changes
}

async fn whatever_is_changed_in_a_snapshot_an_older_one_takes_its_place(database: Arc<Database>) {
    let store = database.open().await;
    let notes = Arc::default();
    let snapshots = snapshots(&*store, &notes);
    let accounts = accounts(&store).with_snapshots(snapshots.clone());
    pay_in(&accounts, "a", 23).await;
    let mut outside = database.connect().await;
    outside
        .execute("CREATE TABLE kept AS SELECT * FROM event_snapshots")
        .await;
    let restore = "DELETE FROM event_snapshots; INSERT INTO event_snapshots SELECT * FROM kept";

    for (change, reason) in changes(&outside) {
        let update = format!("UPDATE event_snapshots SET {change} WHERE stream_version = 20");
        outside.execute(&update).await;
        assert_eq!(load(&store, &snapshots).await, (23, 13), "{change}");
        let skipped: Vec<_> = notes.skipped().iter().map(|note| note.1).collect();
        assert_eq!(skipped, [reason], "{change}");
        outside.execute(restore).await;
    }
    // Without an older one, the events do.
    let all = "UPDATE event_snapshots SET checksum = data";
    outside.execute(all).await;
    assert_eq!(load(&store, &snapshots).await, (23, 23));
    let both = [(20, SkipReason::Checksum), (10, SkipReason::Checksum)];
    assert_eq!(notes.skipped(), both);
    outside.execute(restore).await;
    // One that was moved to another stream is not taken for its own.
    pay_in(&accounts, "b", 9).await;
    let moved = "UPDATE event_snapshots SET stream_id = 'b', stream_version = stream_version - 11 \
        WHERE stream_version = 20";
    outside.execute(moved).await;
    let b = accounts.load_at(&account("b"), 9).await.unwrap();
    assert_eq!(b.state.amount, 9);
    assert_eq!(notes.skipped(), [(9, SkipReason::OtherHistory)]);
    outside.close().await;
}

async fn an_encrypted_snapshot_cannot_be_changed_or_moved(database: Arc<Database>) {
    let store = database.open().await;
    let notes = Arc::default();
    let keys = SnapshotKeys::new("a", &[1; 32]).unwrap();
    let snapshots = keyed(&*store, &notes, keys);
    let accounts = accounts(&store).with_snapshots(snapshots.clone());
    pay_in(&accounts, "a", 23).await;
    assert_eq!(load(&store, &snapshots).await, (23, 3));
    let mut outside = database.connect().await;

    let changes = [
        ("schema_version = 1", SkipReason::Undecryptable),
        ("format = 'json+zstd+aes256gcm'", SkipReason::Undecryptable),
        ("format = 'json'", SkipReason::Corrupt),
        ("key_id = 'b'", SkipReason::UnknownKey),
        ("key_id = NULL", SkipReason::Corrupt),
        ("stream_version = 22", SkipReason::Undecryptable),
    ];
    for (change, reason) in changes {
        let columns = "tenant, stream_type, stream_id, stream_version, schema_version, format, \
            key_id, data, checksum, taken_at";
        let keep = format!(
            "CREATE TABLE kept AS SELECT {columns} FROM event_snapshots; \
             UPDATE event_snapshots SET {change} WHERE stream_version = 20"
        );
        outside.execute(&keep).await;
        assert_eq!(load(&store, &snapshots).await, (23, 13), "{change}");
        assert_eq!(notes.skipped().first().map(|note| note.1), Some(reason));
        let restore = format!(
            "DELETE FROM event_snapshots; \
             INSERT INTO event_snapshots ({columns}) SELECT {columns} FROM kept; DROP TABLE kept"
        );
        outside.execute(&restore).await;
    }
    outside.close().await;
}

async fn keys_can_be_replaced(database: Arc<Database>) {
    let store = database.open().await;
    let notes = Arc::default();
    let old = || SnapshotKeys::new("old", &[1; 32]).unwrap();
    let new = || SnapshotKeys::new("new", &[2; 32]).unwrap();
    let before = keyed(&*store, &notes, old());
    pay_in(&accounts(&store).with_snapshots(before.clone()), "a", 15).await;

    let rotated = keyed(&*store, &notes, new().with_older("old", &[1; 32]).unwrap());
    assert_eq!(load(&store, &rotated).await, (15, 5));
    pay_in(&accounts(&store).with_snapshots(rotated.clone()), "a", 5).await;
    let listed = rotated.list(&everything()).await.unwrap();
    let keys: Vec<_> = listed.iter().map(|entry| entry.key_id.as_deref()).collect();
    assert_eq!(keys, [Some("old"), Some("new")]);
    assert_eq!(notes.skipped(), []);

    // Who lacks a key goes by what it can read.
    assert_eq!(load(&store, &before).await, (20, 10));
    assert_eq!(notes.skipped(), [(20, SkipReason::UnknownKey)]);
    let wrong = SnapshotKeys::new("new", &[3; 32]).unwrap();
    let wrong = keyed(&*store, &notes, wrong);
    assert_eq!(load(&store, &wrong).await, (20, 20));
    let both = [
        (20, SkipReason::Undecryptable),
        (10, SkipReason::UnknownKey),
    ];
    assert_eq!(notes.skipped(), both);
    assert_eq!(load(&store, &snapshots(&*store, &notes)).await, (20, 20));
}

async fn a_snapshot_of_a_stream_that_was_put_back_is_not_used(database: Arc<Database>) {
    let store = database.open().await;
    let notes = Arc::default();
    let snapshots = snapshots(&*store, &notes);
    let busy = || accounts(&store).with_snapshots(snapshots.clone());
    pay_in(&busy(), "a", 23).await;
    let put_back = async |version: u64| {
        let mut outside = database.connect().await;
        let delete = format!("DELETE FROM events WHERE stream_version > {version}");
        outside.execute(&delete).await;
        outside.close().await;
    };
    put_back(12).await;

    assert_eq!(load(&store, &snapshots).await, (12, 2));
    assert_eq!(notes.skipped(), [(20, SkipReason::AheadOfStream)]);
    // The stream goes on another way, until it has as many events.
    let other = accounts(&store);
    for _ in 0..10 {
        other.execute(call("a"), pay(7)).await.unwrap().unwrap();
    }
    assert_eq!(load(&store, &snapshots).await, (82, 12));
    assert_eq!(notes.skipped(), [(20, SkipReason::OtherHistory)]);
    // It is put back further. The next snapshot makes an end of those beyond it.
    put_back(3).await;
    pay_in(&busy(), "a", 7).await;
    assert_eq!(versions(&snapshots).await, [10]);
    assert_eq!(load(&store, &snapshots).await, (10, 0));
}

async fn a_state_of_a_newer_shape_is_not_used(database: Arc<Database>) {
    let store = database.open().await;
    let notes = Arc::<Notes>::default();
    let snapshots = snapshots(&*store, &notes);
    let accounts = accounts(&store).with_snapshots(snapshots.clone());
    pay_in(&accounts, "a", 12).await;

    let stream = account("a");
    let load = |known| snapshots.load(&stream, 100, known, |version, _| Ok(version));
    assert_eq!(load(2).await.unwrap().unwrap().state, 2);
    assert_eq!(load(1).await.unwrap(), None);
    assert_eq!(notes.skipped(), [(10, SkipReason::NewerSchema)]);
    let unreadable = snapshots.load(&stream, 100, 2, |_, _| Err::<(), _>("no".into()));
    assert_eq!(unreadable.await.unwrap(), None);
    assert_eq!(notes.skipped(), [(10, SkipReason::Unreadable)]);
}

async fn a_snapshot_too_large_to_take_does_not_stop_the_command(database: Arc<Database>) {
    let store = database.open().await;
    let options = SnapshotOptions {
        max_state_bytes: 10,
        ..SnapshotOptions::default()
    };
    let snapshots = Snapshots::new(store.database(), options);
    let accounts = accounts(&store).with_snapshots(snapshots.clone());
    pay_in(&accounts, "a", 12).await;
    assert_eq!(versions(&snapshots).await, [0; 0]);
    let refused = accounts.take_snapshot(&account("a")).await.unwrap_err();
    assert_eq!(refused.code(), "SIGNET-EVENTS-0098");
}

async fn sizes_and_ages_decide_about_snapshots_too(database: Arc<Database>) {
    let store = database.open().await;
    let with = |policy| {
        let options = SnapshotOptions {
            policy,
            ..SnapshotOptions::default()
        };
        Snapshots::new(store.database(), options)
    };
    let off = SnapshotPolicy::OFF;
    // An event has 12 bytes: {"amount":1}.
    let cases = [
        ("off", off, 0),
        ("size", off.or_tail_bytes(36), 3),
        ("young", off.or_age(Duration::from_secs(3600)), 0),
        ("old", off.or_age(Duration::ZERO), 4),
    ];
    for (id, policy, version) in cases {
        let snapshots = with(policy);
        let accounts = accounts(&store).with_snapshots(snapshots.clone());
        pay_in(&accounts, id, 4).await;
        let loaded = snapshots.load(&account(id), 100, 2, |_, _| Ok(())).await;
        let loaded = loaded
            .unwrap()
            .map_or(0, |restored| restored.stream_version);
        assert_eq!(loaded, version, "{id}");
    }
}

async fn snapshots_are_listed_page_by_page_and_deleted(database: Arc<Database>) {
    let store = database.open().await;
    let snapshots = snapshots(&*store, &Arc::default());
    let accounts = accounts(&store).with_snapshots(snapshots.clone());
    for id in ["a", "b", "c"] {
        pay_in(&accounts, id, 20).await;
    }

    let mut query = SnapshotQuery {
        tenant: Some("acme".into()),
        after: None,
        limit: 2,
    };
    let mut places = Vec::new();
    loop {
        let page = snapshots.list(&query).await.unwrap();
        let Some(last) = page.last() else { break };
        query.after = Some(SnapshotPlace {
            stream: last.stream.clone(),
            stream_version: last.stream_version,
        });
        assert!(page.len() <= 2);
        assert!(
            page.iter()
                .all(|entry| entry.bytes > 0 && entry.format == "json")
        );
        places.extend(
            page.into_iter()
                .map(|entry| (entry.stream.stream_id, entry.stream_version)),
        );
    }
    let expected: Vec<_> = ["a", "b", "c"]
        .into_iter()
        .flat_map(|id| [(id.to_owned(), 10), (id.to_owned(), 20)])
        .collect();
    assert_eq!(places, expected);
    let elsewhere = SnapshotQuery {
        tenant: Some("globex".into()),
        ..everything()
    };
    assert_eq!(snapshots.list(&elsewhere).await.unwrap(), []);

    assert_eq!(snapshots.delete(&account("a"), Some(20)).await.unwrap(), 1);
    assert_eq!(snapshots.delete(&account("a"), Some(20)).await.unwrap(), 0);
    assert_eq!(load(&store, &snapshots).await, (20, 10));
    assert_eq!(snapshots.delete(&account("b"), None).await.unwrap(), 2);
    assert_eq!(versions(&snapshots).await, [10, 10, 20]);
}

async fn a_clean_up_tells_what_it_deleted(database: Arc<Database>) {
    let store = database.open().await;
    let with = |keep, most_age, clock| {
        let options = SnapshotOptions {
            retention: Retention {
                keep: NonZeroU32::new(keep).unwrap(),
                most_age,
            },
            clock,
            ..SnapshotOptions::default()
        };
        Snapshots::new(store.database(), options)
    };
    let many = with(100, None, OffsetDateTime::now_utc);
    let accounts = accounts(&store).with_snapshots(many.clone());
    for id in ["a", "b"] {
        pay_in(&accounts, id, 50).await;
    }
    let mut outside = database.connect().await;
    outside
        .execute("DELETE FROM events WHERE stream_id = 'b' AND stream_version > 45")
        .await;
    outside.close().await;

    let report = |streams, superseded, orphaned| CleanUpReport {
        streams,
        superseded,
        orphaned,
    };
    let one = with(1, None, OffsetDateTime::now_utc);
    assert_eq!(one.clean_up(Some("globex")).await.unwrap(), report(0, 0, 0));
    let three = with(3, None, OffsetDateTime::now_utc);
    assert_eq!(three.clean_up(Some("acme")).await.unwrap(), report(2, 3, 1));
    assert_eq!(versions(&many).await, [30, 40, 50, 20, 30, 40]);
    let later = || OffsetDateTime::now_utc() + Duration::from_secs(100);
    let old = with(100, Some(Duration::from_secs(50)), later);
    assert_eq!(old.clean_up(None).await.unwrap(), report(2, 4, 0));
    assert_eq!(versions(&many).await, [50, 40]);
}
