//! The events of one aggregate, up to a version or a time.

use std::sync::Arc;

use axum::{Json, extract::State};
use eventstore::{Direction, EventPage, EventQuery, ReadError, RecordedEvent, StreamKey};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    events::{as_new_as, refused},
    parameters::{Parameters, invalid, moment, page_length},
    place::Place,
    views,
};
use crate::{edge::Application, error::ServiceError};

/// Up to where a stream is shown.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Until {
    version: Option<u64>,
    time: Option<String>,
    #[serde(default)]
    after: u64,
    limit: Option<usize>,
    min_position: Option<u64>,
}

/// `GET /api/v1/tenants/{tenant}/streams/{type}/{id}`: the events of a stream, up to a version or to
/// those that were recorded at a time. `after` and `next` are versions; `version` is that of the stream.
pub(super) async fn one(
    State(application): State<Arc<Application>>,
    place: Place,
    Parameters(until): Parameters<Until>,
) -> Result<Json<Value>, ServiceError> {
    let limit = page_length(until.limit, EventQuery::MAX_LIMIT)?;
    let after = until.after;
    let time = moment("time", until.time.as_deref())?;
    let stream = StreamKey::new(place.part("tenant"), place.part("type"), place.part("id"));
    let last = last(&application, &stream, &until).await?;
    let version = last.stream_version;
    if after > version {
        let message = format!("the stream is at version {version}; give that at most");
        return Err(invalid("after", message));
    }
    let until_version = until.version.map_or(version, |until| until.min(version));
    // As new as the version that was just seen.
    let position = until.min_position.unwrap_or_default().max(last.position.0);
    let view = as_new_as(&application, Some(position));
    let read = view.read_stream(&stream, after, limit).await;
    let events =
        read.map_err(|error| refused(error, "after", until.min_position, Some(&stream.tenant)))?;
    let read = events.len();
    let shown = events.into_iter().take_while(|event| {
        event.stream_version <= until_version && time.is_none_or(|time| event.recorded_at <= time)
    });
    let shown: Vec<_> = shown.collect();
    let next = shown.last().map_or(after, |event| event.stream_version);
    let end = read == 0 || shown.len() < read || next >= until_version;
    let events: Vec<_> = shown.into_iter().map(views::event).collect();
    Ok(Json(json!({
        "stream": stream, "version": version, "events": events, "next": next, "end": end,
    })))
}

/// The last event of a stream. A replica may not have the stream yet, or not as much of it as the caller
/// has seen: what is not there is looked for in the database itself before anybody is told so.
async fn last(
    application: &Application,
    stream: &StreamKey,
    until: &Until,
) -> Result<RecordedEvent, ServiceError> {
    let query = EventQuery {
        tenant: Some(stream.tenant.clone()),
        stream_type: Some(stream.stream_type.clone()),
        stream_id: Some(stream.stream_id.clone()),
        direction: Direction::Backward,
        limit: 1,
        ..EventQuery::default()
    };
    let view = as_new_as(application, until.min_position);
    let first = |page: Result<EventPage, ReadError>| match page {
        Ok(page) => Ok(page.events.into_iter().next()),
        // A name that no stream can have.
        Err(ReadError::Invalid { .. }) => Ok(None),
        Err(error) => Err(refused(
            error,
            "after",
            until.min_position,
            Some(&stream.tenant),
        )),
    };
    let mut found = first(view.query(&query).await)?;
    let is_enough = |event: &RecordedEvent| event.stream_version >= until.after;
    let may_be_behind = application.config.database_replica_url().is_some();
    if may_be_behind && !found.as_ref().is_some_and(is_enough) {
        found = first(application.store.query(&query).await)?;
    }
    found.ok_or_else(|| {
        let name = format!("{}/{}", stream.stream_type, stream.stream_id);
        ServiceError::missing("stream", &name)
    })
}
