//! `signet replay`: started, followed with a bar, cancelled.

mod outcome;

use std::{pin::pin, time::Duration};

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

pub(super) use self::outcome::{pace, shown, verdict};
use super::{
    Shared,
    client::Client,
    interruption::interruption,
    number::number,
    path::{of, segment, with_query},
    table::{self, Column, Format},
};
use crate::{
    error::Error,
    output::{self, Progress},
};

/// How often it is asked how far a replay is.
const PAUSE: Duration = Duration::from_millis(250);

const COLUMNS: &[Column] = &[
    ("id", "/id"),
    ("purpose", "/purpose"),
    ("tenant", "/tenant"),
    ("state", "/state"),
    ("read", "/read"),
    ("total", "/total"),
    ("started", "/started_at"),
];

/// Which replay, and what with it.
#[derive(Debug, Args)]
pub struct Options {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    shared: Shared,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Start a replay and follow it to its end
    Start(Start),
    /// All replays, the youngest first
    List {
        /// Only those of this tenant
        #[arg(long)]
        tenant: Option<String>,
        /// Begin behind the one with this id
        #[arg(long, value_name = "ID")]
        after: Option<String>,
        /// How many at most
        #[arg(long, default_value_t = 100, value_parser = number, allow_negative_numbers = true)]
        limit: u64,
    },
    /// How far a replay is
    Show {
        #[command(flatten)]
        replay: Replay,
        /// Follow it to its end
        #[arg(long)]
        follow: bool,
    },
    /// Stop a replay
    Cancel {
        #[command(flatten)]
        replay: Replay,
    },
}

/// Which one.
#[derive(Debug, Args)]
struct Replay {
    /// Its id
    id: String,
    /// Its tenant; of use with a token of that tenant
    #[arg(long)]
    tenant: Option<String>,
}

impl Replay {
    fn path(&self) -> String {
        let list = of(self.tenant.as_deref(), "replays");
        format!("{list}/{}", segment(&self.id))
    }

    fn how_to_go_on(&self) -> String {
        let Self { id, tenant } = self;
        let which = match tenant {
            Some(tenant) => format!("{id} --tenant {tenant}"),
            None => id.clone(),
        };
        format!(
            "the replay goes on; `signet replay show {which} --follow` follows it, \
             `signet replay cancel {which}` ends it"
        )
    }
}

#[derive(Debug, Args)]
struct Start {
    /// What to do with the events
    #[arg(value_enum)]
    purpose: Purpose,
    /// Only events of this tenant
    #[arg(long)]
    tenant: Option<String>,
    /// Only this stream of the tenant
    #[arg(long, value_name = "TYPE/ID", requires = "tenant")]
    stream: Option<String>,
    /// Only events of this type; may be given again
    #[arg(long = "event-type", value_name = "TYPE")]
    event_types: Vec<String>,
    /// Only positions above this one
    #[arg(long, value_name = "POSITION", default_value_t = 0, value_parser = number, allow_negative_numbers = true)]
    after: u64,
    /// Only positions up to this one
    #[arg(long, value_name = "POSITION", value_parser = number, allow_negative_numbers = true)]
    until: Option<u64>,
    /// Only versions of the stream up to this one
    #[arg(long, value_name = "VERSION", requires = "stream", value_parser = number, allow_negative_numbers = true)]
    until_version: Option<u64>,
    /// Only events recorded at this time or earlier (RFC 3339)
    #[arg(long, value_name = "TIME")]
    until_time: Option<String>,
    /// Do not wait for the end
    #[arg(long)]
    detach: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Purpose {
    /// Count events by type
    Count,
    /// Verify hash chains and checkpoints
    Verify,
}

impl Start {
    fn body(&self) -> Value {
        json!({
            "purpose": match self.purpose {
                Purpose::Count => "count",
                Purpose::Verify => "verify",
            },
            "stream": self.stream,
            "event_types": self.event_types,
            "after": self.after,
            "until": self.until,
            "until_version": self.until_version,
            "until_time": self.until_time,
        })
    }
}

/// Does what was asked for.
///
/// # Errors
/// Central cannot be reached or refuses, the replay failed, or a verification found a fault.
pub async fn run(options: Options) -> Result<(), Error> {
    let client = Client::new(&options.shared.connection)?;
    let format = options.shared.output;
    match options.what {
        What::Start(asked) => {
            let tenant = asked.tenant.as_deref();
            start(&client, tenant, asked.body(), !asked.detach, format).await
        }
        What::List {
            tenant,
            after,
            limit,
        } => {
            let parameters = [("after", after), ("limit", Some(limit.to_string()))];
            let path = with_query(&of(tenant.as_deref(), "replays"), &parameters);
            let answer = client.get(&path).await?;
            table::list(&answer, "replays", COLUMNS, format);
            table::tell_more(&answer, "--after");
            Ok(())
        }
        What::Show {
            replay,
            follow: true,
        } => follow(&client, &replay, format).await,
        What::Show {
            replay,
            follow: false,
        } => {
            let replay = client.get(&replay.path()).await?;
            output::line(&shown(&replay, format));
            Ok(())
        }
        What::Cancel { replay } => {
            let replay = client.delete(&replay.path()).await?;
            output::line(&shown(&replay, format));
            Ok(())
        }
    }
}

/// Starts a replay, of a tenant or of all, and follows it if that is wanted.
pub(super) async fn start(
    client: &Client,
    tenant: Option<&str>,
    body: Value,
    wait: bool,
    format: Format,
) -> Result<(), Error> {
    let begun = client.post(&of(tenant, "replays"), Some(body)).await?;
    let replay = Replay {
        id: begun["id"].as_str().unwrap_or_default().to_owned(),
        tenant: tenant.map(str::to_owned),
    };
    if wait {
        return follow(client, &replay, format).await;
    }
    output::line(&shown(&begun, format));
    output::note(&replay.how_to_go_on());
    Ok(())
}

/// Shows how far a replay is until it ends. Ctrl-C ends the showing and not the replay; whoever asked
/// for its outcome has none then.
async fn follow(client: &Client, replay: &Replay, format: Format) -> Result<(), Error> {
    follow_until(client, replay, format, interruption()).await
}

async fn follow_until(
    client: &Client,
    followed: &Replay,
    format: Format,
    interrupted: impl Future<Output = ()>,
) -> Result<(), Error> {
    let mut interrupted = pin!(interrupted);
    let progress = Progress::begin();
    let path = followed.path();
    loop {
        let replay = client.get(&path).await?;
        if replay["state"] != "running" {
            progress.end();
            output::line(&shown(&replay, format));
            return verdict(&replay);
        }
        progress.show(
            replay["read"].as_u64().unwrap_or(0),
            replay["total"].as_u64(),
            &pace(&replay),
        );
        tokio::select! {
            () = &mut interrupted => {
                progress.end();
                output::note(&followed.how_to_go_on());
                let what = "the replay is not over, and nothing is known of its outcome";
                return Err(Error::Unfinished(what.to_owned()));
            }
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

#[cfg(test)]
mod tests;
