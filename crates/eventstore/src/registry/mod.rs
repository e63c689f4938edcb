//! The types of events that a release knows, and the ways between the versions of their shapes.
//!
//! A stored event never changes, the shape of its type does. So each type has a current version, an
//! upcaster from every older version to the next, and, where an older release has to be served,
//! downcasters back. [`RegistryBuilder::build`] refuses what is not complete, and
//! [`Registry::check`] compares with a store: both when a program starts, not when the event comes.
//!
//! Pure but for `check`, the only part that knows of a database.

mod builder;
mod check;
mod error;
mod shapes;

use std::collections::HashMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use builder::RegistryBuilder;
pub use check::{CheckReport, Unreadable};
pub use error::{EventPlace, RegistrationFault, RegistryError};

use crate::event::RecordedEvent;

/// What every name of the store's own begins with.
pub(crate) const RESERVED: &str = "eventstore.";

/// A type of event: everywhere, or in the streams of one type only.
///
/// Made from a name, or from a stream type and a name: two kinds of aggregates may call different
/// things by one name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct EventName {
    /// Streams it is meant for; none for all that have nothing more specific.
    pub stream_type: Option<String>,
    /// Name as it is stored.
    pub event_type: String,
}

impl From<&str> for EventName {
    fn from(event_type: &str) -> Self {
        Self {
            stream_type: None,
            event_type: event_type.to_owned(),
        }
    }
}

impl From<(&str, &str)> for EventName {
    fn from((stream_type, event_type): (&str, &str)) -> Self {
        Self {
            stream_type: Some(stream_type.to_owned()),
            event_type: event_type.to_owned(),
        }
    }
}

impl fmt::Display for EventName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.stream_type {
            Some(stream_type) => write!(formatter, "{} of {stream_type}", self.event_type),
            None => formatter.write_str(&self.event_type),
        }
    }
}

/// From one version of a shape to the next, or back.
type Step = Arc<dyn Fn(Value) -> Result<Value, String> + Send + Sync>;

/// All versions of one type.
struct Chain {
    name: EventName,
    /// First version that is read; those below were migrated away.
    oldest: u32,
    /// Below `oldest` if nothing of the type is read any more.
    current: u32,
    /// By the version they begin with.
    up: HashMap<u32, Step>,
    /// By the version they begin with.
    down: HashMap<u32, Step>,
    /// Former names, each up to a version, in order.
    former: Vec<(u32, String)>,
}

impl Chain {
    /// What the type is called at a version.
    fn name_at(&self, version: u32) -> &str {
        let former = self.former.iter().find(|(through, _)| version <= *through);
        former.map_or(&self.name.event_type, |(_, name)| name)
    }
}

/// A name that is looked up, with the versions that were written under it.
struct Named {
    stream_type: Option<String>,
    versions: RangeInclusive<u32>,
    chain: Arc<Chain>,
}

/// Why a version of a type is not read.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Obstacle {
    UnknownType,
    UnknownVersion { known: RangeInclusive<u32> },
    Retired { through: u32 },
}

/// The types of events that a release knows; see the [builder](RegistryBuilder).
///
/// ```
/// use eventstore::registry::Registry;
/// use serde_json::json;
///
/// let registry = Registry::builder()
///     .event("OrderPlaced", 2)
///     .upcaster("OrderPlaced", 1, |mut data| {
///         data["currency"] = json!("EUR");
///         Ok(data)
///     })
///     .build()?;
/// assert_eq!(registry.types()[0].current_version, 2);
/// # Ok::<(), eventstore::registry::RegistryError>(())
/// ```
#[derive(Clone)]
pub struct Registry {
    /// By stored name; the specific before the general.
    names: Arc<HashMap<String, Vec<Named>>>,
}

/// A type as [`Registry::types`] tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TypeDescription {
    /// Its name of today.
    #[serde(flatten)]
    pub name: EventName,
    /// Version that new events have; 0 if the type is no longer written or read.
    pub current_version: u32,
    /// Versions below were migrated away and are not read.
    pub oldest_version: u32,
    /// Versions that can be brought to the next one.
    pub upcasters: Vec<u32>,
    /// Versions that can be brought to the one before.
    pub downcasters: Vec<u32>,
    /// What it was called before, each up to and including a version.
    pub former_names: Vec<(u32, String)>,
}

impl Registry {
    /// Begins a registry.
    pub fn builder() -> RegistryBuilder {
        RegistryBuilder::default()
    }

    /// The event as the current version of its type has it. Events of the store's own
    /// (`eventstore.…`) are given back as they are.
    ///
    /// # Errors
    /// A type or version that is not known, and an upcaster that fails.
    pub fn upcast(&self, event: RecordedEvent) -> Result<RecordedEvent, RegistryError> {
        if event.event_type.starts_with(RESERVED) {
            return Ok(event);
        }
        let chain = self.chain(&event)?;
        let version = chain.current;
        convert(&chain, event, version)
    }

