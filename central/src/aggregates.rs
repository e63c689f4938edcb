//! The aggregates there are, and the streams they live in.

use eventstore::StreamKey;
use iam::{role, tenant};
use idgen::generator;
use serde_json::Value;

use crate::aggregate::Aggregate;

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
    const SCHEMA_VERSION: u32 = tenant::SCHEMA_VERSION;

    fn event_type(event: &Self::Event) -> &'static str {
        event.event_type()
    }

    fn read(event_type: &str, schema_version: u32, data: Value) -> Result<Self::Event, String> {
        tenant::Event::read(event_type, schema_version, data).map_err(|error| error.to_string())
    }

    fn evolve(state: Self::State, event: &Self::Event) -> Self::State {
        tenant::evolve(state, event)
    }
}

impl Aggregate for Role {
    type State = role::State;
    type Event = role::Event;
    const STREAM_TYPE: &'static str = "role";
    const SCHEMA_VERSION: u32 = role::SCHEMA_VERSION;

    fn event_type(event: &Self::Event) -> &'static str {
        event.event_type()
    }

    fn read(event_type: &str, schema_version: u32, data: Value) -> Result<Self::Event, String> {
        role::Event::read(event_type, schema_version, data).map_err(|error| error.to_string())
    }

    fn evolve(state: Self::State, event: &Self::Event) -> Self::State {
        role::evolve(state, event)
    }
}

impl Aggregate for Generator {
    type State = generator::State;
    type Event = generator::Event;
    const STREAM_TYPE: &'static str = "generator";
    const SCHEMA_VERSION: u32 = generator::SCHEMA_VERSION;

    fn event_type(event: &Self::Event) -> &'static str {
        event.event_type()
    }

    fn read(_event_type: &str, schema_version: u32, data: Value) -> Result<Self::Event, String> {
        if schema_version > generator::SCHEMA_VERSION {
            return Err("it was written by a newer release; run that one".into());
        }
        serde_json::from_value(data).map_err(|error| error.to_string())
    }

    fn evolve(state: Self::State, event: &Self::Event) -> Self::State {
        generator::evolve(state, event)
    }
}
