//! Durations as Kubernetes writes them.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// What the API server accepts. The bounds keep every product far inside 64 bits, and the cost of
/// the CEL rules that parse durations estimable.
const PATTERN: &str = "^([0-9]{1,6}h)?([0-9]{1,8}m)?([0-9]{1,9}s)?$";
const MAX_LENGTH: usize = 24;

/// A duration in whole seconds, written as Kubernetes does: `15m`, `168h`, `1h30m`, `90s`.
///
/// ```
/// # fn main() -> Result<(), crds::DurationError> {
/// let lifetime: crds::Duration = "1h30m".parse()?;
/// assert_eq!(lifetime.as_secs(), 5400);
/// assert_eq!(crds::Duration::from_secs(604_800).to_string(), "168h");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration {
    seconds: u64,
}

/// Why a text is no duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// The text is not of the form hours, minutes, seconds.
    #[error(
        "SIGNET-CRD-0001: `{text}` is no duration: write hours, minutes and seconds in this order, \
         each at most once, such as 15m, 168h or 1h30m"
    )]
    Malformed {
        /// What was given, shortened when long.
        text: String,
    },
}

impl DurationError {
    /// The stable code of the error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "SIGNET-CRD-0001",
        }
    }
}

impl Duration {
    /// A duration of so many seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self { seconds }
    }

    /// Its length in seconds.
    pub const fn as_secs(self) -> u64 {
        self.seconds
    }
}

impl From<Duration> for std::time::Duration {
    fn from(duration: Duration) -> Self {
        Self::from_secs(duration.seconds)
    }
}

impl FromStr for Duration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let malformed = || DurationError::Malformed {
            text: text.chars().take(MAX_LENGTH).collect(),
        };
        if text.is_empty() || text.len() > MAX_LENGTH {
            return Err(malformed());
        }
        let mut rest = text;
        let mut seconds = 0;
        for (unit, length, digits) in [('h', 3600, 6), ('m', 60, 8), ('s', 1, 9)] {
            let Some((number, after)) = rest.split_once(unit) else {
                continue;
            };
            let in_form = (1..=digits).contains(&number.len())
                && number.bytes().all(|byte| byte.is_ascii_digit());
            let count: u64 = number
                .parse()
                .ok()
                .filter(|_| in_form)
                .ok_or_else(malformed)?;
            seconds += count * length;
            rest = after;
        }
        if rest.is_empty() {
            Ok(Self { seconds })
        } else {
            Err(malformed())
        }
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.seconds == 0 {
            return formatter.write_str("0s");
        }
        let parts = [
            (self.seconds / 3600, 'h'),
            (self.seconds % 3600 / 60, 'm'),
            (self.seconds % 60, 's'),
        ];
        for (count, unit) in parts.into_iter().filter(|(count, _)| *count > 0) {
            write!(formatter, "{count}{unit}")?;
        }
        Ok(())
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

impl JsonSchema for Duration {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": PATTERN,
            "minLength": 2,
            "maxLength": MAX_LENGTH,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_the_documents_write_is_understood() {
        for (text, seconds) in [
            ("15m", 900),
            ("168h", 604_800),
            ("1h30m", 5400),
            ("90s", 90),
            ("1h1m1s", 3661),
            ("0s", 0),
        ] {
            assert_eq!(text.parse(), Ok(Duration::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "h",
            "15",
            "-15m",
            "+1h",
            "1.5h",
            "30m1h",
            "1h1h",
            "15 m",
            "1d",
            "1h x",
            "1234567h",
            "999999h99999999m999999999s9",
        ] {
            assert!(text.parse::<Duration>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(seconds in 0u64..3_599_999_999) {
            let duration = Duration::from_secs(seconds);
            prop_assert_eq!(duration.to_string().parse(), Ok(duration));
        }
    }
}
