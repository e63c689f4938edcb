//! `GET /v1/status`: what the sidecar holds. Answers at any time, also while it starts.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Json;
use serde_json::{Map, Value, json};

use super::Parts;
use crate::central::ConnectionState;
use crate::content::{KINDS, Standing, name_of};
use crate::ids::Supply;

/// Versions, ages, levels and the connection.
pub(super) async fn get(State(parts): State<Arc<Parts>>) -> Json<Value> {
    let progress = parts.startup.progress().borrow().clone();
    Json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "tenant": parts.tenant,
        "namespace": parts.namespace,
        "pod": parts.pod,
        "started": progress.started,
        "waiting_for": progress.waiting_for,
        "reason": progress.reason,
        "connection": connection(&parts),
        "content": content(&parts),
        "generators": generators(&parts),
        "tokens": parts.tokens.remaining().into_iter()
            .map(|(audience, remaining)| json!({
                "audience": audience, "expires_in": remaining.as_secs()
            }))
            .collect::<Vec<_>>(),
    }))
}

fn connection(parts: &Parts) -> Value {
    let (state, problem) = match &*parts.connection.state().borrow() {
        ConnectionState::Connecting => ("connecting", None),
        ConnectionState::Connected => ("connected", None),
        ConnectionState::Away { problem } => ("away", Some(problem.clone())),
    };
    let freshness = parts.content.freshness();
    json!({
        "state": state,
        "problem": problem,
        "last_contact_seconds_ago": freshness.since_contact().map(|age| age.as_secs()),
        "fail_static_seconds": freshness.fail_static().as_secs(),
    })
}

fn content(parts: &Parts) -> Value {
    let mut all = Map::new();
    for kind in KINDS {
        let (standing, age) = match parts.content.freshness().standing(kind) {
            _ if !parts.content.holds(kind) => ("missing", None),
            Standing::Missing => ("missing", None),
            Standing::Usable { age } => ("usable", Some(age.as_secs())),
            Standing::Expired { age } => ("expired", Some(age.as_secs())),
        };
        let mut one = json!({
            "version": parts.content.version(kind), "standing": standing, "age_seconds": age
        });
        if let Some(more) = details(parts, kind) {
            one["held"] = more;
        }
        all.insert(name_of(kind).to_owned(), one);
    }
    Value::Object(all)
}

fn details(parts: &Parts, kind: protocol::v1::Content) -> Option<Value> {
    use protocol::v1::Content;
    match kind {
        Content::Keys => parts.content.keys().map(|keys| {
            json!({
                "issuer": keys.issuer(),
                "audiences": keys.audiences(),
                "kids": keys.kids(),
                "closed": keys.is_closed(),
            })
        }),
        Content::Policy => parts
            .content
            .policy()
            .map(|policy| json!({ "roles": policy.roles(), "defective": policy.defective() })),
        Content::Generators => parts
            .content
            .generators()
            .map(|held| json!({ "names": held.names().collect::<Vec<_>>() })),
        Content::Unspecified => None,
    }
}

fn generators(parts: &Parts) -> Vec<Value> {
    let one = |generator: &Arc<crate::ids::Generator>| {
        let (supply, problem) = match &*generator.supply().borrow() {
            Supply::Arriving => ("arriving", None),
            Supply::Exhausted => ("exhausted", None),
            Supply::Unknown => ("unknown", None),
            Supply::Failing(problem) => ("failing", Some(problem.clone())),
        };
        json!({
            "name": generator.name(),
            "level": generator.level(),
            "capacity": generator.capacity(),
            "taken": generator.taken(),
            "rate_per_second": generator.rate(),
            "waiting": generator.waiting(),
            "supply": supply,
            "problem": problem,
            "withdrawn": generator.is_withdrawn(),
        })
    };
    parts.generators.opened().iter().map(one).collect()
}
