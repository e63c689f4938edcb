//! The gRPC side of the edge, on the same port.
//!
//! Every service but health asks for a proven caller before a handler sees the call.

mod provision;
mod subscription;
mod sync;
mod wire;
#[cfg(test)]
mod wire_tests;

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Router,
    extract::{ConnectInfo, Request, State},
    middleware::{self, Next},
    response::Response,
};
use protocol::v1::{provision_server::ProvisionServer, sync_server::SyncServer};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic_health::{ServingStatus, server::HealthReporter};

use super::{
    Application,
    request_id::RequestId,
    trace::{TRACEPARENT, trace_id},
};
use crate::{
    authentication::{Caller, Workload},
    commands::Origin,
    error::{ServiceError, StartError},
    readiness::Readiness,
};

/// A policy of many rules still fits.
const MAX_PROVISION_BYTES: usize = 4 * 1024 * 1024;
const MAX_SYNC_BYTES: usize = 64 * 1024;
const SERVICES: [&str; 3] = ["", "signet.v1.Provision", "signet.v1.Sync"];

/// The routes of gRPC, and the task that reports their health.
pub(super) fn router(application: &Arc<Application>) -> Result<(Router, Health), StartError> {
    let provision = ProvisionServer::new(provision::Service::new(Arc::clone(application)))
        .max_decoding_message_size(MAX_PROVISION_BYTES);
    let sync = SyncServer::new(sync::Service::new(Arc::clone(application)))
        .max_decoding_message_size(MAX_SYNC_BYTES);
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(protocol::DESCRIPTORS)
    };
    let refuse = |error: tonic_reflection::server::Error| StartError::Reflection(error.to_string());
    let proven = Routes::from(Router::new())
        .add_service(provision)
        .add_service(sync)
        .add_service(reflection().build_v1().map_err(refuse)?)
        .add_service(reflection().build_v1alpha().map_err(refuse)?)
        .into_axum_router()
        .layer(middleware::from_fn_with_state(
            Arc::clone(application),
            prove,
        ));
    let (reporter, health) = tonic_health::server::health_reporter();
    let anonymous = Routes::from(Router::new())
        .add_service(health)
        .into_axum_router();
    let health = Health {
        reporter,
        readiness: Arc::clone(&application.readiness),
    };
    Ok((proven.merge(anonymous), health))
}

/// Lets nobody through who did not prove itself; handlers find the caller among the extensions.
async fn prove(
    State(application): State<Arc<Application>>,
    mut request: Request,
    next: Next,
) -> Result<Response, ServiceError> {
    let caller = application.gate.identify(request.headers()).await?;
    application.readiness.trustworthy().await?;
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

/// Reports readiness over `grpc.health.v1`.
pub(crate) struct Health {
    reporter: HealthReporter,
    readiness: Arc<Readiness>,
}

impl Health {
    /// Reports every change until it is told to stop.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut changes = self.readiness.watch();
        loop {
            let status = match changes.borrow_and_update().is_ready() {
                true => ServingStatus::Serving,
                false => ServingStatus::NotServing,
            };
            for service in SERVICES {
                self.reporter.set_service_status(service, status).await;
            }
            match stop.run_until_cancelled(changes.changed()).await {
                Some(Ok(())) => {}
                None | Some(Err(_)) => return,
            }
        }
    }
}

/// The operator's call, for the record of what it changes.
fn operator<T>(request: &tonic::Request<T>) -> Result<Origin, ServiceError> {
    match request.extensions().get::<Caller>() {
        Some(Caller::Operator) => Ok(origin(request, "operator".to_owned())),
        _ => Err(ServiceError::Forbidden(
            "only the operator may provision; it is the ServiceAccount that central's \
             --operator-service-account names",
        )),
    }
}

/// The workload whose call it is.
fn workload<T>(request: &tonic::Request<T>) -> Result<Workload, ServiceError> {
    match request.extensions().get::<Caller>() {
        Some(Caller::Workload(workload)) => Ok(workload.clone()),
        _ => Err(ServiceError::Forbidden(
            "only workloads may call this, with the token of their pod",
        )),
    }
}

fn origin<T>(request: &tonic::Request<T>, actor: String) -> Origin {
    let id = request.extensions().get::<RequestId>();
    let traceparent = request.metadata().get(TRACEPARENT.as_str());
    let traceparent = traceparent.and_then(|text| text.to_str().ok());
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    Origin {
        actor,
        correlation_id: id.map(RequestId::correlation_id),
        trace_id: traceparent.and_then(trace_id).map(str::to_owned),
        source_ip: peer.map(|ConnectInfo(peer)| peer.ip().to_canonical().to_string()),
    }
}
