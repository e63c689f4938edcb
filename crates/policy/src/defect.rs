//! What is wrong with a role, and how to mend it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What kind of thing is wrong with a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum DefectKind {
    /// The namespace or the name is not one Kubernetes would accept.
    InvalidName,
    /// The role has neither rules nor parents, or a rule covers nothing.
    EmptyRole,
    /// A resource pattern cannot be read.
    InvalidResource,
    /// An action pattern cannot be read.
    InvalidAction,
    /// A condition cannot be read, or can never be true or false.
    InvalidCondition,
    /// A bound subject cannot exist.
    InvalidSubject,
    /// A name in `inherits` is not a role's name, or is there twice.
    InvalidInheritance,
    /// A role that is inherited does not exist in the namespace.
    RoleNotFound,
    /// The role inherits itself, directly or through others.
    InheritanceCycle,
    /// A role that is inherited is itself broken.
    BrokenParent,
    /// Two roles have the same namespace and name.
    DuplicateRole,
    /// Something is larger than it may be (see [`crate::limits`]).
    TooLarge,
}

impl DefectKind {
    /// A CamelCase word fit for a Kubernetes condition's reason.
    pub fn reason(self) -> &'static str {
        match self {
            Self::InvalidName => "InvalidName",
            Self::EmptyRole => "EmptyRole",
            Self::InvalidResource => "InvalidResource",
            Self::InvalidAction => "InvalidAction",
            Self::InvalidCondition => "InvalidCondition",
            Self::InvalidSubject => "InvalidSubject",
            Self::InvalidInheritance => "InvalidInheritance",
            Self::RoleNotFound => "RoleNotFound",
            Self::InheritanceCycle => "InheritanceCycle",
            Self::BrokenParent => "BrokenParent",
            Self::DuplicateRole => "DuplicateRole",
            Self::TooLarge => "TooLarge",
        }
    }

    /// The stable code of the error, such as `SIGNET-POLICY-0005`.
    pub fn code(self) -> &'static str {
        match self {
            Self::InvalidName => "SIGNET-POLICY-0001",
            Self::EmptyRole => "SIGNET-POLICY-0002",
            Self::InvalidResource => "SIGNET-POLICY-0003",
            Self::InvalidAction => "SIGNET-POLICY-0004",
            Self::InvalidCondition => "SIGNET-POLICY-0005",
            Self::InvalidSubject => "SIGNET-POLICY-0006",
            Self::InvalidInheritance => "SIGNET-POLICY-0007",
            Self::RoleNotFound => "SIGNET-POLICY-0008",
            Self::InheritanceCycle => "SIGNET-POLICY-0009",
            Self::BrokenParent => "SIGNET-POLICY-0010",
            Self::DuplicateRole => "SIGNET-POLICY-0011",
            Self::TooLarge => "SIGNET-POLICY-0012",
        }
    }

    /// Whether the same role may become sound without being changed, because another role comes.
    pub fn may_heal(self) -> bool {
        matches!(self, Self::RoleNotFound | Self::BrokenParent)
    }
}

impl fmt::Display for DefectKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.reason())
    }
}

/// One thing that is wrong with a role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{field}: {message}")]
pub struct Defect {
    /// Where, as a path in the resource, such as `spec.rules[0].when`.
    pub field: String,
    /// What kind of thing is wrong.
    pub kind: DefectKind,
    /// What is wrong and how to mend it, a sentence.
    pub message: String,
}

impl Defect {
    /// A defect of `field`.
    pub(crate) fn new(
        kind: DefectKind,
        field: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            field: field.into(),
            kind,
            message: message.into(),
        }
    }

    /// The stable code of its kind.
    pub fn code(&self) -> &'static str {
        self.kind.code()
    }
}
