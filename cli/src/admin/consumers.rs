//! `signet subscriptions` and `signet dead-letters`.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::{
    Shared,
    client::Client,
    number::number,
    path::{of, segment, with_query},
    table::{self, Column, Format},
};
use crate::{error::Error, output};

const SUBSCRIPTIONS: &str = "/api/v1/subscriptions";
const DEAD_LETTERS: &str = "/api/v1/dead-letters";

const COLUMNS: &[Column] = &[
    ("subscription", "/subscription"),
    ("paused", "/paused"),
    ("dead letters", "/dead_letters"),
    ("position", "/position"),
    ("events behind", "/lag_events"),
    ("seconds behind", "/lag_seconds"),
];
const LETTERS: &[Column] = &[
    ("id", "/id"),
    ("tenant", "/tenant"),
    ("event", "/event_type"),
    ("attempts", "/attempts"),
    ("last failure", "/last_failed_at"),
    ("held behind", "/held_behind"),
    ("error", "/error"),
];

/// Which subscription, and what with it.
#[derive(Debug, Args)]
pub struct SubscriptionOptions {
    #[command(subcommand)]
    what: Subscription,
    #[command(flatten)]
    shared: Shared,
}

#[derive(Debug, Subcommand)]
enum Subscription {
    /// All subscriptions; of their partitions the one that is furthest behind
    List,
    /// Everything about one, as JSON
    Show(Name),
    /// Have all replicas stop handling
    Pause(Name),
    /// Have all replicas go on, also where a partition has stopped
    Resume(Name),
}

#[derive(Debug, Args)]
struct Name {
    /// Name of the subscription
    name: String,
}

/// Which dead letters, and what with them.
#[derive(Debug, Args)]
pub struct DeadLetterOptions {
    #[command(subcommand)]
    what: DeadLetters,
    #[command(flatten)]
    shared: Shared,
}

#[derive(Debug, Subcommand)]
enum DeadLetters {
    /// Events that handlers gave up
    List {
        #[command(flatten)]
        filter: Filter,
        /// Begin behind this one
        #[arg(long, value_name = "ID")]
        after: Option<String>,
        /// How many at most
        #[arg(long, default_value_t = 100, value_parser = number, allow_negative_numbers = true)]
        limit: u64,
    },
    /// Hand events to their handlers again: one by its id, or all of a subscription or tenant
    #[command(override_usage = "signet dead-letters replay ID\n       \
        signet dead-letters replay [--subscription NAME] [--tenant NAME], at least one of them")]
    Replay(Chosen),
    /// Give events up for good: one by its id, or all of a subscription or tenant
    #[command(override_usage = "signet dead-letters drop ID\n       \
        signet dead-letters drop [--subscription NAME] [--tenant NAME], at least one of them")]
    Drop(Chosen),
}

#[derive(Debug, Args)]
struct Filter {
    /// Only those of this subscription
    #[arg(long, value_name = "NAME")]
    subscription: Option<String>,
    /// Only those of this tenant
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
}

impl Filter {
    fn parameters(&self) -> [(&'static str, Option<String>); 2] {
        [
            ("subscription", self.subscription.clone()),
            ("tenant", self.tenant.clone()),
        ]
    }
}

#[derive(Debug, Args)]
struct Chosen {
    /// Its id, as `list` shows it
    #[arg(required_unless_present_any = ["subscription", "tenant"],
          conflicts_with_all = ["subscription", "tenant"])]
    id: Option<String>,
    #[command(flatten)]
    filter: Filter,
}

/// Does what was asked for.
///
/// # Errors
/// Central cannot be reached, or refuses.
pub async fn subscriptions(options: SubscriptionOptions) -> Result<(), Error> {
    let client = Client::new(&options.shared.connection)?;
    let path = |Name { name }: &Name| format!("{SUBSCRIPTIONS}/{}", segment(name));
    let format = options.shared.output;
    let changed = match &options.what {
        Subscription::List => {
            let answer = client.get(SUBSCRIPTIONS).await?;
            table::list(&answer, "subscriptions", COLUMNS, format);
            return Ok(());
        }
        // Its partitions are in no table.
        Subscription::Show(name) => {
            let answer = client.get(&path(name)).await?;
            output::line(&format!("{answer:#}"));
            return Ok(());
        }
        Subscription::Pause(name) => client.post(&format!("{}/pause", path(name)), None).await?,
        Subscription::Resume(name) => client.post(&format!("{}/resume", path(name)), None).await?,
    };
    let shown = match format {
        Format::Table => json!({ "subscriptions": [changed] }),
        Format::Json => changed,
    };
    table::list(&shown, "subscriptions", COLUMNS, format);
    Ok(())
}

