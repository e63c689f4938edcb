//! Why a command was refused.

use std::fmt;

use policy::{Defect, DefectKind};

/// Why, as one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// The tenant's name is not a DNS label, or not the one of the stream.
    InvalidName,
    /// The display name is too long or has control characters.
    InvalidDisplayName,
    /// A namespace is not one, or there are too many.
    InvalidNamespace,
    /// A token's lifetime is out of bounds.
    InvalidLifetime,
    /// An audience is missing, empty, there twice, or too long.
    InvalidAudience,
    /// The times of the key rotation do not fit each other.
    InvalidRotation,
    /// There is no such tenant, or it is closed.
    TenantNotFound,
    /// The tenant does not admit the namespace.
    NamespaceNotAdmitted,
    /// There is no key of this id.
    KeyNotFound,
    /// There is another key of this id.
    KeyExists,
    /// A key is waiting already to become active.
    KeyPending,
    /// The key is not of the algorithm the tenant asks for, or does not describe itself so.
    KeyMismatch,
    /// The key was retired, or superseded, and may not become active again.
    KeyRetired,
    /// The key is active, or tokens it signed may still live.
    KeyInUse,
    /// The role is wrong in itself or in what it inherits.
    Role(DefectKind),
}

impl Reason {
    /// A CamelCase word fit for a Kubernetes condition's reason.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidName => "InvalidName",
            Self::InvalidDisplayName => "InvalidDisplayName",
            Self::InvalidNamespace => "InvalidNamespace",
            Self::InvalidLifetime => "InvalidLifetime",
            Self::InvalidAudience => "InvalidAudience",
            Self::InvalidRotation => "InvalidRotation",
            Self::TenantNotFound => "TenantNotFound",
            Self::NamespaceNotAdmitted => "NamespaceNotAdmitted",
            Self::KeyNotFound => "KeyNotFound",
            Self::KeyExists => "KeyExists",
            Self::KeyPending => "KeyPending",
            Self::KeyMismatch => "KeyMismatch",
            Self::KeyRetired => "KeyRetired",
            Self::KeyInUse => "KeyInUse",
            Self::Role(kind) => kind.reason(),
        }
    }

    /// The stable code of the error, such as `SIGNET-IAM-0007`; a role's own defects keep the codes
    /// of the policy.
    pub fn code(self) -> &'static str {
        match self {
            Self::InvalidName => "SIGNET-IAM-0001",
            Self::InvalidDisplayName => "SIGNET-IAM-0002",
            Self::InvalidNamespace => "SIGNET-IAM-0003",
            Self::InvalidLifetime => "SIGNET-IAM-0004",
            Self::InvalidAudience => "SIGNET-IAM-0005",
            Self::InvalidRotation => "SIGNET-IAM-0006",
            Self::TenantNotFound => "SIGNET-IAM-0007",
            Self::NamespaceNotAdmitted => "SIGNET-IAM-0008",
            Self::KeyNotFound => "SIGNET-IAM-0009",
            Self::KeyExists => "SIGNET-IAM-0010",
            Self::KeyPending => "SIGNET-IAM-0011",
            Self::KeyMismatch => "SIGNET-IAM-0012",
            Self::KeyRetired => "SIGNET-IAM-0013",
            Self::KeyInUse => "SIGNET-IAM-0014",
            Self::Role(kind) => kind.code(),
        }
    }

    /// Whether the same command may be accepted later without being changed.
    fn may_heal(self) -> bool {
        match self {
            Self::TenantNotFound | Self::NamespaceNotAdmitted | Self::KeyInUse => true,
            Self::Role(kind) => kind.may_heal(),
            _ => false,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A command that was refused: nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// Why, as one word.
    pub reason: Reason,
    /// What is wrong and how to mend it, a sentence.
    pub message: String,
    /// Where in the declaration, such as `spec.rules[0].when`; none when it is about no one field.
    pub field: Option<String>,
    /// Whether the same command may be accepted later without being changed, since it depends on
    /// something else that may come.
    pub may_heal: bool,
}

impl Refusal {
    /// A refusal about no one field.
    pub(crate) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            field: None,
            may_heal: reason.may_heal(),
        }
    }

    /// A refusal about one field.
    pub(crate) fn of(field: impl Into<String>, reason: Reason, message: impl Into<String>) -> Self {
        Self {
            field: Some(field.into()),
            ..Self::new(reason, message)
        }
    }

    /// A role's defects as one refusal: the first that does not heal by itself, else the first.
    pub(crate) fn from_defects(defects: Vec<Defect>) -> Option<Self> {
        let others = defects.len().saturating_sub(1);
        let lasting = defects.iter().position(|defect| !defect.kind.may_heal());
        let Defect {
            field,
            kind,
            mut message,
        } = defects.into_iter().nth(lasting.unwrap_or(0))?;
        match others {
            0 => {}
            1 => message.push_str(" (and one more defect)"),
            others => message.push_str(&format!(" (and {others} more defects)")),
        }
        Some(Self::of(field, Reason::Role(kind), message))
    }

    /// The stable code of the reason.
    pub fn code(&self) -> &'static str {
        self.reason.code()
    }
}
