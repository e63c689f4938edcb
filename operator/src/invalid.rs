//! A declaration that does not hold.

use std::fmt;

use protocol::v1;

/// Why a resource was refused, by the operator's own checks or by central, and how to mend it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidResource {
    /// A CamelCase word fit for a condition's reason, such as `TenantNotFound`.
    pub reason: String,
    /// What is wrong and how to mend it.
    pub message: String,
    /// The field it is about, such as `spec.rules[0].when`.
    pub field: Option<String>,
    /// Whether the same declaration may hold later without being changed.
    pub may_heal: bool,
}

impl InvalidResource {
    /// The declaration itself must change.
    pub(crate) fn wrong(reason: &str, field: &str, message: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            message: message.into(),
            field: Some(field.into()),
            may_heal: false,
        }
    }

    /// Something else is missing and may come.
    pub(crate) fn missing(reason: &str, field: &str, message: impl Into<String>) -> Self {
        Self {
            may_heal: true,
            ..Self::wrong(reason, field, message)
        }
    }

    /// The stable code of the error.
    pub fn code(&self) -> &'static str {
        "SIGNET-OPERATOR-0010"
    }
}

impl fmt::Display for InvalidResource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.field {
            Some(field) => write!(formatter, "{field}: {}", self.message),
            None => formatter.write_str(&self.message),
        }
    }
}

impl std::error::Error for InvalidResource {}

impl From<v1::Refusal> for InvalidResource {
    fn from(refusal: v1::Refusal) -> Self {
        Self {
            reason: condition_reason(&refusal.reason),
            message: refusal.message,
            field: Some(refusal.field).filter(|field| !field.is_empty()),
            may_heal: refusal.may_heal,
        }
    }
}

/// A condition's reason may hold letters, digits and underscores, and begins with a letter.
fn condition_reason(reason: &str) -> String {
    let reason: String = reason
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '_')
        .collect();
    if reason.starts_with(|c: char| c.is_ascii_alphabetic()) {
        reason
    } else {
        "Refused".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_of_central_keeps_its_reason_and_field() {
        let refusal = v1::Refusal {
            reason: "InvalidCondition".into(),
            message: "does not parse".into(),
            field: "spec.rules[0].when".into(),
            may_heal: false,
        };
        let invalid = InvalidResource::from(refusal);
        assert_eq!(invalid.reason, "InvalidCondition");
        assert_eq!(invalid.to_string(), "spec.rules[0].when: does not parse");
    }

    #[test]
    fn what_is_no_word_becomes_one() {
        assert_eq!(condition_reason("In valid!"), "Invalid");
        assert_eq!(condition_reason(""), "Refused");
        assert_eq!(condition_reason("9"), "Refused");
    }
}
