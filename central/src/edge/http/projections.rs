//! Projections: where they stand, paused, resumed, brought up to date, built anew.

use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State, http::StatusCode};
use eventstore::{
    Position,
    projection::{ProjectionError, ProjectionState, ProjectionStatus},
};
use serde_json::{Value, json};

use super::{
    parameters::{Nothing, Parameters},
    place::Place,
};
use crate::{edge::Application, error::ServiceError};

type Answer = Result<Json<Value>, ServiceError>;

/// Longest wait for a projection that is being brought up to date, within the time limit of every call.
const PATIENCE: Duration = Duration::from_secs(25);

/// `GET /api/v1/projections`, and below a tenant.
pub(super) async fn list(
    State(application): State<Arc<Application>>,
    place: Place,
    Parameters(Nothing {}): Parameters<Nothing>,
) -> Answer {
    let all = application.projections.statuses().await?;
    let views: Vec<_> = all.into_iter().map(|one| view(&place, one)).collect();
    Ok(Json(
        json!({ "projections": views, "next": null, "end": true }),
    ))
}

/// `GET /api/v1/projections/{name}`, and below a tenant.
pub(super) async fn one(
    State(application): State<Arc<Application>>,
    place: Place,
    Parameters(Nothing {}): Parameters<Nothing>,
) -> Answer {
    let status = application.projections.status(place.part("name")).await?;
    Ok(Json(view(&place, status)))
}

/// `POST /api/v1/projections/{name}/pause`
pub(super) async fn pause(
    state: State<Arc<Application>>,
    place: Place,
    nothing: Parameters<Nothing>,
) -> Answer {
    state.projections.pause(place.part("name")).await?;
    one(state, place, nothing).await
}

/// `POST /api/v1/projections/{name}/resume`: also tries again what failed.
pub(super) async fn resume(
    state: State<Arc<Application>>,
    place: Place,
    nothing: Parameters<Nothing>,
) -> Answer {
    state.projections.retry(place.part("name")).await?;
    state.projections.resume(place.part("name")).await?;
    one(state, place, nothing).await
}

/// `POST /api/v1/projections/{name}/refresh`: answers when everything is applied that was stored when it was
/// called, and with 202 when that takes longer than a call may.
pub(super) async fn refresh(
    State(application): State<Arc<Application>>,
    place: Place,
    Parameters(Nothing {}): Parameters<Nothing>,
) -> Result<(StatusCode, Json<Value>), ServiceError> {
    let (projections, name) = (&application.projections, place.part("name"));
    let before = projections.status(name).await?;
    // Else it would be waited for somebody who resumes it.
    if before.state == ProjectionState::Paused && before.active.position < before.head {
        return Err(paused(name));
    }
    let refreshed = refreshed(projections.refresh(name, PATIENCE).await)?;
    let status = projections.status(name).await?;
    Ok((refreshed, Json(view(&place, status))))
}

/// What is answered when the wait for a refresh is over.
fn refreshed(outcome: Result<Position, ProjectionError>) -> Result<StatusCode, ServiceError> {
    match outcome {
        Ok(_) => Ok(StatusCode::OK),
        Err(ProjectionError::Behind {
            projection,
            state: ProjectionState::Paused,
            ..
        }) => Err(paused(&projection)),
        Err(ProjectionError::Behind { .. }) => Ok(StatusCode::ACCEPTED),
        Err(error) => Err(error.into()),
    }
}

fn paused(projection: &str) -> ServiceError {
    ServiceError::Conflict(format!(
        "projection {projection} is paused; resume it first"
    ))
}

/// `POST /api/v1/projections/{name}/clear-cache`: in all replicas.
pub(super) async fn clear_cache(
    state: State<Arc<Application>>,
    place: Place,
    nothing: Parameters<Nothing>,
) -> Answer {
    state.projections.clear_cache(place.part("name")).await?;
    one(state, place, nothing).await
}

/// `POST /api/v1/projections/{name}/rebuild`: beside the documents that are asked, which it replaces.
pub(super) async fn rebuild(
    state: State<Arc<Application>>,
    place: Place,
    nothing: Parameters<Nothing>,
) -> Answer {
    let rebuild = state.projections.rebuild(place.part("name"), None);
    rebuild.await?;
    one(state, place, nothing).await
}

/// `DELETE /api/v1/projections/{name}/rebuild`: the documents that are asked stay. Nothing to give up is no
/// error, for it may just have come to its end.
pub(super) async fn cancel_rebuild(
    state: State<Arc<Application>>,
    place: Place,
    nothing: Parameters<Nothing>,
) -> Answer {
    state.projections.cancel_rebuild(place.part("name")).await?;
    one(state, place, nothing).await
}

/// `POST /api/v1/projections/{name}/clear`: its documents are gone at once, and built again.
pub(super) async fn clear(
    state: State<Arc<Application>>,
    place: Place,
    nothing: Parameters<Nothing>,
) -> Answer {
    state.projections.clear(place.part("name")).await?;
    one(state, place, nothing).await
}

/// All there is to know; to a tenant only how far it is, for reasons may quote what others wrote.
fn view(place: &Place, status: ProjectionStatus) -> Value {
    match place.tenant() {
        None => json!(status),
        Some(_) => json!({
            "projection": status.projection,
            "state": status.state,
            "position": status.active.position,
            "lag_seconds": status.active.lag_seconds,
        }),
    }
}

impl From<ProjectionError> for ServiceError {
    fn from(error: ProjectionError) -> Self {
        match error {
            ProjectionError::Unknown { projection } => Self::missing("projection", &projection),
            ProjectionError::Behind { .. } => Self::Conflict(error.to_string()),
            ProjectionError::Failed {
                projection,
                position,
                message,
            } => Self::Conflict(format!(
                "projection {projection} cannot apply the event at position {position} ({message}); \
                 mend that, then resume it"
            )),
            ProjectionError::Invalid { field, message } => Self::InvalidArgument {
                name: field.into(),
                message,
            },
            ProjectionError::Unavailable { .. } => {
                tracing::warn!(%error, "the projections could not be asked");
                Self::StoreUnavailable
            }
            ProjectionError::Corrupt { .. } => {
                tracing::error!(%error, "a document is corrupt");
                let (position, message) = (None, error.to_string());
                Self::Corrupt { position, message }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use eventstore::{
        Position,
        projection::{ProjectionError, ProjectionState},
    };

    use super::refreshed;

    #[test]
    fn only_who_waits_with_reason_is_told_to_ask_again() {
        let behind = |state| {
            Err(ProjectionError::Behind {
                projection: "allocations".to_owned(),
                wanted: Position(9),
                reached: Position(3),
                state,
            })
        };
        assert_eq!(refreshed(Ok(Position(9))).unwrap(), StatusCode::OK);
        let late = refreshed(behind(ProjectionState::Behind)).unwrap();
        assert_eq!(late, StatusCode::ACCEPTED);
        let failed = ProjectionError::Failed {
            projection: "allocations".to_owned(),
            position: Position(4),
            message: "it makes no sense".to_owned(),
        };
        for refused in [behind(ProjectionState::Paused), Err(failed)] {
            let error = refreshed(refused).unwrap_err();
            assert_eq!(error.code(), "SIGNET-CENTRAL-0031");
            assert!(error.to_string().contains("resume it"), "{error}");
        }
    }
}
