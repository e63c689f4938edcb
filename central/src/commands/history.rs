//! States as they were: an aggregate's events folded by its domain, up to a version or a time.

use eventstore::{
    EventStore, Position, StreamKey,
    command::{Aggregate, Repository},
};
use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;

use super::Commands;
use crate::{
    aggregates::{Generator, Role, Tenant},
    error::ServiceError,
};

/// How far events are folded; without any, as far as there are.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Until {
    /// Up to this version of the stream.
    pub(crate) version: Option<u64>,
    /// Up to those that were recorded at this time.
    pub(crate) time: Option<OffsetDateTime>,
}

/// A state as it was.
#[derive(Debug)]
pub(crate) struct StateThen {
    /// Number of events that led to it; 0 when there were none yet.
    pub(crate) version: u64,
    /// Position of the last of them.
    pub(crate) position: Position,
    /// As the domain has it; null when there were no events yet.
    pub(crate) state: Value,
}

impl Commands {
    /// The state of an aggregate as it was; none if it has no events to this day, or there are no
    /// aggregates of the type.
    pub(crate) async fn state_then(
        &self,
        store: &dyn EventStore,
        stream: &StreamKey,
        until: Until,
    ) -> Result<Option<StateThen>, ServiceError> {
        let of = &self.repositories;
        match stream.stream_type.as_str() {
            Tenant::STREAM_TYPE => then(&of.tenants, store, stream, until).await,
            Role::STREAM_TYPE => then(&of.roles, store, stream, until).await,
            Generator::STREAM_TYPE => then(&of.generators, store, stream, until).await,
            _ => Ok(None),
        }
    }
}

async fn then<A: Aggregate>(
    repository: &Repository<A>,
    store: &dyn EventStore,
    stream: &StreamKey,
    until: Until,
) -> Result<Option<StateThen>, ServiceError>
where
    A::State: Serialize,
{
    let mut at = repository.load(stream).await?;
    if at.version == 0 {
        return Ok(None);
    }
    let mut version = until.version.unwrap_or(u64::MAX).min(at.version);
    if let Some(time) = until.time {
        version = version_at(store, stream, version, time).await?;
    }
    if version < at.version {
        at = repository.load_at(stream, version).await?;
    }
    let state = match at.version {
        0 => Ok(Value::Null),
        _ => serde_json::to_value(&at.state),
    };
    Ok(Some(StateThen {
        version: at.version,
        position: at.position,
        state: state.map_err(|error| ServiceError::Internal(error.to_string()))?,
    }))
}

/// The last version, of those up to `last`, that was recorded by then. Times of a stream grow.
async fn version_at(
    store: &dyn EventStore,
    stream: &StreamKey,
    last: u64,
    time: OffsetDateTime,
) -> Result<u64, ServiceError> {
    let (mut known, mut last) = (0, last);
    while known < last {
        let tried = known + (last - known).div_ceil(2);
        let events = store.read_stream(stream, tried - 1, 1).await?;
        match events.first() {
            Some(event) if event.recorded_at <= time => known = tried,
            _ => last = tried - 1,
        }
    }
    Ok(known)
}
