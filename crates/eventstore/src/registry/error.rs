//! What is wrong with a registry, and why it cannot read an event.

use std::fmt;

use thiserror::Error;

use super::{EventName, Obstacle};
use crate::event::{Position, RecordedEvent, StreamKey};

/// Which event it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventPlace {
    /// Stored name of its type.
    pub event_type: String,
    /// Stored version of its shape.
    pub schema_version: u32,
    /// Place in the order of the store.
    pub position: Position,
    /// Stream it belongs to.
    pub stream: StreamKey,
}

impl EventPlace {
    /// The place of an event.
    pub(crate) fn of(event: &RecordedEvent) -> Box<Self> {
        Box::new(Self {
            event_type: event.event_type.clone(),
            schema_version: event.schema_version,
            position: event.position,
            stream: event.stream.clone(),
        })
    }
}

impl fmt::Display for EventPlace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "event {} version {} at position {} of stream {}",
            self.event_type, self.schema_version, self.position, self.stream
        )
    }
}

/// Why a registry is refused, or an event cannot be read by it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RegistryError {
    /// The registry contradicts itself or is not complete. A mistake of the program.
    #[error("registration of {name}: {fault}")]
    Registration {
        /// Type it is about.
        name: EventName,
        /// What is wrong.
        fault: RegistrationFault,
    },
    /// Nobody registered the type.
    #[error("{place}: the type is unknown; run a release that knows it, or register it")]
    UnknownType {
        /// The event.
        place: Box<EventPlace>,
    },
    /// The type is known, but not in this version: mostly, a newer release wrote it.
    #[error(
        "{place}: this release knows the versions {oldest} to {newest} of it; \
         run a release that knows it"
    )]
    UnknownVersion {
        /// The event.
        place: Box<EventPlace>,
        /// First version of that name.
        oldest: u32,
        /// Last version of that name.
        newest: u32,
    },
    /// A step between two versions failed, or is missing.
    #[error("{place}: it could not be brought to version {version} ({message}); correct the step")]
    Step {
        /// The event, as it is stored.
        place: Box<EventPlace>,
        /// Version that the step leads to.
        version: u32,
        /// What the step says.
        message: String,
    },
    /// The version was migrated away and is read only where it was left behind.
    #[error(
        "{place}: versions up to {through} are retired; \
         migrate the stream, or read the one it was migrated to"
    )]
    Retired {
        /// The event.
        place: Box<EventPlace>,
        /// Last version that is retired.
        through: u32,
    },
    /// The content has the right version but not the right shape.
    #[error("{place}: its content is no {wanted} ({message}); correct the type or its upcasters")]
    Decode {
        /// The event, as it is stored.
        place: Box<EventPlace>,
        /// Type of Rust that was asked for.
        wanted: &'static str,
        /// What does not fit.
        message: String,
    },
}

impl RegistryError {
    /// Stable code of the error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Registration { .. } => "SIGNET-EVENTS-0030",
            Self::UnknownType { .. } => "SIGNET-EVENTS-0031",
            Self::UnknownVersion { .. } => "SIGNET-EVENTS-0032",
            Self::Step { .. } => "SIGNET-EVENTS-0033",
            Self::Retired { .. } => "SIGNET-EVENTS-0034",
            Self::Decode { .. } => "SIGNET-EVENTS-0035",
        }
    }

    /// The event it is about; none for a registry that is refused.
    pub fn place(&self) -> Option<&EventPlace> {
        match self {
            Self::Registration { .. } => None,
            Self::UnknownType { place }
            | Self::UnknownVersion { place, .. }
            | Self::Step { place, .. }
            | Self::Retired { place, .. }
            | Self::Decode { place, .. } => Some(place),
        }
    }

    pub(super) fn step(event: &RecordedEvent, version: u32, message: String) -> Self {
        Self::Step {
            place: EventPlace::of(event),
            version,
            message,
        }
    }

    pub(super) fn obstacle(obstacle: Obstacle, place: Box<EventPlace>) -> Self {
        match obstacle {
            Obstacle::UnknownType => Self::UnknownType { place },
            Obstacle::UnknownVersion { known } => Self::UnknownVersion {
                place,
                oldest: *known.start(),
                newest: *known.end(),
            },
            Obstacle::Retired { through } => Self::Retired { place, through },
        }
    }
}

/// What is wrong with a registration.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RegistrationFault {
    /// The name cannot be a type's.
    #[error("names are not empty and do not begin with `eventstore.`, which is the store's own")]
    Name,
    /// Versions begin with 1; there is nothing before it to come from or go to.
    #[error("version {version} is none that this can begin with; versions count from 1")]
    Version {
        /// Version that was given.
        version: u32,
    },
    /// The type has its name already.
    #[error("the name is registered twice; keep one of them")]
    Twice,
    /// Two steps begin with the same version.
    #[error("two {kind}s begin with version {from}; keep one of them")]
    StepTwice {
        /// `upcaster` or `downcaster`.
        kind: &'static str,
        /// Version they begin with.
        from: u32,
    },
    /// A step, a former name or a retirement of a type that nobody registered.
    #[error("the type is not registered; register it with its current version")]
    Unknown,
    /// A step or former name for a version that the type does not have.
    #[error("version {from} is beyond what the type has, which ends at {current}; raise that")]
    Beyond {
        /// Version that was given.
        from: u32,
        /// Current version of the type.
        current: u32,
    },
    /// A step for a version that is not read any more.
    #[error("the step from version {from} is of no use, versions up to {through} are retired")]
    Retired {
        /// Version the step begins with.
        from: u32,
        /// Last version that is retired.
        through: u32,
    },
    /// A version cannot be brought to the next.
    #[error("no upcaster leads from version {from} to the next; register one")]
    Gap {
        /// Version that is stuck.
        from: u32,
    },
}
