//! `signet.v1.Provision`: what the operator asks for.

use std::sync::Arc;

use eventstore::command::{Aggregate, Done};
use protocol::v1::{
    ApplyIdGeneratorRequest, ApplyIdGeneratorResponse, ApplyRoleRequest, ApplyRoleResponse,
    ApplyTenantRequest, ApplyTenantResponse, DeleteIdGeneratorRequest, DeleteResponse,
    DeleteRoleRequest, DeleteTenantRequest, DeletionPolicy, IdGeneratorApplied, RoleApplied,
    TenantApplied, apply_id_generator_response, apply_role_response, apply_tenant_response,
    provision_server::Provision,
};
use tonic::{Request, Response, Status};

use super::{operator, wire};
use crate::{edge::Application, error::ServiceError};

/// The service.
pub(super) struct Service {
    application: Arc<Application>,
}

impl Service {
    pub(super) fn new(application: Arc<Application>) -> Self {
        Self { application }
    }
}

#[tonic::async_trait]
impl Provision for Service {
    async fn apply_tenant(
        &self,
        request: Request<ApplyTenantRequest>,
    ) -> Result<Response<ApplyTenantResponse>, Status> {
        use apply_tenant_response::Outcome;
        let origin = operator(&request)?;
        let ApplyTenantRequest { name, spec } = request.into_inner();
        let refused = |refusal| {
            Ok(Response::new(ApplyTenantResponse {
                outcome: Some(Outcome::Refusal(refusal)),
            }))
        };
        let spec = match wire::tenant_spec(&name, spec) {
            Ok(spec) => spec,
            Err(wire::Unreadable::Refused(refusal)) => return refused(refusal),
            Err(wire::Unreadable::Incomplete(error)) => return Err(error.into()),
        };
        match self
            .application
            .commands
            .declare_tenant(spec, &origin)
            .await?
        {
            Err(refusal) => refused(wire::iam_refusal(refusal)),
            Ok(done) => Ok(Response::new(ApplyTenantResponse {
                outcome: Some(Outcome::Applied(TenantApplied {
                    position: done.position.0,
                    changed: done.appended.is_some(),
                    issuer: self.application.config.issuer(&name),
                    active_key: active_key(&done.state),
                })),
            })),
        }
    }

    async fn delete_tenant(
        &self,
        request: Request<DeleteTenantRequest>,
    ) -> Result<Response<DeleteResponse>, Status> {
        let origin = operator(&request)?;
        let DeleteTenantRequest {
            name,
            deletion_policy,
        } = request.into_inner();
        let name = wire::name("name", name)?;
        let close = match DeletionPolicy::try_from(deletion_policy) {
            Ok(DeletionPolicy::Delete) => true,
            Ok(DeletionPolicy::Retain) => false,
            Ok(DeletionPolicy::Unspecified) | Err(_) => {
                let message = "say DELETION_POLICY_RETAIN or DELETION_POLICY_DELETE".to_owned();
                return Err(ServiceError::InvalidArgument {
                    name: "deletion_policy".into(),
                    message,
                }
                .into());
            }
        };
        deleted(
            self.application
                .commands
                .delete_tenant(&name, close, &origin)
                .await?,
        )
    }

    async fn apply_role(
        &self,
        request: Request<ApplyRoleRequest>,
    ) -> Result<Response<ApplyRoleResponse>, Status> {
        use apply_role_response::Outcome;
        let origin = operator(&request)?;
        let ApplyRoleRequest {
            tenant,
            namespace,
            name,
            spec,
        } = request.into_inner();
        let tenant = wire::name("tenant", tenant)?;
        let role = wire::role(
            &wire::name("namespace", namespace)?,
            &wire::name("name", name)?,
            spec,
        )?;
        let outcome = match self
            .application
            .commands
            .declare_role(&tenant, role, &origin)
            .await?
        {
            Err(refusal) => Outcome::Refusal(wire::iam_refusal(refusal)),
            Ok(done) => Outcome::Applied(RoleApplied {
                position: done.position.0,
                changed: done.appended.is_some(),
            }),
        };
        Ok(Response::new(ApplyRoleResponse {
            outcome: Some(outcome),
        }))
    }

    async fn delete_role(
        &self,
        request: Request<DeleteRoleRequest>,
    ) -> Result<Response<DeleteResponse>, Status> {
        let origin = operator(&request)?;
        let DeleteRoleRequest {
            tenant,
            namespace,
            name,
        } = request.into_inner();
        let tenant = wire::name("tenant", tenant)?;
        let (namespace, name) = (
            wire::name("namespace", namespace)?,
            wire::name("name", name)?,
        );
        deleted(
            self.application
                .commands
                .remove_role(&tenant, &namespace, &name, &origin)
                .await?,
        )
    }

    async fn apply_id_generator(
        &self,
        request: Request<ApplyIdGeneratorRequest>,
    ) -> Result<Response<ApplyIdGeneratorResponse>, Status> {
        use apply_id_generator_response::Outcome;
        let origin = operator(&request)?;
        let ApplyIdGeneratorRequest {
            tenant,
            namespace,
            name,
            spec,
        } = request.into_inner();
        let tenant = wire::name("tenant", tenant)?;
        let (namespace, name) = (
            wire::name("namespace", namespace)?,
            wire::name("name", name)?,
        );
        let spec = wire::generator_spec(spec)?;
        let commands = &self.application.commands;
        let declared = commands
            .declare_generator(&tenant, &namespace, &name, spec, &origin)
            .await?;
        let outcome = match declared {
            Err(refusal) => Outcome::Refusal(wire::idgen_refusal(refusal)),
            Ok(done) => {
                let member = done.state.member(&namespace);
                Outcome::Applied(IdGeneratorApplied {
                    position: done.position.0,
                    changed: done.appended.is_some(),
                    next: member.map_or(0, |member| member.next),
                    remaining: member.map_or(0, |member| member.remaining()),
                })
            }
        };
        Ok(Response::new(ApplyIdGeneratorResponse {
            outcome: Some(outcome),
        }))
    }

    async fn delete_id_generator(
        &self,
        request: Request<DeleteIdGeneratorRequest>,
    ) -> Result<Response<DeleteResponse>, Status> {
        let origin = operator(&request)?;
        let DeleteIdGeneratorRequest {
            tenant,
            namespace,
            name,
        } = request.into_inner();
        let tenant = wire::name("tenant", tenant)?;
        let (namespace, name) = (
            wire::name("namespace", namespace)?,
            wire::name("name", name)?,
        );
        let commands = &self.application.commands;
        deleted(
            commands
                .remove_generator(&tenant, &namespace, &name, &origin)
                .await?,
        )
    }
}

/// Id of the key that signs; empty when there is none.
fn active_key(tenant: &iam::tenant::State) -> String {
    let kid = tenant.active_key().map(|key| key.kid.clone());
    kid.unwrap_or_default()
}

/// The domain refuses no deletion; should it ever, the caller has to hear of it.
fn deleted<A: Aggregate, Refusal: std::fmt::Display>(
    answer: Result<Done<A>, Refusal>,
) -> Result<Response<DeleteResponse>, Status> {
    match answer {
        Ok(done) => Ok(Response::new(DeleteResponse {
            position: done.position.0,
            changed: done.appended.is_some(),
        })),
        Err(refusal) => Err(Status::failed_precondition(refusal.to_string())),
    }
}
