//! Commands: load the aggregate, let the domain decide, append with the version it was decided over,
//! decide anew when another replica was first.
//!
//! A refusal of the domain is an answer (`Ok(Err(refusal))`); a [`ServiceError`] means that the call
//! was not carried out.

mod generators;
mod roles;
mod tenants;
mod writer;

use std::sync::Arc;

use eventstore::{EventStore, StreamKey};
use uuid::Uuid;

pub(crate) use self::writer::Done;
use self::writer::{Slots, Writer};
use crate::{
    aggregate::{Aggregate, Versioned},
    aggregates::{Generator, Role, Tenant},
    directory::Directory,
    error::ServiceError,
    keys::KeyStore,
    metrics::Metrics,
    service::Clock,
};

/// Whose command it is, for the record.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) actor: String,
    pub(crate) correlation_id: Option<Uuid>,
}

/// An answer of the domain, or the reason why it was not asked.
pub(crate) type Answer<A, Refusal> = Result<Result<Done<A>, Refusal>, ServiceError>;

/// Everything that changes anything.
pub(crate) struct Commands {
    store: Arc<dyn EventStore>,
    directory: Arc<Directory>,
    keys: Arc<KeyStore>,
    metrics: Arc<Metrics>,
    clock: Clock,
    key_propagation: std::time::Duration,
    tenants: Slots<Tenant>,
    roles: Slots<Role>,
    generators: Slots<Generator>,
}

impl Commands {
    pub(crate) fn new(
        store: Arc<dyn EventStore>,
        directory: Arc<Directory>,
        keys: Arc<KeyStore>,
        metrics: Arc<Metrics>,
        clock: Clock,
        key_propagation: std::time::Duration,
    ) -> Self {
        Self {
            store,
            directory,
            keys,
            metrics,
            clock,
            key_propagation,
            tenants: Slots::default(),
            roles: Slots::default(),
            generators: Slots::default(),
        }
    }

    async fn writer<'a, A: Aggregate>(
        &'a self,
        slots: &Slots<A>,
        stream: StreamKey,
        known: Option<Versioned<A>>,
    ) -> Result<Writer<'a, A>, ServiceError> {
        Writer::open(self.store.as_ref(), &self.metrics, slots, stream, known).await
    }

    /// Decides and appends until it is stored or refused.
    async fn execute<A: Aggregate, Refusal>(
        &self,
        slots: &Slots<A>,
        stream: StreamKey,
        known: Option<Versioned<A>>,
        origin: &Origin,
        decide: impl Fn(&A::State) -> Result<Vec<A::Event>, Refusal> + Send,
    ) -> Answer<A, Refusal>
    where
        Refusal: Send,
    {
        let mut writer = self.writer(slots, stream, known).await?;
        loop {
            let events = match decide(&writer.current().state) {
                Ok(events) => events,
                Err(refusal) => {
                    self.count::<A>("refused");
                    return Ok(Err(refusal));
                }
            };
            if events.is_empty() {
                self.count::<A>("unchanged");
                return Ok(Ok(writer.done(false)));
            }
            if writer.append(&events, origin).await? {
                return Ok(Ok(writer.done(true)));
            }
        }
    }

    /// Lets this replica's own readers see what was just written. Not seeing it yet is no failure:
    /// the answer carries the position.
    async fn settle<A: Aggregate>(&self, done: &Done<A>) {
        if done.changed && self.directory.reached_soon(done.position).await.is_err() {
            tracing::warn!(position = done.position.0, "the read models are slow");
        }
    }

    fn count<A: Aggregate>(&self, outcome: &str) {
        self.metrics
            .commands
            .with_label_values(&[A::STREAM_TYPE, outcome])
            .inc();
    }
}
