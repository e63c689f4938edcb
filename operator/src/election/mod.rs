//! Which replica reconciles: the one that holds the Lease.
//!
//! Every write carries the resourceVersion it was decided upon, so two replicas cannot both succeed.
//! A holder's right to act ([`Fence`]) ends at a deadline counted from when its last renewal was
//! *sent*, before anyone else may take the Lease; it needs no word from the API server to end.

mod fence;
mod record;
#[cfg(test)]
mod tests;

use std::time::{Duration, SystemTime};

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::{Client, ResourceExt};
use rand::RngExt;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

pub use fence::{Deadline, Fence};
pub use record::{Observer, Record, Step};

use fence::FenceKeeper;

/// The name of the Lease.
pub const LEASE: &str = "signet-operator";

/// How long a Lease that is not renewed keeps others away.
const LEASE_DURATION: Duration = Duration::from_secs(15);
/// How long a holder may act after it sent its last renewal.
const RENEW_DEADLINE: Duration = Duration::from_secs(10);
const RETRY_PERIOD: Duration = Duration::from_secs(2);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(4);

/// Takes part in the election under an identity of its own.
pub struct Election {
    api: Api<Lease>,
    identity: String,
    observer: Observer,
    keeper: FenceKeeper,
}

/// What one turn led to.
enum Turn {
    Held,
    Elsewhere,
    /// Another write came in between; the next turn sees it.
    Raced,
}

impl Election {
    /// An election in `namespace`, and the fence that tells whether this replica leads. A restarted
    /// process is another candidate, so `pod_name` gets a random suffix.
    pub fn new(client: Client, namespace: &str, pod_name: &str) -> (Self, Fence) {
        let (keeper, fence) = Fence::new();
        let suffix: u32 = rand::rng().random();
        let election = Self {
            api: Api::namespaced(client, namespace),
            identity: format!("{pod_name}_{suffix:08x}"),
            observer: Observer::new(LEASE_DURATION),
            keeper,
        };
        (election, fence)
    }

    /// Tries to hold the Lease until `stop`, then lets go of it. `stop` must come after the work
    /// of a leader has ended.
    pub async fn run(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let deadline = Deadline::after(RENEW_DEADLINE, Instant::now(), SystemTime::now());
            match timeout(REQUEST_TIMEOUT, self.turn()).await {
                Ok(Ok(Turn::Held)) => self.keeper.held_until(deadline),
                Ok(Ok(Turn::Elsewhere)) => self.keeper.lost(),
                Ok(Ok(Turn::Raced)) => {}
                // The deadline lapses by itself if this goes on.
                Ok(Err(error)) => tracing::warn!(%error, "the Lease could not be renewed"),
                Err(_) => tracing::warn!("the Lease could not be renewed in time"),
            }
            let jitter = rand::rng().random_range(0.8..1.2);
            tokio::select! {
                () = stop.cancelled() => {}
                () = sleep(RETRY_PERIOD.mul_f64(jitter)) => {}
            }
        }
        self.keeper.lost();
        match timeout(REQUEST_TIMEOUT, self.release()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the Lease was not released; it will expire"),
            Err(_) => tracing::warn!("the Lease was not released in time; it will expire"),
        }
    }

    async fn turn(&mut self) -> Result<Turn, kube::Error> {
        let lease = self.api.get_opt(LEASE).await?;
        let record = lease.as_ref().map(Record::of);
        let step = self
            .observer
            .decide(&self.identity, record.as_ref(), Instant::now());
        let transitions = match step {
            Step::Wait => return Ok(Turn::Elsewhere),
            Step::Create => 0,
            Step::Renew => record.map_or(0, |record| record.transitions),
            Step::Acquire => record.map_or(0, |record| record.transitions.saturating_add(1)),
        };
        let now = Timestamp::now();
        let acquired = lease
            .as_ref()
            .filter(|_| step == Step::Renew)
            .and_then(|lease| lease.spec.as_ref()?.acquire_time.clone());
        let spec = LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(LEASE_DURATION.as_secs()).ok(),
            acquire_time: Some(acquired.unwrap_or(MicroTime(now))),
            renew_time: Some(MicroTime(now)),
            lease_transitions: Some(transitions),
            ..LeaseSpec::default()
        };
        let written = match lease {
            Some(lease) => self.replace(lease, spec).await,
            None => {
                let lease = Lease {
                    metadata: ObjectMeta {
                        name: Some(LEASE.into()),
                        ..ObjectMeta::default()
                    },
                    spec: Some(spec),
                };
                self.api
                    .create(&PostParams::default(), &lease)
                    .await
                    .map(|_| ())
            }
        };
        match written {
            Ok(()) => {
                if step != Step::Renew {
                    tracing::info!(identity = self.identity, "this replica leads");
                }
                Ok(Turn::Held)
            }
            Err(kube::Error::Api(error)) if error.code == 409 => Ok(Turn::Raced),
            Err(error) => Err(error),
        }
    }

    async fn release(&self) -> Result<(), kube::Error> {
        let Some(lease) = self.api.get_opt(LEASE).await? else {
            return Ok(());
        };
        let record = Record::of(&lease);
        if record.holder.as_deref() != Some(self.identity.as_str()) {
            return Ok(());
        }
        let spec = LeaseSpec {
            lease_duration_seconds: Some(1),
            renew_time: Some(MicroTime(Timestamp::now())),
            lease_transitions: Some(record.transitions),
            ..LeaseSpec::default()
        };
        self.replace(lease, spec).await?;
        tracing::info!(identity = self.identity, "the Lease is released");
        Ok(())
    }

    /// Writes only if nobody has written since `lease` was read.
    async fn replace(&self, lease: Lease, spec: LeaseSpec) -> Result<(), kube::Error> {
        let name = lease.name_any();
        let lease = Lease {
            spec: Some(spec),
            ..lease
        };
        self.api
            .replace(&name, &PostParams::default(), &lease)
            .await?;
        Ok(())
    }
}
