//! Signing, and checkpoints that were tampered with.

use std::sync::Arc;

use eventstore::Position;
use eventstore::integrity::FaultKind::{
    BadSignature, CheckpointGone, CutOff, Forked, Missing, OtherStore, UnknownKey,
};
use eventstore::integrity::{Checkpoint, IntegrityError, PublicKeys, Verify, newest, verify};

use super::{bytes_literal, everything, fill, keys, named, report, sign_all, signing, tenant};
use crate::database::{Database, contract};

contract!(
    the_ends_of_chains_that_moved_are_signed_once,
    several_sign_at_once,
    a_contradicted_checkpoint_is_not_covered_up,
    a_chain_that_cannot_be_read_holds_no_other_up,
    a_checkpoint_that_was_changed_is_named,
    a_deleted_checkpoint_is_missed_by_what_is_kept_elsewhere,
    keys_are_rotated,
    a_checkpoint_of_another_store_is_named,
    a_checkpoint_over_a_deleted_event_is_named,
    without_keys_the_report_says_so,
);

async fn the_ends_of_chains_that_moved_are_signed_once(database: Arc<Database>) {
    let store = database.open().await;
    let sealing = signing(&store, 1);
    assert_eq!(sealing.sign("acme").await.unwrap(), None);
    assert_eq!(sign_all(&store).await, []);

    let stored = fill(&*store, 3).await;
    let signed = sealing.sign("acme").await.unwrap().unwrap();
    assert!(signed.is_new);
    let checkpoint = &signed.checkpoint;
    assert_eq!(checkpoint.store, store.id());
    assert_eq!(checkpoint.hash, stored[4].hash);
    assert_eq!(
        (checkpoint.position, checkpoint.tenant_sequence),
        (Position(5), 3)
    );
    let again = sealing.sign("acme").await.unwrap().unwrap();
    assert_eq!((again.is_new, &again.checkpoint), (false, checkpoint));

    let rest = sign_all(&store).await;
    assert_eq!(rest.len(), 1);
    assert_eq!(
        (rest[0].tenant.as_str(), rest[0].position),
        ("globex", Position(6))
    );
    assert_eq!(sign_all(&store).await, []);
    fill(&*store, 1).await;
    let moved = sealing.sign_all(|_| {}).await.unwrap();
    assert_eq!(
        (moved.signed, moved.unchanged, moved.covered),
        (2, 0, Position(8))
    );

    let all = sealing.list(None, Position::START, 10).await.unwrap();
    let positions: Vec<u64> = all.iter().map(|checkpoint| checkpoint.position.0).collect();
    assert_eq!(positions, [5, 6, 7, 8]);
    assert_eq!(all[0], *checkpoint);
    let some = sealing.list(Some("globex"), Position(6), 10).await.unwrap();
    assert_eq!(some, [all[3].clone()]);
    assert_eq!(sealing.list(None, Position(5), 2).await.unwrap(), all[1..3]);
    let newest = async |tenant, before| {
        let found = newest(&*store, tenant, before, 2).await.unwrap();
        found.iter().map(|one| one.position.0).collect::<Vec<_>>()
    };
    assert_eq!(newest(None, None).await, [8, 7]);
    assert_eq!(newest(None, Some(Position(7))).await, [6, 5]);
    assert_eq!(newest(Some("globex"), None).await, [8, 6]);
    assert_eq!(newest(Some("globex"), Some(Position(6))).await, [0; 0]);
    let found = report(&store, everything()).await;
    assert!(found.is_sound(), "{:?}", found.faults);
    assert_eq!(found.checkpoints, 4);
}

async fn several_sign_at_once(database: Arc<Database>) {
    let store = database.open().await;
    let other = database.open().await;
    fill(&*store, 5).await;
    let signers = (0..8_u8).map(|n| {
        let store = if n % 2 == 0 { &store } else { &other };
        let sealing = signing(store, 1 + n % 3);
        async move { sealing.sign("acme").await.unwrap().unwrap() }
    });
    let signed = futures::future::join_all(signers).await;
    assert_eq!(signed.iter().filter(|signed| signed.is_new).count(), 1);
    for one in &signed {
        assert_eq!(one.checkpoint, signed[0].checkpoint);
    }
    let verify = Verify::everything(keys(&[1, 2, 3]));
    assert!(report(&store, verify).await.is_sound());
}

async fn a_contradicted_checkpoint_is_not_covered_up(database: Arc<Database>) {
    let store = database.open().await;
    fill(&*store, 3).await;
    sign_all(&store).await;
    fill(&*store, 1).await;
    let mut outside = database.connect().await;
    let zero = bytes_literal(&outside, &[0; 32]);
    let change = format!("UPDATE events SET hash = {zero} WHERE position = 5");
    outside.execute(&change).await;
    outside.close().await;
    let sealing = signing(&store, 1);
    let refused = sealing.sign("acme").await.unwrap_err();
    assert_eq!(refused.code(), "SIGNET-EVENTS-0082");
    let all = sealing.sign_all(|_| {}).await.unwrap();
    assert_eq!((all.signed, all.refusals), (1, 1));
    assert_eq!(all.refused[0].tenant, "acme");
}

