//! Events that were tampered with, past the store.

use std::sync::Arc;

use eventstore::integrity::FaultKind::{
    Added, Changed, CutOff, Forked, Missing, Reordered, StreamGap, Unsealed,
};
use eventstore::{Hash, RecordedEvent};
use sha2::{Digest, Sha256};

use super::{
    bytes_literal, everything, fill, microseconds, named, report, sign_all, tenant, time_literal,
};
use crate::database::{Database, Outside, contract};

contract!(
    what_nobody_touched_is_sound,
    a_change_of_any_part_is_named_at_its_event,
    what_was_deleted_is_missed,
    two_that_were_swapped_are_named,
    a_forged_event_within_the_chain_is_named,
    a_forged_event_with_a_right_looking_hash_collides_with_what_was_there,
    an_event_of_another_lane_or_beyond_the_head_is_named,
    renumbered_positions_are_named,
    renumbered_versions_are_named_even_with_hashes_made_anew,
    a_tail_that_was_made_anew_is_told_by_a_checkpoint_alone,
    events_without_hashes_are_named,
    what_no_type_can_hold_is_a_fault_and_no_failure,
);

async fn what_nobody_touched_is_sound(database: Arc<Database>) {
    let store = database.open().await;
    assert!(report(&store, everything()).await.is_sound());
    assert!(report(&store, tenant("acme")).await.is_sound());
    fill(&*store, 10).await;
    sign_all(&store).await;
    fill(&*store, 1).await;
    let whole = report(&store, everything()).await;
    assert!(whole.is_sound(), "{:?}", whole.faults);
    assert_eq!((whole.events, whole.tenants, whole.checkpoints), (22, 2, 2));
    assert_eq!((whole.after.0, whole.until.0), (0, 22));
    let one = report(&store, tenant("globex")).await;
    assert!(one.is_sound(), "{:?}", one.faults);
    assert_eq!((one.events, one.tenants, one.checkpoints), (11, 1, 1));
    let shown = serde_json::to_value(&one).unwrap();
    assert_eq!(shown["scope"]["tenant"], "globex");
    assert_eq!(shown["store"], store.id().to_string());
}

/// Runs a statement past the store.
async fn tamper(database: &Database, sql: impl FnOnce(&Outside) -> String) {
    let mut outside = database.connect().await;
    let sql = sql(&outside);
    outside.execute(&sql).await;
    outside.close().await;
}

