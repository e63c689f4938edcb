//! Step 5: the Role says what came of it.

use crds::{Condition, Role, RoleStatus};

use super::apply::Applied;
use crate::reconcile::{Reported, Shared};

impl Reported for Role {
    type Status = RoleStatus;
    type Applied = Applied;

    fn reported(&self) -> Option<&RoleStatus> {
        self.status.as_ref()
    }

    fn shared(status: &mut RoleStatus) -> Shared<'_> {
        Shared {
            observed_generation: &mut status.observed_generation,
            phase: &mut status.phase,
            conditions: &mut status.conditions,
        }
    }

    fn conditions(status: &RoleStatus) -> &[Condition] {
        &status.conditions
    }

    fn message(applied: &Applied) -> String {
        match applied.subjects {
            0 => "central holds the role; it is given to nobody by itself".into(),
            1 => "central holds the role; it is given to 1 subject".into(),
            count => format!("central holds the role; it is given to {count} subjects"),
        }
    }

    fn record(applied: &Applied, status: &mut RoleStatus) {
        let Applied { subjects } = applied;
        status.bound_subjects = i64::try_from(*subjects).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invalid::InvalidResource;
    use crate::provision::ProvisionError;
    use crate::reconcile::{Verdict, status_after, with_verdict};
    use crds::Phase;
    use k8s_openapi::jiff::Timestamp;
    use serde_json::json;

    fn role(status: Option<RoleStatus>) -> Role {
        let mut role: Role = serde_json::from_value(json!({
            "apiVersion": "signet.dev/v1alpha1", "kind": "Role",
            "metadata": {"name": "reader", "namespace": "shop", "generation": 1},
            "spec": {"tenant": "acme", "rules": []},
        }))
        .unwrap();
        role.status = status;
        role
    }

    #[test]
    fn a_role_that_waits_says_for_what_and_is_healed_by_an_answer() {
        let missing = InvalidResource::missing("TenantNotFound", "spec.tenant", "create it");
        let refused = Err(ProvisionError::Refused(missing));
        let waiting = status_after(&role(None), &refused, Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(waiting.phase, Some(Phase::Waiting));
        assert_eq!(waiting.conditions[0].message, "spec.tenant: create it");
        assert_eq!(waiting.bound_subjects, None);
        let applied = Ok(Applied { subjects: 3 });
        let healed = status_after(&role(Some(waiting)), &applied, Timestamp::now()).unwrap();
        assert_eq!(
            (healed.phase, healed.bound_subjects),
            (Some(Phase::Ready), Some(3))
        );
    }

    #[test]
    fn a_deletion_that_waits_for_central_says_so() {
        let lost = ProvisionError::Unavailable {
            message: "refused".into(),
        };
        let status = with_verdict(&role(None), &Verdict::releasing(&lost), Timestamp::now());
        assert_eq!(status.phase, Some(Phase::Deleting));
        assert!(
            status.conditions[0]
                .message
                .contains("deletion waits for central")
        );
    }
}
