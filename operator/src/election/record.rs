//! What to do about the Lease as it was found. Pure.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::ResourceExt;
use tokio::time::Instant;

/// What matters of a Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Who holds it. Nobody after a release.
    pub holder: Option<String>,
    /// How long its holder keeps others away.
    pub duration: Duration,
    /// How often it changed hands.
    pub transitions: i32,
    /// Moves with every write.
    pub version: String,
}

impl Record {
    /// Reads a Lease.
    pub fn of(lease: &Lease) -> Self {
        let spec = lease.spec.clone().unwrap_or_default();
        let seconds = spec
            .lease_duration_seconds
            .and_then(|seconds| u64::try_from(seconds).ok());
        Self {
            holder: spec.holder_identity.filter(|holder| !holder.is_empty()),
            duration: Duration::from_secs(seconds.unwrap_or(0)),
            transitions: spec.lease_transitions.unwrap_or(0),
            version: lease.resource_version().unwrap_or_default(),
        }
    }
}

/// What to do about the Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// There is none: make it.
    Create,
    /// It is free, or its holder has been silent for too long: take it.
    Acquire,
    /// It is ours: renew it.
    Renew,
    /// It is another's.
    Wait,
}

/// Remembers since when the Lease has looked as it does. Silence is measured by our own clock from
/// when we first saw a version; clocks of other nodes play no part.
#[derive(Debug)]
pub struct Observer {
    least_duration: Duration,
    seen: Option<(String, Instant)>,
}

impl Observer {
    /// An observer that gives a silent holder at least `least_duration`.
    pub fn new(least_duration: Duration) -> Self {
        Self {
            least_duration,
            seen: None,
        }
    }

    /// What `identity` is to do about `record`, found at `now`.
    pub fn decide(&mut self, identity: &str, record: Option<&Record>, now: Instant) -> Step {
        let Some(record) = record else {
            return Step::Create;
        };
        let since = match &self.seen {
            Some((version, since)) if *version == record.version => *since,
            _ => {
                self.seen = Some((record.version.clone(), now));
                now
            }
        };
        match record.holder.as_deref() {
            None => Step::Acquire,
            Some(holder) if holder == identity => Step::Renew,
            Some(_) => {
                let patience = record.duration.max(self.least_duration);
                if now.duration_since(since) > patience {
                    Step::Acquire
                } else {
                    Step::Wait
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(15);

    fn record(holder: Option<&str>, version: &str) -> Record {
        Record {
            holder: holder.map(Into::into),
            duration: Duration::from_secs(1),
            transitions: 0,
            version: version.into(),
        }
    }

    #[test]
    fn a_missing_or_free_lease_is_taken_and_our_own_renewed() {
        let mut observer = Observer::new(PATIENCE);
        let now = Instant::now();
        assert_eq!(observer.decide("me", None, now), Step::Create);
        assert_eq!(
            observer.decide("me", Some(&record(None, "1")), now),
            Step::Acquire
        );
        assert_eq!(
            observer.decide("me", Some(&record(Some("me"), "2")), now),
            Step::Renew
        );
    }

    #[test]
    fn a_holder_is_left_alone_until_it_has_been_silent_for_the_whole_duration() {
        let mut observer = Observer::new(PATIENCE);
        let start = Instant::now();
        let mut at = |seconds, version: &str| {
            let now = start + Duration::from_secs(seconds);
            observer.decide("me", Some(&record(Some("other"), version)), now)
        };
        assert_eq!(at(0, "1"), Step::Wait);
        assert_eq!(at(15, "1"), Step::Wait);
        // It renewed: patience starts anew, whatever its clock says.
        assert_eq!(at(16, "2"), Step::Wait);
        assert_eq!(at(31, "2"), Step::Wait);
        assert_eq!(at(32, "2"), Step::Acquire);
    }

    #[test]
    fn a_holder_that_asks_for_longer_gets_longer() {
        let mut observer = Observer::new(PATIENCE);
        let start = Instant::now();
        let long = Record {
            duration: Duration::from_secs(60),
            ..record(Some("other"), "1")
        };
        assert_eq!(observer.decide("me", Some(&long), start), Step::Wait);
        let later = start + Duration::from_secs(59);
        assert_eq!(observer.decide("me", Some(&long), later), Step::Wait);
    }
}
