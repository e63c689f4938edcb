//! Step 5: the IdGenerator says what came of it.

use crds::{Condition, IdGenerator, IdGeneratorStatus};

use super::apply::Applied;
use crate::reconcile::{Reported, Shared};

impl Reported for IdGenerator {
    type Status = IdGeneratorStatus;
    type Applied = Applied;

    fn reported(&self) -> Option<&IdGeneratorStatus> {
        self.status.as_ref()
    }

    fn shared(status: &mut IdGeneratorStatus) -> Shared<'_> {
        Shared {
            observed_generation: &mut status.observed_generation,
            phase: &mut status.phase,
            conditions: &mut status.conditions,
        }
    }

    fn conditions(status: &IdGeneratorStatus) -> &[Condition] {
        &status.conditions
    }

    fn message(_: &Applied) -> String {
        "central holds the generator".into()
    }

    fn record(applied: &Applied, status: &mut IdGeneratorStatus) {
        let Applied { next, remaining } = applied;
        status.next = i64::try_from(*next).ok();
        status.remaining = i64::try_from(*remaining).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reconcile::status_after;
    use k8s_openapi::jiff::Timestamp;
    use serde_json::json;

    #[test]
    fn what_is_left_follows_central_without_news() {
        let mut generator: IdGenerator = serde_json::from_value(json!({
            "apiVersion": "signet.dev/v1alpha1", "kind": "IdGenerator",
            "metadata": {"name": "order-id", "namespace": "shop", "generation": 1},
            "spec": {"tenant": "acme", "segment": {"max": 1000}},
        }))
        .unwrap();
        let applied = |next, remaining| Ok(Applied { next, remaining });
        let first = status_after(&generator, &applied(1, 1000), Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!((first.next, first.remaining), (Some(1), Some(1000)));
        generator.status = Some(first.clone());
        let second = status_after(&generator, &applied(501, 500), Timestamp::now()).unwrap();
        assert_eq!((second.next, second.remaining), (Some(501), Some(500)));
        assert_eq!(second.conditions, first.conditions);
    }
}
