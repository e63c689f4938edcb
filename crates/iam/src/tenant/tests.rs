//! Given events, when a command, then events.

mod declaring;
mod keys;
mod schedule;

use std::collections::BTreeSet;

use time::macros::datetime;
use time::{Duration, OffsetDateTime};
use token::{Algorithm, Jwk};

use super::{Command, Event, KeySettings, Spec, State, TokenSettings, decide, evolve};
use crate::refusal::{Reason, Refusal};

const START: OffsetDateTime = datetime!(2026-11-21 10:00 UTC);
const LIFETIME: u64 = 900;
const OVERLAP: u64 = 86_400;
const ROTATION: u64 = 30 * 86_400;

fn spec() -> Spec {
    Spec {
        name: "acme".to_owned(),
        display_name: "Acme".to_owned(),
        namespaces: BTreeSet::from(["shop".to_owned()]),
        tokens: TokenSettings {
            algorithm: Algorithm::Es256,
            access_token_lifetime_seconds: LIFETIME,
            refresh_token_lifetime_seconds: 7 * 86_400,
            audiences: vec!["acme".to_owned()],
        },
        keys: KeySettings {
            rotate_every_seconds: ROTATION,
            overlap_seconds: OVERLAP,
        },
    }
}

fn with(change: impl FnOnce(&mut Spec)) -> Spec {
    let mut spec = spec();
    change(&mut spec);
    spec
}

fn declared() -> Event {
    Event::Declared { spec: spec() }
}

fn jwk(kid: &str, algorithm: Algorithm) -> Jwk {
    Jwk {
        kty: "EC".to_owned(),
        kid: Some(kid.to_owned()),
        alg: Some(algorithm.to_string()),
        x: Some(format!("x-of-{kid}")),
        ..Jwk::default()
    }
}

fn after(seconds: u64) -> OffsetDateTime {
    START + Duration::seconds(i64::try_from(seconds).unwrap())
}

fn added(kid: &str, at: OffsetDateTime) -> Event {
    Event::KeyAdded {
        kid: kid.to_owned(),
        algorithm: Algorithm::Es256,
        public_jwk: jwk(kid, Algorithm::Es256),
        at,
    }
}

fn activated(kid: &str, at: OffsetDateTime) -> Event {
    Event::KeyActivated {
        kid: kid.to_owned(),
        at,
    }
}

fn retired(kid: &str, at: OffsetDateTime) -> Event {
    Event::KeyRetired {
        kid: kid.to_owned(),
        at,
    }
}

fn add(kid: &str, at: OffsetDateTime) -> Command {
    Command::AddKey {
        kid: kid.to_owned(),
        algorithm: Algorithm::Es256,
        public_jwk: jwk(kid, Algorithm::Es256),
        at,
    }
}

fn activate(kid: &str, at: OffsetDateTime) -> Command {
    Command::ActivateKey {
        kid: kid.to_owned(),
        at,
    }
}

fn retire(kid: &str, at: OffsetDateTime) -> Command {
    Command::RetireKey {
        kid: kid.to_owned(),
        at,
    }
}

fn given(events: &[Event]) -> State {
    events.iter().fold(State::default(), evolve)
}

fn when(events: &[Event], command: Command) -> Result<Vec<Event>, Refusal> {
    decide(&given(events), command)
}

fn reason(events: &[Event], command: Command) -> Reason {
    when(events, command).expect_err("a refusal").reason
}
