//! Quantities of CPU and memory as Kubernetes writes them.

use std::fmt;
use std::str::FromStr;

/// A quantity such as `10m`, `0.5`, `128Mi` or `1Gi`, kept as it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantity {
    text: String,
    value: f64,
}

/// A text is no quantity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no quantity: write a number with a unit, such as 10m, 0.5, 64Mi or 1Gi")]
pub struct NotAQuantity(String);

/// A request is greater than its limit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {resource} request {request} is greater than the limit {limit}")]
pub struct RequestAboveLimit {
    resource: &'static str,
    request: String,
    limit: String,
}

const UNITS: [(&str, f64); 14] = [
    ("Ki", 1024.0),
    ("Mi", 1_048_576.0),
    ("Gi", 1_073_741_824.0),
    ("Ti", 1_099_511_627_776.0),
    ("Pi", 1_125_899_906_842_624.0),
    ("Ei", 1_152_921_504_606_846_976.0),
    ("m", 0.001),
    ("k", 1e3),
    ("M", 1e6),
    ("G", 1e9),
    ("T", 1e12),
    ("P", 1e15),
    ("E", 1e18),
    ("", 1.0),
];

impl Quantity {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it is more than the other.
    pub(super) fn exceeds(&self, other: &Self) -> bool {
        self.value > other.value
    }
}

impl FromStr for Quantity {
    type Err = NotAQuantity;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || NotAQuantity(text.chars().take(32).collect());
        let (number, factor) = UNITS
            .iter()
            .find_map(|(unit, factor)| text.strip_suffix(unit).map(|number| (number, factor)))
            .ok_or_else(refused)?;
        let plain = number.starts_with(|c: char| c.is_ascii_digit())
            && number
                .bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b'.')
            && !number.ends_with('.')
            && number.len() <= 18;
        let number: f64 = number.parse().ok().filter(|_| plain).ok_or_else(refused)?;
        Ok(Self {
            text: text.into(),
            value: number * factor,
        })
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// What a container requests and may use. All four are given, so that a quota on any of them does
/// not refuse the pod.
#[derive(Clone, Debug, PartialEq)]
pub struct Resources {
    /// CPU it requests.
    pub cpu_request: Quantity,
    /// CPU it may use.
    pub cpu_limit: Quantity,
    /// Memory it requests.
    pub memory_request: Quantity,
    /// Memory it may use.
    pub memory_limit: Quantity,
}

impl Resources {
    /// Whether no request is greater than its limit.
    ///
    /// # Errors
    /// Names the two that do not fit.
    pub fn check(&self) -> Result<(), RequestAboveLimit> {
        for (resource, request, limit) in [
            ("cpu", &self.cpu_request, &self.cpu_limit),
            ("memory", &self.memory_request, &self.memory_limit),
        ] {
            if request.exceeds(limit) {
                return Err(RequestAboveLimit {
                    resource,
                    request: request.to_string(),
                    limit: limit.to_string(),
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_compare_across_units() {
        let value = |text: &str| text.parse::<Quantity>().unwrap().value;
        assert!(value("1000m") == value("1"));
        assert!(value("1Gi") > value("1G"));
        assert!(value("0.5") < value("501m"));
        assert!(value("64Mi") == value("65536Ki"));
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        for text in [
            "", "m", "Mi", "-1", "+1", "1mi", "1 Gi", "1.", ".5", "1e3", "nan", "1.2.3",
        ] {
            assert!(text.parse::<Quantity>().is_err(), "{text}");
        }
    }
}
