//! Aggregates as they were at a version or a time.

use std::sync::Arc;

use axum::{Json, extract::State};
use eventstore::StreamKey;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    parameters::{Parameters, moment},
    place::Place,
};
use crate::{
    commands::{StateThen, Until},
    edge::Application,
    error::ServiceError,
};

/// As of when.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    version: Option<u64>,
    time: Option<String>,
}

/// `GET /api/v1/tenants/{tenant}/states/{type}/{id}`: what the events up to a version, or to those that
/// were recorded at a time, make of an aggregate. Beside `streams`, for an id may have slashes.
pub(super) async fn one(
    State(application): State<Arc<Application>>,
    place: Place,
    Parameters(asked): Parameters<Asked>,
) -> Result<Json<Value>, ServiceError> {
    let until = Until {
        version: asked.version,
        time: moment("time", asked.time.as_deref())?,
    };
    let stream = StreamKey::new(place.part("tenant"), place.part("type"), place.part("id"));
    let store = application.store.as_ref();
    let then = application.commands.state_then(store, &stream, until);
    let Some(StateThen {
        version,
        position,
        state,
    }) = then.await?
    else {
        let name = format!("{}/{}", stream.stream_type, stream.stream_id);
        return Err(ServiceError::missing("aggregate", &name));
    };
    Ok(Json(json!({
        "stream": stream, "version": version, "position": position, "state": state,
    })))
}
