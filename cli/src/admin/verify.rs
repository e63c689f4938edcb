//! `signet events verify`: by a central, or in the database itself when a damaged event keeps every central
//! from starting.

use std::{fs, path::PathBuf, pin::pin, sync::Arc, time::Duration};

use clap::Args;
use eventstore::{
    EventStore,
    integrity::{Checkpoint, PublicKeys, Verification, Verify, VerifyScope, verify},
};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use super::{Connection, client::Client, interruption::interruption, replay, table::Format};
use crate::{
    error::Error,
    output::{self, Progress},
};

/// How often it is shown how far it is.
const PAUSE: Duration = Duration::from_millis(250);

/// Where the address of the database is looked for.
const DATABASE: &str = "SIGNET_DATABASE_URL";

/// What is verified, and by whom.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Only the chain of this tenant
    #[arg(long)]
    tenant: Option<String>,
    /// Read this database instead of asking a central: postgres://… or sqlite://PATH; without a URL that of
    /// the environment variable SIGNET_DATABASE_URL, which shows a password to fewer. It only reads, so that
    /// central may run or not
    #[arg(long, value_name = "URL", num_args = 0..=1, value_parser = secret)]
    database: Option<Option<SecretString>>,
    /// Verify also against the checkpoints in this file, which was kept where the database's owner cannot
    /// reach: what `signet checkpoints` printed with --lines, or with `-o json`, which has the keys for the
    /// signatures, too. Only with --database: central takes none in
    #[arg(long, value_name = "FILE", requires = "database")]
    checkpoints: Option<PathBuf>,
}

// Whatever it is, to be judged where it is opened: clap repeats what a parser refuses, and this may hold a
// password.
fn secret(text: &str) -> Result<SecretString, std::convert::Infallible> {
    Ok(SecretString::from(text.to_owned()))
}

/// Does what was asked for.
pub(super) async fn run(
    options: Options,
    connection: &Connection,
    format: Format,
) -> Result<(), Error> {
    let Options {
        tenant,
        database,
        checkpoints,
    } = options;
    let Some(given) = database else {
        let client = Client::new(connection)?;
        let body = json!({ "purpose": "verify" });
        return replay::start(&client, tenant.as_deref(), body, true, format).await;
    };
    let url = match given {
        Some(url) => url,
        None => std::env::var(DATABASE).map(Into::into).map_err(|_| {
            Error::Usage(format!(
                "--database needs the address of the database: give it behind the flag, or in {DATABASE}"
            ))
        })?,
    };
    let kept = match checkpoints {
        Some(path) => {
            let text = fs::read_to_string(&path);
            let text = text.map_err(|source| Error::State {
                path: path.clone(),
                source,
            })?;
            Kept::read(&text)
                .map_err(|error| Error::Usage(format!("{}: {error}", path.display())))?
        }
        None => Kept::default(),
    };
    let store = eventstore::open_to_read(url.expose_secret()).await;
    let store = store.map_err(|error| Error::Database(error.to_string()))?;
    let outcome = verified(&store, tenant, kept, interruption()).await;
    store.close().await;
    let outcome = outcome?;
    output::line(&replay::shown(&outcome, format));
    replay::verdict(&outcome)
}

/// What was kept outside of the database.
#[derive(Debug, Default)]
struct Kept {
    checkpoints: Vec<Checkpoint>,
    keys: PublicKeys,
}

impl Kept {
    /// Reads answers of central and single checkpoints, one behind the other in any order.
    fn read(text: &str) -> Result<Self, String> {
        let mut kept = Self::default();
        for value in serde_json::Deserializer::from_str(text).into_iter::<Value>() {
            let value = value.map_err(|error| format!("this is no JSON: {error}"))?;
            match value.get("checkpoints").and_then(Value::as_array) {
                Some(checkpoints) => {
                    checkpoints.iter().try_for_each(|one| kept.add(one))?;
                    let keys = value["keys"].as_array().into_iter().flatten();
                    keys.into_iter().try_for_each(|key| kept.trust(key))?;
                }
                None => kept.add(&value)?,
            }
        }
        match kept.checkpoints.is_empty() && kept.keys.is_empty() {
            true => {
                Err("there is no checkpoint in it; `signet checkpoints --lines` prints some".into())
            }
            false => Ok(kept),
        }
    }

    fn add(&mut self, checkpoint: &Value) -> Result<(), String> {
        let checkpoint = Checkpoint::from_line(&checkpoint.to_string());
        self.checkpoints
            .push(checkpoint.map_err(|error| error.to_string())?);
        Ok(())
    }

    fn trust(&mut self, key: &Value) -> Result<(), String> {
        let wrong = || format!("{key} is no key as `signet checkpoints -o json` prints it");
        let id = key["key_id"].as_str().ok_or_else(wrong)?;
        let bytes = key["public_key"]
            .as_str()
            .and_then(bytes)
            .ok_or_else(wrong)?;
        let keys = self.keys.clone().with_ed25519(id, &bytes);
        self.keys = keys.map_err(|error| error.to_string())?;
        Ok(())
    }
}

/// The bytes that hexadecimal digits stand for.
fn bytes(digits: &str) -> Option<Vec<u8>> {
    if !digits.len().is_multiple_of(2) || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let byte = |start| u8::from_str_radix(digits.get(start..start + 2)?, 16).ok();
    (0..digits.len()).step_by(2).map(byte).collect()
}

/// Verifies to the end, or until that is interrupted, and tells the outcome as central would.
async fn verified(
    store: &Arc<dyn EventStore>,
    tenant: Option<String>,
    kept: Kept,
    interrupted: impl Future<Output = ()>,
) -> Result<Value, Error> {
    let scope = match &tenant {
        Some(tenant) => VerifyScope::Tenant(tenant.clone()),
        None => VerifyScope::Everything,
    };
    let asked = Verify::of(scope, kept.keys).against(kept.checkpoints);
    let verification = verify(Arc::clone(store), asked);
    let report = {
        let progress = Progress::begin();
        let mut finished = pin!(verification.finished());
        let mut interrupted = pin!(interrupted);
        let mut stops = false;
        let report = loop {
            tokio::select! {
                report = &mut finished => break report,
                () = &mut interrupted, if !stops => {
                    stops = true;
                    verification.cancel();
                }
                () = tokio::time::sleep(PAUSE) => {
                    let now = verification.progress();
                    progress.show(now.read, now.total, &replay::pace(&view(&verification, None)));
                }
            }
        };
        progress.end();
        report.map_err(|error| Error::Database(error.to_string()))?
    };
    if let Some(tenant) = &tenant
        && report.is_sound()
        && report.events == 0
    {
        return Err(Error::Usage(format!(
            "the store has no events of a tenant {tenant:?}, and nothing can be said about it; see that this \
             is its name, and the right database"
        )));
    }
    let result = json!({
        "sound": report.is_sound(), "first_fault": report.first(), "report": report,
    });
    let mut outcome = view(&verification, Some(result));
    outcome["tenant"] = json!(tenant);
    Ok(outcome)
}

/// As central shows a verification.
fn view(verification: &Verification, result: Option<Value>) -> Value {
    // Numbers and names: there is nothing that JSON refuses.
    let mut view = serde_json::to_value(verification.progress()).unwrap_or_default();
    view["purpose"] = json!("verify");
    view["result"] = json!(result);
    view
}

#[cfg(test)]
mod tests;
