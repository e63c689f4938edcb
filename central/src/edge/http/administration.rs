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

/// Read your writes: the answer is at least as new as a position.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AtLeast {
    #[serde(default)]
    min_position: u64,
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
        .filter(|realm| realm.exists() || realm.frozen().is_some())
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

async fn realm(
    application: &Application,
    tenant: &str,
    at: AtLeast,
) -> Result<Arc<Realm>, ServiceError> {
    application
        .directory
        .reached_soon(Position(at.min_position))
        .await?;
    let realm = application.existing(tenant)?;
    realm.follows()?;
    Ok(realm)
}
