//! The aggregates there are: how the event store reads and writes them, and the streams they live in.

use eventstore::{
    Position, RecordedEvent, StreamKey,
    command::{Aggregate, Encoded, StateCodec, Versioned},
};
use iam::{role, tenant};
use idgen::generator;
use serde::Serialize;
use serde_json::Value;

/// Versions of the shapes that states have in snapshots. A state that serialises otherwise needs a new
/// one; snapshots of older ones are then skipped, and made anew from events.
const TENANT_STATE: u32 = 1;
const ROLE_STATE: u32 = 1;
const GENERATOR_STATE: u32 = 1;

/// A tenant with its signing keys; one stream each.
pub(crate) struct Tenant;

/// A role; one stream each, named `namespace/name`.
pub(crate) struct Role;

/// All generators of one name within a tenant; one stream for them together, so that their segments
/// cannot overlap.
pub(crate) struct Generator;

impl Tenant {
    pub(crate) fn stream(tenant: &str) -> StreamKey {
        StreamKey::new(tenant, Self::STREAM_TYPE, tenant)
    }
}

impl Role {
    pub(crate) fn stream(tenant: &str, namespace: &str, name: &str) -> StreamKey {
        StreamKey::new(tenant, Self::STREAM_TYPE, format!("{namespace}/{name}"))
    }
}

impl Generator {
    pub(crate) fn stream(tenant: &str, name: &str) -> StreamKey {
        StreamKey::new(tenant, Self::STREAM_TYPE, name)
    }
}

impl Aggregate for Tenant {
    type State = tenant::State;
    type Event = tenant::Event;
    const STREAM_TYPE: &'static str = "tenant";

    fn encode(event: &Self::Event) -> Result<Encoded, String> {
        let name = registered(event.event_type(), &tenant::EVENT_TYPES)?;
        encoded(name, tenant::SCHEMA_VERSION, event)
    }

    fn decode(event_type: &str, schema_version: u32, data: Value) -> Result<Self::Event, String> {
        tenant::Event::read(event_type, schema_version, data).map_err(|error| error.to_string())
    }

    fn evolve(state: Self::State, event: &Self::Event) -> Self::State {
        tenant::evolve(state, event)
    }

    fn snapshots() -> Option<StateCodec<Self::State>> {
        Some(StateCodec::serde(TENANT_STATE))
    }
}

impl Aggregate for Role {
    type State = role::State;
    type Event = role::Event;
    const STREAM_TYPE: &'static str = "role";

    fn encode(event: &Self::Event) -> Result<Encoded, String> {
        let name = registered(event.event_type(), &role::EVENT_TYPES)?;
        encoded(name, role::SCHEMA_VERSION, event)
    }

    fn decode(event_type: &str, schema_version: u32, data: Value) -> Result<Self::Event, String> {
        role::Event::read(event_type, schema_version, data).map_err(|error| error.to_string())
    }

    fn evolve(state: Self::State, event: &Self::Event) -> Self::State {
        role::evolve(state, event)
    }

    fn snapshots() -> Option<StateCodec<Self::State>> {
        Some(StateCodec::serde(ROLE_STATE))
    }
}

impl Aggregate for Generator {
    type State = generator::State;
    type Event = generator::Event;
    const STREAM_TYPE: &'static str = "generator";

    fn encode(event: &Self::Event) -> Result<Encoded, String> {
        let name = registered(event.event_type(), &generator::EVENT_TYPES)?;
        encoded(name, generator::SCHEMA_VERSION, event)
    }

    fn decode(_event_type: &str, schema_version: u32, data: Value) -> Result<Self::Event, String> {
        if schema_version > generator::SCHEMA_VERSION {
            return Err("it was written by a newer release; run that one".into());
        }
        serde_json::from_value(data).map_err(|error| error.to_string())
    }

    fn evolve(state: Self::State, event: &Self::Event) -> Self::State {
        generator::evolve(state, event)
    }

    fn snapshots() -> Option<StateCodec<Self::State>> {
        Some(StateCodec::serde(GENERATOR_STATE))
    }
}

/// A type that no registry knows must not be stored: the next start would refuse the store.
fn registered(event_type: &'static str, registered: &[&str]) -> Result<&'static str, String> {
    if registered.contains(&event_type) {
        Ok(event_type)
    } else {
        Err(format!("{event_type} is not among the EVENT_TYPES"))
    }
}

fn encoded(event_type: &str, version: u32, event: &impl Serialize) -> Result<Encoded, String> {
    let data = serde_json::to_value(event).map_err(|error| error.to_string())?;
    Ok(Encoded::new(event_type, version, data))
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
    pub(crate) position: Position,
    stream: String,
    reason: String,
}

/// A state that follows its stream.
pub(crate) trait Follow {
    /// Takes in the next event of the stream.
    fn apply(&mut self, event: &RecordedEvent) -> Result<(), NotUnderstood>;
}

impl<A: Aggregate> Follow for Versioned<A> {
    fn apply(&mut self, event: &RecordedEvent) -> Result<(), NotUnderstood> {
        let read = A::decode(&event.event_type, event.schema_version, event.data.clone());
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

#[cfg(test)]
mod tests;
