//! Events that were written past the store, some with hashes as the store makes them.

use std::sync::Arc;

use eventstore::integrity::FaultKind::{
    Added, Changed, CutOff, Forked, Missing, StreamGap, TimeWentBack,
};
use eventstore::{Hash, RecordedEvent};
use sha2::{Digest, Sha256};

use super::{
    bytes_literal, everything, fill, microseconds, named, report, sign_all, tamper, tenant, text,
    time_literal,
};
use crate::database::{Database, Outside, contract};

contract!(
    a_forged_event_within_the_chain_is_named,
    a_forged_event_with_a_right_looking_hash_collides_with_what_was_there,
    an_event_of_another_lane_or_beyond_the_head_is_named,
    renumbered_positions_are_named,
    renumbered_versions_are_named_even_with_hashes_made_anew,
    a_tail_that_was_made_anew_is_told_by_a_checkpoint_alone,
    times_that_go_back_are_named_even_with_hashes_made_anew,
);

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

async fn times_that_go_back_are_named_even_with_hashes_made_anew(database: Arc<Database>) {
    let store = database.open().await;
    let stored = fill(&*store, 4).await;
    let mut early = of("acme", &stored);
    early[2].recorded_at -= std::time::Duration::from_secs(86_400);
    rewrite(&database, &early, 3, None).await;
    let found = report(&store, everything()).await;
    assert_eq!(named(&found), [(TimeWentBack, None, 5)]);
}
