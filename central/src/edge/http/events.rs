//! Events as they are stored: asked for, one by one, and stream by stream.

use std::sync::Arc;

use axum::{Json, extract::State};
use eventstore::{Direction, EventQuery, Position, ReadError, StreamKey, View};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    parameters::{Parameters, invalid, moment, number, page_length},
    place::Place,
    views,
};
use crate::{
    edge::{Application, request_id::RequestId},
    error::ServiceError,
};

type Answer = Result<Json<Value>, ServiceError>;

/// Which events; what is not given does not matter.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    tenant: Option<String>,
    stream_type: Option<String>,
    stream_id: Option<String>,
    /// One or more, with commas between.
    #[serde(rename = "type")]
    types: Option<String>,
    /// As the request had it in `x-request-id`.
    correlation_id: Option<String>,
    from: Option<String>,
    until: Option<String>,
    after: Option<u64>,
    before: Option<u64>,
    limit: Option<usize>,
    #[serde(default)]
    direction: Direction,
    min_position: Option<u64>,
}

impl Asked {
    /// As the store is asked; below a tenant for its events only.
    fn query(self, place: &Place) -> Result<EventQuery, ServiceError> {
        let types = self.types.iter().flat_map(|types| types.split(','));
        Ok(EventQuery {
            tenant: tenant_of(place, self.tenant.clone())?,
            event_types: types.map(str::to_owned).collect(),
            recorded_from: moment("from", self.from.as_deref())?,
            recorded_until: moment("until", self.until.as_deref())?,
            stream_type: self.stream_type,
            stream_id: self.stream_id,
            correlation_id: self
                .correlation_id
                .as_deref()
                .map(correlation)
                .transpose()?,
            after: self.after.map(Position),
            at_most: self.before.map(|before| Position(before.saturating_sub(1))),
            limit: page_length(self.limit, EventQuery::MAX_LIMIT)?,
            direction: self.direction,
        })
    }
}

/// Of events that were caused by a request, by the id of the request.
fn correlation(text: &str) -> Result<Uuid, ServiceError> {
    let id = RequestId::parse(text);
    let wrong = "give the id of a request, as it was in x-request-id, or of its events";
    let id = id.ok_or_else(|| invalid("correlation_id", wrong))?;
    Ok(id.correlation_id())
}

/// The tenant of the path, or the one that is given where the path has none.
pub(super) fn tenant_of(
    place: &Place,
    given: Option<String>,
) -> Result<Option<String>, ServiceError> {
    match (place.tenant(), given) {
        (Some(tenant), Some(given)) if tenant != given => {
            Err(invalid("tenant", "is not that of the path; leave it out"))
        }
        (Some(tenant), _) => Ok(Some(tenant.to_owned())),
        (None, given) => Ok(given),
    }
}

/// `GET …/events`
///
/// `next` is what to give as `after` to go on, backward as `before`; `end` tells that nothing follows.
pub(super) async fn list(
    State(application): State<Arc<Application>>,
    place: Place,
    Parameters(asked): Parameters<Asked>,
) -> Answer {
    let min_position = asked.min_position;
    let query = asked.query(&place)?;
    let cursor = match query.direction {
        Direction::Forward => "after",
        Direction::Backward => "before",
    };
    let page = as_new_as(&application, min_position).query(&query).await;
    let page = page.map_err(|error| refused(error, cursor, min_position))?;
    let next = match query.direction {
        Direction::Forward => page.next,
        Direction::Backward => page.next.map(|at_most| Position(at_most.0 + 1)),
    };
    let events: Vec<_> = page.events.into_iter().map(views::event).collect();
    Ok(Json(
        json!({ "events": events, "next": next, "end": page.end }),
    ))
}

/// `GET …/events/{position}`
pub(super) async fn one(State(application): State<Arc<Application>>, place: Place) -> Answer {
    let position = number("position", place.part("position"))?;
    let query = EventQuery {
        tenant: place.tenant().map(str::to_owned),
        after: Some(Position(position.saturating_sub(1))),
        at_most: Some(Position(position)),
        ..EventQuery::default()
    };
    // A replica that has not got as far would tell that there is none.
    let view = as_new_as(&application, Some(position));
    let events = match view.query(&query).await {
        Ok(page) => page.events,
        Err(ReadError::AheadOfStore { .. }) => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    let event = events.into_iter().next();
    let event = event.ok_or_else(|| ServiceError::missing("event", place.part("position")))?;
    Ok(Json(views::event(event)))
}

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
/// those that were recorded at a time. `after` and `next` are versions.
pub(super) async fn stream(
    State(application): State<Arc<Application>>,
    place: Place,
    Parameters(until): Parameters<Until>,
) -> Answer {
    let limit = page_length(until.limit, EventQuery::MAX_LIMIT)?;
    let (version, time) = (until.version, moment("time", until.time.as_deref())?);
    let stream = StreamKey::new(place.part("tenant"), place.part("type"), place.part("id"));
    let view = as_new_as(&application, until.min_position);
    let page = view.stream_page(&stream, until.after, limit);
    let page = page.await;
    let page = page.map_err(|error| refused(error, "after", until.min_position))?;
    let read = page.events.len();
    let shown = page.events.into_iter().take_while(|event| {
        version.is_none_or(|version| event.stream_version <= version)
            && time.is_none_or(|time| event.recorded_at <= time)
    });
    let shown: Vec<_> = shown.collect();
    if shown.is_empty() && until.after == 0 && version != Some(0) && time.is_none() {
        let name = format!("{}/{}", stream.stream_type, stream.stream_id);
        return Err(ServiceError::missing("stream", &name));
    }
    let next = shown
        .last()
        .map_or(until.after, |event| event.stream_version);
    let end = page.end || shown.len() < read || version == Some(next);
    let events: Vec<_> = shown.into_iter().map(views::event).collect();
    Ok(Json(json!({
        "stream": stream, "version": next, "events": events, "next": next, "end": end,
    })))
}

/// The store, or a replica of it that knows everything up to a position.
fn as_new_as(application: &Application, position: Option<u64>) -> View {
    let position = Position(position.unwrap_or_default());
    application.store.at_least(position)
}

/// What the store says to a question, in the words of the parameters.
fn refused(error: ReadError, cursor: &'static str, min_position: Option<u64>) -> ServiceError {
    match error {
        ReadError::AheadOfStore { head, .. } if min_position > Some(head.0) => {
            ServiceError::Behind(min_position.unwrap_or_default())
        }
        ReadError::Invalid { field, message } => {
            let name = match field {
                "event_types" => "type",
                "recorded_from" => "from",
                "recorded_until" => "until",
                "at_most" => "before",
                field => field,
            };
            invalid(name, message)
        }
        ReadError::AheadOfStore { head, .. } => {
            let message = format!("the store ends at position {head}; give that at most");
            invalid(cursor, message)
        }
        error => error.into(),
    }
}
