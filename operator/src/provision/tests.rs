//! The calls over a real connection, against a server of the same contract.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use protocol::v1::provision_server::{Provision, ProvisionServer};
use protocol::v1::{ApplyIdGeneratorResponse, ApplyRoleResponse, ApplyTenantResponse, Refusal};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::Response;

use super::*;

/// Answers by the name of what it is asked about, and remembers who asked.
#[derive(Clone, Default)]
struct Other {
    bearers: Arc<Mutex<Vec<String>>>,
}

impl Other {
    fn note<T>(&self, request: &Request<T>) {
        let bearer = request.metadata().get("authorization").unwrap();
        self.bearers
            .lock()
            .unwrap()
            .push(bearer.to_str().unwrap().into());
    }
}

#[async_trait::async_trait]
impl Provision for Other {
    async fn apply_tenant(
        &self,
        request: Request<ApplyTenantRequest>,
    ) -> Result<Response<ApplyTenantResponse>, Status> {
        use apply_tenant_response::Outcome;
        self.note(&request);
        let outcome = match request.into_inner().name.as_str() {
            "down" => return Err(Status::unavailable("starting")),
            "stranger" => return Err(Status::permission_denied("not the operator")),
            "newer" => None,
            "wrong" => Some(Outcome::Refusal(Refusal {
                reason: "InvalidName".into(),
                message: "choose another".into(),
                field: "metadata.name".into(),
                may_heal: false,
            })),
            name => Some(Outcome::Applied(TenantApplied {
                position: 7,
                changed: true,
                issuer: format!("https://signet.example/t/{name}"),
                active_key: "2026-11-a".into(),
            })),
        };
        Ok(Response::new(ApplyTenantResponse { outcome }))
    }

    async fn delete_tenant(
        &self,
        request: Request<DeleteTenantRequest>,
    ) -> Result<Response<DeleteResponse>, Status> {
        match request.into_inner().name.as_str() {
            "unknown" => Err(Status::not_found("no such tenant")),
            _ => Err(Status::unavailable("starting")),
        }
    }

    async fn apply_role(
        &self,
        _: Request<ApplyRoleRequest>,
    ) -> Result<Response<ApplyRoleResponse>, Status> {
        Err(Status::internal("defect"))
    }

    async fn delete_role(
        &self,
        _: Request<DeleteRoleRequest>,
    ) -> Result<Response<DeleteResponse>, Status> {
        Ok(Response::new(DeleteResponse {
            position: 9,
            changed: true,
        }))
    }

    async fn apply_id_generator(
        &self,
        _: Request<ApplyIdGeneratorRequest>,
    ) -> Result<Response<ApplyIdGeneratorResponse>, Status> {
        Err(Status::deadline_exceeded("slow"))
    }

    async fn delete_id_generator(
        &self,
        _: Request<DeleteIdGeneratorRequest>,
    ) -> Result<Response<DeleteResponse>, Status> {
        Ok(Response::new(DeleteResponse::default()))
    }
}

async fn connected(credentials: Credentials) -> (Provisioner, Other) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let other = Other::default();
    tokio::spawn(
        tonic::transport::Server::builder()
            .add_service(ProvisionServer::new(other.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener)),
    );
    (provisioner(address, credentials), other)
}

fn provisioner(address: SocketAddr, credentials: Credentials) -> Provisioner {
    Provisioner::new(Settings {
        url: format!("http://{address}"),
        ca_pem: None,
        credentials,
    })
    .unwrap()
}

fn tenant(name: &str) -> ApplyTenantRequest {
    ApplyTenantRequest {
        name: name.into(),
        spec: None,
    }
}

#[tokio::test]
async fn an_applied_tenant_comes_back_and_the_token_of_the_moment_was_shown() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    std::fs::write(&path, "one").unwrap();
    let (provisioner, other) = connected(Credentials::File(path.clone())).await;
    let applied = provisioner.apply_tenant(tenant("acme")).await.unwrap();
    assert_eq!(applied.issuer, "https://signet.example/t/acme");
    std::fs::write(&path, "two").unwrap();
    provisioner.apply_tenant(tenant("acme")).await.unwrap();
    assert_eq!(*other.bearers.lock().unwrap(), ["Bearer one", "Bearer two"]);
}

#[tokio::test]
async fn failures_say_whether_a_retry_can_help() {
    let (provisioner, _) = connected(Credentials::Static("token".into())).await;
    for (name, code, retryable) in [
        ("wrong", "SIGNET-OPERATOR-0010", false),
        ("down", "SIGNET-OPERATOR-0020", true),
        ("stranger", "SIGNET-OPERATOR-0021", true),
        ("newer", "SIGNET-OPERATOR-0024", true),
    ] {
        let error = provisioner.apply_tenant(tenant(name)).await.unwrap_err();
        assert_eq!(
            (error.code(), error.retryable()),
            (code, retryable),
            "{name}: {error}"
        );
    }
    let slow = provisioner
        .apply_id_generator(ApplyIdGeneratorRequest::default())
        .await;
    assert_eq!(slow.unwrap_err().reason(), "CentralUnavailable");
    let broken = provisioner.apply_role(ApplyRoleRequest::default()).await;
    assert_eq!(broken.unwrap_err().reason(), "CentralFailed");
}

#[tokio::test]
async fn deleting_what_is_unknown_succeeds_and_nothing_else_is_swallowed() {
    let (provisioner, _) = connected(Credentials::Static("token".into())).await;
    let gone = provisioner
        .delete_tenant("unknown", DeletionPolicy::Delete)
        .await
        .unwrap();
    assert!(!gone.changed);
    let error = provisioner
        .delete_tenant("acme", DeletionPolicy::Delete)
        .await
        .unwrap_err();
    assert_eq!(error.reason(), "CentralUnavailable");
    assert!(
        provisioner
            .delete_role("acme", "shop", "reader")
            .await
            .unwrap()
            .changed
    );
}

#[tokio::test]
async fn a_central_that_is_not_there_is_unavailable() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let provisioner = provisioner(address, Credentials::Static("token".into()));
    let error = provisioner.apply_tenant(tenant("acme")).await.unwrap_err();
    assert_eq!(error.code(), "SIGNET-OPERATOR-0020", "{error}");
}

#[tokio::test]
async fn https_without_anything_to_trust_is_refused_at_once() {
    let error = Provisioner::new(Settings {
        url: "https://signet-central.signet-system.svc:7750".into(),
        ca_pem: None,
        credentials: Credentials::Static("token".into()),
    })
    .unwrap_err();
    assert_eq!(error.code(), "SIGNET-OPERATOR-0023");
}
