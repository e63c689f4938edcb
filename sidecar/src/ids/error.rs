//! Why there are no ids, in the codes of the id service.

use std::time::Duration;

use idgen::ErrorCode;

/// Why there are no ids.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The namespace has no such generator.
    #[error("this namespace has no IdGenerator {name:?}: apply one, or check the name")]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// No ids are left between the highest committed one and the segment's end.
    #[error("generator {name} has no ids left: raise the max of its segment")]
    Exhausted {
        /// The generator.
        name: String,
    },
    /// Ids did not arrive while the request waited.
    #[error(
        "the ids of generator {name} are asked for faster than they arrive; waited {}ms: try again, \
         or give it a larger buffer or step",
        .waited.as_millis()
    )]
    Late {
        /// The generator.
        name: String,
        /// How long the request waited.
        waited: Duration,
    },
    /// So many requests wait already that this one would not be served in time.
    #[error("too many requests wait for ids of generator {name}: try again")]
    Crowded {
        /// The generator.
        name: String,
    },
    /// Nothing is left, and central, which has more, cannot be reached or refuses.
    #[error("no ids of generator {name} are left here, and {problem}")]
    Unreachable {
        /// The generator.
        name: String,
        /// What is wrong with central.
        problem: String,
    },
    /// The tenant is closed.
    #[error("the tenant is closed: it gives out no ids any more")]
    TenantClosed,
    /// The list of generators is not held yet.
    #[error("the sidecar does not hold the list of generators yet")]
    NotStarted,
}

impl IdError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => ErrorCode::UnknownGenerator.as_str(),
            Self::Exhausted { .. } | Self::Late { .. } | Self::Crowded { .. } => {
                ErrorCode::SegmentExhausted.as_str()
            }
            Self::Unreachable { .. } => ErrorCode::DatabaseUnavailable.as_str(),
            Self::TenantClosed => "SIGNET-SIDECAR-0017",
            Self::NotStarted => "SIGNET-SIDECAR-0010",
        }
    }
}
