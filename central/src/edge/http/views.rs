//! How tenants and what they own look to administrators. Ids are strings: they pass 2^53.

use eventstore::RecordedEvent;
use iam::tenant::{KeyPhase, Standing};
use idgen::generator::{Algorithm, Member};
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    config::Config,
    directory::{Content, KeyView, Realm},
};

pub(super) fn tenant(realm: &Realm, config: &Config) -> Value {
    let standing = match realm.tenant().state.standing {
        Standing::Unknown => "unknown",
        Standing::Open => "open",
        Standing::Released => "released",
        Standing::Closed => "closed",
    };
    let spec = realm.spec();
    json!({
        "name": realm.name(),
        "display_name": spec.map(|spec| &spec.display_name),
        "standing": standing,
        "issuer": config.issuer(realm.name()),
        "active_key": realm.active_key().map(|key| key.kid),
        "namespaces": spec.map(|spec| &spec.namespaces),
        "tokens": spec.map(|spec| json!({
            "algorithm": spec.tokens.algorithm,
            "access_token_lifetime_seconds": spec.tokens.access_token_lifetime_seconds,
            "refresh_token_lifetime_seconds": spec.tokens.refresh_token_lifetime_seconds,
            "audiences": spec.tokens.audiences,
        })),
        "keys": spec.map(|spec| json!({
            "rotate_every_seconds": spec.keys.rotate_every_seconds,
            "overlap_seconds": spec.keys.overlap_seconds,
        })),
        "versions": {
            "keys": realm.version(Content::Keys, ""),
            "policy": realm.version(Content::Policy, ""),
        },
        "position": realm.tenant().position,
        "frozen": realm.frozen().map(|at| json!({
            "position": at.position, "message": at.to_string(),
        })),
    })
}

pub(super) fn role(realm: &Realm, role: &policy::Role) -> Value {
    json!({
        "namespace": role.namespace,
        "name": role.name,
        "inherits": role.inherits,
        "rules": role.rules,
        "subjects": role.subjects,
        // A role of a namespace that the tenant no longer has gives nothing.
        "counts": realm.has_namespace(&role.namespace),
    })
}

pub(super) fn generator(name: &str, namespace: &str, member: &Member) -> Value {
    let algorithm = match &member.spec.algorithm {
        Algorithm::Segment(segment) => json!({ "segment": {
            "start": segment.start.to_string(),
            "max": segment.max.to_string(),
            "step": segment.step.to_string(),
        } }),
        Algorithm::Snowflake(snowflake) => json!({ "snowflake": snowflake }),
    };
    json!({
        "namespace": namespace,
        "name": name,
        "algorithm": algorithm,
        "buffer": {
            "capacity": member.spec.buffer.capacity.to_string(),
            "refill_at_percent": member.spec.buffer.refill_at_percent,
            "outage_budget_seconds": member.spec.buffer.outage_budget_seconds,
        },
        "next": member.next.to_string(),
        "remaining": member.remaining().to_string(),
    })
}

pub(super) fn key(key: &KeyView<'_>) -> Value {
    let phase = match key.phase {
        KeyPhase::Published => "published",
        KeyPhase::Active => "active",
        KeyPhase::Superseded => "superseded",
    };
    json!({
        "kid": key.kid,
        "algorithm": key.algorithm,
        "phase": phase,
        "public_jwk": key.public_jwk,
    })
}

pub(super) fn event(event: RecordedEvent) -> Value {
    json!({
        "position": event.position,
        "id": event.id,
        "tenant": event.stream.tenant,
        "tenant_sequence": event.tenant_sequence,
        "stream_type": event.stream.stream_type,
        "stream_id": event.stream.stream_id,
        "stream_version": event.stream_version,
        "event_type": event.event_type,
        "schema_version": event.schema_version,
        "recorded_at": time(event.recorded_at),
        "metadata": event.metadata,
        "data": event.data,
        "hash": event.hash,
    })
}

pub(super) fn time(at: OffsetDateTime) -> Option<String> {
    at.format(&Rfc3339).ok()
}
