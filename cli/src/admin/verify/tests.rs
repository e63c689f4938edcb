//! A database whose events were damaged is verified without a central.

use std::{fs, path::Path, sync::Arc};

use clap::Parser as _;
use eventstore::{
    Append, ExpectedVersion, NewEvent, StreamKey,
    integrity::{Checkpoints, Ed25519Signer},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Connection, Kept, Options, run, verified};
use crate::{
    Cli, Command,
    admin::{events, table::Format},
    error::Error,
};

/// A database in a file, and what was signed over its events.
struct Stored {
    folder: TempDir,
    checkpoints: Vec<Value>,
    key: Value,
}

impl Stored {
    /// Three events of each of two tenants, signed, with a checkpoint over each chain.
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (url, options) = (url(folder.path()), eventstore::Options::default());
        let store = eventstore::open(&url, options).await.unwrap();
        for (tenant, number) in [("acme", 1), ("bank", 1), ("acme", 2), ("bank", 2)] {
            let stream = StreamKey::new(tenant, "order", number.to_string());
            let event = NewEvent::new("OrderPlaced", 1, json!({ "number": number }));
            let append = Append::to(stream, ExpectedVersion::NoStream, vec![event]);
            store.append(append).await.unwrap();
        }
        let signer = Ed25519Signer::from_seed("of-the-test", &[7; 32]).unwrap();
        let public_key = signer.public_key();
        let digits = public_key.iter().map(|byte| format!("{byte:02x}"));
        let key = json!({
            "key_id": "of-the-test", "algorithm": "Ed25519",
            "public_key": digits.collect::<String>(),
        });
        let now = eventstore::Options::default().clock;
        let signing = Checkpoints::new(Arc::clone(&store), Arc::new(signer), now);
        let made = std::sync::Mutex::new(Vec::new());
        let signed = signing.sign_all(|one| {
            let line = serde_json::from_str(&one.to_line()).unwrap();
            made.lock().unwrap().push(line);
        });
        signed.await.unwrap();
        store.close().await;
        Self {
            folder,
            checkpoints: made.into_inner().unwrap(),
            key,
        }
    }

    fn url(&self) -> String {
        url(self.folder.path())
    }

    /// Runs a statement past the store.
    async fn change(&self, statement: &'static str) {
        use sqlx::Connection as _;
        let connection = sqlx::SqliteConnection::connect(&self.url()).await;
        let mut connection = connection.unwrap();
        let changed = sqlx::query(statement).execute(&mut connection).await;
        assert!(changed.unwrap().rows_affected() > 0, "{statement}");
        connection.close().await.unwrap();
    }

    /// Runs the command with these flags behind the database.
    async fn verify(&self, flags: &[&str]) -> Result<(), Error> {
        let url = self.url();
        let line = ["signet", "events", "verify", "--database", &url];
        let parsed = Cli::try_parse_from(line.iter().chain(flags)).unwrap();
        let Command::Events(options) = parsed.command else {
            panic!("no command about events")
        };
        events::run(options).await
    }

    /// Writes a file that was kept outside.
    fn kept(&self, text: &str) -> String {
        let path = self.folder.path().join("kept");
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    fn lines(&self) -> String {
        let lines = self.checkpoints.iter().map(|one| format!("{one}\n"));
        lines.collect()
    }
}

fn url(folder: &Path) -> String {
    format!("sqlite://{}/signet.db", folder.display())
}

#[tokio::test]
async fn a_damaged_event_is_named_and_nothing_is_written() {
    let stored = Stored::new().await;
    assert!(stored.verify(&[]).await.is_ok());
    let damage = "UPDATE events SET metadata = '{\"actor\":1}' WHERE position = 3";
    stored.change(damage).await;
    let before = fs::read(stored.folder.path().join("signet.db")).unwrap();

    let found = stored.verify(&[]).await.unwrap_err();
    assert!(matches!(found, Error::Tampered { position: 3 }), "{found}");
    let of_acme = stored.verify(&["--tenant", "acme"]).await.unwrap_err();
    assert_eq!(of_acme.code(), "SIGNET-CLI-0009");
    assert!(stored.verify(&["--tenant", "bank"]).await.is_ok());

    let after = fs::read(stored.folder.path().join("signet.db")).unwrap();
    assert!(before == after, "the database was changed");
}