async fn a_chain_that_cannot_be_read_holds_no_other_up(database: Arc<Database>) {
    let store = database.open().await;
    let events = fill(&*store, 2).await;
    let last = events.iter().rfind(|event| event.stream.tenant == "acme");
    let position = last.unwrap().position;
    let mut outside = database.connect().await;
    let short = bytes_literal(&outside, &[5; 3]);
    let change = format!("UPDATE events SET hash = {short} WHERE position = {position}");
    outside.execute(&change).await;
    outside.close().await;

    let all = signing(&store, 1).sign_all(|_| {}).await.unwrap();

    assert_eq!((all.signed, all.refusals), (1, 1), "{:?}", all.refused);
    assert_eq!(all.refused[0].tenant, "acme");
}

async fn a_checkpoint_that_was_changed_is_named(database: Arc<Database>) {
    let store = database.open().await;
    fill(&*store, 4).await;
    let made = sign_all(&store).await;
    let checkpoint = made.iter().find(|made| made.tenant == "acme").unwrap();
    let mut outside = database.connect().await;
    let forged = bytes_literal(&outside, &[5; 64]);
    let signature = bytes_literal(&outside, &checkpoint.signature);
    let hash = bytes_literal(&outside, &checkpoint.hash.0);
    let short = bytes_literal(&outside, &[5; 3]);
    let changes = [
        (
            "signature",
            forged.clone(),
            signature.clone(),
            BadSignature,
            7,
        ),
        (
            "signature",
            short.clone(),
            signature.clone(),
            BadSignature,
            7,
        ),
        (
            "hash",
            bytes_literal(&outside, &[5; 32]),
            hash.clone(),
            BadSignature,
            7,
        ),
        ("hash", short, hash, BadSignature, 7),
        ("tenant_sequence", "2".into(), "4".into(), BadSignature, 7),
        ("position", "3".into(), "7".into(), BadSignature, 3),
        ("position", "300".into(), "7".into(), BadSignature, 300),
        ("signed_at", "7".into(), "signed_at".into(), BadSignature, 7),
    ];
    for (column, to, back, kind, position) in changes {
        let keep = outside
            .number("SELECT signed_at FROM event_checkpoints WHERE tenant = 'acme'")
            .await;
        let back = if column == "signed_at" {
            keep.to_string()
        } else {
            back
        };
        let set = |value: &str| {
            format!("UPDATE event_checkpoints SET {column} = {value} WHERE tenant = 'acme'")
        };
        outside.execute(&set(&to)).await;
        for what in [everything(), tenant("acme")] {
            let found = report(&store, what).await;
            assert_eq!(named(&found), [(kind, Some("acme"), position)], "{column}");
        }
        outside.execute(&set(&back)).await;
        assert!(report(&store, everything()).await.is_sound(), "{column}");
    }
    let texts = [
        ("key_id", "key-9", "key-1", UnknownKey),
        ("algorithm", "none", "Ed25519", UnknownKey),
        ("store_id", "nothing", &store.id().to_string(), BadSignature),
        (
            "store_id",
            "0e4c1e6b-6e0f-4b5c-8f0a-000000000000",
            &store.id().to_string(),
            BadSignature,
        ),
    ];
    for (column, to, back, kind) in texts {
        let set = |value: &str| {
            format!("UPDATE event_checkpoints SET {column} = '{value}' WHERE tenant = 'acme'")
        };
        outside.execute(&set(to)).await;
        let found = report(&store, everything()).await;
        assert_eq!(named(&found), [(kind, Some("acme"), 7)], "{column}");
        outside.execute(&set(back)).await;
        assert!(report(&store, everything()).await.is_sound(), "{column}");
    }
    outside
        .execute("UPDATE event_checkpoints SET tenant = 'initech' WHERE tenant = 'acme'")
        .await;
    let found = report(&store, everything()).await;
    assert_eq!(named(&found), [(BadSignature, Some("initech"), 7)]);
    outside.close().await;
}

