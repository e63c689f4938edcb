//! `signet projections`: where they stand, paused, resumed, and with a bar brought up to date and built anew.

mod follow;

use clap::{Args, Subcommand};
use serde_json::Value;

use self::follow::{Goal, follow, how_to_look};
use super::{
    Shared,
    client::Client,
    path::segment,
    table::{self, Column, Format},
};
use crate::{error::Error, output};

const PROJECTIONS: &str = "/api/v1/projections";

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
    /// Wait until it has applied everything that is stored now
    Refresh(Name),
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
    /// Have all replicas forget the documents they keep in memory, and read them again
    ClearCache(Name),
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

    fn path_of(&self, deed: &str) -> String {
        format!("{}/{deed}", self.path())
    }
}

/// Does what was asked for.
///
/// # Errors
/// Central cannot be reached or refuses, or a refresh or rebuild cannot go on.
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
        What::Refresh(name) => {
            let path = name.path();
            let status = client.get(&path).await?;
            let goal = Goal::of_refresh(&status)?;
            follow(&client, &path, &goal, status).await?
        }
        What::Rebuild { name, detach } => {
            let path = name.path();
            let begun = client.post(&format!("{path}/rebuild"), None).await?;
            if *detach {
                output::note(&how_to_look(&begun));
                begun
            } else {
                let goal = Goal::of_rebuild(&begun)?;
                follow(&client, &path, &goal, begun).await?
            }
        }
        What::CancelRebuild(name) => client.delete(&name.path_of("rebuild")).await?,
        What::Clear(name) => client.post(&name.path_of("clear"), None).await?,
        What::ClearCache(name) => client.post(&name.path_of("clear-cache"), None).await?,
        What::Pause(name) => client.post(&name.path_of("pause"), None).await?,
        What::Resume(name) => client.post(&name.path_of("resume"), None).await?,
    };
    output::line(&told(&answer, format));
    Ok(())
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

    use super::{Name, Options, What, told};
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
            "refresh",
            "rebuild",
            "cancel-rebuild",
            "clear",
            "clear-cache",
            "pause",
            "resume",
            "drop x",
        ] {
            let line = format!("signet projections {deed}");
            assert!(parsed(&line).is_err(), "{line}");
        }
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
