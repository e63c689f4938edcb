//! An aggregate in the hands of one command.

use std::fmt;

use super::aggregate::{Aggregate, Encoded, Versioned};
use super::drafts::Draft;
use super::error::CommandError;
use super::gate::Permit;
use super::idempotency::{Earlier, Key, earlier};
use super::loading::unreadable;
use super::observer::{Outcome, Running};
use super::repository::Repository;
use super::retries::Left;
use super::states::{Held, Kept};
use crate::error::AppendError;
use crate::event::{Appended, Metadata, NewEvent, Position, StreamKey};

/// What a command led to.
pub struct Done<A: Aggregate> {
    /// The state after it.
    pub state: A::State,
    /// Version of the stream that the state stands for.
    pub version: u64,
    /// Position of the event that gave the stream this version: who has seen it, sees this state.
    pub position: Position,
    /// Where its events are; none if there was nothing to change.
    pub appended: Option<Appended>,
}

/// What became of an append.
#[derive(Debug)]
pub enum Written<'a, A: Aggregate> {
    /// It is stored, now or by an earlier call with the same key; or there was nothing to store.
    Done(Done<A>),
    /// Somebody else wrote first. Nothing is stored, the state is theirs now: decide anew.
    Conflict(Loaded<'a, A>),
}

/// An aggregate, held by one command of this process: its state up to date, and the right to append.
///
/// It is for commands that have to wait for something between their decision and the append; for
/// others there is [`Repository::execute`]. While it lives, no other command of this process gets at
/// the stream, and one of the gate's places is taken.
pub struct Loaded<'a, A: Aggregate> {
    repository: &'a Repository<A>,
    answered: Option<Done<A>>,
    left: Left,
    held: Held<A>,
    /// Dropped after what is held, so that the next one let in does not wait for it.
    order: Box<Order>,
}

/// What a call brings along into its [`Loaded`].
pub(super) struct Order {
    pub(super) name: &'static str,
    pub(super) stream: StreamKey,
    pub(super) metadata: Metadata,
    pub(super) key: Option<Key>,
    pub(super) _permit: Permit,
    pub(super) running: Running,
}

impl<'a, A: Aggregate> Loaded<'a, A> {
    pub(super) async fn open(
        repository: &'a Repository<A>,
        order: Box<Order>,
        known: Option<Versioned<A>>,
    ) -> Result<Self, CommandError> {
        let mut held = repository.states.hold(&order.stream).await;
        if let Some(known) = known
            && known.version > held.at.version
        {
            held.at = known;
        }
        let mut loaded = Self {
            repository,
            answered: None,
            left: Left::new(repository.retries),
            held,
            order,
        };
        match loaded.catch_up().await {
            Ok(()) => Ok(loaded),
            Err(error) => Err(loaded.order.running.failed(error)),
        }
    }

    /// The state to decide over.
    pub fn state(&self) -> &A::State {
        &self.held.at.state
    }

    /// Number of events that led to it.
    pub fn version(&self) -> u64 {
        self.held.at.version
    }

    /// Position of the last of them.
    pub fn position(&self) -> Position {
        self.held.at.position
    }

    /// What a call with the same key was answered before. Then nothing needs to be decided, and nothing
    /// that is appended will be stored.
    pub fn answered(&self) -> Option<&Done<A>> {
        self.answered.as_ref()
    }