async fn a_deleted_checkpoint_is_missed_by_what_is_kept_elsewhere(database: Arc<Database>) {
    let store = database.open().await;
    fill(&*store, 2).await;
    let mut kept = sign_all(&store).await;
    fill(&*store, 2).await;
    kept.extend(sign_all(&store).await);
    let lines: Vec<String> = kept.iter().map(Checkpoint::to_line).collect();
    let read = |line: &String| Checkpoint::from_line(line).unwrap();
    let kept: Vec<Checkpoint> = lines.iter().map(read).collect();
    let found = report(&store, everything().against(kept.clone())).await;
    assert!(found.is_sound(), "{:?}", found.faults);
    assert_eq!((found.checkpoints, found.kept_checkpoints), (4, 4));
    // Those of other tenants are passed over.
    let found = report(&store, tenant("acme").against(kept.clone())).await;
    assert!(found.is_sound());
    assert_eq!((found.checkpoints, found.kept_checkpoints), (2, 2));

    let mut outside = database.connect().await;
    outside
        .execute("DELETE FROM event_checkpoints WHERE position = 3")
        .await;
    outside.close().await;
    assert!(report(&store, everything()).await.is_sound());
    let found = report(&store, everything().against(kept.clone())).await;
    assert_eq!(named(&found), [(CheckpointGone, Some("acme"), 3)]);

    let mut forged = kept[0].clone();
    forged.hash.0[0] ^= 1;
    let found = report(&store, everything().against(vec![forged])).await;
    assert_eq!(named(&found), [(BadSignature, Some("acme"), 3)]);
}

async fn keys_are_rotated(database: Arc<Database>) {
    let store = database.open().await;
    fill(&*store, 2).await;
    signing(&store, 1).sign_all(|_| {}).await.unwrap();
    // A new key does not sign again what has not moved.
    let again = signing(&store, 2).sign_all(|_| {}).await.unwrap();
    assert_eq!((again.signed, again.unchanged), (0, 2));
    fill(&*store, 2).await;
    signing(&store, 2).sign_all(|_| {}).await.unwrap();

    let both = report(&store, Verify::everything(keys(&[1, 2]))).await;
    assert!(both.is_sound());
    assert_eq!(both.checkpoints, 4);
    let young = report(&store, Verify::everything(keys(&[2]))).await;
    let expected = [
        (UnknownKey, Some("acme"), 3),
        (UnknownKey, Some("globex"), 4),
    ];
    assert_eq!(named(&young), expected);
    // Another key under the same id.
    let wrong = PublicKeys::none().with_ed25519("key-1", &super::signer(7).public_key());
    let wrong = report(&store, Verify::tenant("acme", wrong.unwrap())).await;
    assert_eq!(named(&wrong), [(BadSignature, Some("acme"), 3)]);
}

async fn a_checkpoint_of_another_store_is_named(database: Arc<Database>) {
    let store = database.open().await;
    let elsewhere = Database::sqlite();
    let other = elsewhere.open().await;
    fill(&*store, 2).await;
    fill(&*other, 2).await;
    let theirs = sign_all(&other).await;
    let found = report(&store, everything().against(theirs.clone())).await;
    let expected = [
        (OtherStore, Some("acme"), 3),
        (OtherStore, Some("globex"), 4),
    ];
    assert_eq!(named(&found), expected);
    // Nor can it be begun from.
    let start = tenant("acme").resume(Position(3), theirs[..1].to_vec());
    let refused = verify(Arc::clone(&store), start).finished().await;
    assert_eq!(refused.unwrap_err().code(), "SIGNET-EVENTS-0084");
}

async fn a_checkpoint_over_a_deleted_event_is_named(database: Arc<Database>) {
    let store = database.open().await;
    fill(&*store, 3).await;
    sign_all(&store).await;
    let mut outside = database.connect().await;
    outside
        .execute("DELETE FROM events WHERE position = 5")
        .await;
    let found = report(&store, everything()).await;
    assert_eq!(
        named(&found),
        [(Missing, None, 5), (Missing, Some("acme"), 5)]
    );
    let found = report(&store, tenant("acme")).await;
    assert_eq!(named(&found), [(CutOff, Some("acme"), 5)]);
    // Signing again would cover it up.
    let refused = signing(&store, 1).sign("acme").await.unwrap_err();
    assert!(
        matches!(refused, IntegrityError::Contradiction { .. }),
        "{refused}"
    );
    outside.close().await;
    // Events that come after do not hide it.
    fill(&*store, 2).await;
    let found = report(&store, everything()).await;
    assert_eq!(
        named(&found),
        [(Missing, None, 5), (Missing, Some("acme"), 5)]
    );
    assert_eq!(
        report(&store, tenant("acme")).await.first().unwrap().kind,
        Missing
    );
}

async fn without_keys_the_report_says_so(database: Arc<Database>) {
    let store = database.open().await;
    fill(&*store, 3).await;
    sign_all(&store).await;
    let none = Verify::everything(PublicKeys::none());
    let found = report(&store, none.clone()).await;
    assert!(found.is_sound() && !found.signatures_checked);
    assert_eq!(found.checkpoints, 2);
    let mut outside = database.connect().await;
    let forged = bytes_literal(&outside, &[5; 32]);
    let change = format!("UPDATE event_checkpoints SET hash = {forged} WHERE tenant = 'acme'");
    outside.execute(&change).await;
    outside.close().await;
    assert_eq!(
        named(&report(&store, none).await),
        [(Forked, Some("acme"), 5)]
    );
}