async fn a_change_of_any_part_is_named_at_its_event(database: Arc<Database>) {
    let store = database.open().await;
    let stored = fill(&*store, 6).await;
    let event = &stored[6];
    let text = r#"'{"n":3,"text":"as it wAs"}'"#;
    // The same JSON to everybody who reads it, and not the same text.
    let spaced = r#"'{"n":3,"text": "as it was"}'"#;
    let other_id = uuid::Uuid::new_v4();
    let outside = database.connect().await;
    let later = time_literal(&outside, microseconds(event.recorded_at) + 1);
    outside.close().await;
    let original = time_literal(&database.connect().await, microseconds(event.recorded_at));
    let changes = [
        (
            "data",
            text.to_owned(),
            r#"'{"n":3,"text":"as it was"}'"#.to_owned(),
        ),
        (
            "data",
            spaced.to_owned(),
            r#"'{"n":3,"text":"as it was"}'"#.to_owned(),
        ),
        ("metadata", r#"'{"actor":"nobody"}'"#.into(), "'{}'".into()),
        ("metadata", "'{ }'".into(), "'{}'".into()),
        ("recorded_at", later, original),
        ("event_type", "'Happens'".into(), "'Happened'".into()),
        ("schema_version", "2".into(), "1".into()),
        (
            "event_id",
            format!("'{other_id}'"),
            format!("'{}'", event.id),
        ),
        ("stream_type", "'orders'".into(), "'order'".into()),
        ("stream_id", "'01'".into(), "'1'".into()),
        (
            "stream_version",
            "22".into(),
            event.stream_version.to_string(),
        ),
        (
            "tenant_sequence",
            "44".into(),
            event.tenant_sequence.to_string(),
        ),
    ];
    for (column, to, back) in changes {
        let set = |value: &str| format!("UPDATE events SET {column} = {value} WHERE position = 7");
        tamper(&database, |_| set(&to)).await;
        let found = report(&store, everything()).await;
        assert_eq!(named(&found), [(Changed, Some("acme"), 7)], "{column}");
        assert_eq!(found.faults[0].tenant_sequence.unwrap_or(4), 4);
        assert_eq!(report(&store, tenant("acme")).await.first(), found.first());
        assert!(report(&store, tenant("globex")).await.is_sound());
        tamper(&database, |_| set(&back)).await;
        let mended = report(&store, everything()).await;
        assert!(mended.is_sound(), "{column}: {:?}", mended.faults);
    }
    // Of another tenant it is one too many there, and missed here.
    tamper(&database, |_| {
        "UPDATE events SET tenant = 'globex', stream_id = '9' WHERE position = 7".into()
    })
    .await;
    let found = report(&store, everything()).await;
    let expected = [(Changed, Some("globex"), 7), (Missing, Some("acme"), 9)];
    assert_eq!(named(&found), expected);
    let found = report(&store, tenant("acme")).await;
    assert_eq!(named(&found), [(Missing, Some("acme"), 9)]);
    assert_eq!(found.faults[0].tenant_sequence, Some(4));
}

async fn what_was_deleted_is_missed(database: Arc<Database>) {
    let store = database.open().await;
    fill(&*store, 5).await;
    let one = |position: u64| format!("DELETE FROM events WHERE position = {position}");
    tamper(&database, |_| one(5)).await;
    let found = report(&store, everything()).await;
    let middle = [(Missing, None, 5), (Missing, Some("acme"), 7)];
    assert_eq!(named(&found), middle);
    tamper(&database, |_| one(1)).await;
    let found = report(&store, everything()).await;
    let first = [(Missing, None, 1), (Missing, Some("acme"), 3)];
    assert_eq!(named(&found), first);
    let found = report(&store, tenant("acme")).await;
    assert_eq!(named(&found), [(Missing, Some("acme"), 3)]);
    // The last ones, with the head left as it was.
    tamper(&database, |_| {
        "DELETE FROM events WHERE position > 8".into()
    })
    .await;
    let found = report(&store, everything()).await;
    let last = [
        (Missing, None, 1),
        (Missing, Some("acme"), 3),
        (CutOff, None, 9),
    ];
    assert_eq!(named(&found), last);
    assert!(report(&store, tenant("globex")).await.is_sound());
    tamper(&database, |_| "DELETE FROM events".into()).await;
    let found = report(&store, everything()).await;
    assert_eq!(named(&found), [(CutOff, None, 1)]);
}

async fn two_that_were_swapped_are_named(database: Arc<Database>) {
    let store = database.open().await;
    fill(&*store, 6).await;
    let swap = |one: u64, other: u64| {
        format!(
            "UPDATE events SET position = 1000 WHERE position = {one}; \
             UPDATE events SET position = {one} WHERE position = {other}; \
             UPDATE events SET position = {other} WHERE position = 1000;"
        )
    };
    tamper(&database, |_| swap(3, 7)).await;
    let found = report(&store, everything()).await;
    assert_eq!(named(&found), [(Reordered, Some("acme"), 3)]);
    tamper(&database, |_| swap(3, 7)).await;
    assert!(report(&store, everything()).await.is_sound());
    // Neighbours of two tenants: each chain keeps its order, and the position is sealed.
    tamper(&database, |_| swap(5, 6)).await;
    let found = report(&store, everything()).await;
    let both = [(Changed, Some("globex"), 5), (Changed, Some("acme"), 6)];
    assert_eq!(named(&found), both);
    tamper(&database, |_| swap(5, 6)).await;
    // What they say is swapped, and not their places.
    tamper(&database, |_| {
        "UPDATE events SET data = CASE position \
            WHEN 5 THEN (SELECT data FROM events WHERE position = 9) \
            ELSE (SELECT data FROM events WHERE position = 5) END \
         WHERE position IN (5, 9)"
            .into()
    })
    .await;
    let found = report(&store, everything()).await;
    assert_eq!(named(&found), [(Changed, Some("acme"), 5)]);
}

/// The statement that writes an event, its hash made by the documentation of the chain.
fn insert(outside: &Outside, event: &RecordedEvent, data: &str, before: Hash) -> (String, Hash) {
    let mut digest = Sha256::new();
    digest.update(b"eventstore event 1\0");
    digest.update(before.0);
    let numbers = [
        event.tenant_sequence,
        event.position.0,
        event.stream_version,
        u64::from(event.schema_version),
    ];
    for number in numbers {
        digest.update(number.to_be_bytes());
    }
    digest.update(microseconds(event.recorded_at).to_be_bytes());
    digest.update(event.id.as_bytes());
    let stream = &event.stream;
    let texts = [
        &stream.tenant,
        &stream.stream_type,
        &stream.stream_id,
        &event.event_type,
        data,
        "{}",
    ];
    for text in texts {
        digest.update((text.len() as u64).to_be_bytes());
        digest.update(text);
    }
    let hash = Hash(digest.finalize().into());
    let sql = format!(
        "INSERT INTO events (lane, position, event_id, tenant, stream_type, stream_id, \
           stream_version, event_type, schema_version, recorded_at, data, metadata, \
           tenant_sequence, hash) \
         VALUES (0, {}, '{}', '{}', '{}', '{}', {}, '{}', {}, {}, '{data}', '{{}}', {}, {});",
        event.position,
        event.id,
        stream.tenant,
        stream.stream_type,
        stream.stream_id,
        event.stream_version,
        event.event_type,
        event.schema_version,
        time_literal(outside, microseconds(event.recorded_at)),
        event.tenant_sequence,
        bytes_literal(outside, &hash.0),
    );
    (sql, hash)
}

fn text(event: &RecordedEvent) -> String {
    serde_json::to_string(&event.data).unwrap()
}

async fn a_forged_event_within_the_chain_is_named(database: Arc<Database>) {
    let store = database.open().await;
    let stored = fill(&*store, 4).await;
    tamper(&database, |outside| {
        let mut forged = stored[4].clone();
        forged.id = uuid::Uuid::new_v4();
        forged.stream.stream_id = "forged".into();
        forged.stream_version = 1;
        // Room is made for it; the others keep their numbers in the chain.
        format!(
            "UPDATE events SET position = position + 1000 WHERE position >= 5; \
             UPDATE events SET position = position - 999 WHERE position >= 1000; \
             UPDATE event_lanes SET head = head + 1; {}",
            insert(outside, &forged, "{}", Hash([7; 32])).0
        )
    })
    .await;
    let found = report(&store, everything()).await;
    let first = found.first().unwrap();
    assert_eq!((first.kind, first.position.0), (Changed, 5));
    assert_eq!(first.tenant.as_deref(), Some("acme"));
    assert_eq!(first.tenant_sequence, Some(3));
}

async fn a_forged_event_with_a_right_looking_hash_collides_with_what_was_there(
    database: Arc<Database>,
) {
    let store = database.open().await;
    let stored = fill(&*store, 4).await;
    // One more by the tenant globex at the end of acme's chain, renumbered as acme's fifth: as the
    // store would have written it, but for the head.
    tamper(&database, |outside| {
        let mut forged = stored[6].clone();
        forged.id = uuid::Uuid::new_v4();
        forged.position.0 = 9;
        forged.tenant_sequence = 5;
        forged.stream_version += 1;
        insert(outside, &forged, "{}", stored[6].hash).0
    })
    .await;
    let found = report(&store, everything()).await;
    assert_eq!(named(&found), [(Added, None, 9)]);
    let found = report(&store, tenant("acme")).await;
    assert_eq!(named(&found), [(Added, Some("acme"), 9)]);
    // In the place of another one, with that one's number.
    tamper(&database, |outside| {
        let mut forged = stored[4].clone();
        forged.id = uuid::Uuid::new_v4();
        format!(
            "DELETE FROM events WHERE position IN (5, 9); {}",
            insert(outside, &forged, "{}", stored[2].hash).0
        )
    })
    .await;
    let found = report(&store, everything()).await;
    assert_eq!(named(&found), [(Changed, Some("acme"), 7)]);
}

async fn an_event_of_another_lane_or_beyond_the_head_is_named(database: Arc<Database>) {
    let store = database.open().await;
    let stored = fill(&*store, 2).await;
    tamper(&database, |outside| {
        let mut forged = stored[0].clone();
        forged.id = uuid::Uuid::new_v4();
        forged.stream.stream_id = "forged".into();
        let insert = insert(outside, &forged, "{}", Hash::NONE).0;
        insert.replace("VALUES (0, 1,", "VALUES (1, 1,")
    })
    .await;
    let found = report(&store, everything()).await;
    assert_eq!(named(&found), [(Added, None, 1)]);
    let found = report(&store, tenant("acme")).await;
    assert!(!found.is_sound());
    tamper(&database, |_| {
        "UPDATE events SET lane = 0, position = 6 WHERE lane = 1".into()
    })
    .await;
    let found = report(&store, everything()).await;
    assert_eq!(named(&found), [(Added, None, 6)]);
}

async fn renumbered_positions_are_named(database: Arc<Database>) {
    let store = database.open().await;
    fill(&*store, 4).await;
    tamper(&database, |_| {
        // As if the third had never been.
        "DELETE FROM events WHERE position = 3; \
         UPDATE events SET position = position + 1000 WHERE position > 3; \
         UPDATE events SET position = position - 1001 WHERE position > 1000; \
         UPDATE event_lanes SET head = head - 1"
            .into()
    })
    .await;
    let found = report(&store, everything()).await;
    let expected = [(Changed, Some("globex"), 3), (Missing, Some("acme"), 4)];
    assert_eq!(named(&found), expected);
}

/// Writes a tenant's events anew from a sequence on, each hash made anew.
async fn rewrite(database: &Database, events: &[RecordedEvent], from: u64, data: Option<&str>) {
    let mut outside = database.connect().await;
    let mut before = Hash::NONE;
    for event in events {
        if event.tenant_sequence < from {
            before = event.hash;
            continue;
        }
        let text = match data {
            Some(data) if event.tenant_sequence == from => data.to_owned(),
            _ => text(event),
        };
        let (sql, hash) = insert(&outside, event, &text, before);
        before = hash;
        let delete = format!("DELETE FROM events WHERE position = {};", event.position);
        outside.execute(&format!("{delete} {sql}")).await;
    }
    outside.close().await;
}

fn of<'a>(tenant: &str, events: &'a [RecordedEvent]) -> Vec<RecordedEvent> {
    let of_tenant = |event: &&'a RecordedEvent| event.stream.tenant == tenant;
    events.iter().filter(of_tenant).cloned().collect()
}

