//! Why a generator said no.

use std::fmt;

use crate::ErrorCode;

/// The kind of a refusal: a word fit for the reason of a Kubernetes condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// The tenant does not exist, or is closed.
    TenantNotFound,
    /// The tenant does not take the namespace.
    NamespaceNotAdmitted,
    /// Start and maximum make no segment, or ids too large.
    InvalidSegment,
    /// The step is 0, or larger than the segment.
    InvalidStep,
    /// A setting of the buffer is out of bounds.
    InvalidBuffer,
    /// The segment has ids of another namespace's.
    SegmentOverlap,
    /// The maximum was lowered.
    SegmentShrunk,
    /// The start was changed after ids were handed out.
    SegmentMoved,
    /// A Snowflake epoch is no time, in the future, or was changed.
    InvalidEpoch,
    /// The bits of a Snowflake are not a layout of 64.
    InvalidBits,
    /// The algorithm was changed.
    AlgorithmChanged,
    /// The algorithm is known, but this release does not serve it.
    AlgorithmNotServed,
    /// The namespace has no generator of this name.
    UnknownGenerator,
    /// The count or the owner of an allocation is wrong.
    InvalidRequest,
    /// No id of the segment is left.
    Exhausted,
}

impl Reason {
    /// The word, in CamelCase.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TenantNotFound => "TenantNotFound",
            Self::NamespaceNotAdmitted => "NamespaceNotAdmitted",
            Self::InvalidSegment => "InvalidSegment",
            Self::InvalidStep => "InvalidStep",
            Self::InvalidBuffer => "InvalidBuffer",
            Self::SegmentOverlap => "SegmentOverlap",
            Self::SegmentShrunk => "SegmentShrunk",
            Self::SegmentMoved => "SegmentMoved",
            Self::InvalidEpoch => "InvalidEpoch",
            Self::InvalidBits => "InvalidBits",
            Self::AlgorithmChanged => "AlgorithmChanged",
            Self::AlgorithmNotServed => "AlgorithmNotServed",
            Self::UnknownGenerator => "UnknownGenerator",
            Self::InvalidRequest => "InvalidRequest",
            Self::Exhausted => "Exhausted",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A command that was not carried out, and what would mend it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// The kind.
    pub reason: Reason,
    /// What is wrong and how to mend it.
    pub message: String,
    /// The field of the resource it is about, such as `spec.segment.max`.
    pub field: Option<String>,
    /// Whether the same command may be carried out later, when something else has changed.
    pub may_heal: bool,
}

impl Refusal {
    pub(super) fn new(reason: Reason, field: Option<&str>, message: impl Into<String>) -> Self {
        let field = field.map(str::to_owned);
        Self {
            reason,
            message: message.into(),
            field,
            may_heal: false,
        }
    }

    pub(super) fn that_may_heal(self) -> Self {
        Self {
            may_heal: true,
            ..self
        }
    }

    /// The code of the id interfaces' table.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self.reason {
            Reason::Exhausted => ErrorCode::SegmentExhausted,
            Reason::UnknownGenerator => ErrorCode::UnknownGenerator,
            _ => ErrorCode::InvalidRequest,
        }
    }
}
