//! Subscriptions: where they stand, how they do, paused and resumed.

use std::sync::Arc;

use axum::{Json, extract::State};
use eventstore::consumer::{ConsumerError, DeadLetterQuery, SubscriptionStatus, Subscriptions};
use serde_json::{Value, json};

use super::{
    parameters::{Nothing, Parameters},
    place::Place,
};
use crate::{edge::Application, error::ServiceError};

/// Dead letters of a tenant are counted up to here.
const MOST_COUNTED: usize = 1000;

type Answer = Result<Json<Value>, ServiceError>;

/// `GET /api/v1/subscriptions`, and below a tenant.
pub(super) async fn list(
    State(application): State<Arc<Application>>,
    place: Place,
    Parameters(Nothing {}): Parameters<Nothing>,
) -> Answer {
    let all = subscriptions(&application)
        .all((application.clock)())
        .await?;
    let mut views = Vec::with_capacity(all.len());
    for status in all {
        views.push(view(&application, &place, status).await?);
    }
    Ok(Json(
        json!({ "subscriptions": views, "next": null, "end": true }),
    ))
}

/// `GET /api/v1/subscriptions/{name}`, and below a tenant.
pub(super) async fn one(
    State(application): State<Arc<Application>>,
    place: Place,
    Parameters(Nothing {}): Parameters<Nothing>,
) -> Answer {
    let (name, now) = (place.part("name"), (application.clock)());
    let status = subscriptions(&application).status(name, now).await?;
    Ok(Json(view(&application, &place, status).await?))
}

/// `POST /api/v1/subscriptions/{name}/pause`
pub(super) async fn pause(
    state: State<Arc<Application>>,
    place: Place,
    nothing: Parameters<Nothing>,
) -> Answer {
    subscriptions(&state).pause(place.part("name")).await?;
    one(state, place, nothing).await
}

/// `POST /api/v1/subscriptions/{name}/resume`
pub(super) async fn resume(
    state: State<Arc<Application>>,
    place: Place,
    nothing: Parameters<Nothing>,
) -> Answer {
    subscriptions(&state).resume(place.part("name")).await?;
    one(state, place, nothing).await
}

pub(super) fn subscriptions(application: &Application) -> Subscriptions {
    Subscriptions::new(Arc::clone(&application.store))
}

/// All there is to know; to a tenant only what is about it. How a subscription stands shows in numbers
/// and reasons what others write.
async fn view(
    application: &Application,
    place: &Place,
    status: SubscriptionStatus,
) -> Result<Value, ServiceError> {
    let name = status.subscription.as_str();
    if let Some(tenant) = place.tenant() {
        let query = DeadLetterQuery {
            subscription: Some(name.to_owned()),
            tenant: Some(tenant.to_owned()),
            after: None,
            limit: MOST_COUNTED,
        };
        let own = subscriptions(application).dead_letters(&query).await?;
        return Ok(json!({
            "subscription": name,
            "paused": status.paused,
            "dead_letters": own.letters.len(),
        }));
    }
    let (health, statistics) = (
        application.consumers.health(),
        application.consumers.statistics(),
    );
    let health = health.into_iter().find(|one| one.subscription == name);
    let statistics = statistics.into_iter().find(|one| one.subscription == name);
    let here = json!({
        "owner": application.consumers.owner(),
        "partitions": health.map(|health| health.partitions),
        "statistics": statistics,
    });
    let partitions = || status.partitions.iter();
    let oldest = partitions().map(|one| one.lag_seconds);
    Ok(json!({
        "subscription": name,
        "paused": status.paused,
        "dead_letters": status.dead_letters,
        "position": partitions().map(|one| one.position).min(),
        "lag_events": partitions().map(|one| one.lag_events).max(),
        "lag_seconds": oldest.fold(0.0, f64::max),
        "partitions": status.partitions,
        "this_replica": here,
    }))
}

impl From<ConsumerError> for ServiceError {
    fn from(error: ConsumerError) -> Self {
        match error {
            ConsumerError::NotFound { subscription } => {
                Self::missing("subscription", &subscription)
            }
            ConsumerError::NoDeadLetter {
                subscription,
                position,
            } => Self::missing("dead letter", &format!("{subscription}:{position}")),
            ConsumerError::NotPaused { .. }
            | ConsumerError::AlreadyRunning { .. }
            | ConsumerError::PartitionsChanged { .. }
            | ConsumerError::DeadLetterBusy { .. }
            | ConsumerError::DeadLetterHeldBack { .. }
            | ConsumerError::ReplayFailed { .. } => Self::Conflict(error.to_string()),
            ConsumerError::InvalidOption { option, message } => Self::InvalidArgument {
                name: option.into(),
                message,
            },
            ConsumerError::Read(error) => error.into(),
            ConsumerError::Database(error) => {
                tracing::warn!(%error, "the tables of the subscriptions could not be asked");
                Self::StoreUnavailable
            }
        }
    }
}
