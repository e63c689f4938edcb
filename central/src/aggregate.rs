//! What the three aggregates have in common, so that loading, writing and following them is written
//! once.

use eventstore::{Position, RecordedEvent};
use serde::Serialize;
use serde_json::Value;

/// A domain's aggregate as the event store sees it.
pub(crate) trait Aggregate: Send + Sync + 'static {
    /// What it is after its events.
    type State: Clone + Default + Send + Sync;
    /// What happens to it.
    type Event: Serialize + Send + Sync;
    /// The type of its streams.
    const STREAM_TYPE: &'static str;
    /// The shape its events are written in.
    const SCHEMA_VERSION: u32;

    /// The name of an event in the store.
    fn event_type(event: &Self::Event) -> &'static str;
    /// Reads a stored event of any shape that is known; else says why not.
    fn read(event_type: &str, schema_version: u32, data: Value) -> Result<Self::Event, String>;
    /// The state after one more event.
    fn evolve(state: Self::State, event: &Self::Event) -> Self::State;
}

/// A state with the place in its stream and in the store that it stands for.
pub(crate) struct Versioned<A: Aggregate> {
    /// The state.
    pub(crate) state: A::State,
    /// Number of events that led to it.
    pub(crate) version: u64,
    /// Position of the last of them.
    pub(crate) position: Position,
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

/// A stored event that this program does not understand.
#[derive(Debug, thiserror::Error)]
#[error(
    "event {event_type} (schema {schema_version}) at position {position} of stream {stream} is not \
     understood: {reason}"
)]
pub(crate) struct NotUnderstood {
    event_type: String,
    schema_version: u32,
    position: Position,
    stream: String,
    reason: String,
}

impl<A: Aggregate> Versioned<A> {
    /// Takes in the next event of the stream.
    pub(crate) fn apply(&mut self, event: &RecordedEvent) -> Result<(), NotUnderstood> {
        let read = A::read(&event.event_type, event.schema_version, event.data.clone());
        let happened = read.map_err(|reason| NotUnderstood {
            event_type: event.event_type.clone(),
            schema_version: event.schema_version,
            position: event.position,
            stream: event.stream.to_string(),
            reason,
        })?;
        self.state = A::evolve(std::mem::take(&mut self.state), &happened);
        self.version = event.stream_version;
        self.position = event.position;
        Ok(())
    }
}
