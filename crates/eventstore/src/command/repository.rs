//! The aggregates of one kind: loading them, and running commands on them.

use std::fmt;
use std::sync::Arc;

use super::aggregate::{Aggregate, Command, Versioned};
use super::call::Call;
use super::drafts::record;
use super::error::CommandError;
use super::gate::Gate;
use super::loaded::{Done, Loaded, Order, Written};
use super::loading::{Loading, Upcast, not_snapshot, unreadable};
use super::observer::{Observer, Running};
use super::retries::{Left, Retries};
use super::states::{Kept, States};
use crate::event::StreamKey;
use crate::snapshot::Snapshots;
use crate::store::EventStore;

/// States kept between commands.
const KEPT: usize = 10_000;

/// All aggregates of one kind. One for the process, shared by all that call.
///
/// What it keeps of a stream is brought up to date for each command, so other processes may append,
/// too. Only a store that was put back to a backup needs a new repository.
pub struct Repository<A: Aggregate> {
    pub(super) loading: Loading<A>,
    pub(super) states: States<A>,
    pub(super) retries: Retries,
    gate: Arc<Gate>,
    observer: Arc<dyn Observer>,
}

impl<A: Aggregate> Repository<A> {
    /// A repository with a gate of its own with the default [`Limits`](super::Limits), the default
    /// [`Retries`], up to 10,000 states kept, without snapshots, observed by nobody.
    pub fn new(store: Arc<dyn EventStore>) -> Self {
        Self {
            loading: Loading {
                store,
                snapshots: None,
                codec: A::snapshots(),
                upcast: None,
            },
            states: States::new(KEPT),
            retries: Retries::default(),
            gate: Arc::default(),
            observer: Arc::new(()),
        }
    }

    /// With snapshots, if the aggregate has a form for them ([`Aggregate::snapshots`]).
    #[must_use]
    pub fn with_snapshots(mut self, snapshots: Snapshots) -> Self {
        self.loading.snapshots = Some(snapshots);
        self
    }

    /// Behind this gate, which may stand before other repositories, too.
    #[must_use]
    pub fn with_gate(mut self, gate: Arc<Gate>) -> Self {
        self.gate = gate;
        self
    }

    /// With these repetitions.
    #[must_use]
    pub fn with_retries(mut self, retries: Retries) -> Self {
        self.retries = retries;
        self
    }

