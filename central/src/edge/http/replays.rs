//! Replays: started, watched, cancelled.

use std::sync::Arc;

use axum::{Json, extract::State};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    events::{beyond_end, tenant_of},
    parameters::{Body, Nothing, Parameters, Required, page_length},
    place::Place,
};
use crate::{edge::Application, error::ServiceError, replays::ReplayRequest};

const MOST: usize = 1000;

type Answer = Result<Json<Value>, ServiceError>;

impl Required for ReplayRequest {
    const REQUIRED: &[(&str, &str)] = &[("purpose", "count or verify")];
}

/// Which part of the list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Part {
    after: Option<Uuid>,
    limit: Option<usize>,
}

/// `POST …/replays`: answers 202, for it has only begun.
pub(super) async fn start(
    State(application): State<Arc<Application>>,
    place: Place,
    Parameters(Nothing {}): Parameters<Nothing>,
    Body(mut request): Body<ReplayRequest>,
) -> Result<(StatusCode, Json<Value>), ServiceError> {
    request.tenant = tenant_of(&application, &place, request.tenant).await?;
    let head = application.store.head().await?;
    if request.after > head.0 {
        return Err(beyond_end("after", head, place.tenant()));
    }
    Ok((
        StatusCode::ACCEPTED,
        Json(application.replays.start(request)?),
    ))
}

/// `GET …/replays`: the youngest first. `next` is what to give as `after` to go on.
pub(super) async fn list(
    State(application): State<Arc<Application>>,
    place: Place,
    Parameters(part): Parameters<Part>,
) -> Answer {
    let limit = page_length(part.limit, MOST)?;
    let (replays, next, end) = application.replays.list(place.tenant(), part.after, limit);
    Ok(Json(
        json!({ "replays": replays, "next": next, "end": end }),
    ))
}

/// `GET …/replays/{id}`: how far it is now.
pub(super) async fn one(
    State(application): State<Arc<Application>>,
    place: Place,
    Parameters(Nothing {}): Parameters<Nothing>,
) -> Answer {
    let replay = application.replays.get(place.tenant(), place.part("id"))?;
    Ok(Json(replay))
}

/// `DELETE …/replays/{id}`: it stops behind the page in hand and can still be looked at.
pub(super) async fn cancel(
    State(application): State<Arc<Application>>,
    place: Place,
    Parameters(Nothing {}): Parameters<Nothing>,
) -> Answer {
    let replay = application
        .replays
        .cancel(place.tenant(), place.part("id"))?;
    Ok(Json(replay))
}
