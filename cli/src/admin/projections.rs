//! `signet projections`: where they stand, paused, resumed, and built anew with a bar.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::{
    Shared,
    client::Client,
    path::segment,
    table::{self, Column, Format},
};
use crate::{
    error::Error,
    output::{self, Progress},
};

const PROJECTIONS: &str = "/api/v1/projections";

/// How often it is asked how far a rebuild is.
const PAUSE: Duration = Duration::from_millis(250);

const COLUMNS: &[Column] = &[
    ("projection", "/projection"),
    ("state", "/state"),
    ("version", "/active/version"),
    ("documents", "/active/documents"),
    ("position", "/active/position"),
    ("events behind", "/active/lag_events"),
    ("seconds behind", "/active/lag_seconds"),
];

/// Which projection, and what with it.
#[derive(Debug, Args)]
pub struct Options {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    shared: Shared,
}

#[derive(Debug, Subcommand)]
enum What {
    /// All projections
    List,
    /// Everything about one, as JSON
    Show(Name),
    /// Build its documents anew beside those that are asked, and follow that to its end
    Rebuild {
        #[command(flatten)]
        name: Name,
        /// Do not wait for the end
        #[arg(long)]
        detach: bool,
    },
    /// Give up a rebuild that does not go on; the documents that are asked stay
    CancelRebuild(Name),
    /// Take its documents away at once; they are built again
    Clear(Name),
    /// Have all replicas stop applying events; its documents can be asked as they are
    Pause(Name),
    /// Have all replicas go on, also behind an event that failed
    Resume(Name),
}

#[derive(Debug, Args)]
struct Name {
    /// Name of the projection
    name: String,
}

impl Name {
    fn path(&self) -> String {
        format!("{PROJECTIONS}/{}", segment(&self.name))
    }
}

/// Does what was asked for.
///
/// # Errors
/// Central cannot be reached or refuses, or a rebuild cannot go on.
pub async fn run(options: Options) -> Result<(), Error> {
    let client = Client::new(&options.shared.connection)?;
    let format = options.shared.output;
    let answer = match &options.what {
        What::List => {
            let answer = client.get(PROJECTIONS).await?;
            table::list(&answer, "projections", COLUMNS, format);
            return Ok(());
        }
        What::Show(name) => {
            let answer = client.get(&name.path()).await?;
            output::line(&format!("{answer:#}"));
            return Ok(());
        }
        What::Rebuild { name, detach } => {
            let path = name.path();
            let begun = client.post(&format!("{path}/rebuild"), None).await?;
            if *detach {
                output::note(&how_to_look(&name.name));
                begun
            } else {
                follow(&client, &name.name, &path, begun).await?
            }
        }
        What::CancelRebuild(name) => client.delete(&format!("{}/rebuild", name.path())).await?,
        What::Clear(name) => client.post(&format!("{}/clear", name.path()), None).await?,
        What::Pause(name) => client.post(&format!("{}/pause", name.path()), None).await?,
        What::Resume(name) => {
            let path = format!("{}/resume", name.path());
            client.post(&path, None).await?
        }
    };
    output::line(&told(&answer, format));
    Ok(())
}

/// Shows how far a rebuild is until its documents are asked. Ctrl-C ends the showing and not the rebuild.
async fn follow(client: &Client, name: &str, path: &str, begun: Value) -> Result<Value, Error> {
    let progress = Progress::begin();
    let mut status = begun;
    loop {
        match step(&status) {
            Step::Built => {
                progress.end();
                return Ok(status);
            }
            Step::Stopped(why) => {
                progress.end();
                return Err(Error::Central(format!(
                    "the rebuild does not go on: {why}; `signet projections resume {name}` tries again, \
                     `signet projections cancel-rebuild {name}` gives it up"
                )));
            }
            Step::Building {
                done,
                total,
                remark,
            } => progress.show(done, total, &remark),
        }
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {
                progress.end();
                output::note(&how_to_look(name));
                return Ok(status);
            }
            () = tokio::time::sleep(PAUSE) => {}
        }
        status = client.get(path).await?;
    }
}

fn how_to_look(name: &str) -> String {
    format!("the rebuild goes on; `signet projections show {name}` tells how far it is")
}

/// How a rebuild stands.
#[derive(Debug, PartialEq)]
enum Step {
    Building {
        done: u64,
        total: Option<u64>,
        remark: String,
    },
    Built,
    Stopped(String),
}

