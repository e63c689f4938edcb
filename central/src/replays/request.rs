//! What a replay is asked to do.

use eventstore::{
    Position, StreamKey,
    integrity::VerifyScope,
    replay::{Replay, ReplayScope},
};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::error::ServiceError;

/// Types of a filter; the store takes no more.
const MOST_TYPES: usize = 200;

/// What is done with the events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", try_from = "String")]
pub(crate) enum Purpose {
    /// They are counted by type.
    Count,
    /// Their hash chain is verified, with the checkpoints over it.
    Verify,
}

// By way of a text, for serde_json takes any other value of an enum for a mistake in the JSON.
impl TryFrom<String> for Purpose {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.as_str() {
            "count" => Ok(Self::Count),
            "verify" => Ok(Self::Verify),
            _ => Err("give count or verify"),
        }
    }
}

/// Which events, and what for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReplayRequest {
    pub(crate) purpose: Purpose,
    #[serde(default)]
    pub(crate) tenant: Option<String>,
    /// As TYPE/ID.
    #[serde(default)]
    pub(crate) stream: Option<String>,
    #[serde(default)]
    pub(crate) event_types: Vec<String>,
    #[serde(default)]
    pub(crate) after: u64,
    #[serde(default)]
    pub(crate) until: Option<u64>,
    #[serde(default)]
    pub(crate) until_version: Option<u64>,
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub(crate) until_time: Option<OffsetDateTime>,
}

impl ReplayRequest {
    /// Whose events; none of all.
    pub(crate) fn tenant(&self) -> Option<&str> {
        self.tenant.as_deref()
    }

    /// As the store is asked.
    pub(super) fn replay(&self) -> Result<Replay, ServiceError> {
        self.without_nul()?;
        if self.event_types.len() > MOST_TYPES {
            return Err(invalid(
                "event_types",
                &format!("give at most {MOST_TYPES}"),
            ));
        }
        let replay = Replay {
            event_types: self.event_types.clone(),
            after: Position(self.after),
            until: self.until.map(Position),
            until_version: self.until_version,
            until_time: self.until_time,
            ..Replay::of(self.scope()?)
        };
        let whole = Replay::of(replay.scope.clone());
        let is_partial = replay != whole || self.stream.is_some();
        if self.purpose == Purpose::Verify && is_partial {
            let message = "a chain is verified as a whole; give nothing but a tenant beside it";
            return Err(invalid("purpose", message));
        }
        Ok(replay)
    }

    /// No name has a NUL character, and PostgreSQL cannot be asked for one.
    fn without_nul(&self) -> Result<(), ServiceError> {
        let named = |name, text: &String| (name, text.contains('\0'));
        let types = self
            .event_types
            .iter()
            .map(|text| named("event_types", text));
        let tenant = self.tenant.iter().map(|text| named("tenant", text));
        let stream = self.stream.iter().map(|text| named("stream", text));
        match types.chain(tenant).chain(stream).find(|(_, has)| *has) {
            Some((name, _)) => Err(invalid(name, "give it without NUL characters")),
            None => Ok(()),
        }
    }

    /// Whose chain is verified.
    pub(super) fn verify_scope(&self) -> VerifyScope {
        match &self.tenant {
            Some(tenant) => VerifyScope::Tenant(tenant.clone()),
            None => VerifyScope::Everything,
        }
    }

    fn scope(&self) -> Result<ReplayScope, ServiceError> {
        match (&self.tenant, &self.stream) {
            (None, None) => Ok(ReplayScope::Everything),
            (Some(tenant), None) => Ok(ReplayScope::Tenant(tenant.clone())),
            (None, Some(_)) => Err(invalid("tenant", "say whose stream it is")),
            (Some(tenant), Some(stream)) => match stream.split_once('/') {
                Some((kind, id)) if !kind.is_empty() && !id.is_empty() => {
                    Ok(ReplayScope::Stream(StreamKey::new(tenant, kind, id)))
                }
                _ => Err(invalid(
                    "stream",
                    "give it as TYPE/ID, such as role/shop/reader",
                )),
            },
        }
    }
}

fn invalid(name: &'static str, message: &str) -> ServiceError {
    ServiceError::InvalidArgument {
        name: name.into(),
        message: message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use eventstore::{StreamKey, replay::ReplayScope};
    use serde_json::{Value, json};

    use super::{MOST_TYPES, ReplayRequest};

    fn request(body: Value) -> ReplayRequest {
        serde_json::from_value(body).unwrap()
    }

    fn refused(body: Value) -> String {
        request(body).replay().unwrap_err().to_string()
    }

    #[test]
    fn a_stream_is_of_a_tenant_and_its_id_may_have_slashes() {
        let asked = json!({ "purpose": "count", "tenant": "acme", "stream": "role/shop/reader" });
        let stream = StreamKey::new("acme", "role", "shop/reader");
        let scope = request(asked).replay().unwrap().scope;
        assert_eq!(scope, ReplayScope::Stream(stream));

        let of_nobody = json!({ "purpose": "count", "stream": "role/shop/reader" });
        assert!(refused(of_nobody).starts_with("tenant: "));
        for stream in ["role", "/x", "role/"] {
            let body = json!({ "purpose": "count", "tenant": "acme", "stream": stream });
            assert!(refused(body).starts_with("stream: "), "{stream}");
        }
    }

    #[test]
    fn a_chain_is_verified_as_a_whole() {
        assert!(request(json!({ "purpose": "verify" })).replay().is_ok());
        let of_one = json!({ "purpose": "verify", "tenant": "acme" });
        assert!(request(of_one).replay().is_ok());
        for (name, value) in [
            ("after", json!(3)),
            ("until", json!(3)),
            ("until_time", json!("2026-11-21T17:00:00Z")),
            ("event_types", json!(["RoleDeclared"])),
            ("stream", json!("role/shop/reader")),
        ] {
            let mut body = json!({ "purpose": "verify", "tenant": "acme" });
            body[name] = value;
            assert!(refused(body).starts_with("purpose: "), "{name}");
        }
    }

    #[test]
    fn a_filter_has_a_bound() {
        let of = |types: usize| json!({ "purpose": "count", "event_types": vec!["A"; types] });
        assert!(request(of(MOST_TYPES)).replay().is_ok());
        assert_eq!(refused(of(MOST_TYPES + 1)), "event_types: give at most 200");
    }

    #[test]
    fn names_have_no_nul_characters() {
        for (name, value) in [
            ("tenant", json!("a\0")),
            ("event_types", json!(["RoleDeclared", "\0"])),
        ] {
            let mut body = json!({ "purpose": "count" });
            body[name] = value;
            assert!(refused(body).starts_with(&format!("{name}: ")), "{name}");
        }
        let body = json!({ "purpose": "count", "tenant": "acme", "stream": "role/\0" });
        assert!(refused(body).starts_with("stream: "));
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for body in [
            json!({}),
            json!({ "purpose": "delete" }),
            json!({ "purpose": "count", "tenants": "acme" }),
        ] {
            assert!(serde_json::from_value::<ReplayRequest>(body).is_err());
        }
    }
}
