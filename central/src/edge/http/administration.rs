//! What administrators may look at. Reading only: resources are declared through the operator.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
};
use eventstore::Position;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{parameters::Parameters, views};
use crate::{directory::Realm, edge::Application, error::ServiceError};

type Answer = Result<Json<Value>, ServiceError>;

/// Events read at once while those of one tenant are sought.
const PAGE: usize = 1000;
/// Events looked at in one call; the answer says where to go on.
const SCANNED: usize = 20_000;
const MOST_EVENTS: usize = 1000;

/// Read your writes: the answer is at least as new as a position.
#[derive(Deserialize)]
pub(super) struct AtLeast {
    #[serde(default)]
    min_position: u64,
}

/// Which events.
#[derive(Deserialize)]
pub(super) struct Window {
    #[serde(default)]
    after: u64,
    limit: Option<usize>,
}

/// `GET /api/v1/tenants`
pub(super) async fn tenants(
    State(application): State<Arc<Application>>,
    Parameters(at): Parameters<AtLeast>,
) -> Answer {
    application
        .directory
        .reached_soon(Position(at.min_position))
        .await?;
    let tenants: Vec<_> = application
        .directory
        .all()
        .iter()
        .filter(|realm| realm.exists())
        .map(|realm| views::tenant(realm, &application.config))
        .collect();
    Ok(Json(json!({ "tenants": tenants })))
}

/// `GET /api/v1/tenants/{tenant}`
pub(super) async fn tenant(
    State(application): State<Arc<Application>>,
    Path(tenant): Path<String>,
    Parameters(at): Parameters<AtLeast>,
) -> Answer {
    let realm = realm(&application, &tenant, at).await?;
    Ok(Json(views::tenant(&realm, &application.config)))
}

/// `GET /api/v1/tenants/{tenant}/roles`
pub(super) async fn roles(
    State(application): State<Arc<Application>>,
    Path(tenant): Path<String>,
    Parameters(at): Parameters<AtLeast>,
) -> Answer {
    let realm = realm(&application, &tenant, at).await?;
    Ok(Json(
        json!({ "roles": realm.all_roles().map(|role| views::role(&realm, role)).collect::<Vec<_>>() }),
    ))
}

/// `GET /api/v1/tenants/{tenant}/generators`
pub(super) async fn generators(
    State(application): State<Arc<Application>>,
    Path(tenant): Path<String>,
    Parameters(at): Parameters<AtLeast>,
) -> Answer {
    let realm = realm(&application, &tenant, at).await?;
    let generators: Vec<_> = realm
        .all_generators()
        .map(|(name, namespace, member)| views::generator(name, namespace, member))
        .collect();
    Ok(Json(json!({ "generators": generators })))
}

/// `GET /api/v1/tenants/{tenant}/keys`: public parts only.
pub(super) async fn keys(
    State(application): State<Arc<Application>>,
    Path(tenant): Path<String>,
    Parameters(at): Parameters<AtLeast>,
) -> Answer {
    let realm = realm(&application, &tenant, at).await?;
    Ok(Json(
        json!({ "keys": realm.keys().map(|key| views::key(&key)).collect::<Vec<_>>() }),
    ))
}

/// `GET /api/v1/tenants/{tenant}/events?after=&limit=`
///
/// `next` is what to give as `after` to go on; `end` tells that there was nothing more.
pub(super) async fn events(
    State(application): State<Arc<Application>>,
    Path(tenant): Path<String>,
    Parameters(window): Parameters<Window>,
) -> Answer {
    let limit = window.limit.unwrap_or(100);
    if !(1..=MOST_EVENTS).contains(&limit) {
        let message = format!("give 1 to {MOST_EVENTS}");
        return Err(ServiceError::InvalidArgument {
            name: "limit",
            message,
        });
    }
    realm(&application, &tenant, AtLeast { min_position: 0 }).await?;
    let mut found = Vec::new();
    let mut next = Position(window.after);
    let mut end = false;
    let mut scanned = 0;
    while found.len() < limit && scanned < SCANNED && !end {
        let page = application.store.read_all(next, PAGE).await?;
        end = page.len() < PAGE;
        for event in page {
            if found.len() == limit {
                end = false;
                break;
            }
            scanned += 1;
            next = event.position;
            if event.stream.tenant == tenant {
                found.push(views::event(event));
            }
        }
    }
    Ok(Json(json!({ "events": found, "next": next, "end": end })))
}

async fn realm(
    application: &Application,
    tenant: &str,
    at: AtLeast,
) -> Result<Arc<Realm>, ServiceError> {
    application
        .directory
        .reached_soon(Position(at.min_position))
        .await?;
    let realm = application
        .directory
        .realm(tenant)
        .filter(|realm| realm.exists());
    realm.ok_or_else(|| ServiceError::UnknownTenant(tenant.chars().take(64).collect()))
}
