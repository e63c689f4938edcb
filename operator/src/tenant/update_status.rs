//! Step 5: the Tenant says what came of it.

use crds::{Tenant, TenantStatus};
use k8s_openapi::jiff::Timestamp;
use protocol::v1;

use super::apply::Applied;
use crate::provision::ProvisionError;
use crate::reconcile::{
    Context, ReconcileError, Reconciled, Status, Verdict, conditions, phase, write,
};

pub(super) async fn applied(
    tenant: &Tenant,
    outcome: Result<Applied, ProvisionError>,
    context: &Context,
) -> Result<(), ReconcileError> {
    if let Some(now) = status(tenant, &outcome, Timestamp::now()) {
        update(tenant, now, context).await?;
    }
    outcome.map(|_| ()).map_err(ReconcileError::Central)
}

pub(super) async fn released(
    tenant: &Tenant,
    outcome: Result<v1::DeleteResponse, ProvisionError>,
    context: &Context,
) -> Result<(), ReconcileError> {
    if let Err(error) = &outcome {
        let now = with_verdict(tenant, &Verdict::releasing(error), Timestamp::now());
        update(tenant, now, context).await?;
    }
    outcome.map(|_| ()).map_err(ReconcileError::Central)
}

async fn update(
    tenant: &Tenant,
    now: TenantStatus,
    context: &Context,
) -> Result<(), ReconcileError> {
    let status = Status {
        before: tenant.status.as_ref(),
        now,
        conditions: |status| &status.conditions,
    };
    write(context, &tenant.api(context), tenant, status).await
}

/// The status after `outcome`. `None`: what it says still holds.
fn status(
    tenant: &Tenant,
    outcome: &Result<Applied, ProvisionError>,
    now: Timestamp,
) -> Option<TenantStatus> {
    let before = tenant
        .status
        .as_ref()
        .map(|status| status.conditions.as_slice());
    let message = |applied: &Applied| match applied.namespaces {
        0 => "central holds the tenant; its selector admits no namespace yet: label one".into(),
        1 => "central holds the tenant; it admits 1 namespace".into(),
        count => format!("central holds the tenant; it admits {count} namespaces"),
    };
    let generation = tenant.metadata.generation;
    let verdict = Verdict::of(outcome, message, before.unwrap_or_default(), generation)?;
    let mut status = with_verdict(tenant, &verdict, now);
    if let Ok(Applied { answer, namespaces }) = outcome {
        status.issuer = Some(answer.issuer.clone()).filter(|issuer| !issuer.is_empty());
        status.active_key = Some(answer.active_key.clone()).filter(|key| !key.is_empty());
        status.namespaces = i64::try_from(*namespaces).ok();
    }
    Some(status)
}

fn with_verdict(tenant: &Tenant, verdict: &Verdict, now: Timestamp) -> TenantStatus {
    let before = tenant.status.clone().unwrap_or_default();
    let generation = tenant.metadata.generation;
    TenantStatus {
        observed_generation: generation,
        phase: Some(phase(verdict)),
        conditions: conditions(&before.conditions, verdict, generation, now),
        ..before
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invalid::InvalidResource;
    use crds::Phase;
    use serde_json::json;

    fn tenant(status: Option<TenantStatus>) -> Tenant {
        let mut tenant: Tenant = serde_json::from_value(json!({
            "apiVersion": "signet.dev/v1alpha1", "kind": "Tenant",
            "metadata": {"name": "acme", "generation": 2},
            "spec": {"namespaces": {"matchLabels": {"a": "b"}}, "tokens": {"audiences": ["x"]}},
        }))
        .unwrap();
        tenant.status = status;
        tenant
    }

    fn applied() -> Result<Applied, ProvisionError> {
        Ok(Applied {
            answer: v1::TenantApplied {
                position: 4,
                changed: true,
                issuer: "https://signet.example/t/acme".into(),
                active_key: "2026-11-a".into(),
            },
            namespaces: 2,
        })
    }

    #[test]
    fn what_was_applied_is_told_and_told_once() {
        let first = status(&tenant(None), &applied(), Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(first.phase, Some(Phase::Ready));
        assert_eq!(first.observed_generation, Some(2));
        assert_eq!(
            first.issuer.as_deref(),
            Some("https://signet.example/t/acme")
        );
        assert_eq!(first.active_key.as_deref(), Some("2026-11-a"));
        assert_eq!(first.namespaces, Some(2));
        let again = status(&tenant(Some(first.clone())), &applied(), Timestamp::now()).unwrap();
        assert_eq!(again, first);
    }

    #[test]
    fn a_refusal_keeps_what_central_still_holds() {
        let first = status(&tenant(None), &applied(), Timestamp::UNIX_EPOCH).unwrap();
        let refused = Err(ProvisionError::Refused(InvalidResource::wrong(
            "NotServed",
            "spec",
            "",
        )));
        let second = status(&tenant(Some(first)), &refused, Timestamp::now()).unwrap();
        assert_eq!(second.phase, Some(Phase::Refused));
        assert_eq!(second.active_key.as_deref(), Some("2026-11-a"));
        assert_eq!(second.conditions[0].reason, "NotServed");
    }

    #[test]
    fn a_central_out_of_reach_changes_nothing_that_holds() {
        let lost = || {
            Err(ProvisionError::Unavailable {
                message: "x".into(),
            })
        };
        let first = status(&tenant(None), &applied(), Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(
            status(&tenant(Some(first)), &lost(), Timestamp::now()),
            None
        );
        let unknown = status(&tenant(None), &lost(), Timestamp::now()).unwrap();
        assert_eq!(unknown.conditions[0].reason, "CentralUnavailable");
    }
}
