//! Events as they are stored: asked for, and one by one.

use std::sync::Arc;

use axum::{Json, extract::State};
use eventstore::{Direction, EventQuery, Position, ReadError, View};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    parameters::{Nothing, Parameters, invalid, moment, number, page_length},
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
    /// As the store is asked for the events of a tenant, or of all.
    fn query(self, tenant: Option<String>) -> Result<EventQuery, ServiceError> {
        let types = self.types.iter().flat_map(|types| types.split(','));
        Ok(EventQuery {
            tenant,
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
pub(super) async fn tenant_of(
    application: &Application,
    place: &Place,
    given: Option<String>,
) -> Result<Option<String>, ServiceError> {
    match (place.tenant(), given) {
        (Some(tenant), Some(given)) if tenant != given => {
            Err(invalid("tenant", "is not that of the path; leave it out"))
        }
        (Some(tenant), _) => Ok(Some(tenant.to_owned())),
        (None, given) => known(application, given).await,
    }
}

/// A tenant that is given as a filter: misspelt, it would be answered as if all were well. What was closed
/// or never declared here, but has events, is known.
pub(super) async fn known(
    application: &Application,
    given: Option<String>,
) -> Result<Option<String>, ServiceError> {
    let Some(tenant) = given else { return Ok(None) };
    if tenant.is_empty() {
        return Err(invalid("tenant", "give a name, or leave it out"));
    }
    let directory = &application.directory;
    if directory.realm(&tenant).is_none() {
        // Another replica may have declared it just now.
        directory.up_to_date().await?;
    }
    match directory.realm(&tenant) {
        Some(_) => Ok(Some(tenant)),
        None => Err(ServiceError::unknown_tenant(&tenant)),
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
    let tenant = tenant_of(&application, &place, asked.tenant.clone()).await?;
    let query = asked.query(tenant)?;
    let cursor = match query.direction {
        Direction::Forward => "after",
        Direction::Backward => "before",
    };
    let page = as_new_as(&application, min_position).query(&query).await;
    let page = page.map_err(|error| refused(error, cursor, min_position, place.tenant()))?;
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
pub(super) async fn one(
    State(application): State<Arc<Application>>,
    place: Place,
    Parameters(Nothing {}): Parameters<Nothing>,
) -> Answer {
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

/// The store, or a replica of it that knows everything up to a position.
pub(super) fn as_new_as(application: &Application, position: Option<u64>) -> View {
    let position = Position(position.unwrap_or_default());
    application.store.at_least(position)
}

/// What the store says to a question, in the words of the parameters; below a tenant without what is none
/// of its business.
pub(super) fn refused(
    error: ReadError,
    cursor: &'static str,
    min_position: Option<u64>,
    tenant: Option<&str>,
) -> ServiceError {
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
        ReadError::AheadOfStore { head, .. } => beyond_end(cursor, head, tenant),
        error => error.into(),
    }
}

/// That a cursor lies behind the last event. How much all write is no tenant's business.
pub(super) fn beyond_end(
    cursor: &'static str,
    head: Position,
    tenant: Option<&str>,
) -> ServiceError {
    let message = match tenant {
        Some(_) => "the store does not reach that far".to_owned(),
        None => format!("the store ends at position {head}; give that at most"),
    };
    invalid(cursor, message)
}
