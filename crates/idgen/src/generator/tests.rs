//! Given events, when a command, then events or a refusal.

mod allocation;
mod declaration;
mod properties;

use time::OffsetDateTime;
use time::macros::datetime;

use super::{
    Algorithm, Buffer, Command, Context, Event, Reason, Refusal, Segment, Snowflake, Spec, State,
    decide, evolve,
};

const NOW: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);
const CONTEXT: Context = Context {
    tenant_open: true,
    namespace_admitted: true,
    now: NOW,
};

fn segment(start: u64, max: u64, step: u64) -> Spec {
    Spec {
        algorithm: Algorithm::Segment(Segment { start, max, step }),
        buffer: Buffer::default(),
    }
}

fn snowflake(epoch: &str, bits: &str) -> Spec {
    let snowflake = Snowflake {
        epoch: epoch.into(),
        bits: bits.into(),
    };
    Spec {
        algorithm: Algorithm::Snowflake(snowflake),
        buffer: Buffer::default(),
    }
}

fn declare(namespace: &str, spec: Spec) -> Command {
    Command::Declare {
        namespace: namespace.into(),
        spec,
        context: CONTEXT,
    }
}

fn remove(namespace: &str) -> Command {
    Command::Remove {
        namespace: namespace.into(),
    }
}

fn allocate(namespace: &str, count: u64) -> Command {
    Command::Allocate {
        namespace: namespace.into(),
        count,
        owner: "pod".into(),
    }
}

fn after(events: &[Event]) -> State {
    events.iter().fold(State::default(), evolve)
}

/// The state after commands, each of which must be carried out.
fn given(commands: impl IntoIterator<Item = Command>) -> State {
    commands
        .into_iter()
        .fold(State::default(), |state, command| {
            let events = decide(&state, command).unwrap();
            events.iter().fold(state, evolve)
        })
}

fn refusal(state: &State, command: Command) -> Refusal {
    decide(state, command).expect_err("the command is refused")
}

/// The ids of the one range that is allocated.
fn allocated(state: &State, command: Command) -> std::ops::Range<u64> {
    match decide(state, command).as_deref() {
        Ok([Event::RangeAllocated { range, .. }]) => range.start..range.end,
        other => panic!("not one range: {other:?}"),
    }
}

fn reason(state: &State, command: Command) -> (Reason, Option<String>, bool) {
    let refusal = refusal(state, command);
    (refusal.reason, refusal.field, refusal.may_heal)
}
