//! `signet events`: what happened, as it happens, and whether it was left as it was.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::{
    Shared,
    client::{Client, RESTART},
    interruption::interruption,
    number::number,
    path::{of, with_query},
    table::{self, Column, Format},
    verify,
};
use crate::{error::Error, output};

/// How long nothing is asked after there was nothing new.
const PAUSE: Duration = Duration::from_millis(500);

const COLUMNS: &[Column] = &[
    ("position", "/position"),
    ("time", "/recorded_at"),
    ("tenant", "/tenant"),
    ("event", "/event_type"),
    ("stream", "/stream_type"),
    ("id", "/stream_id"),
    ("version", "/stream_version"),
];

/// Which events, and what with them.
#[derive(Debug, Args)]
pub struct Options {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    shared: Shared,
}

#[derive(Debug, Subcommand)]
enum What {
    /// One page of the events that fit, oldest first
    List {
        #[command(flatten)]
        filter: Filter,
        /// Recorded at this time or later (RFC 3339)
        #[arg(long, value_name = "TIME")]
        from: Option<String>,
        /// Recorded before this time (RFC 3339)
        #[arg(long, value_name = "TIME")]
        until: Option<String>,
        /// Only positions above this one
        #[arg(long, value_name = "POSITION", value_parser = number, allow_negative_numbers = true)]
        after: Option<u64>,
        /// Only positions below this one
        #[arg(long, value_name = "POSITION", value_parser = number, allow_negative_numbers = true)]
        before: Option<u64>,
        /// How many at most
        #[arg(long, default_value_t = 100, value_parser = number, allow_negative_numbers = true)]
        limit: u64,
        /// The newest first
        #[arg(long)]
        backward: bool,
    },
    /// Events as they come, until Ctrl-C; goes on when central is back within ten minutes
    Tail {
        #[command(flatten)]
        filter: Filter,
        /// Begin behind this position instead of at the end
        #[arg(long, value_name = "POSITION", value_parser = number, allow_negative_numbers = true)]
        after: Option<u64>,
    },
    /// Verify hash chains and checkpoints; fails and names the first fault if there is one
    Verify(verify::Options),
}

#[derive(Debug, Args)]
struct Filter {
    /// Only events of this tenant
    #[arg(long)]
    tenant: Option<String>,
    /// Only these types, with commas between
    #[arg(long = "type", value_name = "TYPES")]
    types: Option<String>,
    /// Only streams of this type, such as role
    #[arg(long)]
    stream_type: Option<String>,
    /// Only the stream with this id
    #[arg(long)]
    stream_id: Option<String>,
    /// Only what the request with this id (x-request-id) caused
    #[arg(long, value_name = "ID")]
    correlation_id: Option<String>,
}

impl Filter {
    fn path(&self) -> String {
        of(self.tenant.as_deref(), "events")
    }

    fn parameters(&self) -> Vec<(&'static str, Option<String>)> {
        vec![
            ("type", self.types.clone()),
            ("stream_type", self.stream_type.clone()),
            ("stream_id", self.stream_id.clone()),
            ("correlation_id", self.correlation_id.clone()),
        ]
    }
}

/// Does what was asked for.
///
/// # Errors
/// Central or the database cannot be reached, or holds events that were tampered with.
pub async fn run(options: Options) -> Result<(), Error> {
    let (connection, format) = (&options.shared.connection, options.shared.output);
    match options.what {
        What::Tail { filter, after } => {
            let client = Client::new(connection)?;
            tokio::select! {
                failed = tail(&client, &filter, after, format) => failed,
                () = interruption() => Ok(()),
            }
        }
        What::Verify(asked) => verify::run(asked, connection, format).await,
        What::List { backward, .. } => {
            let client = Client::new(connection)?;
            let answer = client.get(&list_path(&options.what)).await?;
            table::list(&answer, "events", COLUMNS, format);
            table::tell_more(&answer, if backward { "--before" } else { "--after" });
            Ok(())
        }
    }
}

fn list_path(what: &What) -> String {
    let What::List {
        filter,
        from,
        until,
        after,
        before,
        limit,
        backward,
    } = what
    else {
        return String::new();
    };
    let mut parameters = filter.parameters();
    parameters.extend([
        ("from", from.clone()),
        ("until", until.clone()),
        ("after", after.map(|after| after.to_string())),
        ("before", before.map(|before| before.to_string())),
        ("limit", Some(limit.to_string())),
        ("direction", backward.then(|| "backward".to_owned())),
    ]);
    with_query(&filter.path(), &parameters)
}

/// Asks for what is new again and again, also of a central that was started anew.
async fn tail(
    client: &Client,
    filter: &Filter,
    after: Option<u64>,
    format: Format,
) -> Result<(), Error> {
    let mut after = match after {
        Some(after) => after,
        None => end(client, filter).await?,
    };
    let path = |after: u64| {
        let mut parameters = filter.parameters();
        parameters.push(("after", Some(after.to_string())));
        with_query(&filter.path(), &parameters)
    };
    // Whoever begins with a wrong address hears of it at once.
    let mut page = client.get(&path(after)).await?;
    loop {
        for event in page["events"].as_array().into_iter().flatten() {
            output::line(&line(event, format));
        }
        after = page["next"].as_u64().unwrap_or(after);
        if page["end"] != false {
            tokio::time::sleep(PAUSE).await;
        }
        let next = client.get_after(RESTART, &path(after), output::note).await;
        page = next.inspect_err(|_| {
            output::note(&format!("`--after {after}` goes on behind what was shown"));
        })?;
    }
}

/// Where the events end now, of the tenant or of all.
async fn end(client: &Client, filter: &Filter) -> Result<u64, Error> {
    let newest = format!("{}?direction=backward&limit=1", filter.path());
    let newest = client.get(&newest).await?;
    Ok(newest["events"][0]["position"].as_u64().unwrap_or(0))
}

fn line(event: &Value, format: Format) -> String {
    match format {
        Format::Json => event.to_string(),
        Format::Table => table::row(event, COLUMNS).join("   "),
    }
}

#[cfg(test)]
mod tests;
