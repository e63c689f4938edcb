//! Step 5: the Tenant says what came of it.

use crds::{Condition, Tenant, TenantStatus};

use super::apply::Applied;
use crate::reconcile::{Reported, Shared};

impl Reported for Tenant {
    type Status = TenantStatus;
    type Applied = Applied;

    fn reported(&self) -> Option<&TenantStatus> {
        self.status.as_ref()
    }

    fn shared(status: &mut TenantStatus) -> Shared<'_> {
        Shared {
            observed_generation: &mut status.observed_generation,
            phase: &mut status.phase,
            conditions: &mut status.conditions,
        }
    }

    fn conditions(status: &TenantStatus) -> &[Condition] {
        &status.conditions
    }

    fn message(applied: &Applied) -> String {
        match applied.namespaces {
            0 => "central holds the tenant; its selector admits no namespace yet: label one".into(),
            1 => "central holds the tenant; it admits 1 namespace".into(),
            count => format!("central holds the tenant; it admits {count} namespaces"),
        }
    }

    fn record(applied: &Applied, status: &mut TenantStatus) {
        let Applied { answer, namespaces } = applied;
        status.issuer = Some(answer.issuer.clone()).filter(|issuer| !issuer.is_empty());
        status.active_key = Some(answer.active_key.clone()).filter(|key| !key.is_empty());
        status.namespaces = i64::try_from(*namespaces).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invalid::InvalidResource;
    use crate::provision::ProvisionError;
    use crate::reconcile::status_after;
    use crds::Phase;
    use k8s_openapi::jiff::Timestamp;
    use protocol::v1;
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
        let first = status_after(&tenant(None), &applied(), Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(first.phase, Some(Phase::Ready));
        assert_eq!(first.observed_generation, Some(2));
        assert_eq!(
            first.issuer.as_deref(),
            Some("https://signet.example/t/acme")
        );
        assert_eq!(first.active_key.as_deref(), Some("2026-11-a"));
        assert_eq!(first.namespaces, Some(2));
        let again =
            status_after(&tenant(Some(first.clone())), &applied(), Timestamp::now()).unwrap();
        assert_eq!(again, first);
    }

    #[test]
    fn a_refusal_keeps_what_central_still_holds() {
        let first = status_after(&tenant(None), &applied(), Timestamp::UNIX_EPOCH).unwrap();
        let refused = Err(ProvisionError::Refused(InvalidResource::wrong(
            "NotServed",
            "spec",
            "",
        )));
        let second = status_after(&tenant(Some(first)), &refused, Timestamp::now()).unwrap();
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
        let first = status_after(&tenant(None), &applied(), Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(
            status_after(&tenant(Some(first)), &lost(), Timestamp::now()),
            None
        );
        let unknown = status_after(&tenant(None), &lost(), Timestamp::now()).unwrap();
        assert_eq!(unknown.conditions[0].reason, "CentralUnavailable");
    }
}
