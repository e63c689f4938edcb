//! The subscriptions that run in a process.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use super::breaker::Breaker;
use super::error::ConsumerError;
use super::handler::Delivery;
use super::health::{Board, ConsumerHealth, ConsumerStatistics};
use super::keeper::Keeper;
use super::lease::Leases;
use super::moment::Clock;
use super::options::ConsumerOptions;
use super::pages::Pages;
use super::registration::register;
use super::replay::{self, Replayed};
use super::running::Running;
use super::slots::Slots;
use crate::event::Position;
use crate::store::EventStore;

/// Settings of [`Consumers`].
#[derive(Debug, Clone)]
pub struct ConsumersOptions {
    /// Name of this process, e.g. its host's, to be seen in the status; a unique part is added.
    pub process: String,
    /// How many handlers are at work at the same time, over all subscriptions of the process. Those
    /// that write in the store's database need a connection each, of
    /// [`Options::write_connections`](crate::Options::write_connections).
    pub handlers_at_work: usize,
    /// Source of the time; leases on PostgreSQL go by the server's.
    pub clock: fn() -> OffsetDateTime,
}

impl Default for ConsumersOptions {
    fn default() -> Self {
        Self {
            process: "consumer".into(),
            handlers_at_work: 4,
            clock: OffsetDateTime::now_utc,
        }
    }
}

/// The subscriptions that run in this process.
///
/// When it is dropped, everything it runs is cut off, as by a crash: transactions are rolled back, and
/// others take the partitions over when the leases have run out. [`shutdown`](Self::shutdown) is
/// gentler.
pub struct Consumers {
    store: Arc<dyn EventStore>,
    slots: Slots,
    owner: String,
    clock: Clock,
    consumers: Mutex<BTreeMap<String, Consumer>>,
}

struct Consumer {
    running: Arc<Running>,
    stop: CancellationToken,
    grace: Arc<Mutex<Duration>>,
    task: AbortOnDropHandle<()>,
}

impl fmt::Debug for Consumers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("Consumers");
        shown.field("owner", &self.owner).finish_non_exhaustive()
    }
}

impl Consumers {
    /// Nothing runs yet.
    pub fn new(store: Arc<dyn EventStore>, options: ConsumersOptions) -> Self {
        Self {
            store,
            slots: Slots::new(options.handlers_at_work.max(1)),
            owner: format!("{}/{}", options.process, Uuid::now_v7()),
            clock: options.clock,
            consumers: Mutex::new(BTreeMap::new()),
        }
    }

    /// Name under which this process holds partitions.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// Nothing that holds the lock can panic half-way.
    fn consumers(&self) -> MutexGuard<'_, BTreeMap<String, Consumer>> {
        self.consumers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn running(&self, subscription: &str) -> Result<Arc<Running>, ConsumerError> {
        let consumers = self.consumers();
        let consumer = consumers.get(subscription);
        consumer
            .map(|consumer| Arc::clone(&consumer.running))
            .ok_or_else(|| ConsumerError::NotFound {
                subscription: subscription.to_owned(),
            })
    }

