//! Ids for the application, from rings that are fed ahead of demand.
//!
//! **The way through:** central commits a range to this sidecar for ever → a filler puts it into the
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
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
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
    content: Arc<Content>,
    metrics: Arc<Metrics>,
    wait: Duration,
    open: Mutex<BTreeMap<String, Arc<Generator>>>,
    opened: mpsc::UnboundedSender<Arc<Generator>>,
}

impl Generators {
    /// None open yet. A request waits for ids at most `wait`. The other half keeps the rings filled.
    #[must_use]
    pub fn new(
        connection: Arc<Connection>,
        content: Arc<Content>,
        metrics: Arc<Metrics>,
        wait: Duration,
    ) -> (Arc<Self>, Supplies) {
        let (opened, to_fill) = mpsc::unbounded_channel();
        let open = Mutex::default();
        let generators = Arc::new(Self {
            content: Arc::clone(&content),
            metrics: Arc::clone(&metrics),
            wait,
            open,
            opened,
        });
        let supplies = Supplies {
            generators: Arc::clone(&generators),
            connection,
            content,
            metrics,
            to_fill,
        };
        (generators, supplies)
    }

    /// Takes exactly `count` ids, 1 to [`LARGEST_BATCH`].
    ///
    /// # Errors
    /// There is no such generator, or its ids did not arrive in time.
    pub async fn take(&self, name: &str, count: u64) -> Result<Vec<Range>, IdError> {
        // What does not exist is counted nowhere: a name that a caller made up is no label.
        let generator = self.generator(name)?;
        let result = generator.take(count, self.wait).await;
        match &result {
            Ok(_) => {
                let served = &self.metrics.ids_served;
                served.with_label_values(&[name]).inc_by(count);
            }
            Err(error) => {
                let refused = &self.metrics.ids_refused;
                refused.with_label_values(&[name, error.code()]).inc();
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
        // Nobody fills any more once the sidecar ends.
        let _ = self.opened.send(Arc::clone(&generator));
        Ok(generator)
    }

    /// The generators that are open, by name.
    #[must_use]
    pub fn opened(&self) -> Vec<Arc<Generator>> {
        self.open().values().cloned().collect()
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Generator>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What keeps the rings filled, and tells open generators what became of their declarations.
#[derive(Debug)]
pub struct Supplies {
    generators: Arc<Generators>,
    connection: Arc<Connection>,
    content: Arc<Content>,
    metrics: Arc<Metrics>,
    to_fill: mpsc::UnboundedReceiver<Arc<Generator>>,
}

impl Supplies {
    /// Fills until cancelled.
    ///
    /// # Panics
    /// When a filler did.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut changes = self.content.changes();
        let mut fillers = JoinSet::new();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(generator) = self.to_fill.recv() => {
                    let connection = Arc::clone(&self.connection);
                    let filler = Filler::new(generator, connection, Arc::clone(&self.metrics));
                    fillers.spawn(filler.run(shutdown.clone()));
                }
                Some(Err(ended)) = fillers.join_next() => {
                    if let Ok(panic) = ended.try_into_panic() {
                        std::panic::resume_unwind(panic);
                    }
                }
                _ = changes.changed() => self.tell(),
            }
        }
        fillers.join_all().await;
    }

    fn tell(&self) {
        let Some(held) = self.content.generators() else {
            return;
        };
        for generator in self.generators.opened() {
            match held.get(generator.name()) {
                Some(known) => generator.declared(known),
                None => generator.withdrawn(),
            }
        }
    }
}
