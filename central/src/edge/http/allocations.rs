//! Which ids were given to whom, and when.

use std::sync::Arc;

use axum::{Json, extract::State};
use eventstore::{
    Position,
    projection::{Document, ProjectionError},
};
use serde::Deserialize;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::{
    events::tenant_of,
    parameters::{Parameters, invalid, moment, page_length},
    place::Place,
    views,
};
use crate::{
    edge::Application,
    error::ServiceError,
    projections::{AllocationQuery, Allocations},
};

const MOST: usize = 1000;

/// Which ones; what is not given does not matter.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    tenant: Option<String>,
    generator: Option<String>,
    namespace: Option<String>,
    id: Option<u64>,
    from: Option<String>,
    until: Option<String>,
    after: Option<String>,
    limit: Option<usize>,
    min_position: Option<u64>,
}

/// `GET …/allocations`: the youngest first, of all tenants those of the last tenant first. `next` is what
/// to give as `after` to go on; everything up to `as_of` is in the answer.
pub(super) async fn list(
    State(application): State<Arc<Application>>,
    place: Place,
    Parameters(asked): Parameters<Asked>,
) -> Result<Json<Value>, ServiceError> {
    let query = AllocationQuery {
        tenant: tenant_of(&application, &place, asked.tenant).await?,
        generator: asked.generator,
        namespace: asked.namespace,
        id: asked.id.map(id).transpose()?,
        from: moment("from", asked.from.as_deref())?,
        until: moment("until", asked.until.as_deref())?,
        cursor: asked.after,
        limit: page_length(asked.limit, MOST)?,
        at_least: asked.min_position.map(Position),
    };
    let found = Allocations::find(&application.projections, query).await;
    let found = found.map_err(|error| refused(error, asked.min_position))?;
    let page = found.value;
    let views: Result<Vec<_>, _> = page.documents.iter().map(view).collect();
    Ok(Json(json!({
        "allocations": views?, "as_of": found.as_of, "next": page.next, "end": page.next.is_none(),
    })))
}

fn id(id: u64) -> Result<u64, ServiceError> {
    match id <= idgen::MAX_ID {
        true => Ok(id),
        false => Err(invalid("id", format!("no id is above {}", idgen::MAX_ID))),
    }
}

fn view(document: &Document) -> Result<Value, ServiceError> {
    let damaged = |message: String| {
        let error = ProjectionError::Corrupt {
            tenant: document.tenant.clone(),
            key: document.key.clone(),
            message,
        };
        ServiceError::from(error)
    };
    let range = Allocations::read(document).map_err(|error| damaged(error.to_string()))?;
    let at = i128::from(range.recorded_at) * 1000;
    let at = OffsetDateTime::from_unix_timestamp_nanos(at);
    let at = at.map_err(|error| damaged(error.to_string()))?;
    Ok(json!({
        "position": document.position,
        "recorded_at": views::time(at),
        "tenant": document.tenant,
        "generator": range.generator,
        "namespace": range.namespace,
        "owner": range.owner,
        "start": range.start.to_string(),
        "end": (range.last + 1).to_string(),
        "stride": range.stride.to_string(),
        "count": range.count.to_string(),
        "epoch": range.epoch,
    }))
}

/// What the projection says to a question; of what it cannot apply, which may be another tenant's, only
/// that it is not there yet.
fn refused(error: ProjectionError, wanted: Option<u64>) -> ServiceError {
    match error {
        ProjectionError::Behind { .. } | ProjectionError::Failed { .. } => {
            tracing::warn!(%error, "an answer could not be as new as it was to be");
            ServiceError::Behind(wanted.unwrap_or_default())
        }
        // It is registered soon after the first start on a database.
        ProjectionError::Unknown { .. } => ServiceError::CatchingUp,
        ProjectionError::Invalid {
            field: "cursor",
            message,
        } => invalid("after", message),
        error => error.into(),
    }
}
