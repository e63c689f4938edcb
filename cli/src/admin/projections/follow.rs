//! How far a refresh or a rebuild is, shown until it has come to its end.
//!
//! It is asked again and again where things stand, also for a refresh, though central could be asked to
//! answer at its end: the bar needs it, and a wait in central does not outlast a restart of it.

use std::{pin::pin, time::Duration};

use serde_json::Value;

use crate::{
    admin::{
        client::{Client, RESTART},
        interruption::interruption,
    },
    error::Error,
    output::{self, Progress},
};

/// How often it is asked how far it is.
const PAUSE: Duration = Duration::from_millis(250);

/// What is waited for.
#[derive(Debug, PartialEq)]
pub(super) enum Goal {
    /// The documents that are asked are as of this position, or later.
    Reached(u64),
    /// The documents of this number, built beside the others, are asked.
    Rebuilt(u64),
}

impl Goal {
    /// Everything that is stored when this status is told.
    pub(super) fn of_refresh(status: &Value) -> Result<Self, Error> {
        Ok(Self::Reached(number(&status["head"])?))
    }

    /// What is built when this status is told; what was built if that is over already.
    pub(super) fn of_rebuild(status: &Value) -> Result<Self, Error> {
        let documents = match &status["building"] {
            Value::Null => &status["active"],
            building => building,
        };
        Ok(Self::Rebuilt(number(&documents["generation"])?))
    }

    fn name(&self) -> &str {
        match self {
            Self::Reached(_) => "refresh",
            Self::Rebuilt(_) => "rebuild",
        }
    }
}

fn number(value: &Value) -> Result<u64, Error> {
    let missing = || Error::Central("this is no answer about a projection".to_owned());
    value.as_u64().ok_or_else(missing)
}

/// Shows how far a projection is until its goal. Ctrl-C ends the showing and nothing else; whoever waited for
/// the outcome has none then.
pub(super) async fn follow(
    client: &Client,
    path: &str,
    goal: &Goal,
    begun: Value,
) -> Result<Value, Error> {
    follow_until(client, path, goal, begun, interruption()).await
}

async fn follow_until(
    client: &Client,
    path: &str,
    goal: &Goal,
    begun: Value,
    interrupted: impl Future<Output = ()>,
) -> Result<Value, Error> {
    let mut interrupted = pin!(interrupted);
    let progress = Progress::begin();
    let mut status = begun;
    let failed = loop {
        match step(&status, goal) {
            Step::Done => {
                progress.end();
                return Ok(status);
            }
            Step::Stopped(why) => {
                progress.end();
                return Err(Error::Unfinished(why));
            }
            Step::On {
                done,
                total,
                remark,
            } => progress.show(done, total, &remark),
        }
        let next = async {
            tokio::time::sleep(PAUSE).await;
            let tell = |text: &str| progress.note(text);
            client.get_after(RESTART, path, tell).await
        };
        let next = tokio::select! {
            biased;
            () = &mut interrupted => {
                let what = format!("the {} is not over, and its outcome not known", goal.name());
                Err(Error::Unfinished(what))
            }
            next = next => next,
        };
        match next {
            Ok(next) => status = next,
            Err(error) => break error,
        }
    };
    progress.end();
    output::note(&how_to_look(&status));
    Err(failed)
}

pub(super) fn how_to_look(status: &Value) -> String {
    format!(
        "the projection goes on by itself; `signet projections show {}` tells how far it is",
        name(status)
    )
}

fn name(status: &Value) -> &str {
    status["projection"].as_str().unwrap_or_default()
}

/// How it stands.
#[derive(Debug, PartialEq)]
enum Step {
    On {
        done: u64,
        total: Option<u64>,
        remark: String,
    },
    Done,
    Stopped(String),
}

fn step(status: &Value, goal: &Goal) -> Step {
    let (active, building) = (&status["active"], &status["building"]);
    let is_done = match goal {
        Goal::Reached(wanted) => active["position"].as_u64() >= Some(*wanted),
        Goal::Rebuilt(wanted) => active["generation"].as_u64() == Some(*wanted),
    };
    if is_done {
        return Step::Done;
    }
    let (documents, total) = match goal {
        Goal::Reached(wanted) => (active, Some(*wanted)),
        Goal::Rebuilt(wanted) => {
            if building["generation"].as_u64() != Some(*wanted) {
                return Step::Stopped(format!(
                    "somebody gave the rebuild up, or put other documents in its place; `signet projections \
                     show {}` tells how it stands",
                    name(status)
                ));
            }
            (building, status["head"].as_u64())
        }
    };
    if let Some(why) = stopped(status, documents, goal) {
        return Step::Stopped(why);
    }
    let done = documents["position"].as_u64().unwrap_or(0);
    let rate = documents["events_per_second"].as_u64().unwrap_or(0);
    let left = total.unwrap_or(0).saturating_sub(done).checked_div(rate);
    let mut remark = match left {
        Some(left) => format!("{rate} events/s, {left} s left"),
        None => format!("{rate} events/s"),
    };
    // Of a rebuild it says what the bar shows.
    if let (Goal::Reached(_), Some(reason)) = (goal, status["reason"].as_str()) {
        remark = format!("{remark}; {reason}");
    }
    Step::On {
        done,
        total,
        remark,
    }
}

/// Why it does not go on, if it does not, and how to mend it.
fn stopped(status: &Value, documents: &Value, goal: &Goal) -> Option<String> {
    let (name, what) = (name(status), goal.name());
    if status["state"] == "paused" {
        return Some(format!(
            "the {what} does not go on: it is paused; `signet projections resume {name}` lets it"
        ));
    }
    let partitions = documents["partitions"].as_array();
    let mut failures = partitions.into_iter().flatten().map(|one| &one["failure"]);
    let matters = |failure: &Value| match (failure["position"].as_u64(), goal) {
        (None, _) => false,
        (Some(position), Goal::Reached(wanted)) => position <= *wanted,
        (Some(_), Goal::Rebuilt(_)) => true,
    };
    let failure = failures.find(|failure| matters(failure))?;
    let position = &failure["position"];
    let message = failure["message"].as_str().unwrap_or("no reason given");
    let given_up = match goal {
        Goal::Reached(_) => String::new(),
        Goal::Rebuilt(_) => format!(", `signet projections cancel-rebuild {name}` gives it up"),
    };
    Some(format!(
        "the {what} does not go on: the event at position {position}: {message}; `signet projections \
         resume {name}` tries again{given_up}"
    ))
}

#[cfg(test)]
mod tests;
