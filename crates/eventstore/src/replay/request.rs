//! Which events are replayed.

use serde::Serialize;
use time::OffsetDateTime;

use super::error::ReplayError;
use crate::event::{Position, RecordedEvent, StreamKey};

/// Each is an argument of a statement.
const MOST_TYPES: usize = 200;

/// Whose events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplayScope {
    /// Those of one stream.
    Stream(StreamKey),
    /// Those of one tenant.
    Tenant(String),
    /// All.
    Everything,
}

/// Which events are replayed; all bounds hold together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Replay {
    /// Whose events.
    pub scope: ReplayScope,
    /// Only these types of events; all if empty.
    pub event_types: Vec<String>,
    /// Only streams of these types; all if empty.
    pub stream_types: Vec<String>,
    /// Only events above this position.
    pub after: Position,
    /// Only events up to this position. One beyond the end means the end.
    pub until: Option<Position>,
    /// Only events up to this version; for a stream. One beyond the end means the end.
    pub until_version: Option<u64>,
    /// Only events recorded at this time or earlier.
    #[serde(with = "time::serde::rfc3339::option")]
    pub until_time: Option<OffsetDateTime>,
}

impl Replay {
    /// Everything that `scope` has.
    pub fn of(scope: ReplayScope) -> Self {
        Self {
            scope,
            event_types: Vec::new(),
            stream_types: Vec::new(),
            after: Position::START,
            until: None,
            until_version: None,
            until_time: None,
        }
    }

    /// A whole stream.
    pub fn stream(stream: StreamKey) -> Self {
        Self::of(ReplayScope::Stream(stream))
    }

    /// All events of a tenant.
    pub fn tenant(tenant: impl Into<String>) -> Self {
        Self::of(ReplayScope::Tenant(tenant.into()))
    }

    /// All events.
    pub fn everything() -> Self {
        Self::of(ReplayScope::Everything)
    }

    /// Only these types of events.
    #[must_use]
    pub fn event_types<T: Into<String>>(mut self, types: impl IntoIterator<Item = T>) -> Self {
        self.event_types = types.into_iter().map(Into::into).collect();
        self
    }

    /// Only streams of these types.
    #[must_use]
    pub fn stream_types<T: Into<String>>(mut self, types: impl IntoIterator<Item = T>) -> Self {
        self.stream_types = types.into_iter().map(Into::into).collect();
        self
    }

    /// Only events above a position.
    #[must_use]
    pub fn after(mut self, position: Position) -> Self {
        self.after = position;
        self
    }

    /// Only events up to a position.
    #[must_use]
    pub fn until(mut self, position: Position) -> Self {
        self.until = Some(position);
        self
    }

    /// Only events up to a version of the stream.
    #[must_use]
    pub fn until_version(mut self, version: u64) -> Self {
        self.until_version = Some(version);
        self
    }

    /// Only events recorded at a time or earlier.
    #[must_use]
    pub fn until_time(mut self, time: OffsetDateTime) -> Self {
        self.until_time = Some(time);
        self
    }

    /// The tenant whose events they are; none if they are of all tenants.
    pub fn tenant_name(&self) -> Option<&str> {
        match &self.scope {
            ReplayScope::Stream(stream) => Some(&stream.tenant),
            ReplayScope::Tenant(tenant) => Some(tenant),
            ReplayScope::Everything => None,
        }
    }

    pub(super) fn check(&self) -> Result<(), ReplayError> {
        let invalid = |field, message| Err(ReplayError::Invalid { field, message });
        if self.until_version.is_some() && !matches!(self.scope, ReplayScope::Stream(_)) {
            return invalid(
                "until_version",
                "only a stream has versions; give a position or a time",
            );
        }
        if self.event_types.len() + self.stream_types.len() > MOST_TYPES {
            return invalid(
                "event_types",
                "more than 200 types; replay without the filter and choose in the visitor",
            );
        }
        if self.until.is_some_and(|until| until < self.after) {
            return invalid("until", "lies before `after`; give a later position");
        }
        Ok(())
    }

    /// Whether a stream is replayed from its first event on with nothing left out, so that a state of
    /// it can take the place of its first events.
    pub(super) fn is_of_a_state(&self) -> bool {
        matches!(self.scope, ReplayScope::Stream(_))
            && self.after == Position::START
            && !self.filters()
    }

    pub(super) fn filters(&self) -> bool {
        !self.event_types.is_empty() || !self.stream_types.is_empty()
    }

    pub(super) fn selects(&self, event: &RecordedEvent) -> bool {
        let among = |types: &[String], name: &str| {
            types.is_empty() || types.iter().any(|wanted| wanted == name)
        };
        among(&self.event_types, &event.event_type)
            && among(&self.stream_types, &event.stream.stream_type)
    }
}
