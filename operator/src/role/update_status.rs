//! Step 5: the Role says what came of it.

use crds::{Role, RoleStatus};
use k8s_openapi::jiff::Timestamp;
use protocol::v1;

use super::apply::Applied;
use crate::provision::ProvisionError;
use crate::reconcile::{
    Context, ReconcileError, Reconciled, Status, Verdict, conditions, phase, write,
};

pub(super) async fn applied(
    role: &Role,
    outcome: Result<Applied, ProvisionError>,
    context: &Context,
) -> Result<(), ReconcileError> {
    if let Some(now) = status(role, &outcome, Timestamp::now()) {
        update(role, now, context).await?;
    }
    outcome.map(|_| ()).map_err(ReconcileError::Central)
}

pub(super) async fn released(
    role: &Role,
    outcome: Result<v1::DeleteResponse, ProvisionError>,
    context: &Context,
) -> Result<(), ReconcileError> {
    if let Err(error) = &outcome {
        let now = with_verdict(role, &Verdict::releasing(error), Timestamp::now());
        update(role, now, context).await?;
    }
    outcome.map(|_| ()).map_err(ReconcileError::Central)
}

async fn update(role: &Role, now: RoleStatus, context: &Context) -> Result<(), ReconcileError> {
    let status = Status {
        before: role.status.as_ref(),
        now,
        conditions: |status| &status.conditions,
    };
    write(context, &role.api(context), role, status).await
}

/// The status after `outcome`. `None`: what it says still holds.
fn status(
    role: &Role,
    outcome: &Result<Applied, ProvisionError>,
    now: Timestamp,
) -> Option<RoleStatus> {
    let before = role
        .status
        .as_ref()
        .map(|status| status.conditions.as_slice());
    let message = |applied: &Applied| match applied.subjects {
        0 => "central holds the role; it is given to nobody by itself".into(),
        1 => "central holds the role; it is given to 1 subject".into(),
        count => format!("central holds the role; it is given to {count} subjects"),
    };
    let generation = role.metadata.generation;
    let verdict = Verdict::of(outcome, message, before.unwrap_or_default(), generation)?;
    let mut status = with_verdict(role, &verdict, now);
    if let Ok(Applied { subjects }) = outcome {
        status.bound_subjects = i64::try_from(*subjects).ok();
    }
    Some(status)
}

fn with_verdict(role: &Role, verdict: &Verdict, now: Timestamp) -> RoleStatus {
    let before = role.status.clone().unwrap_or_default();
    let generation = role.metadata.generation;
    RoleStatus {
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
        let waiting = status(&role(None), &refused, Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(waiting.phase, Some(Phase::Waiting));
        assert_eq!(waiting.conditions[0].message, "spec.tenant: create it");
        assert_eq!(waiting.bound_subjects, None);
        let applied = Ok(Applied { subjects: 3 });
        let healed = status(&role(Some(waiting)), &applied, Timestamp::now()).unwrap();
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