    /// Appends what was decided over the state.
    ///
    /// Faults that may pass are waited for; an append whose outcome is unknown is repeated with the same
    /// event ids.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub async fn append(mut self, events: &[A::Event]) -> Result<Written<'a, A>, CommandError> {
        if self.answered.is_some() || events.is_empty() {
            return Ok(Written::Done(self.done()));
        }
        match self.write(events).await {
            Ok(Some(done)) => Ok(Written::Done(done)),
            Ok(None) if self.answered.is_some() => Ok(Written::Done(self.done())),
            Ok(None) => Ok(Written::Conflict(self)),
            Err(error) => Err(self.order.running.failed(error)),
        }
    }

    /// Ends the command without a further append: there is nothing to change, or it was answered before.
    pub fn done(mut self) -> Done<A> {
        if let Some(done) = self.answered.take() {
            self.order.running.report.outcome = Outcome::Repeated;
            return done;
        }
        self.order.running.report.outcome = Outcome::Unchanged;
        self.done_with(None)
    }

    /// Ends the command because the domain refused it.
    pub fn refused(mut self) {
        self.order.running.report.outcome = Outcome::Refused;
    }

    fn done_with(&self, appended: Option<Appended>) -> Done<A> {
        let Versioned {
            state,
            version,
            position,
        } = self.held.at.clone();
        Done {
            state,
            version,
            position,
            appended,
        }
    }

    /// None: it was answered before, or somebody else was first.
    async fn write(&mut self, events: &[A::Event]) -> Result<Option<Done<A>>, CommandError> {
        let new = self.encode(events)?;
        let loading = &self.repository.loading;
        let draft = loading.draft(&self.order.stream, &self.held, events, new);
        let mut may_be_stored = false;
        loop {
            self.order.running.report.attempts += 1;
            let message = match loading.store.append(draft.append.clone()).await {
                // Perhaps by another command, or as a part of more.
                Ok(appended) if appended.already_stored && self.order.key.is_some() => {
                    may_be_stored = true;
                    match self.answer_in_use().await? {
                        None => return Ok(None),
                        Some(message) => message,
                    }
                }
                Ok(appended) => return Ok(Some(self.stored(events, draft, appended))),
                Err(AppendError::Conflict { actual, .. }) => {
                    self.conflict(actual.0).await?;
                    return Ok(None);
                }
                Err(AppendError::DuplicateEventId { .. }) if self.order.key.is_some() => {
                    may_be_stored = true;
                    match self.answer_in_use().await? {
                        None => return Ok(None),
                        Some(message) => message,
                    }
                }
                Err(error @ AppendError::DuplicateEventId { .. }) => {
                    return Err(self.unwritable(error.to_string()));
                }
                Err(AppendError::Invalid { field, message }) => {
                    return Err(CommandError::Invalid { field, message });
                }
                Err(error @ (AppendError::Unavailable { .. } | AppendError::Overloaded)) => {
                    may_be_stored |= matches!(error, AppendError::Unavailable { .. });
                    error.to_string()
                }
            };
            let fault = CommandError::Unavailable {
                message,
                may_be_stored,
            };
            self.fault(fault).await?;
        }
    }

    /// Looks up the answer behind event ids that the store knows; a message if it is not found now.
    async fn answer_in_use(&mut self) -> Result<Option<String>, CommandError> {
        match self.look_up_key().await {
            Ok(()) if self.answered.is_some() => Ok(None),
            Ok(()) => Ok(Some("its events are stored but were not found".into())),
            Err(CommandError::Unavailable { message, .. }) => Ok(Some(message)),
            Err(error) => Err(error),
        }
    }

    /// Pauses after a fault; gives it back if it was the last one.
    async fn fault(&mut self, fault: CommandError) -> Result<(), CommandError> {
        self.order.running.report.faults += 1;
        self.left.after_fault(fault).await
    }

    async fn conflict(&mut self, actual: u64) -> Result<(), CommandError> {
        let contended = CommandError::Contended {
            stream: self.order.stream.clone(),
            conflicts: self.left.conflicts + 1,
        };
        self.order.running.report.conflicts += 1;
        self.left.after_conflict(contended).await?;
        if actual < self.held.at.version {
            tracing::warn!(stream = %self.order.stream, "the stream was put back; its state is read anew");
            *self.held = Kept::default();
        }
        self.catch_up().await
    }

    /// Reads what others appended, then what they answered to the key: in this order, or a state could
    /// have the events of an earlier call whose answer was not found.
    async fn catch_up(&mut self) -> Result<(), CommandError> {
        loop {
            let loading = &self.repository.loading;
            let refreshed = loading.refresh(&self.order.stream, &mut self.held, u64::MAX);
            let refreshed = match refreshed.await {
                Ok(()) => self.look_up_key().await,
                Err(error) => Err(error),
            };
            match refreshed {
                Err(error @ CommandError::Unavailable { .. }) => {
                    self.fault(error).await?;
                }
                outcome => return outcome,
            }
        }
    }

    /// Looks whether the key was answered.
    async fn look_up_key(&mut self) -> Result<(), CommandError> {
        let Some(key) = &self.order.key else {
            return Ok(());
        };
        let loading = &self.repository.loading;
        let found = earlier(&*loading.store, &self.order.stream, self.order.name, key).await;
        let appended = match found.map_err(|error| unreadable(&self.order.stream, error))? {
            None => return Ok(()),
            Some(Earlier::Same(appended)) => appended,
            Some(Earlier::Other) => {
                return Err(CommandError::KeyReused {
                    key: key.text.clone(),
                    stream: self.order.stream.clone(),
                });
            }
        };
        let version = appended.versions.first().copied().unwrap_or_default();
        self.answered = Some(if version == self.held.at.version {
            self.done_with(Some(appended))
        } else {
            let mut then = Kept::default();
            loading
                .refresh(&self.order.stream, &mut then, version)
                .await?;
            let Versioned {
                state,
                version,
                position,
            } = then.at;
            Done {
                state,
                version,
                position,
                appended: Some(appended),
            }
        });
        Ok(())
    }

    fn stored(&mut self, events: &[A::Event], draft: Draft<A>, appended: Appended) -> Done<A> {
        // Should the domain panic, what is left behind is the state before the first event.
        let before = std::mem::take(&mut self.held.at);
        let evolve = |state, event| A::evolve(state, event);
        self.held.at = Versioned {
            state: draft
                .next
                .unwrap_or_else(|| events.iter().fold(before.state, evolve)),
            version: before.version + events.len() as u64,
            position: appended.last,
        };
        match draft.append.snapshots.first() {
            Some(snapshot) => {
                self.repository.loading.taken(snapshot);
                self.held.snapshot_taken(snapshot);
            }
            None => self.held.tail_grew(draft.bytes, draft.at),
        }
        self.order.running.report.outcome = Outcome::Stored;
        self.order.running.report.events = events.len();
        self.done_with(Some(appended))
    }

    fn encode(&self, events: &[A::Event]) -> Result<Vec<NewEvent>, CommandError> {
        let mut metadata = self.order.metadata.clone();
        let key = self.order.key.as_ref();
        metadata.command_id = key.map(|key| key.command_id(&self.order.stream, self.order.name));
        let mut new = Vec::with_capacity(events.len());
        for (index, event) in events.iter().enumerate() {
            let Encoded {
                event_type,
                schema_version,
                data,
            } = A::encode(event).map_err(|message| self.unwritable(message))?;
            let mut event = NewEvent::new(event_type, schema_version, data);
            if let Some(key) = key {
                event.id = key.event_id(&self.order.stream, index);
            }
            event.metadata = metadata.clone();
            new.push(event);
        }
        Ok(new)
    }

    fn unwritable(&self, message: String) -> CommandError {
        CommandError::Unwritable {
            stream: self.order.stream.clone(),
            message,
        }
    }
}

impl<A: Aggregate> Done<A> {
    /// Whether this is what an earlier call was answered.
    pub fn is_repeated(&self) -> bool {
        let repeated = |appended: &Appended| appended.already_stored;
        self.appended.as_ref().is_some_and(repeated)
    }
}

impl<A: Aggregate> fmt::Debug for Done<A> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Done")
            .field("version", &self.version)
            .field("position", &self.position)
            .field("appended", &self.appended)
            .finish_non_exhaustive()
    }
}

impl<A: Aggregate> fmt::Debug for Loaded<'_, A> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Loaded")
            .field("command", &self.order.name)
            .field("stream", &self.order.stream)
            .field("at", &self.held.at)
            .finish_non_exhaustive()
    }
}
