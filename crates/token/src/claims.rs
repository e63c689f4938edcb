//! What a token says: the registered claims of RFC 7519 §4.1, Signet's own, and the rest.

use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::{Map, Number, Value};

use crate::Rejection;

/// The claims that have a field of their own.
pub(crate) const RESERVED: [&str; 9] = [
    "iss",
    "sub",
    "aud",
    "exp",
    "iat",
    "nbf",
    "jti",
    "tenant_id",
    "roles",
];

/// The claims of one token. Times are whole seconds since 1970 (NumericDate, RFC 7519 §2).
///
/// A time with a fraction is read in the direction that makes the token hold for less: `exp` is
/// rounded down, `nbf` and `iat` up.
///
/// ```
/// let claims: token::Claims = serde_json::from_str(
///     r#"{"iss": "i", "sub": "s", "aud": "one", "exp": 20.9, "iat": 10.1, "scope": "read"}"#,
/// )
/// .unwrap();
/// assert_eq!((claims.aud, claims.exp, claims.iat), (vec!["one".to_owned()], 20, 11));
/// assert_eq!(claims.extra["scope"], "read");
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Claims {
    /// Issuer: `{base}/t/{tenant}`.
    pub iss: String,
    /// Subject: of a workload its SPIFFE id.
    pub sub: String,
    /// Audiences; a string on the wire when there is one, else an array.
    pub aud: Vec<String>,
    /// The token does not hold at or after this time.
    pub exp: i64,
    /// When it was issued.
    pub iat: i64,
    /// The token does not hold before this time.
    pub nbf: Option<i64>,
    /// The token's own id.
    pub jti: Option<String>,
    /// The tenant it was issued for.
    pub tenant_id: Option<String>,
    /// Roles, as `namespace/name`; absent on the wire when there is none.
    pub roles: Vec<String>,
    /// Every other claim, as it stands on the wire.
    pub extra: Map<String, Value>,
}

impl Claims {
    /// Reads a claims set.
    ///
    /// `Malformed` when a claim has the wrong type; `MissingClaim` when `iss`, `sub`, `aud`, `exp`
    /// or `iat` is absent.
    pub(crate) fn from_object(mut object: Map<String, Value>) -> Result<Self, Rejection> {
        Ok(Self {
            exp: required(&mut object, "exp", |value| seconds(value, f64::floor))?,
            iss: required(&mut object, "iss", text)?,
            sub: required(&mut object, "sub", text)?,
            aud: required(&mut object, "aud", |value| match value {
                Value::String(one) => Some(vec![one]),
                several => texts(several),
            })?,
            iat: required(&mut object, "iat", |value| seconds(value, f64::ceil))?,
            nbf: optional(&mut object, "nbf", |value| seconds(value, f64::ceil))?,
            jti: optional(&mut object, "jti", text)?,
            tenant_id: optional(&mut object, "tenant_id", text)?,
            roles: optional(&mut object, "roles", texts)?.unwrap_or_default(),
            extra: object,
        })
    }
}

impl Serialize for Claims {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("iss", &self.iss)?;
        map.serialize_entry("sub", &self.sub)?;
        match self.aud.as_slice() {
            [one] => map.serialize_entry("aud", one)?,
            several => map.serialize_entry("aud", several)?,
        }
        map.serialize_entry("exp", &self.exp)?;
        map.serialize_entry("iat", &self.iat)?;
        if let Some(nbf) = self.nbf {
            map.serialize_entry("nbf", &nbf)?;
        }
        if let Some(jti) = &self.jti {
            map.serialize_entry("jti", jti)?;
        }
        if let Some(tenant_id) = &self.tenant_id {
            map.serialize_entry("tenant_id", tenant_id)?;
        }
        if !self.roles.is_empty() {
            map.serialize_entry("roles", &self.roles)?;
        }
        for (name, value) in &self.extra {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Claims {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_object(Map::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

fn required<T>(
    object: &mut Map<String, Value>,
    claim: &'static str,
    read: impl FnOnce(Value) -> Option<T>,
) -> Result<T, Rejection> {
    optional(object, claim, read)?.ok_or(Rejection::MissingClaim { claim })
}

fn optional<T>(
    object: &mut Map<String, Value>,
    claim: &'static str,
    read: impl FnOnce(Value) -> Option<T>,
) -> Result<Option<T>, Rejection> {
    match object.remove(claim) {
        None => Ok(None),
        Some(value) => read(value).map(Some).ok_or(Rejection::Malformed),
    }
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}

fn texts(value: Value) -> Option<Vec<String>> {
    match value {
        Value::Array(values) => values.into_iter().map(text).collect(),
        _ => None,
    }
}

fn seconds(value: Value, round: fn(f64) -> f64) -> Option<i64> {
    let Value::Number(number) = value else {
        return None;
    };
    number.as_i64().or_else(|| fraction(&number, round))
}

fn fraction(number: &Number, round: fn(f64) -> f64) -> Option<i64> {
    /// Up to here every whole number is a float of its own.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let seconds = round(number.as_f64()?);
    (seconds.abs() <= EXACT).then_some(seconds as i64)
}
