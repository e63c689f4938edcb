//! Events that were changed, deleted or swapped, past the store.

use std::sync::Arc;

use eventstore::integrity::FaultKind::{Changed, CutOff, Missing, Reordered, Unsealed};

use super::{
    bytes_literal, everything, fill, microseconds, named, report, sign_all, tamper, tenant, text,
    time_literal,
};
use crate::database::{Database, Outside, contract};

contract!(
    what_nobody_touched_is_sound,
    a_change_of_any_part_is_named_at_its_event,
    what_was_deleted_is_missed,
    two_that_were_swapped_are_named,
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
