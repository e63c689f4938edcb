//! Ids for the application, from rings that are fed ahead of demand.
//!
//! **The way through:** central commits a range to this sidecar for ever → [`filler`] puts it into the
//! generator's ring → [`Generator::take`] hands its ids out. A request that finds the ring empty waits
//! in line for a declared time.
//!
//! **Invariants.** An id is handed out once: it leaves the ring, or what was set aside for a request
//! that waits, before it is answered; what a caller that went away would have got is lost, not
//! repeated. A ring is kept when its generator is withdrawn, and goes on when it comes back.

mod error;
mod filler;
mod generator;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use idgen::Range;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::info;

pub use self::error::IdError;
use self::filler::Filler;
pub use self::generator::{Generator, Supply};
use crate::central::Connection;
use crate::content::Content;
use crate::metrics::Metrics;

/// The most ids of one request.
pub const LARGEST_BATCH: u64 = 10_000;

/// The generators of the workload's namespace, opened when they are first asked for.
#[derive(Debug)]
pub struct Generators {
    connection: Arc<Connection>,
    content: Arc<Content>,
    metrics: Arc<Metrics>,
    wait: Duration,
    open: Mutex<BTreeMap<String, Arc<Generator>>>,
    fillers: TaskTracker,
    shutdown: CancellationToken,
}

impl Generators {
    /// None open yet. A request waits for ids at most `wait`; fillers end with `shutdown`.
    #[must_use]
    pub fn new(
        connection: Arc<Connection>,
        content: Arc<Content>,
        metrics: Arc<Metrics>,
        wait: Duration,
        shutdown: CancellationToken,
    ) -> Self {
        let (open, fillers) = (Mutex::default(), TaskTracker::new());
        Self {
            connection,
            content,
            metrics,
            wait,
            open,
            fillers,
            shutdown,
        }
    }

    /// Takes exactly `count` ids, 1 to [`LARGEST_BATCH`].
    ///
    /// # Errors
    /// There is no such generator, or its ids did not arrive in time.
    pub async fn take(&self, name: &str, count: u64) -> Result<Vec<Range>, IdError> {
        let result = match self.generator(name) {
            Ok(generator) => generator.take(count, self.wait).await,
            Err(error) => Err(error),
        };
        match &result {
            Ok(_) => self
                .metrics
                .ids_served
                .with_label_values(&[name])
                .inc_by(count),
            // What is asked for but does not exist gets no label of its own: names are the caller's.
            Err(IdError::Unknown { .. }) => {}
            Err(error) => {
                let code = error.code();
                self.metrics
                    .ids_refused
                    .with_label_values(&[name, code])
                    .inc();
            }
        }
        result
    }

    /// The generator of this name, opened if it was not.
    ///
    /// # Errors
    /// The namespace has none, or the tenant is closed.
    pub fn generator(&self, name: &str) -> Result<Arc<Generator>, IdError> {
        if self.content.keys().is_some_and(|keys| keys.is_closed()) {
            return Err(IdError::TenantClosed);
        }
        let held = self.content.generators().ok_or(IdError::NotStarted)?;
        let known = held.get(name).ok_or_else(|| IdError::Unknown {
            name: name.to_owned(),
        })?;
        let mut open = self.open();
        if let Some(generator) = open.get(name) {
            return Ok(Arc::clone(generator));
        }
        let generator = Arc::new(Generator::new(name, known.clone()));
        open.insert(name.to_owned(), Arc::clone(&generator));
        info!(
            generator = name,
            capacity = known.capacity,
            "opened a generator"
        );
        let filler = Filler::new(
            Arc::clone(&generator),
            Arc::clone(&self.connection),
            Arc::clone(&self.metrics),
        );
        self.fillers.spawn(filler.run(self.shutdown.clone()));
        Ok(generator)
    }

    /// The generators that are open, by name.
    #[must_use]
    pub fn opened(&self) -> Vec<Arc<Generator>> {
        self.open().values().cloned().collect()
    }

    /// Tells open generators what became of their declarations, until cancelled. Then waits for the
    /// fillers to end.
    pub async fn follow(&self) {
        let mut changes = self.content.changes();
        loop {
            tokio::select! {
                () = self.shutdown.cancelled() => break,
                changed = changes.changed() => if changed.is_err() { break },
            }
            let Some(held) = self.content.generators() else {
                continue;
            };
            for generator in self.opened() {
                match held.get(generator.name()) {
                    Some(known) => generator.declared(known),
                    None => generator.withdrawn(),
                }
            }
        }
        self.fillers.close();
        self.fillers.wait().await;
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Generator>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
