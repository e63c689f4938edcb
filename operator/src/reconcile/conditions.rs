//! The conditions of a status, in the manner of kstatus. Pure.

use crds::{Condition, Phase};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use crate::provision::ProvisionError;

/// True when central holds what is declared.
pub(super) const READY: &str = "Ready";
/// True while there is something left to do.
const RECONCILING: &str = "Reconciling";
/// True when nothing more will be tried until the resource changes.
const STALLED: &str = "Stalled";

const MAX_MESSAGE: usize = 4096;

/// What came of a reconciliation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Central holds what is declared.
    Applied { message: String },
    /// It does not hold. `may_heal`: something else is missing and may come.
    Refused {
        reason: String,
        message: String,
        may_heal: bool,
    },
    /// It is not known whether it holds: central could not be asked.
    Unknown { reason: String, message: String },
    /// It is being taken away, and central could not be asked to let go.
    Releasing { reason: String, message: String },
}

impl Verdict {
    /// What `outcome` means for a resource of these `conditions` and this `generation`. `None`: what
    /// the status says still holds, though central could not be asked this time.
    pub(crate) fn of<A>(
        outcome: &Result<A, ProvisionError>,
        applied: impl FnOnce(&A) -> String,
        conditions: &[Condition],
        generation: Option<i64>,
    ) -> Option<Self> {
        match outcome {
            Ok(answer) => Some(Self::Applied {
                message: applied(answer),
            }),
            Err(ProvisionError::Refused(invalid)) => Some(Self::Refused {
                reason: invalid.reason.clone(),
                message: invalid.to_string(),
                may_heal: invalid.may_heal,
            }),
            Err(error) => {
                let holds = find(conditions, READY).is_some_and(|ready| {
                    ready.status == "True" && ready.observed_generation == generation
                });
                (!holds).then(|| Self::Unknown {
                    reason: error.reason().into(),
                    message: format!("{error}; it is tried again"),
                })
            }
        }
    }

    /// Central could not be asked to let go of a resource that is being deleted.
    pub(crate) fn releasing(error: &ProvisionError) -> Self {
        Self::Releasing {
            reason: error.reason().into(),
            message: format!("deletion waits for central: {error}; it is tried again"),
        }
    }
}

/// Where a resource of this verdict stands.
pub(crate) fn phase(verdict: &Verdict) -> Phase {
    match verdict {
        Verdict::Applied { .. } => Phase::Ready,
        Verdict::Refused {
            may_heal: false, ..
        } => Phase::Refused,
        Verdict::Refused { may_heal: true, .. } => Phase::Waiting,
        Verdict::Unknown { .. } => Phase::Pending,
        Verdict::Releasing { .. } => Phase::Deleting,
    }
}

/// The three conditions that say `verdict` of `generation`. A condition whose status stays what it
/// was keeps its transition time.
pub(crate) fn conditions(
    previous: &[Condition],
    verdict: &Verdict,
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    let (ready, reconciling, stalled, reason, message) = match verdict {
        Verdict::Applied { message } => ("True", false, false, "Applied", message),
        Verdict::Refused {
            reason,
            message,
            may_heal,
        } => ("False", *may_heal, !may_heal, reason.as_str(), message),
        Verdict::Unknown { reason, message } => ("Unknown", true, false, reason.as_str(), message),
        Verdict::Releasing { reason, message } => ("False", true, false, reason.as_str(), message),
    };
    let message: String = message.chars().take(MAX_MESSAGE).collect();
    let make = |type_: &str, status: &str, reason: &str, message: &str| Condition {
        type_: type_.into(),
        status: status.into(),
        reason: reason.into(),
        message: message.into(),
        observed_generation: generation,
        last_transition_time: find(previous, type_)
            .filter(|before| before.status == status)
            .map_or(Time(now), |before| before.last_transition_time.clone()),
    };
    let flag = |type_: &str, on: bool, otherwise: &str| {
        if on {
            make(type_, "True", reason, &message)
        } else {
            make(type_, "False", otherwise, "")
        }
    };
    vec![
        make(READY, ready, reason, &message),
        flag(RECONCILING, reconciling, "Settled"),
        flag(STALLED, stalled, "NotStalled"),
    ]
}

pub(crate) fn find<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statuses(conditions: &[Condition]) -> [&str; 3] {
        [READY, RECONCILING, STALLED].map(|type_| find(conditions, type_).unwrap().status.as_str())
    }

    fn refused(may_heal: bool) -> Verdict {
        Verdict::Refused {
            reason: "TenantNotFound".into(),
            message: "create it".into(),
            may_heal,
        }
    }

    fn applied() -> Verdict {
        Verdict::Applied {
            message: "central holds it".into(),
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn each_verdict_reads_as_kstatus_has_it() {
        let unknown = Verdict::Unknown {
            reason: "CentralUnavailable".into(),
            message: "it is tried again".into(),
        };
        for (verdict, expected, place) in [
            (applied(), ["True", "False", "False"], Phase::Ready),
            (refused(false), ["False", "False", "True"], Phase::Refused),
            (refused(true), ["False", "True", "False"], Phase::Waiting),
            (unknown, ["Unknown", "True", "False"], Phase::Pending),
        ] {
            let conditions = conditions(&[], &verdict, Some(3), at(1));
            assert_eq!(statuses(&conditions), expected, "{verdict:?}");
            assert_eq!(phase(&verdict), place);
            assert!(conditions.iter().all(|c| c.observed_generation == Some(3)));
            assert!(conditions.iter().all(|c| !c.reason.is_empty()));
        }
    }

    #[test]
    fn a_lost_connection_does_not_unsay_what_holds() {
        let lost = || {
            Err(ProvisionError::Unavailable {
                message: "refused".into(),
            })
        };
        let ready = conditions(&[], &applied(), Some(2), at(1));
        let of =
            |generation| Verdict::of::<()>(&lost(), |()| String::new(), &ready, Some(generation));
        assert_eq!(of(2), None);
        assert!(matches!(of(3), Some(Verdict::Unknown { .. })));
    }

    #[test]
    fn transition_times_move_only_when_the_status_does() {
        let first = conditions(&[], &refused(true), Some(1), at(1));
        let second = conditions(&first, &refused(false), Some(2), at(2));
        let third = conditions(&second, &applied(), Some(3), at(3));
        let times = |conditions: &[Condition]| {
            [READY, RECONCILING, STALLED].map(|type_| {
                find(conditions, type_)
                    .unwrap()
                    .last_transition_time
                    .0
                    .as_second()
            })
        };
        assert_eq!(times(&first), [1, 1, 1]);
        assert_eq!(times(&second), [1, 2, 2]);
        assert_eq!(times(&third), [3, 2, 3]);
        assert_eq!(conditions(&third, &applied(), Some(3), at(9)), third);
    }
}
