//! The types of events that this release writes and reads, and whether it can read a store.
//!
//! All shapes are still the first ones, and each domain's `Event` reads its own: it refuses newer ones.
//! Reading stays there, because the domain crates know no event store and there is nothing to bring up
//! to date. The first type with a second version needs its upcaster here, for no registry is built
//! without, and [`Registry::upcast`] in front of both readers: the repositories and the directory.

use std::time::Duration;

use eventstore::{EventStore, Registry, RegistryError, command::Aggregate};
use iam::{role, tenant};
use idgen::generator;

use crate::{
    aggregates::{Generator, Role, Tenant},
    error::StartError,
};

/// How long a start may take for looking at events that nobody looked at before; the next one goes on.
const PATIENCE: Duration = Duration::from_secs(20);
/// Kinds of unreadable events that are told of at once.
const TOLD: usize = 5;

const OURS: [&str; 3] = [
    Tenant::STREAM_TYPE,
    Role::STREAM_TYPE,
    Generator::STREAM_TYPE,
];

/// All types of this release.
pub(crate) fn registry() -> Result<Registry, RegistryError> {
    let mut types = Registry::builder();
    for (stream_type, names, version) in [
        (
            Tenant::STREAM_TYPE,
            &tenant::EVENT_TYPES[..],
            tenant::SCHEMA_VERSION,
        ),
        (
            Role::STREAM_TYPE,
            &role::EVENT_TYPES[..],
            role::SCHEMA_VERSION,
        ),
        (
            Generator::STREAM_TYPE,
            &generator::EVENT_TYPES[..],
            generator::SCHEMA_VERSION,
        ),
    ] {
        for name in names {
            types = types.event((stream_type, *name), version);
        }
    }
    types.build()
}

/// Refuses a store with events that this release cannot read, before anything is served from it.
///
/// Streams of other types are none of this release's business: another part of a newer one may keep
/// them here, and the read models pass over them, too.
pub(crate) async fn check(store: &dyn EventStore) -> Result<(), StartError> {
    let types = registry()?;
    let Ok(checked) = tokio::time::timeout(PATIENCE, types.check(store)).await else {
        tracing::warn!("not all events could be looked at in time; the next start goes on");
        return Ok(());
    };
    let mut unreadable = checked.map_err(StartError::Check)?.unreadable;
    unreadable.retain(|kind| OURS.contains(&kind.stream_type.as_str()));
    if unreadable.is_empty() {
        return Ok(());
    }
    let more = unreadable.len().saturating_sub(TOLD);
    let mut told: Vec<_> = unreadable
        .into_iter()
        .take(TOLD)
        .map(|kind| format!("{} [{}]", kind.message, kind.code))
        .collect();
    if more > 0 {
        told.push(format!("and {more} more"));
    }
    Err(StartError::UnreadableEvents(told.join("; ")))
}