    /// Telling this observer of each command.
    #[must_use]
    pub fn with_observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = observer;
        self
    }

    /// Reading each event through this, before [`Aggregate::decode`].
    #[must_use]
    pub fn with_upcast(mut self, upcast: Upcast) -> Self {
        self.loading.upcast = Some(upcast);
        self
    }

    /// Keeping so many states between commands; those used last stay.
    #[must_use]
    pub fn with_kept(mut self, states: usize) -> Self {
        self.states = States::new(states);
        self
    }

    /// Runs a command that carries its own rules: validates it, lets it decide, appends what it decided;
    /// after a conflict it decides anew.
    ///
    /// # Errors
    /// See [`CommandError`]. A refusal of the domain is an answer, and inside.
    pub async fn handle<C: Command<A>>(
        &self,
        call: Call<A>,
        command: &C,
    ) -> Result<Result<Done<A>, C::Refusal>, CommandError> {
        if let Err(invalid) = command.validate() {
            let mut running = self.start(&call);
            return Err(running.failed(invalid.into()));
        }
        self.execute(call, |state| command.decide(state)).await
    }

    /// Runs a command that is a closure; see [`handle`](Self::handle).
    ///
    /// # Errors
    /// See [`CommandError`]. A refusal of the domain is an answer, and inside.
    pub async fn execute<R: Send>(
        &self,
        call: Call<A>,
        mut decide: impl FnMut(&A::State) -> Result<Vec<A::Event>, R> + Send,
    ) -> Result<Result<Done<A>, R>, CommandError> {
        let mut loaded = self.open(call).await?;
        loop {
            if loaded.answered().is_some() {
                return Ok(Ok(loaded.done()));
            }
            let events = match decide(loaded.state()) {
                Ok(events) => events,
                Err(refusal) => {
                    loaded.refused();
                    return Ok(Err(refusal));
                }
            };
            match loaded.append(&events).await? {
                Written::Done(done) => return Ok(Ok(done)),
                Written::Conflict(again) => loaded = again,
            }
        }
    }

    /// Begins a command by hand: waits for its turn and brings the state up to date.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub async fn open(&self, call: Call<A>) -> Result<Loaded<'_, A>, CommandError> {
        let mut running = self.start(&call);
        let Call {
            name,
            stream,
            metadata,
            priority,
            key,
            known,
        } = call;
        if stream.stream_type != A::STREAM_TYPE {
            let message = format!(
                "is {}, the streams of this aggregate are {}",
                stream.stream_type,
                A::STREAM_TYPE
            );
            return Err(running.failed(CommandError::Invalid {
                field: "stream.stream_type".into(),
                message,
            }));
        }
        let permit = match self.gate.enter(&stream.tenant, name, priority).await {
            Ok(permit) => permit,
            Err(error) => return Err(running.failed(error)),
        };
        running.let_in();
        let order = Box::new(Order {
            name,
            stream,
            metadata,
            key,
            _permit: permit,
            running,
        });
        Loaded::open(self, order, known).await
    }

    /// The state of a stream as of now; of one without events, the default.
    ///
    /// # Errors
    /// [`CommandError::Unavailable`], [`CommandError::NotUnderstood`], [`CommandError::Corrupt`].
    pub async fn load(&self, stream: &StreamKey) -> Result<Versioned<A>, CommandError> {
        let mut held = self.states.hold(stream).await;
        self.refresh(stream, &mut held, u64::MAX).await?;
        Ok(held.at.clone())
    }

    /// The state of a stream as it was at a version; of a shorter stream, as it is.
    ///
    /// # Errors
    /// See [`load`](Self::load).
    pub async fn load_at(
        &self,
        stream: &StreamKey,
        version: u64,
    ) -> Result<Versioned<A>, CommandError> {
        let mut then = Kept::default();
        self.refresh(stream, &mut then, version).await?;
        Ok(then.at)
    }

    /// Takes a snapshot now, whatever the policy says, and gives its version; none if the stream has no
    /// events, or there are no snapshots here.
    ///
    /// # Errors
    /// See [`load`](Self::load), and [`CommandError::Unwritable`].
    pub async fn take_snapshot(&self, stream: &StreamKey) -> Result<Option<u64>, CommandError> {
        let Loading {
            store,
            snapshots: Some(snapshots),
            codec: Some(codec),
            ..
        } = &self.loading
        else {
            return Ok(None);
        };
        let mut held = self.states.hold(stream).await;
        self.refresh(stream, &mut held, u64::MAX).await?;
        let version = held.at.version;
        if version == 0 {
            return Ok(None);
        }
        let last = store.read_stream(stream, version - 1, 1).await;
        let last = last.map_err(|error| unreadable(stream, error))?;
        let Some(last) = last.first() else {
            let message = format!("version {version} is missing");
            let stream = stream.clone();
            return Err(CommandError::Corrupt { stream, message });
        };
        let not_taken = |error| not_snapshot(stream, &error);
        let snapshot = record(snapshots, codec, stream, &held.at, last.id).map_err(not_taken)?;
        snapshots.save(&snapshot).await.map_err(not_taken)?;
        self.loading.taken(&snapshot);
        held.snapshot_taken(&snapshot);
        Ok(Some(version))
    }

    async fn refresh(
        &self,
        stream: &StreamKey,
        kept: &mut Kept<A>,
        until: u64,
    ) -> Result<(), CommandError> {
        let mut left = Left::new(self.retries);
        loop {
            match self.loading.refresh(stream, kept, until).await {
                Err(error @ CommandError::Unavailable { .. }) => left.after_fault(error).await?,
                outcome => return outcome,
            }
        }
    }

    fn start(&self, call: &Call<A>) -> Running {
        Running::start(Arc::clone(&self.observer), call.name, call.stream.clone())
    }
}

impl<A: Aggregate> fmt::Debug for Repository<A> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Repository")
            .field("stream_type", &A::STREAM_TYPE)
            .field("retries", &self.retries)
            .field("gate", &self.gate)
            .finish_non_exhaustive()
    }
}
