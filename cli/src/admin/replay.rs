//! `signet replay`: started, followed with a bar, cancelled.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::{
    Shared,
    client::Client,
    path::{segment, with_query},
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
    },
    /// How far a replay is
    Show {
        /// Its id
        id: String,
        /// Follow it to its end
        #[arg(long)]
        follow: bool,
    },
    /// Stop a replay
    Cancel {
        /// Its id
        id: String,
    },
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
    #[arg(long, value_name = "POSITION", default_value_t = 0)]
    after: u64,
    /// Only positions up to this one
    #[arg(long, value_name = "POSITION")]
    until: Option<u64>,
    /// Only versions of the stream up to this one
    #[arg(long, value_name = "VERSION", requires = "stream")]
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
            "tenant": self.tenant,
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
        What::Start(asked) => start(&client, asked.body(), !asked.detach, format).await,
        What::List { tenant } => {
            let path = match tenant {
                Some(tenant) => format!("/api/v1/tenants/{}/replays", segment(&tenant)),
                None => "/api/v1/replays".to_owned(),
            };
            let path = with_query(&path, &[("limit", Some("1000".to_owned()))]);
            table::list(&client.get(&path).await?, "replays", COLUMNS, format);
            Ok(())
        }
        What::Show { id, follow: true } => follow(&client, &id, format).await,
        What::Show { id, follow: false } => {
            let replay = client.get(&path_of(&id)).await?;
            output::line(&shown(&replay, format));
            Ok(())
        }
        What::Cancel { id } => {
            let replay = client.delete(&path_of(&id)).await?;
            output::line(&shown(&replay, format));
            Ok(())
        }
    }
}

fn path_of(id: &str) -> String {
    format!("/api/v1/replays/{}", segment(id))
}

/// Starts a replay, and follows it if that is wanted.
pub(super) async fn start(
    client: &Client,
    body: Value,
    wait: bool,
    format: Format,
) -> Result<(), Error> {
    let begun = client.post("/api/v1/replays", Some(body)).await?;
    let id = begun["id"].as_str().unwrap_or_default();
    if wait {
        return follow(client, id, format).await;
    }
    output::line(&shown(&begun, format));
    output::note(&how_to_go_on(id));
    Ok(())
}

/// Shows how far a replay is until it ends. Ctrl-C ends the showing and not the replay.
async fn follow(client: &Client, id: &str, format: Format) -> Result<(), Error> {
    let progress = Progress::begin();
    let path = path_of(id);
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
            _ = tokio::signal::ctrl_c() => {
                progress.end();
                output::note(&how_to_go_on(id));
                return Ok(());
            }
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

fn how_to_go_on(id: &str) -> String {
    format!(
        "the replay goes on; `signet replay show {id} --follow` follows it, \
         `signet replay cancel {id}` ends it"
    )
}

/// How fast it is, and how long it will take.
fn pace(replay: &Value) -> String {
    let rate = replay["events_per_second"].as_f64().unwrap_or(0.0);
    match replay["seconds_left"].as_f64() {
        Some(left) => format!("{rate:.0} events/s, {left:.0} s left"),
        None => format!("{rate:.0} events/s"),
    }
}

/// A replay in a few lines.
fn shown(replay: &Value, format: Format) -> String {
    if format == Format::Json {
        return format!("{replay:#}");
    }
    let text = |value: &Value| match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let mut lines = vec![format!(
        "{} {}: {}, {} of {} events read, at position {}",
        text(&replay["purpose"]),
        text(&replay["id"]),
        text(&replay["state"]),
        text(&replay["read"]),
        text(&replay["total"]),
        text(&replay["position"]),
    )];
    for (kind, count) in replay["result"]["by_type"]
        .as_object()
        .into_iter()
        .flatten()
    {
        lines.push(format!("{:>12} {kind}", text(count)));
    }
    let report = &replay["result"]["report"];
    for fault in report["faults"].as_array().into_iter().flatten() {
        lines.push(format!(
            "{} at position {}, tenant {}: {}",
            text(&fault["kind"]),
            text(&fault["position"]),
            text(&fault["tenant"]),
            text(&fault["message"]),
        ));
    }
    if replay["result"]["sound"] == true {
        lines.push(format!(
            "sound: {} events of {} tenants, {} checkpoints{}",
            report["events"],
            report["tenants"],
            report["checkpoints"],
            match report["signatures_checked"].as_bool() {
                Some(true) => "",
                _ => " (no keys to check signatures with)",
            },
        ));
    }
    lines.join("\n")
}

/// Whether it came to a good end.
fn verdict(replay: &Value) -> Result<(), Error> {
    if let Some(message) = replay["failure"]["message"].as_str() {
        return Err(Error::Central(format!("the replay failed: {message}")));
    }
    match replay["result"]["first_fault"]["position"].as_u64() {
        Some(position) => Err(Error::Tampered { position }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use serde_json::json;

    use super::{Options, What, pace, shown, verdict};
    use crate::{Cli, Command, admin::table::Format};

    fn parsed(line: &str) -> Result<Options, clap::Error> {
        match Cli::try_parse_from(line.split(' '))?.command {
            Command::Replay(options) => Ok(options),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_given_is_asked_for() {
        let line = "signet replay start count --tenant acme --stream role/shop/reader \
                    --event-type A --event-type B --after 3 --until 9 --until-version 2 --detach";
        let What::Start(start) = parsed(line).unwrap().what else {
            panic!("not a start")
        };
        assert!(start.detach);
        assert_eq!(
            start.body(),
            json!({
                "purpose": "count", "tenant": "acme", "stream": "role/shop/reader",
                "event_types": ["A", "B"], "after": 3, "until": 9, "until_version": 2,
                "until_time": null,
            })
        );
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        for wrong in [
            "signet replay start",
            "signet replay start delete",
            "signet replay start count --stream role/x",
            "signet replay start count --tenant acme --until-version 2",
            "signet replay cancel",
        ] {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_replay_is_told_in_a_few_lines() {
        let replay = json!({
            "id": "7", "purpose": "count", "state": "done", "read": 3, "total": 3, "position": 9,
            "result": { "events": 3, "by_type": { "A": 1, "B": 2 } },
        });
        let expected = "count 7: done, 3 of 3 events read, at position 9\n\
            \x20          1 A\n           2 B";
        assert_eq!(shown(&replay, Format::Table), expected);
        assert!(verdict(&replay).is_ok());
        let running = json!({ "events_per_second": 1234.5, "seconds_left": 6.4 });
        assert_eq!(pace(&running), "1234 events/s, 6 s left");
    }

    #[test]
    fn a_fault_is_named_and_fails_the_command() {
        let fault = json!({
            "kind": "changed", "position": 4, "tenant": "acme", "message": "it was changed",
        });
        let replay = json!({
            "id": "7", "purpose": "verify", "state": "done", "read": 3, "total": 3, "position": 9,
            "result": { "sound": false, "first_fault": fault, "report": { "faults": [fault] } },
        });
        let text = shown(&replay, Format::Table);
        assert!(
            text.ends_with("changed at position 4, tenant acme: it was changed"),
            "{text}"
        );
        let error = verdict(&replay).unwrap_err();
        assert_eq!(error.code(), "SIGNET-CLI-0009");
        let failed = json!({ "failure": { "message": "the database is away" } });
        assert!(verdict(&failed).unwrap_err().to_string().contains("away"));
    }
}
