//! Keeping the leases of a subscription: one task that takes, renews and gives back, with a worker for
//! each partition that is held.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::health::PartitionState;
use super::lease::{Held, Taken};
use super::running::{Holding, Running};
use super::subscriptions;
use super::worker::{Ended, Worker};

/// How long to wait for workers that were cut off.
const CUT_OFF: Duration = Duration::from_secs(2);

pub(super) struct Keeper {
    running: Arc<Running>,
    kept: BTreeMap<u32, Kept>,
    workers: JoinSet<(Arc<Holding>, Ended)>,
    /// When the next round of the leases is due.
    round_due: Instant,
    /// How often the subscription had been resumed, as it was last seen.
    resumed: Option<i64>,
}

struct Kept {
    holding: Arc<Holding>,
    stop: CancellationToken,
    worker: AbortHandle,
    /// It is to be given back.
    is_leaving: bool,
    /// Its worker has ended and does not come again before somebody resumes the subscription.
    is_failed: bool,
}

impl Keeper {
    pub(super) fn new(running: Arc<Running>) -> Self {
        Self {
            running,
            kept: BTreeMap::new(),
            workers: JoinSet::new(),
            round_due: Instant::now(),
            resumed: None,
        }
    }

    /// Until `stop`; then gives everything back, the batches at hand having up to `grace`.
    pub(super) async fn run(mut self, stop: CancellationToken, grace: impl Fn() -> Duration) {
        let mut next_look = Instant::now();
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => {}
                Some(ended) = self.workers.join_next() => {
                    if let Ok((holding, ended)) = ended {
                        self.ended(&holding, ended).await;
                    }
                }
                () = tokio::time::sleep_until(next_look) => {
                    self.look_what_was_said().await;
                    if Instant::now() >= self.round_due {
                        self.round(self.running.options.partitions).await;
                    }
                    next_look = self.round_due.min(Instant::now() + self.running.options.poll);
                }
            }
        }
        self.give_up(grace()).await;
    }

    async fn look_what_was_said(&mut self) {
        let name = &self.running.options.name;
        let said = match subscriptions::said(&self.running.database, name).await {
            Ok(said) => said,
            Err(error) => {
                tracing::warn!(name, %error, "cannot see whether it is paused");
                return;
            }
        };
        // One that was removed handles nothing.
        let paused = said.is_none_or(|said| said.is_paused);
        self.running.paused.send_if_modified(|known| {
            let changes = *known != paused;
            *known = paused;
            changes
        });
        let resumed = said.map(|said| said.resumed);
        let before = std::mem::replace(&mut self.resumed, resumed);
        if before.is_some() && resumed > before {
            self.begin_again().await;
        }
    }

    /// Lets those that have stopped try again; their leases were kept meanwhile.
    async fn begin_again(&mut self) {
        // An event that was mended may be on one that others have read before.
        self.running.pages.forget().await;
        let kept = self.kept.values();
        let stopped: Vec<_> = kept
            .filter(|kept| kept.is_failed && !kept.is_leaving)
            .map(|kept| Arc::clone(&kept.holding))
            .collect();
        for holding in stopped {
            let state = PartitionState::Waiting;
            self.running.board.state(holding.partition, state);
            self.work(holding);
        }
    }

    async fn round(&mut self, partitions: u32) {
        let (asked, lease) = (Instant::now(), self.running.leases.lease);
        let held: BTreeMap<u32, Held> = self
            .kept
            .iter()
            .map(|(partition, kept)| (*partition, kept.holding.held()))
            .collect();
        let poll = self.running.options.poll.min(lease / 3);
        let round = match self.running.leases.round(partitions, &held).await {
            Ok(round) => round,
            Err(error) => {
                let subscription = &self.running.options.name;
                tracing::warn!(subscription, %error, "the leases could not be renewed");
                self.round_due = Instant::now() + poll;
                return;
            }
        };
        if !round.lost.is_empty() {
            // Where a checkpoint was put back, the events may have been, too.
            self.running.pages.forget().await;
        }
        for partition in round.lost {
            if let Some(kept) = self.kept.remove(&partition) {
                // Somebody else handles its events by now.
                kept.worker.abort();
                self.running.board.gone(partition);
            }
        }
        // The lease of a row that was locked is the one that was stored before.
        for (partition, position) in round.renewed {
            if let Some(kept) = self.kept.get(&partition) {
                kept.holding.stored(position);
                kept.holding.extend(asked + lease);
            }
        }
        for taken in round.taken {
            self.begin(taken, asked + lease);
        }
        self.shrink_to(round.share).await;
        let is_short = self.kept.len() < round.share;
        // What others give back should not lie about.
        self.round_due = asked + if is_short { poll } else { lease / 3 };
    }

    fn begin(&mut self, taken: Taken, valid_until: Instant) {
        let holding = Arc::new(Holding::new(taken, valid_until));
        self.running.board.taken(taken.partition, taken.position);
        self.work(holding);
    }

    /// Sets a worker to a partition that is held.
    fn work(&mut self, holding: Arc<Holding>) {
        let (partition, stop) = (holding.partition, CancellationToken::new());
        let worker = Worker::new(
            Arc::clone(&self.running),
            Arc::clone(&holding),
            stop.clone(),
        );
        let held = Arc::clone(&holding);
        let worker = self.workers.spawn(async move {
            let ended = AssertUnwindSafe(worker.run()).catch_unwind().await;
            // A defect of ours; the partition is taken anew.
            (held, ended.unwrap_or(Ended::Lost))
        });
        let kept = Kept {
            holding,
            stop,
            worker,
            is_leaving: false,
            is_failed: false,
        };
        self.kept.insert(partition, kept);
    }

    /// Asks surplus workers to end; the partitions are given back when they have.
    async fn shrink_to(&mut self, share: usize) {
        let staying = self.kept.values().filter(|kept| !kept.is_leaving).count();
        let surplus = staying.saturating_sub(share);
        let mut idle = Vec::new();
        let leaving = self.kept.values_mut().rev().filter(|kept| !kept.is_leaving);
        for kept in leaving.take(surplus) {
            kept.is_leaving = true;
            kept.stop.cancel();
            if kept.is_failed {
                idle.push(Arc::clone(&kept.holding));
            }
        }
        for holding in idle {
            self.release(&holding).await;
        }
    }

    async fn ended(&mut self, holding: &Holding, ended: Ended) {
        let partition = holding.partition;
        let Some(kept) = self.kept.get_mut(&partition) else {
            return;
        };
        if kept.holding.epoch != holding.epoch {
            return;
        }
        match ended {
            Ended::Failed(reason) if !kept.is_leaving => {
                let subscription = &self.running.options.name;
                tracing::error!(subscription, partition, reason, "a partition has stopped");
                kept.is_failed = true;
                let state = PartitionState::Failed { reason };
                self.running.board.state(partition, state);
            }
            Ended::Stopped | Ended::Failed(_) => self.release(holding).await,
            Ended::Lost => {
                self.kept.remove(&partition);
                self.running.board.gone(partition);
                let soon = Instant::now() + self.running.options.poll;
                self.round_due = self.round_due.min(soon);
            }
        }
    }

    async fn release(&mut self, holding: &Holding) {
        let partition = holding.partition;
        self.kept.remove(&partition);
        self.running.board.gone(partition);
        let released = vec![(partition, holding.held())];
        if let Err(error) = self.running.leases.release(released).await {
            // It runs out by itself.
            tracing::warn!(partition, %error, "a lease could not be given back");
        }
    }

    /// Lets the batches at hand end, cuts off those that do not, and gives everything back.
    async fn give_up(mut self, grace: Duration) {
        let deadline = Instant::now() + grace;
        for kept in self.kept.values_mut() {
            kept.is_leaving = true;
            kept.stop.cancel();
        }
        while !self.workers.is_empty() {
            tokio::select! {
                Some(ended) = self.workers.join_next() => {
                    if let Ok((holding, Ended::Lost)) = ended {
                        self.ended(&holding, Ended::Lost).await;
                    }
                }
                () = tokio::time::sleep_until(self.round_due) => self.round(0).await,
                () = tokio::time::sleep_until(deadline) => break,
            }
        }
        // Their transactions are rolled back.
        let _ = tokio::time::timeout(CUT_OFF, self.workers.shutdown()).await;
        let released = self
            .kept
            .iter()
            .map(|(partition, kept)| (*partition, kept.holding.held()))
            .collect();
        let leases = &self.running.leases;
        let given_back = match leases.release(released).await {
            Ok(()) => leases.leave().await,
            failed => failed,
        };
        if let Err(error) = given_back {
            let subscription = &self.running.options.name;
            tracing::warn!(subscription, %error, "the leases could not be given back");
        }
        for partition in self.kept.keys() {
            self.running.board.gone(*partition);
        }
    }
}
