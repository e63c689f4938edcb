//! The compact form of a JWS (RFC 7515 §3.1), read strictly and before anything is believed.

use std::collections::HashSet;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::{Algorithm, Rejection};

/// A token larger than this is refused before it is read.
pub const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// A token taken apart. Only the header has been read.
pub(crate) struct Compact<'a> {
    pub(crate) algorithm: Algorithm,
    /// `None` when the header names no key.
    pub(crate) kid: Option<String>,
    /// What was signed: header, dot, payload.
    pub(crate) message: &'a str,
    pub(crate) signature: Vec<u8>,
    payload: &'a str,
}

impl<'a> Compact<'a> {
    pub(crate) fn parse(token: &'a str) -> Result<Self, Rejection> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Rejection::TooLarge);
        }
        let (message, signature) = token.rsplit_once('.').ok_or(Rejection::Malformed)?;
        let (header, payload) = message.split_once('.').ok_or(Rejection::Malformed)?;
        // A fourth part is the mark of an encrypted token; base64url has no dot.
        if payload.contains('.') {
            return Err(Rejection::Malformed);
        }
        let header = object(header)?;
        let algorithm = algorithm(&header)?;
        if signature.is_empty() {
            return Err(Rejection::Unsigned);
        }
        check_kind(&header)?;
        let kid = match header.get("kid") {
            None => None,
            Some(Value::String(kid)) => Some(kid.clone()),
            Some(_) => return Err(Rejection::Malformed),
        };
        let signature = URL_SAFE_NO_PAD
            .decode(signature)
            .map_err(|_| Rejection::Malformed)?;
        Ok(Self {
            algorithm,
            kid,
            message,
            signature,
            payload,
        })
    }

    /// The claims set. Call it when the signature holds.
    pub(crate) fn payload(&self) -> Result<Map<String, Value>, Rejection> {
        object(self.payload)
    }
}

fn algorithm(header: &Map<String, Value>) -> Result<Algorithm, Rejection> {
    match header.get("alg") {
        Some(Value::String(name)) if name.eq_ignore_ascii_case("none") => Err(Rejection::Unsigned),
        Some(Value::String(name)) => name.parse().map_err(|_| Rejection::AlgorithmNotAllowed),
        _ => Err(Rejection::Malformed),
    }
}

/// RFC 8725 §3.11: a signed document of another kind (a log-out token, a proof of possession) must
/// not pass for an access token. RFC 7515 §4.1.11: an extension that must be understood is refused,
/// since none is.
fn check_kind(header: &Map<String, Value>) -> Result<(), Rejection> {
    if header.contains_key("crit") {
        return Err(Rejection::Malformed);
    }
    match header.get("typ") {
        None => Ok(()),
        Some(Value::String(kind)) => {
            let kind = kind.to_ascii_lowercase();
            let kind = kind.strip_prefix("application/").unwrap_or(&kind);
            if ["jwt", "at+jwt", "jose"].contains(&kind) {
                Ok(())
            } else {
                Err(Rejection::Malformed)
            }
        }
        Some(_) => Err(Rejection::Malformed),
    }
}

fn object(part: &str) -> Result<Map<String, Value>, Rejection> {
    let bytes = URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| Rejection::Malformed)?;
    serde_json::from_slice::<Unambiguous>(&bytes).map_err(|_| Rejection::Malformed)?;
    serde_json::from_slice(&bytes).map_err(|_| Rejection::Malformed)
}

/// JSON in which no object, at any depth, has a member twice. RFC 7519 §4 leaves it to the reader
/// which of two it believes; two readers that choose differently are a hole.
struct Unambiguous;

impl<'de> Deserialize<'de> for Unambiguous {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UnambiguousVisitor)
    }
}

struct UnambiguousVisitor;

impl<'de> Visitor<'de> for UnambiguousVisitor {
    type Value = Unambiguous;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON without doubled members")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Unambiguous, A::Error> {
        let mut names = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            if !names.insert(name) {
                return Err(A::Error::custom("a member stands twice"));
            }
            map.next_value::<Unambiguous>()?;
        }
        Ok(Unambiguous)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Unambiguous, A::Error> {
        while values.next_element::<Unambiguous>()?.is_some() {}
        Ok(Unambiguous)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_str<E>(self, _: &str) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_unit<E>(self) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }
}