    /// The event as a release has it whose current version of the type is `version`; one that was
    /// stored in an older version is brought up to it.
    ///
    /// # Errors
    /// As [`upcast`](Self::upcast), and a downcaster that fails or that nobody registered.
    pub fn downcast(
        &self,
        event: RecordedEvent,
        version: u32,
    ) -> Result<RecordedEvent, RegistryError> {
        if event.event_type.starts_with(RESERVED) {
            return Ok(event);
        }
        let chain = self.chain(&event)?;
        if !(chain.oldest..=chain.current).contains(&version) {
            let message = format!(
                "version {version} is wanted, this release knows {} to {}",
                chain.oldest, chain.current
            );
            return Err(RegistryError::step(&event, version, message));
        }
        convert(&chain, event, version)
    }

    /// The content of an event, brought to the current version, as a value of the domain.
    ///
    /// # Errors
    /// As [`upcast`](Self::upcast), and content that is no `T`.
    pub fn decode<T: DeserializeOwned>(&self, event: RecordedEvent) -> Result<T, RegistryError> {
        let place = EventPlace::of(&event);
        let event = self.upcast(event)?;
        serde_json::from_value(event.data).map_err(|error| RegistryError::Decode {
            place,
            wanted: std::any::type_name::<T>(),
            message: error.to_string(),
        })
    }

    /// All types, by name.
    pub fn types(&self) -> Vec<TypeDescription> {
        let named = self.names.iter().flat_map(|(name, all)| {
            let current = all
                .iter()
                .filter(move |named| named.chain.name.event_type == *name);
            current.map(|named| describe(&named.chain))
        });
        let mut types: Vec<_> = named.collect();
        types.sort_by(|left, right| left.name.cmp(&right.name));
        types
    }

    fn chain(&self, event: &RecordedEvent) -> Result<Arc<Chain>, RegistryError> {
        let (stream_type, event_type) = (&event.stream.stream_type, &event.event_type);
        let found = self.find(stream_type, event_type, event.schema_version);
        found
            .map(Arc::clone)
            .map_err(|obstacle| RegistryError::obstacle(obstacle, EventPlace::of(event)))
    }

    /// The versions of a stored type, if the stored version is one that is read.
    fn find(
        &self,
        stream_type: &str,
        event_type: &str,
        version: u32,
    ) -> Result<&Arc<Chain>, Obstacle> {
        let named = self.names.get(event_type).and_then(|all| {
            all.iter().find(|named| {
                let of = named.stream_type.as_deref();
                of.is_none_or(|of| of == stream_type)
            })
        });
        let Named {
            versions, chain, ..
        } = named.ok_or(Obstacle::UnknownType)?;
        if !versions.contains(&version) {
            let known = versions.clone();
            return Err(Obstacle::UnknownVersion { known });
        }
        if version < chain.oldest {
            let through = chain.oldest - 1;
            return Err(Obstacle::Retired { through });
        }
        Ok(chain)
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.types()).finish()
    }
}

/// Takes an event step by step to a version.
fn convert(
    chain: &Chain,
    mut event: RecordedEvent,
    version: u32,
) -> Result<RecordedEvent, RegistryError> {
    if event.schema_version == version {
        return Ok(event);
    }
    let mut data = std::mem::take(&mut event.data);
    let mut at = event.schema_version;
    while at != version {
        let (steps, next) = if at < version {
            (&chain.up, at + 1)
        } else {
            (&chain.down, at - 1)
        };
        let failed = |message: String| RegistryError::step(&event, next, message);
        let step = steps.get(&at).ok_or_else(|| {
            failed(format!(
                "no step leads from version {at} to {next}; register one"
            ))
        })?;
        data = step(data).map_err(failed)?;
        at = next;
    }
    event.data = data;
    event.schema_version = version;
    let name = chain.name_at(version);
    if event.event_type != name {
        name.clone_into(&mut event.event_type);
    }
    Ok(event)
}

fn describe(chain: &Chain) -> TypeDescription {
    let sorted = |steps: &HashMap<u32, Step>| {
        let mut versions: Vec<_> = steps.keys().copied().collect();
        versions.sort_unstable();
        versions
    };
    TypeDescription {
        name: chain.name.clone(),
        current_version: if chain.current < chain.oldest {
            0
        } else {
            chain.current
        },
        oldest_version: chain.oldest,
        upcasters: sorted(&chain.up),
        downcasters: sorted(&chain.down),
        former_names: chain.former.clone(),
    }
}

#[cfg(test)]
mod tests;