fn step(status: &Value) -> Step {
    let building = &status["building"];
    if building.is_null() {
        return Step::Built;
    }
    if status["state"] == "paused" {
        let name = status["projection"].as_str().unwrap_or_default();
        let why = format!("it is paused; `signet projections resume {name}` lets it");
        return Step::Stopped(why);
    }
    let partitions = building["partitions"].as_array();
    let mut failures = partitions.into_iter().flatten().map(|one| &one["failure"]);
    if let Some(failure) = failures.find(|failure| !failure.is_null()) {
        let position = &failure["position"];
        let message = failure["message"].as_str().unwrap_or("no reason given");
        return Step::Stopped(format!("the event at position {position}: {message}"));
    }
    let done = building["position"].as_u64().unwrap_or(0);
    let total = status["head"].as_u64();
    let rate = building["events_per_second"].as_u64().unwrap_or(0);
    let left = total.unwrap_or(0).saturating_sub(done).checked_div(rate);
    let remark = match left {
        Some(left) => format!("{rate} events/s, {left} s left"),
        None => format!("{rate} events/s"),
    };
    Step::Building {
        done,
        total,
        remark,
    }
}

/// A projection in one line.
fn told(status: &Value, format: Format) -> String {
    if format == Format::Json {
        return format!("{status:#}");
    }
    let text = |pointer: &str| match status.pointer(pointer) {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let line = format!(
        "{}: {}, {} documents at position {} of {}",
        text("/projection"),
        text("/state"),
        text("/active/documents"),
        text("/active/position"),
        text("/head"),
    );
    match status["reason"].as_str() {
        Some(reason) => format!("{line}; {reason}"),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use serde_json::json;

    use super::{Name, Options, Step, What, step, told};
    use crate::{Cli, Command, admin::table::Format};

    fn parsed(line: &str) -> Result<Options, clap::Error> {
        match Cli::try_parse_from(line.split(' '))?.command {
            Command::Projections(options) => Ok(options),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_rebuild_is_followed_unless_it_is_not_wanted() {
        let line = "signet projections rebuild allocations";
        for (line, expected) in [(line.to_owned(), false), (format!("{line} --detach"), true)] {
            let What::Rebuild { name, detach } = parsed(&line).unwrap().what else {
                panic!("no rebuild: {line}")
            };
            assert_eq!(detach, expected);
            assert_eq!(name.path(), "/api/v1/projections/allocations");
        }
        let name = Name { name: "a/b".into() };
        assert_eq!(name.path(), "/api/v1/projections/a%2Fb");
    }

    #[test]
    fn nothing_is_done_without_saying_to_what() {
        for deed in [
            "show",
            "rebuild",
            "cancel-rebuild",
            "clear",
            "pause",
            "resume",
            "drop x",
        ] {
            let line = format!("signet projections {deed}");
            assert!(parsed(&line).is_err(), "{line}");
        }
    }

    #[test]
    fn a_rebuild_is_followed_until_its_documents_are_asked() {
        let mut status = json!({
            "projection": "allocations", "state": "building", "head": 900,
            "building": {
                "position": 300, "events_per_second": 200, "partitions": [{ "failure": null }],
            },
        });
        let building = |remark: &str| Step::Building {
            done: 300,
            total: Some(900),
            remark: remark.to_owned(),
        };
        assert_eq!(step(&status), building("200 events/s, 3 s left"));
        status["building"]["events_per_second"] = json!(0);
        assert_eq!(step(&status), building("0 events/s"));
        status["building"] = json!(null);
        assert_eq!(step(&status), Step::Built);
    }

    #[test]
    fn a_rebuild_that_cannot_go_on_is_not_waited_for() {
        let failure = json!({ "position": 7, "message": "it makes no sense" });
        let mut status = json!({
            "projection": "allocations", "state": "building", "head": 900,
            "building": { "position": 6, "partitions": [{ "failure": failure }] },
        });
        let why = "the event at position 7: it makes no sense";
        assert_eq!(step(&status), Step::Stopped(why.to_owned()));
        status["state"] = json!("paused");
        let Step::Stopped(why) = step(&status) else {
            panic!("it is paused")
        };
        assert!(
            why.contains("signet projections resume allocations"),
            "{why}"
        );
    }

    #[test]
    fn a_projection_is_one_line() {
        let mut status = json!({
            "projection": "allocations", "state": "running", "head": 9, "reason": null,
            "active": { "documents": 4, "position": 8 },
        });
        let line = "allocations: running, 4 documents at position 8 of 9";
        assert_eq!(told(&status, Format::Table), line);
        status["reason"] = json!("it was paused");
        assert_eq!(
            told(&status, Format::Table),
            format!("{line}; it was paused")
        );
        assert!(told(&status, Format::Json).starts_with('{'));
    }
}