    /// Runs a subscription from its checkpoint on, beside all other processes that do.
    ///
    /// Must be called inside a Tokio runtime.
    ///
    /// # Errors
    /// [`ConsumerError::InvalidOption`], [`ConsumerError::PartitionsChanged`],
    /// [`ConsumerError::AlreadyRunning`];
    /// [`ReadError::AheadOfStore`](crate::ReadError::AheadOfStore) if its checkpoint is beyond the end
    /// of the store; and when the database does not answer.
    pub async fn start(
        &self,
        options: ConsumerOptions,
        delivery: Delivery,
    ) -> Result<(), ConsumerError> {
        options.check()?;
        let name = options.name.clone();
        let already_running = || ConsumerError::AlreadyRunning {
            subscription: name.clone(),
        };
        if self.consumers().contains_key(&name) {
            return Err(already_running());
        }
        let database = self.store.database().clone();
        let head = self.store.head().await?;
        register(&database, &options, head).await?;
        let running = Arc::new(Running {
            pages: Pages::new(database.clone(), &options),
            slots: self.slots.clone(),
            leases: Leases {
                database: database.clone(),
                subscription: name.clone(),
                owner: self.owner.clone(),
                partitions: options.partitions,
                lease: options.lease,
                clock: self.clock,
            },
            breaker: Mutex::new(Breaker::new(options.breaker.clone())),
            trial_ended: Notify::new(),
            board: Board::new(&name, Instant::now()),
            // Until the first look says otherwise.
            paused: watch::Sender::new(true),
            head: self.store.head_watch(),
            clock: self.clock,
            database,
            delivery,
            options,
        });
        let mut consumers = self.consumers();
        if consumers.contains_key(&name) {
            return Err(already_running());
        }
        let stop = CancellationToken::new();
        let grace = Arc::new(Mutex::new(Duration::ZERO));
        let told = Arc::clone(&grace);
        let told = move || *told.lock().unwrap_or_else(PoisonError::into_inner);
        let keeper = Keeper::new(Arc::clone(&running));
        // The store must not be closed by the last handle of its user.
        let store = Arc::clone(&self.store);
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            keeper.run(stopped, told).await;
            drop(store);
        });
        let consumer = Consumer {
            running,
            stop,
            grace,
            task: AbortOnDropHandle::new(task),
        };
        consumers.insert(name, consumer);
        Ok(())
    }

    /// Ends a subscription in this process: batches at hand have up to `grace` to end, those that do not
    /// are cut off and their transactions rolled back; the partitions are given back.
    ///
    /// # Errors
    /// [`ConsumerError::NotFound`].
    pub async fn stop(&self, subscription: &str, grace: Duration) -> Result<(), ConsumerError> {
        let consumer = self.consumers().remove(subscription);
        let consumer = consumer.ok_or_else(|| ConsumerError::NotFound {
            subscription: subscription.to_owned(),
        })?;
        consumer.end(grace).await;
        Ok(())
    }

    /// Ends all subscriptions in this process as [`stop`](Self::stop) does, side by side.
    pub async fn shutdown(&self, grace: Duration) {
        let consumers = std::mem::take(&mut *self.consumers());
        let all = consumers.into_values().map(|consumer| consumer.end(grace));
        futures::future::join_all(all).await;
    }

    /// How the subscriptions do in this process, by name.
    pub fn health(&self) -> Vec<ConsumerHealth> {
        let now = (self.clock)();
        let consumers = self.consumers();
        let health = consumers.values().map(|Consumer { running, .. }| {
            let (paused, head) = (*running.paused.borrow(), *running.head.borrow());
            running.board.health(paused, head, now)
        });
        health.collect()
    }

    /// What the subscriptions did in this process, by name.
    pub fn statistics(&self) -> Vec<ConsumerStatistics> {
        let now = Instant::now();
        let consumers = self.consumers();
        let statistics = consumers
            .values()
            .map(|consumer| consumer.running.board.statistics(now));
        statistics.collect()
    }

    /// Hands the event of a dead letter to the handler again, now and here, with the promise of its
    /// delivery. If it succeeds, the dead letter is gone, and those that are held back behind it follow,
    /// in order, up to one that fails; that it did is no error, but to be seen in the counts.
    ///
    /// # Errors
    /// [`ConsumerError::NotFound`] if the subscription does not run here,
    /// [`ConsumerError::NoDeadLetter`], [`ConsumerError::DeadLetterBusy`],
    /// [`ConsumerError::DeadLetterHeldBack`], [`ConsumerError::ReplayFailed`],
    /// [`ConsumerError::PartitionsChanged`] if it was divided anew since it was started here, and when
    /// the database does not answer.
    pub async fn replay(
        &self,
        subscription: &str,
        position: Position,
    ) -> Result<Replayed, ConsumerError> {
        let running = self.running(subscription)?;
        replay::one(&running, position).await
    }

    /// Replays all dead letters of a subscription, or those of one tenant, each once and in order; those
    /// behind one that fails stay.
    ///
    /// # Errors
    /// [`ConsumerError::NotFound`], [`ConsumerError::PartitionsChanged`], and when the database does not
    /// answer.
    pub async fn replay_all(
        &self,
        subscription: &str,
        tenant: Option<&str>,
    ) -> Result<Replayed, ConsumerError> {
        let running = self.running(subscription)?;
        replay::all(&running, tenant).await
    }
}

impl Consumer {
    async fn end(self, grace: Duration) {
        *self.grace.lock().unwrap_or_else(PoisonError::into_inner) = grace;
        self.stop.cancel();
        if let Err(error) = self.task.await {
            tracing::error!(%error, "a consumer ended by a defect");
        }
    }
}

#[cfg(test)]
mod tests;
