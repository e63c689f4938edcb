//! Whether a registry can read what is in a store: asked when a program starts, so that it refuses then
//! and not in the middle of the night.
//!
//! The types and versions that exist are kept in a table (see [`shapes`]), together with the position up to
//! which it is complete. So the first check reads every event once (three columns of it, page by page), and
//! every later one only what came since, and what was noted of kinds that it cannot read.

use serde::Serialize;

use super::shapes::{self, Shape};
use super::{EventPlace, Obstacle, Registry, RegistryError};
use crate::backend::read_error;
use crate::error::ReadError;
use crate::event::{Position, RecordedEvent};
use crate::store::EventStore;

/// Something in the store that the registry cannot read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unreadable {
    /// Type of the streams it is in.
    pub stream_type: String,
    /// Stored name of the type.
    pub event_type: String,
    /// Stored version of the shape.
    pub schema_version: u32,
    /// First event of this kind.
    pub first_position: Position,
    /// Code of the error that reading it gives.
    pub code: &'static str,
    /// That error, with how to mend it.
    pub message: String,
}

/// Answer of [`Registry::check`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    /// Kinds of events that cannot be read, by name and version.
    pub unreadable: Vec<Unreadable>,
    /// Everything up to here was looked at.
    pub through: Position,
    /// End of the store when the check began.
    pub head: Position,
}

impl CheckReport {
    /// Whether all of the store was looked at, and all of it can be read.
    pub fn is_readable(&self) -> bool {
        self.unreadable.is_empty() && self.through >= self.head
    }
}

impl Registry {
    /// Which types and versions of the store this registry cannot read; retired ones do not count.
    ///
    /// # Errors
    /// See [`ReadError`]; a check that broke off goes on where it was.
    pub async fn check(&self, store: &dyn EventStore) -> Result<CheckReport, ReadError> {
        self.check_at_most(store, u64::MAX).await
    }

    /// As [`check`](Self::check), but looks at no more than `events` that no check has seen before;
    /// [`CheckReport::through`] tells how far it came.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub async fn check_at_most(
        &self,
        store: &dyn EventStore,
        events: u64,
    ) -> Result<CheckReport, ReadError> {
        let head = store.head().await?;
        let database = store.database();
        let mut through = shapes::through(database).await.map_err(read_error)?;
        let end = head.0.min(through.saturating_add(events));
        while through < end {
            let next = end.min(through.saturating_add(shapes::PAGE));
            let looked = shapes::look(database, through, next).await;
            looked.map_err(read_error)?;
            through = next;
        }
        let mut unreadable = Vec::new();
        for shape in shapes::all(database).await.map_err(read_error)? {
            unreadable.extend(self.judge(store, shape).await?);
        }
        let through = Position(through);
        Ok(CheckReport {
            unreadable,
            through,
            head,
        })
    }

    async fn judge(
        &self,
        store: &dyn EventStore,
        shape: Shape,
    ) -> Result<Option<Unreadable>, ReadError> {
        if shape.event_type.starts_with(super::RESERVED) {
            return Ok(None);
        }
        let found = self.find(&shape.stream_type, &shape.event_type, shape.schema_version);
        let obstacle = match found {
            Ok(_) | Err(Obstacle::Retired { .. }) => return Ok(None),
            Err(obstacle) => obstacle,
        };
        // The first of its kind, to name a stream that a person can look at.
        let Some(first) = first(store, &shape).await? else {
            return Ok(None);
        };
        let error = RegistryError::obstacle(obstacle, EventPlace::of(&first));
        Ok(Some(Unreadable {
            stream_type: shape.stream_type,
            event_type: shape.event_type,
            schema_version: shape.schema_version,
            first_position: first.position,
            code: error.code(),
            message: error.to_string(),
        }))
    }
}

/// The first event of a kind. The one that was noted may have been mended or taken away since, and another may
/// be at its place.
async fn first(store: &dyn EventStore, shape: &Shape) -> Result<Option<RecordedEvent>, ReadError> {
    let mut noted = shape.first_position;
    loop {
        let before = Position(noted.saturating_sub(1));
        let there = store.read_all(before, 1).await?.into_iter().next();
        if let Some(event) = there
            && event.position.0 == noted
            && shape.is_of(&event)
        {
            return Ok(Some(event));
        }
        let next = shapes::note_next(store.database(), shape, noted).await;
        match next.map_err(read_error)? {
            Some(position) => noted = position,
            None => return Ok(None),
        }
    }
}