/// Does what was asked for.
///
/// # Errors
/// Central cannot be reached, refuses, or does not know yet what came of a replay.
pub async fn dead_letters(options: DeadLetterOptions) -> Result<(), Error> {
    let client = Client::new(&options.shared.connection)?;
    let (method, path) = call(&options.what);
    let answer = match method {
        Method::Get => {
            let answer = client.get(&path).await?;
            table::list(&answer, "dead_letters", LETTERS, options.shared.output);
            table::tell_more(&answer, "--after");
            return Ok(());
        }
        Method::Post => match &options.what {
            DeadLetters::Replay(Chosen { id: None, filter }) => replay_all(&client, filter).await?,
            _ => client.post(&path, None).await?,
        },
        Method::Delete => client.delete(&path).await?,
    };
    output::line(&told(&answer, options.shared.output));
    known(&answer)
}

/// Round after round, for each is bounded; what came of all of them together.
async fn replay_all(client: &Client, filter: &Filter) -> Result<Value, Error> {
    let mut parameters = filter.parameters().to_vec();
    let mut all = Map::new();
    let mut after = None;
    loop {
        let path = with_query(&format!("{DEAD_LETTERS}/replay"), &parameters);
        let round = client.post(&path, None).await?;
        match add(&mut all, &round) {
            Round::Last => return Ok(Value::Object(all)),
            Round::Next(next) if next.is_some() && next != after => after = next,
            Round::Next(_) => {
                let so_far = told(&Value::Object(all), Format::Table);
                let what = format!("central did not get on ({so_far}); repeat it later");
                return Err(Error::Unfinished(what));
            }
        }
        parameters.truncate(2);
        parameters.push(("after", after.clone()));
    }
}

/// What follows a round.
#[derive(Debug, PartialEq, Eq)]
enum Round {
    /// Nothing: it was the last one.
    Last,
    /// Another one behind this letter, if it got as far as any.
    Next(Option<String>),
}

/// Whether all came to a good end; letters that are still being handled may fail again.
fn known(answer: &Value) -> Result<(), Error> {
    if let Some(failed) = answer["failed"].as_u64().filter(|failed| *failed > 0) {
        let what = format!("{failed} failed again; `signet dead-letters list` says why");
        return Err(Error::Unfinished(what));
    }
    let ids = match &answer["replaying"] {
        Value::String(id) => vec![id.as_str()],
        Value::Array(ids) => ids.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    match ids.is_empty() {
        true => Ok(()),
        false => Err(Error::Unfinished(format!(
            "still being handled: {}; `signet dead-letters list` shows whether they failed again",
            ids.join(", ")
        ))),
    }
}

/// Adds what came of a round to that of those before.
fn add(all: &mut Map<String, Value>, round: &Value) -> Round {
    for name in ["handled", "failed", "held_back", "skipped"] {
        let before = all.get(name).and_then(Value::as_u64).unwrap_or_default();
        let now = round[name].as_u64().unwrap_or_default();
        all.insert(name.into(), (before + now).into());
    }
    let elsewhere = round["elsewhere"].as_array().into_iter().flatten();
    let elsewhere = elsewhere.map(|one| ("elsewhere", one));
    let replaying = round["replaying"].as_str().is_some();
    let replaying = replaying.then(|| ("replaying", &round["replaying"]));
    for (name, value) in elsewhere.chain(replaying) {
        let listed = all.entry(name).or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(listed) = listed {
            listed.push(value.clone());
        }
    }
    match round["end"].as_bool() {
        Some(true) => Round::Last,
        _ => Round::Next(round["next"].as_str().map(str::to_owned)),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    Get,
    Post,
    Delete,
}

fn call(what: &DeadLetters) -> (Method, String) {
    let one = |id: &str| format!("{DEAD_LETTERS}/{}", segment(id));
    match what {
        DeadLetters::List {
            filter,
            after,
            limit,
        } => {
            let parameters = [
                ("subscription", filter.subscription.clone()),
                ("after", after.clone()),
                ("limit", Some(limit.to_string())),
            ];
            let path = of(filter.tenant.as_deref(), "dead-letters");
            (Method::Get, with_query(&path, &parameters))
        }
        DeadLetters::Replay(Chosen { id: Some(id), .. }) => {
            (Method::Post, format!("{}/replay", one(id)))
        }
        DeadLetters::Replay(Chosen { filter, .. }) => {
            let path = format!("{DEAD_LETTERS}/replay");
            (Method::Post, with_query(&path, &filter.parameters()))
        }
        DeadLetters::Drop(Chosen { id: Some(id), .. }) => (Method::Delete, one(id)),
        DeadLetters::Drop(Chosen { filter, .. }) => (
            Method::Delete,
            with_query(DEAD_LETTERS, &filter.parameters()),
        ),
    }
}

/// What came of it, in one line.
fn told(answer: &Value, format: Format) -> String {
    match answer.as_object() {
        Some(members) if format == Format::Table => members
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_string().trim_matches('"')))
            .collect::<Vec<_>>()
            .join(", "),
        _ => format!("{answer:#}"),
    }
}

#[cfg(test)]
mod tests;
