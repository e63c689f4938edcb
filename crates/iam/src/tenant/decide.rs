//! The only place where something asked of a tenant may be refused.

use time::OffsetDateTime;
use token::{Algorithm, Jwk};

use super::check::check;
use super::command::{Command, Spec};
use super::event::Event;
use super::rotation::may_retire;
use super::state::{KeyPhase, Standing, State};
use crate::refusal::{Reason, Refusal};

/// What a command makes happen: no event when everything is already so.
///
/// # Errors
///
/// A [`Refusal`] when the declaration is wrong, or a key may not do what is asked.
pub fn decide(state: &State, command: Command) -> Result<Vec<Event>, Refusal> {
    match command {
        Command::Declare(spec) => declare(state, spec),
        Command::Release => Ok(match state.standing {
            Standing::Open => vec![Event::Released],
            Standing::Unknown | Standing::Released | Standing::Closed => vec![],
        }),
        Command::Close => Ok(match state.standing {
            Standing::Open | Standing::Released => vec![Event::Closed],
            Standing::Unknown | Standing::Closed => vec![],
        }),
        Command::AddKey {
            kid,
            algorithm,
            public_jwk,
            at,
        } => add_key(state, kid, algorithm, public_jwk, at),
        Command::ActivateKey { kid, at } => activate_key(state, kid, at),
        Command::RetireKey { kid, at } => retire_key(state, kid, at),
    }
}

fn declare(state: &State, spec: Spec) -> Result<Vec<Event>, Refusal> {
    check(&spec)?;
    if let Some(known) = state.spec.as_ref().filter(|known| known.name != spec.name) {
        return Err(Refusal::of(
            "metadata.name",
            Reason::InvalidName,
            format!(
                "the tenant is `{}` and cannot become `{}`; declare another tenant",
                known.name, spec.name
            ),
        ));
    }
    Ok(match state.standing {
        Standing::Unknown => vec![Event::Declared { spec }],
        Standing::Open if state.spec.as_ref() == Some(&spec) => vec![],
        Standing::Open => vec![Event::Changed { spec }],
        Standing::Released => vec![Event::Adopted { spec }],
        Standing::Closed => vec![Event::Reopened { spec }],
    })
}

fn open_spec(state: &State) -> Result<&Spec, Refusal> {
    state
        .spec
        .as_ref()
        .filter(|_| state.is_open())
        .ok_or_else(|| {
            Refusal::new(
                Reason::TenantNotFound,
                "there is no such tenant, or it is closed; declare it first",
            )
        })
}

fn add_key(
    state: &State,
    kid: String,
    algorithm: Algorithm,
    public_jwk: Jwk,
    at: OffsetDateTime,
) -> Result<Vec<Event>, Refusal> {
    let spec = open_spec(state)?;
    if let Some(known) = state.key(&kid) {
        if known.algorithm == algorithm && known.public_jwk == public_jwk {
            return Ok(vec![]);
        }
        return Err(Refusal::new(
            Reason::KeyExists,
            format!("there is another key `{kid}`; ask for the next step again"),
        ));
    }
    if state.retired.contains(&kid) {
        return Err(retired(&kid));
    }
    if algorithm != spec.tokens.algorithm {
        return Err(Refusal::new(
            Reason::KeyMismatch,
            format!(
                "the key `{kid}` is for {algorithm}, the tenant signs with {}; make another",
                spec.tokens.algorithm
            ),
        ));
    }
    if public_jwk.kid.as_deref() != Some(kid.as_str())
        || public_jwk
            .alg
            .as_deref()
            .is_some_and(|named| named != algorithm.to_string())
    {
        return Err(Refusal::new(
            Reason::KeyMismatch,
            format!("the public key calls itself otherwise than `{kid}` for {algorithm}"),
        ));
    }
    if let Some(pending) = state
        .keys
        .iter()
        .find(|key| key.phase() == KeyPhase::Published)
    {
        return Err(Refusal::new(
            Reason::KeyPending,
            format!(
                "the key `{}` is waiting to become active; ask for the next step again",
                pending.kid
            ),
        ));
    }
    Ok(vec![Event::KeyAdded {
        kid,
        algorithm,
        public_jwk,
        at,
    }])
}

fn activate_key(state: &State, kid: String, at: OffsetDateTime) -> Result<Vec<Event>, Refusal> {
    let spec = open_spec(state)?;
    let key = state.key(&kid).ok_or_else(|| missing(state, &kid))?;
    match key.phase() {
        KeyPhase::Active => Ok(vec![]),
        KeyPhase::Superseded => Err(retired(&kid)),
        KeyPhase::Published if key.algorithm != spec.tokens.algorithm => Err(Refusal::new(
            Reason::KeyMismatch,
            format!(
                "the key `{kid}` is for {}, the tenant signs with {}; make another",
                key.algorithm, spec.tokens.algorithm
            ),
        )),
        KeyPhase::Published => Ok(vec![Event::KeyActivated { kid, at }]),
    }
}

fn retire_key(state: &State, kid: String, at: OffsetDateTime) -> Result<Vec<Event>, Refusal> {
    if state.retired.contains(&kid) {
        return Ok(vec![]);
    }
    let spec = open_spec(state)?;
    let key = state.key(&kid).ok_or_else(|| missing(state, &kid))?;
    match key.phase() {
        KeyPhase::Published => Ok(vec![Event::KeyRetired { kid, at }]),
        KeyPhase::Superseded if may_retire(key, spec, at) => {
            Ok(vec![Event::KeyRetired { kid, at }])
        }
        KeyPhase::Superseded => Err(Refusal::new(
            Reason::KeyInUse,
            format!("tokens signed with the key `{kid}` may still live; try again later"),
        )),
        KeyPhase::Active => Err(Refusal::new(
            Reason::KeyInUse,
            format!("the key `{kid}` is the one that signs; activate another first"),
        )),
    }
}

fn missing(state: &State, kid: &str) -> Refusal {
    if state.retired.contains(kid) {
        return retired(kid);
    }
    Refusal::new(
        Reason::KeyNotFound,
        format!(
            "the tenant has no key `{}`; add it first",
            kid.escape_debug()
        ),
    )
}

fn retired(kid: &str) -> Refusal {
    Refusal::new(
        Reason::KeyRetired,
        format!("the key `{kid}` has been replaced and never comes back; make another"),
    )
}
