//! States as they were: an aggregate's events folded by its domain, up to a version or a time.
//!
//! Whoever looks must not be in the way of commands: no stream is locked here and none of their states
//! is kept or forgotten, whatever ids are asked for, and one look folds so many events and no more.

use eventstore::{
    Direction, EventQuery, EventStore, Position, ReadError, StreamKey,
    command::{Aggregate, Repository},
    snapshot::{SnapshotError, SnapshotPlace, SnapshotQuery, Snapshots},
};
use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;

use super::Commands;
use crate::{
    aggregates::{Generator, Role, Tenant},
    error::ServiceError,
};

/// Most events that are folded for one answer.
const MOST_FOLDED: u64 = 100_000;

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
        let look = Look {
            store,
            snapshots: &of.snapshots,
            stream,
            until,
            most: MOST_FOLDED,
        };
        match stream.stream_type.as_str() {
            Tenant::STREAM_TYPE => look.at(&of.tenants).await,
            Role::STREAM_TYPE => look.at(&of.roles).await,
            Generator::STREAM_TYPE => look.at(&of.generators).await,
            _ => Ok(None),
        }
    }
}

/// A look at one aggregate.
struct Look<'a> {
    store: &'a dyn EventStore,
    snapshots: &'a Snapshots,
    stream: &'a StreamKey,
    until: Until,
    /// Most events to be folded.
    most: u64,
}

impl Look<'_> {
    async fn at<A: Aggregate>(
        &self,
        repository: &Repository<A>,
    ) -> Result<Option<StateThen>, ServiceError>
    where
        A::State: Serialize,
    {
        let Some(last) = self.last_version().await? else {
            return Ok(None);
        };
        let mut version = self.until.version.unwrap_or(u64::MAX).min(last);
        if let Some(time) = self.until.time {
            version = self.version_at(version, time).await?;
        }
        if !self.is_near(version).await? {
            let most = self.most;
            return Err(ServiceError::TooFar { version, most });
        }
        let at = repository.load_at(self.stream, version).await?;
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

    /// The last version there is; none if there are no events.
    async fn last_version(&self) -> Result<Option<u64>, ServiceError> {
        let StreamKey {
            tenant,
            stream_type,
            stream_id,
        } = self.stream;
        let last = EventQuery {
            tenant: Some(tenant.clone()),
            stream_type: Some(stream_type.clone()),
            stream_id: Some(stream_id.clone()),
            direction: Direction::Backward,
            limit: 1,
            ..EventQuery::default()
        };
        match self.store.query(&last).await {
            Ok(page) => Ok(page.events.first().map(|event| event.stream_version)),
            // A name that no stream can have.
            Err(ReadError::Invalid { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The last version, of those up to `last`, that was recorded by then. Times of a stream grow.
    async fn version_at(&self, last: u64, time: OffsetDateTime) -> Result<u64, ServiceError> {
        let (mut known, mut last) = (0, last);
        while known < last {
            let tried = known + (last - known).div_ceil(2);
            let events = self.store.read_stream(self.stream, tried - 1, 1).await?;
            match events.first() {
                Some(event) if event.recorded_at <= time => known = tried,
                _ => last = tried - 1,
            }
        }
        Ok(known)
    }

    /// Whether no more events than may be folded lie between a version and the start or a snapshot.
    async fn is_near(&self, version: u64) -> Result<bool, ServiceError> {
        let Some(before) = version.checked_sub(self.most).filter(|before| *before > 0) else {
            return Ok(true);
        };
        let query = SnapshotQuery {
            tenant: Some(self.stream.tenant.clone()),
            after: Some(SnapshotPlace {
                stream: self.stream.clone(),
                stream_version: before - 1,
            }),
            limit: 1,
        };
        let first = match self.snapshots.list(&query).await {
            Ok(entries) => entries.into_iter().next(),
            Err(SnapshotError::Unavailable { message }) => {
                tracing::warn!(message, "the snapshots could not be looked up");
                return Err(ServiceError::StoreUnavailable);
            }
            Err(error) => return Err(ServiceError::Internal(error.to_string())),
        };
        Ok(first
            .is_some_and(|entry| entry.stream == *self.stream && entry.stream_version <= version))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use eventstore::{
        Append, EventStore, ExpectedVersion, NewEvent, Options, StreamKey,
        command::{Call, Repository},
        snapshot::{SnapshotOptions, Snapshots},
    };
    use serde_json::json;

    use super::{Look, Until};
    use crate::{aggregates::Role, error::ServiceError};

    const MOST: u64 = 3;

    /// A store with a role of so many versions, its snapshots, and a repository over both.
    async fn with_versions(
        versions: usize,
    ) -> (Arc<dyn EventStore>, Snapshots, Repository<Role>, StreamKey) {
        let store = eventstore::open("sqlite::memory:", Options::default());
        let store = store.await.unwrap();
        let stream = Role::stream("acme", "shop", "reader");
        let removed = || NewEvent::new("RoleRemoved", 1, json!({ "type": "Removed" }));
        let events = (0..versions).map(|_| removed()).collect();
        let append = Append::to(stream.clone(), ExpectedVersion::NoStream, events);
        store.append(append).await.unwrap();
        let snapshots = Snapshots::new(store.database(), SnapshotOptions::default());
        let roles = Repository::new(Arc::clone(&store)).with_snapshots(snapshots.clone());
        (store, snapshots, roles, stream)
    }

    fn look<'a>(
        store: &'a dyn EventStore,
        snapshots: &'a Snapshots,
        stream: &'a StreamKey,
        version: Option<u64>,
    ) -> Look<'a> {
        let until = Until {
            version,
            time: None,
        };
        Look {
            store,
            snapshots,
            stream,
            until,
            most: MOST,
        }
    }

    #[tokio::test]
    async fn whoever_looks_does_not_wait_for_a_command_that_holds_the_stream() {
        let (store, snapshots, roles, stream) = with_versions(2).await;
        let holding = roles.open(Call::new("Hold", stream.clone())).await.unwrap();

        let then = look(store.as_ref(), &snapshots, &stream, None)
            .at(&roles)
            .await;

        assert_eq!(then.unwrap().unwrap().version, 2);
        assert_eq!(holding.version(), 2);
    }

    #[tokio::test]
    async fn what_lies_too_far_from_the_start_and_from_any_snapshot_is_refused() {
        let (store, snapshots, roles, stream) = with_versions(8).await;
        let look = async |version| {
            let look = look(store.as_ref(), &snapshots, &stream, version);
            look.at(&roles).await.map(|then| then.unwrap().version)
        };
        assert_eq!(look(Some(MOST)).await.unwrap(), MOST);
        for version in [Some(MOST + 1), None] {
            let refused = look(version).await.unwrap_err();
            assert!(
                matches!(refused, ServiceError::TooFar { most: MOST, .. }),
                "{refused}"
            );
        }

        roles.take_snapshot(&stream).await.unwrap();

        assert_eq!(look(None).await.unwrap(), 8);
        assert!(look(Some(7)).await.is_err());
    }

    #[tokio::test]
    async fn what_is_not_there_is_told_apart_from_what_was_not_yet() {
        let (store, snapshots, roles, stream) = with_versions(1).await;
        let none = Role::stream("acme", "shop", "none");
        let none = look(store.as_ref(), &snapshots, &none, None);
        assert!(none.at(&roles).await.unwrap().is_none());

        let before = look(store.as_ref(), &snapshots, &stream, Some(0));
        assert_eq!(before.at(&roles).await.unwrap().unwrap().version, 0);
    }
}