async fn renumbered_versions_are_named_even_with_hashes_made_anew(database: Arc<Database>) {
    let store = database.open().await;
    let stored = fill(&*store, 6).await;
    let original = of("acme", &stored);
    // The streams of acme have the positions 1 5 9 and 3 7 11.
    let mut gap = original.clone();
    gap[4].stream_version = 7;
    rewrite(&database, &gap, 5, None).await;
    let found = report(&store, everything()).await;
    assert_eq!(named(&found), [(StreamGap, Some("acme"), 9)]);

    let mut swapped = original.clone();
    swapped[2].stream_version = 3;
    swapped[4].stream_version = 2;
    tamper(&database, |_| {
        "DELETE FROM events WHERE position IN (5, 9)".into()
    })
    .await;
    rewrite(&database, &swapped, 3, None).await;
    let found = report(&store, tenant("acme")).await;
    assert_eq!(named(&found), [(StreamGap, Some("acme"), 5)]);
    tamper(&database, |_| {
        "DELETE FROM events WHERE position IN (5, 9)".into()
    })
    .await;
    rewrite(&database, &original, 3, None).await;
    assert!(report(&store, everything()).await.is_sound());
}

async fn a_tail_that_was_made_anew_is_told_by_a_checkpoint_alone(database: Arc<Database>) {
    let store = database.open().await;
    let stored = fill(&*store, 6).await;
    let events = of("acme", &stored);
    rewrite(&database, &events, 4, Some(r#"{"n":0}"#)).await;
    // Nobody can see that.
    assert!(report(&store, everything()).await.is_sound());
    rewrite(&database, &events, 4, None).await;
    assert_eq!(fill(&*store, 0).await, stored);

    let kept = sign_all(&store).await;
    rewrite(&database, &events, 4, Some(r#"{"n":0}"#)).await;
    for what in [everything(), tenant("acme")] {
        let found = report(&store, what).await;
        assert_eq!(named(&found), [(Forked, Some("acme"), 11)]);
        assert_eq!(found.faults[0].tenant_sequence, Some(6));
    }
    // And cut off behind it, the head as well.
    tamper(&database, |_| {
        "DELETE FROM events WHERE position > 10; UPDATE event_lanes SET head = 10".into()
    })
    .await;
    let found = report(&store, everything()).await;
    let both = [(CutOff, Some("acme"), 11), (CutOff, Some("globex"), 12)];
    assert_eq!(named(&found), both);
    let found = report(&store, tenant("globex")).await;
    assert_eq!(named(&found), both[1..]);
    // Without the checkpoints, only those kept elsewhere tell.
    tamper(&database, |_| "DELETE FROM event_checkpoints".into()).await;
    assert!(report(&store, everything()).await.is_sound());
    let found = report(&store, everything().against(kept)).await;
    assert_eq!(found.faults.len(), 2);
    assert_eq!(found.first().unwrap().position.0, 11);
}

async fn events_without_hashes_are_named(database: Arc<Database>) {
    let store = database.open().await;
    fill(&*store, 3).await;
    tamper(&database, |outside| {
        let nothing = bytes_literal(outside, &[]);
        format!("UPDATE events SET hash = {nothing}, tenant_sequence = 0 WHERE position = 3")
    })
    .await;
    let found = report(&store, everything()).await;
    assert_eq!(named(&found), [(Unsealed, Some("acme"), 3)]);
}

async fn what_no_type_can_hold_is_a_fault_and_no_failure(database: Arc<Database>) {
    let store = database.open().await;
    let stored = fill(&*store, 3).await;
    let outside = database.connect().await;
    let original = time_literal(&outside, microseconds(stored[2].recorded_at));
    let mut changes = vec![
        ("schema_version", i64::MAX.to_string(), "1".to_owned()),
        ("schema_version", "-1".into(), "1".into()),
        ("tenant_sequence", i64::MAX.to_string(), "2".into()),
        ("tenant_sequence", "-2".into(), "2".into()),
        ("stream_version", i64::MAX.to_string(), "1".into()),
        ("tenant", "'x'".into(), "'acme'".into()),
    ];
    let id = stored[2].id.to_string();
    match outside {
        Outside::Sqlite(_) => changes.extend([
            ("recorded_at", i64::MAX.to_string(), original.clone()),
            ("recorded_at", i64::MIN.to_string(), original),
            ("event_id", "'?'".into(), format!("'{id}'")),
            (
                "event_id",
                format!("'{}'", id.to_uppercase()),
                format!("'{id}'"),
            ),
            (
                "stream_type",
                "CAST(x'ff' AS TEXT)".into(),
                "'order'".into(),
            ),
            (
                "data",
                "'no JSON' || char(0)".into(),
                format!("'{}'", text(&stored[2])),
            ),
        ]),
        Outside::Postgres(_) => changes.extend([
            ("recorded_at", "'infinity'".into(), original.clone()),
            ("recorded_at", "'-infinity'".into(), original.clone()),
            (
                "recorded_at",
                "'294276-12-31 23:59:59.999999+00'".into(),
                original.clone(),
            ),
            (
                "recorded_at",
                "'4713-01-01 00:00:00+00 BC'".into(),
                original,
            ),
        ]),
    }
    outside.close().await;
    for (column, to, back) in changes {
        let set = |value: &str| format!("UPDATE events SET {column} = {value} WHERE position = 3");
        tamper(&database, |_| set(&to)).await;
        let found = report(&store, everything()).await;
        let first = found.first().unwrap();
        assert_eq!(first.position.0, 3, "{column} {to}: {:?}", found.faults);
        tamper(&database, |_| set(&back)).await;
        let mended = report(&store, everything()).await;
        assert!(mended.is_sound(), "{column}: {:?}", mended.faults);
    }
}