#[tokio::test]
async fn what_was_kept_outside_tells_of_what_was_put_back() {
    let stored = Stored::new().await;
    let lines = stored.kept(&stored.lines());
    assert!(stored.verify(&["--checkpoints", &lines]).await.is_ok());

    // The last event of bank and its checkpoint are gone without a trace.
    stored
        .change("DELETE FROM event_checkpoints WHERE tenant = 'bank'")
        .await;
    stored.change("DELETE FROM events WHERE position = 4").await;
    stored.change("UPDATE event_lanes SET head = 3").await;

    assert!(stored.verify(&[]).await.is_ok());
    let found = stored.verify(&["--checkpoints", &lines]).await.unwrap_err();
    assert!(matches!(found, Error::Tampered { position: 4 }), "{found}");
}

#[tokio::test]
async fn a_forged_checkpoint_does_not_pass_with_the_keys_that_were_kept() {
    let stored = Stored::new().await;
    let answer = |checkpoints: &[Value]| {
        json!({ "store": "s", "keys": [stored.key], "checkpoints": checkpoints }).to_string()
    };
    let kept = stored.kept(&answer(&stored.checkpoints));
    assert!(stored.verify(&["--checkpoints", &kept]).await.is_ok());

    let mut forged = stored.checkpoints.clone();
    forged[0]["signed_at"] = json!("2001-01-01T00:00:00Z");
    let kept = stored.kept(&answer(&forged));
    let found = stored.verify(&["--checkpoints", &kept]).await.unwrap_err();
    assert_eq!(found.code(), "SIGNET-CLI-0009");
}

#[tokio::test]
async fn what_was_interrupted_is_not_sound() {
    let stored = Stored::new().await;
    let store = eventstore::open_to_read(&stored.url()).await.unwrap();

    let outcome = verified(&store, None, Kept::default(), async {}).await;

    let outcome = outcome.unwrap();
    assert_eq!(outcome["state"], "cancelled", "{outcome}");
    assert_eq!(outcome["result"]["sound"], false);
    store.close().await;
}

#[tokio::test]
async fn what_is_no_database_is_said_to_be_none() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        tenant: None,
        database: Some(Some(url(folder.path()).into())),
        checkpoints: None,
    };
    let connection = Connection {
        server: String::new(),
        token_file: None,
        ca_file: None,
    };

    let refused = run(options, &connection, Format::Table).await.unwrap_err();

    assert_eq!(refused.code(), "SIGNET-CLI-0011", "{refused}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn what_was_kept_is_read_as_it_was_printed() {
    let stored = Stored::new().await;
    let answer = json!({ "keys": [stored.key], "checkpoints": stored.checkpoints });
    let both = format!("{answer:#}\n{}", stored.lines());
    let kept = Kept::read(&both).unwrap();
    assert_eq!((kept.checkpoints.len(), kept.keys.iter().count()), (4, 1));

    let keys_alone = json!({ "keys": [stored.key], "checkpoints": [] }).to_string();
    assert_eq!(Kept::read(&keys_alone).unwrap().keys.iter().count(), 1);

    let no_key = json!({ "keys": [{ "key_id": "k", "public_key": "xx" }], "checkpoints": [] });
    for wrong in [
        "",
        "checkpoints",
        "{}",
        "{\"checkpoints\":[]}",
        &no_key.to_string(),
    ] {
        assert!(Kept::read(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_file_of_checkpoints_needs_the_database() {
    let parsed = |line: &str| Cli::try_parse_from(line.split(' ')).map(drop);
    assert!(parsed("signet events verify --checkpoints kept").is_err());
    assert!(parsed("signet events verify --database --checkpoints kept").is_ok());
    assert!(parsed("signet events verify --database --tenant acme").is_ok());
}

#[tokio::test]
async fn a_tenant_that_nobody_knows_is_not_told_to_be_sound() {
    let stored = Stored::new().await;
    let store = eventstore::open_to_read(&url(stored.folder.path()))
        .await
        .unwrap();
    let asked = |tenant: &str| {
        let never = std::future::pending();
        verified(&store, Some(tenant.into()), Kept::default(), never)
    };

    let refused = asked("bnak").await.unwrap_err();

    assert!(refused.to_string().contains("bnak"), "{refused}");
    assert_eq!(asked("bank").await.unwrap()["result"]["sound"], json!(true));
}
