//! One aggregate, held while a command decides over it and writes what it decided.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use eventstore::{
    Append, AppendError, Appended, EventStore, ExpectedVersion, Metadata, NewEvent, Position,
    StreamKey, StreamWrite,
};
use rand::RngExt as _;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};
use uuid::Uuid;

use super::Origin;
use crate::{
    aggregate::{Aggregate, Versioned},
    error::ServiceError,
    metrics::Metrics,
};

const PAGE: usize = 512;
/// Writers that a command may lose against before it gives up.
const CONFLICTS: u32 = 12;
/// Repetitions of one append whose outcome is unknown; its event ids make them safe.
const REPETITIONS: u32 = 3;
/// Streams whose state is kept between commands.
const KEPT: usize = 10_000;

type Slot<A> = Arc<AsyncMutex<Versioned<A>>>;

/// The state each stream had when this replica wrote to it last, and a lock for each: two commands
/// of one replica never meet in the store, only those of two replicas do.
pub(super) struct Slots<A: Aggregate>(Mutex<HashMap<StreamKey, Slot<A>>>);

impl<A: Aggregate> Default for Slots<A> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<A: Aggregate> Slots<A> {
    async fn hold(&self, stream: &StreamKey) -> OwnedMutexGuard<Versioned<A>> {
        let slot = {
            let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if slots.len() >= KEPT {
                slots.retain(|_, slot| Arc::strong_count(slot) > 1);
            }
            Arc::clone(slots.entry(stream.clone()).or_default())
        };
        slot.lock_owned().await
    }
}

/// An aggregate in the hands of one command.
pub(super) struct Writer<'a, A: Aggregate> {
    store: &'a dyn EventStore,
    metrics: &'a Metrics,
    stream: StreamKey,
    held: OwnedMutexGuard<Versioned<A>>,
    conflicts: u32,
}

impl<'a, A: Aggregate> Writer<'a, A> {
    /// Takes a stream and brings its state up to date: from what was kept, or from what the read
    /// model knows when that is newer, and what the store holds beyond it.
    pub(super) async fn open(
        store: &'a dyn EventStore,
        metrics: &'a Metrics,
        slots: &Slots<A>,
        stream: StreamKey,
        known: Option<Versioned<A>>,
    ) -> Result<Self, ServiceError> {
        let mut held = slots.hold(&stream).await;
        if let Some(known) = known
            && known.version > held.version
        {
            *held = known;
        }
        let mut writer = Self {
            store,
            metrics,
            stream,
            held,
            conflicts: 0,
        };
        writer.refresh().await?;
        Ok(writer)
    }

    /// The state, its version, and the position of the event that led to it.
    pub(super) fn current(&self) -> &Versioned<A> {
        &self.held
    }

    /// Writes events on top of the state they were decided over.
    ///
    /// True: they are stored, and the state includes them. False: somebody else wrote first, the
    /// state is theirs now, and the command has to decide anew.
    pub(super) async fn append(
        &mut self,
        events: &[A::Event],
        origin: &Origin,
    ) -> Result<bool, ServiceError> {
        let new = events
            .iter()
            .map(|event| new_event::<A>(event, origin))
            .collect::<Result<_, _>>()?;
        let append = Append::new(vec![StreamWrite {
            stream: self.stream.clone(),
            expected: ExpectedVersion::Exact(self.held.version),
            events: new,
        }]);
        match self.store_it(append).await? {
            Some(appended) => {
                self.count("applied", events.len());
                let mut state = std::mem::take(&mut self.held.state);
                for event in events {
                    state = A::evolve(state, event);
                }
                *self.held = Versioned {
                    state,
                    version: appended.versions.first().copied().unwrap_or_default(),
                    position: appended.last,
                };
                Ok(true)
            }
            None => {
                self.metrics.conflicts.inc();
                self.conflicts += 1;
                if self.conflicts > CONFLICTS {
                    self.count("contended", 0);
                    return Err(ServiceError::Contended);
                }
                pause(self.conflicts).await;
                self.refresh().await?;
                Ok(false)
            }
        }
    }

    /// None: another writer was first.
    async fn store_it(&self, append: Append) -> Result<Option<Appended>, ServiceError> {
        let mut attempt = 0;
        loop {
            match self.store.append(append.clone()).await {
                Ok(appended) => return Ok(Some(appended)),
                Err(AppendError::Conflict { .. }) => return Ok(None),
                Err(AppendError::Unavailable { .. } | AppendError::Overloaded)
                    if attempt < REPETITIONS =>
                {
                    attempt += 1;
                    pause(attempt + 3).await;
                }
                Err(error @ (AppendError::Unavailable { .. } | AppendError::Overloaded)) => {
                    tracing::warn!(%error, stream = %self.stream, "nothing could be appended");
                    self.count("unavailable", 0);
                    return Err(ServiceError::StoreUnavailable);
                }
                Err(AppendError::Invalid { field, message }) => {
                    let message = format!("{field}: {message}");
                    return Err(ServiceError::InvalidArgument {
                        name: "name",
                        message,
                    });
                }
                Err(error @ AppendError::DuplicateEventId { .. }) => {
                    return Err(ServiceError::Internal(error.to_string()));
                }
            }
        }
    }

    async fn refresh(&mut self) -> Result<(), ServiceError> {
        loop {
            let after = self.held.version;
            let page = self.store.read_stream(&self.stream, after, PAGE).await?;
            for event in &page {
                let next = self.held.apply(event);
                next.map_err(|error| ServiceError::Internal(error.to_string()))?;
            }
            if page.len() < PAGE {
                return Ok(());
            }
        }
    }

    fn count(&self, outcome: &str, events: usize) {
        self.metrics
            .commands
            .with_label_values(&[A::STREAM_TYPE, outcome])
            .inc();
        let appended = self.metrics.events.with_label_values(&[A::STREAM_TYPE]);
        appended.inc_by(events as u64);
    }
}

fn new_event<A: Aggregate>(event: &A::Event, origin: &Origin) -> Result<NewEvent, ServiceError> {
    Ok(NewEvent {
        id: Uuid::now_v7(),
        event_type: A::event_type(event).to_owned(),
        schema_version: A::SCHEMA_VERSION,
        data: serde_json::to_value(event)
            .map_err(|error| ServiceError::Internal(error.to_string()))?,
        metadata: Metadata {
            correlation_id: origin.correlation_id,
            actor: Some(origin.actor.clone()),
            ..Metadata::default()
        },
    })
}

/// Between nothing and 2 ms at first, twice that each time, at most 256 ms.
async fn pause(attempt: u32) {
    let most = 1_u64 << attempt.min(8);
    let milliseconds = rand::rng().random_range(0..=most);
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}

/// What a command led to.
pub(crate) struct Done<A: Aggregate> {
    /// The state after it.
    pub(crate) state: A::State,
    /// Position of the last event of the stream: the state is true at or after it.
    pub(crate) position: Position,
    /// Whether the command changed anything.
    pub(crate) changed: bool,
}

impl<A: Aggregate> Writer<'_, A> {
    /// What there is to answer.
    pub(super) fn done(&self, changed: bool) -> Done<A> {
        let Versioned {
            state, position, ..
        } = &*self.held;
        Done {
            state: state.clone(),
            position: *position,
            changed,
        }
    }
}
