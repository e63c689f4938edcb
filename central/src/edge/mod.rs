//! The edge: one port for HTTP and gRPC, mapped onto the parts within.

mod grpc;
mod http;
mod observe;
mod page;
mod patience;
mod request_id;
mod server;
mod streams;
mod tls;
mod trace;

use std::sync::Arc;

use axum::{Router, middleware};
use eventstore::{EventStore, consumer::Consumers, integrity::PublicKeys, projection::Projections};
use tower_http::catch_panic::CatchPanicLayer;

pub(crate) use self::{
    grpc::Health,
    server::Port,
    streams::Streams,
    tls::{Certificate, Reload},
};
use crate::{
    authentication::Gate,
    commands::Commands,
    config::Config,
    directory::{Directory, Realm},
    error::{ServiceError, StartError},
    exchange::Exchange,
    metrics::Metrics,
    readiness::Readiness,
    replays::Replays,
    service::Clock,
};

/// What the handlers share.
pub(crate) struct Application {
    pub(crate) config: Config,
    pub(crate) gate: Gate,
    pub(crate) directory: Arc<Directory>,
    pub(crate) commands: Arc<Commands>,
    pub(crate) exchange: Exchange,
    pub(crate) store: Arc<dyn EventStore>,
    pub(crate) consumers: Arc<Consumers>,
    pub(crate) projections: Projections,
    /// What checkpoints can be verified with.
    pub(crate) checkpoint_keys: PublicKeys,
    pub(crate) replays: Replays,
    pub(crate) readiness: Arc<Readiness>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) streams: Streams,
    pub(crate) clock: Clock,
}

impl Application {
    /// The realm of a tenant that was declared once, which is as it was if the tenant is frozen.
    pub(crate) fn existing(&self, tenant: &str) -> Result<Arc<Realm>, ServiceError> {
        let unknown = || ServiceError::unknown_tenant(tenant);
        let realm = self.directory.realm(tenant).ok_or_else(unknown)?;
        if !realm.exists() {
            // It may be declared by the event that was not understood.
            realm.follows()?;
            return Err(unknown());
        }
        Ok(realm)
    }

    /// As [`Application::existing`], for those whom nobody knows: they are not told what froze a tenant.
    pub(crate) fn published(&self, tenant: &str) -> Result<Arc<Realm>, ServiceError> {
        self.existing(tenant).map_err(|error| match error {
            ServiceError::Frozen { .. } => ServiceError::CatchingUp,
            error => error,
        })
    }
}

/// Everything there is to call, and the task that reports health over gRPC.
pub(crate) fn router(application: &Arc<Application>) -> Result<(Router, Health), StartError> {
    let (grpc, health) = grpc::router(application)?;
    let router = http::router(Arc::clone(application))
        .merge(grpc)
        .fallback(|| async { ServiceError::NoSuchRoute })
        .method_not_allowed_fallback(|| async { ServiceError::MethodNotAllowed })
        .layer(CatchPanicLayer::custom(observe::panicked))
        .layer(middleware::from_fn_with_state(
            Arc::clone(&application.metrics),
            observe::call,
        ))
        .layer(middleware::from_fn(page::pages))
        .layer(middleware::from_fn(request_id::assign));
    Ok((router, health))
}
