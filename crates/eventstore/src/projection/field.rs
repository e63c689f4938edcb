//! Naming a part of a document, and what it has to be.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

use super::ProjectionError;
use crate::database::Argument;

const MAX_STEPS: usize = 8;
const MAX_STEP_BYTES: usize = 64;

/// A part of a document: a JSON pointer of member names, e.g. `/customer/name`.
///
/// Names have 1 to 64 letters, digits, `_` and `-` and begin with a letter or `_`; there are 1 to 8 of
/// them. So it can be said to both databases, and cannot be anything else than a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Field(Vec<String>);

impl FromStr for Field {
    type Err = ProjectionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = |what: &str| {
            let message = format!("{text:?} {what}; give a path of names such as /customer/name");
            Err(ProjectionError::invalid("field", message))
        };
        let Some(path) = text.strip_prefix('/') else {
            return refuse("does not begin with a slash");
        };
        let steps: Vec<String> = path.split('/').map(str::to_owned).collect();
        if steps.len() > MAX_STEPS {
            return refuse("is too deep");
        }
        if !steps.iter().all(|step| is_name(step)) {
            return refuse("has a part that is not a plain name");
        }
        Ok(Self(steps))
    }
}

fn is_name(step: &str) -> bool {
    let first = step.bytes().next();
    first.is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
        && step.len() <= MAX_STEP_BYTES
        && step
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

impl fmt::Display for Field {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|step| write!(formatter, "/{step}"))
    }
}

impl Field {
    /// The part of a document; null if it is not there.
    pub(crate) fn of<'d>(&self, document: &'d Value) -> &'d Value {
        let step = |value: &'d Value, step: &String| value.get(step);
        let found = self.0.iter().try_fold(document, step);
        found.unwrap_or(&Value::Null)
    }

    /// As an argument of a statement, in the words of the database.
    pub(crate) fn argument(&self, sqlite: bool) -> Argument {
        if sqlite {
            let steps = self.0.iter().map(|step| format!(".\"{step}\""));
            return Argument::from(format!("${}", steps.collect::<String>()));
        }
        Argument::from(self.0.clone())
    }
}

/// How a part of a document compares with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compare {
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `=`
    Equal,
    /// `>=`
    GreaterOrEqual,
    /// `>`
    Greater,
}

impl Compare {
    pub(crate) fn sql(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Equal => "=",
            Self::GreaterOrEqual => ">=",
            Self::Greater => ">",
        }
    }
}

/// What a part of a document has to be.
///
/// Values of another type than that of `value` never match. Strings compare by their bytes. Numbers
/// compare exactly on PostgreSQL; on SQLite as 64-bit integers, and beyond those as floating-point.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    /// Which part.
    pub field: Field,
    /// How it compares.
    pub compare: Compare,
    /// With what: a number or a string; for [`Compare::Equal`] also a boolean, or null, which a part
    /// that is missing equals.
    pub value: Value,
}

impl Filter {
    /// The part equals a value.
    pub fn equals(field: Field, value: impl Into<Value>) -> Self {
        Self {
            field,
            compare: Compare::Equal,
            value: value.into(),
        }
    }

    pub(crate) fn check(&self) -> Result<(), ProjectionError> {
        let fits = match &self.value {
            Value::Number(_) => true,
            Value::String(text) => !text.contains('\0'),
            Value::Bool(_) | Value::Null => self.compare == Compare::Equal,
            Value::Array(_) | Value::Object(_) => false,
        };
        if fits {
            return Ok(());
        }
        let message = format!(
            "{} cannot be compared in this way; give a number or a string without NUL, or for \
             equality true, false or null",
            self.field
        );
        Err(ProjectionError::invalid("filters", message))
    }
}

/// A scalar as the three values that databases order it by: kind, number, text.
pub(crate) fn rank(value: &Value) -> (i64, String, String) {
    let none = || "0".to_owned();
    match value {
        Value::Null => (0, none(), String::new()),
        Value::Bool(truth) => (1, i64::from(*truth).to_string(), String::new()),
        Value::Number(number) => (2, number.to_string(), String::new()),
        Value::String(text) => (3, none(), text.clone()),
        Value::Array(_) | Value::Object(_) => (4, none(), String::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::Field;

    #[test]
    fn only_plain_names_make_a_path() {
        for good in ["/a", "/customer/name", "/_x/y-1"] {
            assert_eq!(good.parse::<Field>().unwrap().to_string(), good);
        }
        let long = format!("/{}", "a".repeat(65));
        let deep = "/a".repeat(9);
        for bad in [
            "", "/", "a", "//", "/a/", "/a.b", "/a\"b", "/a'b", "/a b", "/1", "/a[0]", "/$", "/é",
            "/a\0", "/a]", "/a)--", &long, &deep,
        ] {
            assert!(bad.parse::<Field>().is_err(), "{bad:?}");
        }
    }
}
