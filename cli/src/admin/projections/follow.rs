//! How far a refresh or a rebuild is, shown until it has come to its end.

use std::time::Duration;

use serde_json::Value;

use crate::{
    admin::client::{Client, RESTART},
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
    /// The documents that were built beside the others are asked.
    Rebuilt,
}

impl Goal {
    /// Everything that is stored when its status is told.
    pub(super) fn of_refresh(status: &Value) -> Self {
        Self::Reached(status["head"].as_u64().unwrap_or(0))
    }

    fn name(&self) -> &str {
        match self {
            Self::Reached(_) => "refresh",
            Self::Rebuilt => "rebuild",
        }
    }
}

/// Shows how far a projection is until its goal. Ctrl-C ends the showing and nothing else.
pub(super) async fn follow(
    client: &Client,
    path: &str,
    goal: &Goal,
    begun: Value,
) -> Result<Value, Error> {
    let progress = Progress::begin();
    let mut status = begun;
    loop {
        match step(&status, goal) {
            Step::Done => {
                progress.end();
                return Ok(status);
            }
            Step::Stopped(why) => {
                progress.end();
                return Err(Error::Central(why));
            }
            Step::On {
                done,
                total,
                remark,
            } => progress.show(done, total, &remark),
        }
        let next = async {
            tokio::time::sleep(PAUSE).await;
            client.get_after(RESTART, path).await
        };
        status = tokio::select! {
            next = next => next?,
            _ = tokio::signal::ctrl_c() => {
                progress.end();
                output::note(&how_to_look(&status, goal));
                return Ok(status);
            }
        };
    }
}

pub(super) fn how_to_look(status: &Value, goal: &Goal) -> String {
    format!(
        "the {} goes on; `signet projections show {}` tells how far it is",
        goal.name(),
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
    let (documents, total) = match goal {
        Goal::Reached(wanted) => (&status["active"], Some(*wanted)),
        Goal::Rebuilt => (&status["building"], status["head"].as_u64()),
    };
    let done = documents["position"].as_u64().unwrap_or(0);
    let is_done = match goal {
        Goal::Reached(wanted) => done >= *wanted,
        Goal::Rebuilt => documents.is_null(),
    };
    if is_done {
        return Step::Done;
    }
    if let Some(why) = stopped(status, documents, goal) {
        return Step::Stopped(why);
    }
    let rate = documents["events_per_second"].as_u64().unwrap_or(0);
    let left = total.unwrap_or(0).saturating_sub(done).checked_div(rate);
    let remark = match left {
        Some(left) => format!("{rate} events/s, {left} s left"),
        None => format!("{rate} events/s"),
    };
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
        (Some(_), Goal::Rebuilt) => true,
    };
    let failure = failures.find(|failure| matters(failure))?;
    let position = &failure["position"];
    let message = failure["message"].as_str().unwrap_or("no reason given");
    let given_up = match goal {
        Goal::Reached(_) => String::new(),
        Goal::Rebuilt => format!(", `signet projections cancel-rebuild {name}` gives it up"),
    };
    Some(format!(
        "the {what} does not go on: the event at position {position}: {message}; `signet projections \
         resume {name}` tries again{given_up}"
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Goal, Step, step};

    /// A projection at position 300 of 900, whose documents are under this name.
    fn status(documents: &str) -> Value {
        let parts = json!([{ "failure": null }, { "failure": null }]);
        json!({
            "projection": "allocations", "state": "running", "head": 900,
            documents: { "position": 300, "events_per_second": 200, "partitions": parts },
        })
    }

    fn on(total: u64, remark: &str) -> Step {
        Step::On {
            done: 300,
            total: Some(total),
            remark: remark.to_owned(),
        }
    }

    #[test]
    fn a_rebuild_is_followed_until_its_documents_are_asked() {
        let mut status = status("building");
        assert_eq!(
            step(&status, &Goal::Rebuilt),
            on(900, "200 events/s, 3 s left")
        );
        status["building"]["events_per_second"] = json!(0);
        assert_eq!(step(&status, &Goal::Rebuilt), on(900, "0 events/s"));
        status["building"] = json!(null);
        assert_eq!(step(&status, &Goal::Rebuilt), Step::Done);
    }

    #[test]
    fn a_refresh_is_followed_until_what_was_stored_at_its_beginning() {
        let mut status = status("active");
        let goal = Goal::of_refresh(&status);
        status["head"] = json!(1500);
        assert_eq!(step(&status, &goal), on(900, "200 events/s, 3 s left"));
        status["active"]["position"] = json!(900);
        assert_eq!(step(&status, &goal), Step::Done);
    }

    #[test]
    fn what_cannot_go_on_is_not_waited_for() {
        for (documents, goal, is_given_up) in [
            ("building", Goal::Rebuilt, true),
            ("active", Goal::Reached(900), false),
        ] {
            let mut status = status(documents);
            let failure = json!({ "position": 7, "message": "it makes no sense" });
            status[documents]["partitions"][1]["failure"] = failure;
            let Step::Stopped(why) = step(&status, &goal) else {
                panic!("it has failed")
            };
            assert!(
                why.contains("the event at position 7: it makes no sense"),
                "{why}"
            );
            assert_eq!(
                why.contains("cancel-rebuild allocations"),
                is_given_up,
                "{why}"
            );
            status[documents]["partitions"][1]["failure"]["position"] = json!(901);
            let is_beyond = goal != Goal::Rebuilt;
            assert_eq!(matches!(step(&status, &goal), Step::On { .. }), is_beyond);
            status["state"] = json!("paused");
            let Step::Stopped(why) = step(&status, &goal) else {
                panic!("it is paused")
            };
            assert!(
                why.contains("signet projections resume allocations"),
                "{why}"
            );
        }
    }
}
