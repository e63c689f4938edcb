//! What the domain says about its aggregates and commands.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::event::{Position, StreamKey};

/// A kind of thing that has a history of its own: one stream each.
pub trait Aggregate: Send + Sync + 'static {
    /// What it is after its events; [`Default`] is before the first.
    type State: Default + Clone + Send + Sync;
    /// What happens to it.
    type Event: Send + Sync;
    /// The type of its streams.
    const STREAM_TYPE: &'static str;

    /// Writes an event, in its current shape; or says why it cannot be written.
    ///
    /// # Errors
    /// A sentence for the log.
    fn encode(event: &Self::Event) -> Result<Encoded, String>;

    /// Reads a stored event of any shape that is known; or says why it cannot.
    ///
    /// # Errors
    /// A sentence for the log.
    fn decode(event_type: &str, schema_version: u32, data: Value) -> Result<Self::Event, String>;

    /// The state after one more event. It must not fail: what happened has happened.
    fn evolve(state: Self::State, event: &Self::Event) -> Self::State;

    /// How its states are kept as snapshots; none: they are not.
    fn snapshots() -> Option<StateCodec<Self::State>> {
        None
    }

    /// The stream of one of them.
    fn stream(tenant: impl Into<String>, id: impl Into<String>) -> StreamKey
    where
        Self: Sized,
    {
        StreamKey::new(tenant, Self::STREAM_TYPE, id)
    }
}

/// A command that carries its own rules; without one, a closure will do.
pub trait Command<A: Aggregate>: Sync {
    /// Its name in metrics and limits.
    const NAME: &'static str;
    /// Why the domain says no.
    type Refusal: Send;

    /// Checks what can be checked without a state, before anything is read.
    ///
    /// # Errors
    /// What is wrong, and what would be right.
    fn validate(&self) -> Result<(), Invalid> {
        Ok(())
    }

    /// What happens when it meets this state: nothing (no events), something, or a refusal. Pure: it
    /// is asked again after a conflict.
    ///
    /// # Errors
    /// The refusal.
    fn decide(&self, state: &A::State) -> Result<Vec<A::Event>, Self::Refusal>;
}

/// A part of a command that is wrong by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// Path of the part, e.g. `items[2].count`.
    pub field: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl Invalid {
    /// Something wrong with a part.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            message: message.into(),
        }
    }
}

/// An event as it is written.
#[derive(Debug, Clone, PartialEq)]
pub struct Encoded {
    /// Name of what happened.
    pub event_type: String,
    /// Version of the shape of `data`.
    pub schema_version: u32,
    /// Content.
    pub data: Value,
}

impl Encoded {
    /// Puts one together.
    pub fn new(event_type: impl Into<String>, schema_version: u32, data: Value) -> Self {
        Self {
            event_type: event_type.into(),
            schema_version,
            data,
        }
    }
}

/// Reads a state of an older version; or says why it cannot.
type ReadOlder<S> = fn(u32, Value) -> Result<S, String>;

/// How states are written to and read from snapshots.
#[derive(Debug)]
pub struct StateCodec<S> {
    version: u32,
    write: fn(&S) -> Result<Value, String>,
    read: fn(Value) -> Result<S, String>,
    read_older: Option<ReadOlder<S>>,
}

impl<S: Serialize + DeserializeOwned> StateCodec<S> {
    /// By the state's own serialisation. `version` names its shape and has to grow whenever what was
    /// written before cannot be read any more, or would be read as something else.
    pub fn serde(version: u32) -> Self {
        Self {
            version,
            write: |state| serde_json::to_value(state).map_err(|error| error.to_string()),
            read: |value| serde_json::from_value(value).map_err(|error| error.to_string()),
            read_older: None,
        }
    }
}

impl<S> StateCodec<S> {
    /// The same, but states of older versions are read, too; without this they are skipped.
    #[must_use]
    pub fn reading_older(mut self, read: fn(u32, Value) -> Result<S, String>) -> Self {
        self.read_older = Some(read);
        self
    }

    pub(super) fn version(&self) -> u32 {
        self.version
    }

    pub(super) fn write(&self, state: &S) -> Result<Value, String> {
        (self.write)(state)
    }

    pub(super) fn read(&self, version: u32, value: Value) -> Result<S, String> {
        match self.read_older {
            _ if version == self.version => (self.read)(value),
            Some(read) => read(version, value),
            None => Err(format!(
                "is of version {version}, only {} is read",
                self.version
            )),
        }
    }
}

/// A state with its place in its stream and in the store.
pub struct Versioned<A: Aggregate> {
    /// The state.
    pub state: A::State,
    /// Number of events that led to it.
    pub version: u64,
    /// Position of the last of them.
    pub position: Position,
}

impl<A: Aggregate> Clone for Versioned<A> {
    fn clone(&self) -> Self {
        Self {
            state: self.state.clone(),
            version: self.version,
            position: self.position,
        }
    }
}

impl<A: Aggregate> Default for Versioned<A> {
    fn default() -> Self {
        Self {
            state: A::State::default(),
            version: 0,
            position: Position::START,
        }
    }
}

impl<A: Aggregate> std::fmt::Debug for Versioned<A> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Versioned")
            .field("version", &self.version)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}
