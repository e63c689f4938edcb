//! Declarations, and their answers.

use protocol::v1::{
    ApplyIdGeneratorRequest, ApplyIdGeneratorResponse, ApplyRoleRequest, ApplyRoleResponse,
    ApplyTenantRequest, ApplyTenantResponse, Buffer, IdGeneratorApplied, IdGeneratorSpec,
    KeySettings, Refusal, RoleApplied, RoleSpec, Rule, Segment, Subject, TenantApplied, TenantSpec,
    TokenSettings, apply_id_generator_response, apply_role_response, apply_tenant_response,
    id_generator_spec::Algorithm, rule::Effect, subject::Kind,
};
use tonic::Response;

pub(crate) fn tenant(name: &str, namespaces: &[&str]) -> ApplyTenantRequest {
    ApplyTenantRequest {
        name: name.into(),
        spec: Some(TenantSpec {
            display_name: name.to_uppercase(),
            namespaces: namespaces.iter().map(|one| (*one).to_owned()).collect(),
            tokens: Some(TokenSettings {
                algorithm: "ES256".into(),
                access_token_lifetime_seconds: 900,
                refresh_token_lifetime_seconds: 604_800,
                audiences: vec![name.into(), format!("{name}-web")],
            }),
            keys: Some(KeySettings {
                rotate_every_seconds: 2_592_000,
                overlap_seconds: 86_400,
            }),
        }),
    }
}

pub(crate) fn role(tenant: &str, namespace: &str, name: &str, account: &str) -> ApplyRoleRequest {
    ApplyRoleRequest {
        tenant: tenant.into(),
        namespace: namespace.into(),
        name: name.into(),
        spec: Some(RoleSpec {
            inherits: vec![],
            rules: vec![Rule {
                effect: Effect::Allow.into(),
                resources: vec!["orders/*".into()],
                actions: vec!["read".into()],
                when: String::new(),
            }],
            subjects: vec![Subject {
                kind: Kind::ServiceAccount.into(),
                name: account.into(),
                namespace: String::new(),
            }],
        }),
    }
}

pub(crate) fn generator(
    tenant: &str,
    namespace: &str,
    name: &str,
    start: u64,
    max: u64,
    step: u64,
) -> ApplyIdGeneratorRequest {
    ApplyIdGeneratorRequest {
        tenant: tenant.into(),
        namespace: namespace.into(),
        name: name.into(),
        spec: Some(IdGeneratorSpec {
            algorithm: Some(Algorithm::Segment(Segment { start, max, step })),
            buffer: Some(Buffer {
                capacity: 10_000,
                refill_at_percent: 10,
                outage_budget_seconds: 600,
            }),
        }),
    }
}

pub(crate) fn applied_tenant(answer: Response<ApplyTenantResponse>) -> TenantApplied {
    match answer.into_inner().outcome {
        Some(apply_tenant_response::Outcome::Applied(applied)) => applied,
        other => panic!("not applied but {other:?}"),
    }
}

pub(crate) fn refused_tenant(answer: Response<ApplyTenantResponse>) -> Refusal {
    match answer.into_inner().outcome {
        Some(apply_tenant_response::Outcome::Refusal(refusal)) => refusal,
        other => panic!("not refused but {other:?}"),
    }
}

pub(crate) fn applied_role(answer: Response<ApplyRoleResponse>) -> RoleApplied {
    match answer.into_inner().outcome {
        Some(apply_role_response::Outcome::Applied(applied)) => applied,
        other => panic!("not applied but {other:?}"),
    }
}

pub(crate) fn refused_role(answer: Response<ApplyRoleResponse>) -> Refusal {
    match answer.into_inner().outcome {
        Some(apply_role_response::Outcome::Refusal(refusal)) => refusal,
        other => panic!("not refused but {other:?}"),
    }
}

pub(crate) fn applied_generator(answer: Response<ApplyIdGeneratorResponse>) -> IdGeneratorApplied {
    match answer.into_inner().outcome {
        Some(apply_id_generator_response::Outcome::Applied(applied)) => applied,
        other => panic!("not applied but {other:?}"),
    }
}

pub(crate) fn refused_generator(answer: Response<ApplyIdGeneratorResponse>) -> Refusal {
    match answer.into_inner().outcome {
        Some(apply_id_generator_response::Outcome::Refusal(refusal)) => refusal,
        other => panic!("not refused but {other:?}"),
    }
}
