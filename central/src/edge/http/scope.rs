//! Who may call what below `/api/v1/tenants/{tenant}`: see [`admit`].

use std::sync::Arc;

use axum::{
    extract::{RawPathParams, Request, State},
    middleware::{self, Next},
    response::Response,
    routing::MethodRouter,
};

use crate::{
    authentication::{Deed, admit},
    edge::Application,
    error::ServiceError,
};

/// Lets those through to a method that may do `action` on `resource` of the tenant in the path. The
/// handler finds the `Principal` among the request's extensions.
pub(super) fn scoped(
    application: &Arc<Application>,
    resource: &'static str,
    action: &'static str,
    method: MethodRouter<Arc<Application>>,
) -> MethodRouter<Arc<Application>> {
    let deed = Deed { resource, action };
    method.route_layer(middleware::from_fn_with_state(
        (Arc::clone(application), deed),
        admitted_only,
    ))
}

async fn admitted_only(
    State((application, deed)): State<(Arc<Application>, Deed)>,
    path: RawPathParams,
    mut request: Request,
    next: Next,
) -> Result<Response, ServiceError> {
    let tenant = path
        .iter()
        .find_map(|(name, value)| (name == "tenant").then_some(value))
        .unwrap_or_default();
    let realm = application.directory.realm(tenant);
    let principal = admit(
        &application.gate,
        request.headers(),
        realm.as_deref(),
        &application.config.issuer(tenant),
        (application.clock)(),
        deed,
    )?;
    tracing::debug!(
        tenant,
        actor = principal.actor(),
        resource = deed.resource,
        action = deed.action,
        "admitted"
    );
    request.extensions_mut().insert(principal);
    Ok(next.run(request).await)
}
