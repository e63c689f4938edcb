//! Verifies a store: `verify DATABASE-URL [KEY-ID=PUBLIC-KEY-IN-HEX]… [@FILE-OF-KEPT-CHECKPOINTS]`.
//!
//! Without arguments it shows the whole of it on a store in memory: append, sign, keep the checkpoints
//! elsewhere, tamper, verify.

use std::error::Error;
use std::sync::Arc;

use eventstore::integrity::{
    Checkpoint, Checkpoints, Ed25519Signer, PublicKeys, Report, Verify, verify,
};
use eventstore::{Append, EventStore, ExpectedVersion, NewEvent, Options, StreamKey};
use time::OffsetDateTime;

#[allow(clippy::print_stdout, reason = "that is what the example is for")]
fn say(line: &str) {
    println!("{line}");
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let Some(url) = arguments.next() else {
        return in_memory().await;
    };
    let mut keys = PublicKeys::none();
    let mut kept = Vec::new();
    for argument in arguments {
        if let Some(file) = argument.strip_prefix('@') {
            for line in std::fs::read_to_string(file)?.lines() {
                kept.push(Checkpoint::from_line(line)?);
            }
        } else {
            let (id, key) = argument.split_once('=').ok_or("give keys as ID=HEX")?;
            keys = keys.with_ed25519(id, &bytes(key).ok_or("a key has 64 hexadecimal digits")?)?;
        }
    }
    let store = eventstore::open(&url, Options::default()).await?;
    let report = run(&store, Verify::everything(keys).against(kept)).await?;
    store.close().await;
    if report.is_sound() {
        return Ok(());
    }
    Err("the store is not as it was written".into())
}

/// Verifies, and says on the way how far it is.
async fn run(store: &Arc<dyn EventStore>, what: Verify) -> Result<Report, Box<dyn Error>> {
    let verification = verify(Arc::clone(store), what);
    let mut progress = verification.watch();
    let mut shown = 0;
    while progress.changed().await.is_ok() {
        let now = progress.borrow_and_update().clone();
        if now.read >= shown + 100_000 {
            shown = now.read;
            let total = now.total.unwrap_or(now.read);
            let left = now.seconds_left.unwrap_or(0.0);
            say(&format!("{} of {total} events, {left:.0} s left", now.read));
        }
    }
    let report = verification.finished().await?;
    say(&serde_json::to_string_pretty(&report)?);
    Ok(report)
}

async fn in_memory() -> Result<(), Box<dyn Error>> {
    let store = eventstore::open("sqlite::memory:", Options::default()).await?;
    let events = (1..=5).map(|n| NewEvent::new("Paid", 1, serde_json::json!({ "euros": n })));
    let stream = StreamKey::new("acme", "account", "1");
    store
        .append(Append::to(
            stream,
            ExpectedVersion::NoStream,
            events.collect(),
        ))
        .await?;

    // A real seed is 32 random bytes, and lies where the database's owner cannot read it.
    let signer = Ed25519Signer::from_seed("2026-a", &[42; 32])?;
    let keys = PublicKeys::none().with_ed25519("2026-a", &signer.public_key())?;
    let clock = OffsetDateTime::now_utc;
    let checkpoints = Checkpoints::new(Arc::clone(&store), Arc::new(signer), clock);
    let mut kept = Vec::new();
    checkpoints
        .sign_all(|made| kept.push(made.to_line()))
        .await?;
    let elsewhere: Result<Vec<_>, _> = kept
        .iter()
        .map(|line| Checkpoint::from_line(line))
        .collect();
    let elsewhere = elsewhere?;

    say("As it was written:");
    let what = Verify::everything(keys).against(elsewhere);
    assert!(run(&store, what.clone()).await?.is_sound());

    let mut transaction = store.database().begin().await?;
    if let Some(connection) = transaction.sqlite() {
        sqlx::query("UPDATE events SET data = '{\"euros\":3000}' WHERE position = 3")
            .execute(connection)
            .await?;
    }
    transaction.commit().await?;

    say("With one event changed past the store:");
    let report = run(&store, what).await?;
    let first = report.first().ok_or("the change was not found")?;
    assert_eq!(first.position.0, 3);
    store.close().await;
    Ok(())
}

fn bytes(digits: &str) -> Option<Vec<u8>> {
    if !digits.len().is_multiple_of(2) || !digits.is_ascii() {
        return None;
    }
    let byte = |at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    (0..digits.len()).step_by(2).map(byte).collect()
}
