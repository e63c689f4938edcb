//! Public keys as JSON: RFC 7517, with the parameters of RFC 7518 §6 and RFC 8037 §2.

use aws_lc_rs::digest;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ED25519, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Algorithm, KeyError};

/// Most bytes a key set may have: more is not a key set of anybody's.
const MAX_SET_BYTES: usize = 512 * 1024;
/// Bytes of one coordinate on P-256, and of an Ed25519 public key.
const COORDINATE_BYTES: usize = 32;
/// RSA modulus in bytes: 2048 to 8192 bits.
const RSA_MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;
/// RSA public exponents beyond 33 bits only serve to make checking slow.
const RSA_MAX_EXPONENT_BYTES: usize = 5;

/// One public key. Members that are not listed here, private ones above all, are dropped when read
/// and can thus never be written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Jwk {
    /// Key type: `EC`, `OKP` or `RSA`.
    pub kty: String,
    /// Curve: `P-256` (EC) or `Ed25519` (OKP).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crv: Option<String>,
    /// First coordinate (EC), or the public key (OKP); base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub x: Option<String>,
    /// Second coordinate (EC); base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub y: Option<String>,
    /// Modulus (RSA); base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n: Option<String>,
    /// Exponent (RSA); base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub e: Option<String>,
    /// Key id. A key without one can verify nothing here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
    /// The algorithm the key is for. When it is absent the key type decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alg: Option<String>,
    /// What the key is for: `sig`, or absent.
    #[serde(default, rename = "use", skip_serializing_if = "Option::is_none")]
    pub use_: Option<String>,
}

impl Jwk {
    /// The algorithm this key verifies.
    ///
    /// # Errors
    /// [`KeyError::InvalidPublicKey`] when the type, curve, `alg` and `use` do not make one of the
    /// algorithms that are served.
    pub fn algorithm(&self) -> Result<Algorithm, KeyError> {
        let by_type = match (self.kty.as_str(), self.crv.as_deref()) {
            ("EC", Some("P-256")) => Algorithm::Es256,
            ("OKP", Some("Ed25519")) => Algorithm::EdDsa,
            ("RSA", _) => Algorithm::Rs256,
            _ => {
                return Err(invalid(
                    "its type and curve are not EC P-256, OKP Ed25519 or RSA",
                ));
            }
        };
        if self
            .alg
            .as_deref()
            .is_some_and(|alg| alg != by_type.as_str())
        {
            return Err(invalid(
                "its alg does not belong to its type, or is not served",
            ));
        }
        if self.use_.as_deref().is_some_and(|purpose| purpose != "sig") {
            return Err(invalid("its use is not sig"));
        }
        Ok(by_type)
    }

    /// The SHA-256 thumbprint of RFC 7638, in base64url: the same for the same key, whatever its id.
    ///
    /// # Errors
    /// [`KeyError::InvalidPublicKey`] when a required member is missing or the type is not served.
    pub fn thumbprint(&self) -> Result<String, KeyError> {
        let members = match self.algorithm()? {
            Algorithm::Es256 => vec![
                ("crv", required(&self.crv, "crv")?),
                ("kty", &self.kty),
                ("x", required(&self.x, "x")?),
                ("y", required(&self.y, "y")?),
            ],
            Algorithm::EdDsa => vec![
                ("crv", required(&self.crv, "crv")?),
                ("kty", &self.kty),
                ("x", required(&self.x, "x")?),
            ],
            Algorithm::Rs256 => vec![
                ("e", required(&self.e, "e")?),
                ("kty", &self.kty),
                ("n", required(&self.n, "n")?),
            ],
        };
        // RFC 7638 §3.3: members in lexicographic order, no white space.
        let members: Vec<String> = members
            .into_iter()
            .map(|(name, value)| format!("\"{name}\":{}", Value::from(value)))
            .collect();
        let canonical = format!("{{{}}}", members.join(","));
        let hash = digest::digest(&digest::SHA256, canonical.as_bytes());
        Ok(URL_SAFE_NO_PAD.encode(hash))
    }

    /// The key in the form that checks signatures, with its material proven sound: lengths as the
    /// RFCs fix them, the point on its curve, RSA of 2048 to 8192 bits.
    pub(crate) fn decoding_key(&self) -> Result<(Algorithm, DecodingKey), KeyError> {
        let algorithm = self.algorithm()?;
        let key = match algorithm {
            Algorithm::Es256 => {
                let mut point = vec![0x04];
                point.extend(coordinate(&self.x, "x")?);
                point.extend(coordinate(&self.y, "y")?);
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &point)
                    .parse()
                    .map_err(|_| invalid("x and y are not a point of P-256"))?;
                DecodingKey::from_ec_der(&point)
            }
            Algorithm::EdDsa => {
                let point = coordinate(&self.x, "x")?;
                UnparsedPublicKey::new(&ED25519, &point)
                    .parse()
                    .map_err(|_| invalid("x is not an Ed25519 key"))?;
                DecodingKey::from_ed_der(&point)
            }
            Algorithm::Rs256 => {
                let modulus = decode(&self.n, "n")?;
                let exponent = decode(&self.e, "e")?;
                if !RSA_MODULUS_BYTES.contains(&modulus.len())
                    || modulus[0] < 0x80 && modulus.len() == 256
                    || modulus[0] == 0
                {
                    return Err(invalid("n is not a modulus of 2048 to 8192 bits"));
                }
                let odd = exponent.last().is_some_and(|byte| byte % 2 == 1);
                if !odd
                    || exponent.len() > RSA_MAX_EXPONENT_BYTES
                    || exponent[0] == 0
                    || exponent == [1]
                {
                    return Err(invalid("e is not an odd exponent of 3 to 2^40"));
                }
                DecodingKey::from_rsa_raw_components(&modulus, &exponent)
            }
        };
        Ok((algorithm, key))
    }
}

/// A key set: what an issuer publishes at its `jwks_uri` (RFC 7517 §5).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Jwks {
    /// The keys, in the publisher's order.
    pub keys: Vec<Jwk>,
}

impl Jwks {
    /// Reads a key set from anybody: entries that cannot be understood are left out, as RFC 7517 §5
    /// asks, so that one new kind of key does not take the others away.
    ///
    /// # Errors
    /// [`KeyError::InvalidKeySet`] when the text is not a JSON object with an array `keys`, or
    /// larger than 512 KiB.
    ///
    /// ```
    /// let set = token::Jwks::parse(r#"{"keys": [{"kty": "AKP", "kid": "new"}, {"kid": 7}]}"#).unwrap();
    /// assert_eq!(set.keys.len(), 1);
    /// ```
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        if text.len() > MAX_SET_BYTES {
            return Err(KeyError::InvalidKeySet("it is larger than 512 KiB".into()));
        }
        let mut set: Value = serde_json::from_str(text)
            .map_err(|error| KeyError::InvalidKeySet(format!("it is not JSON: {error}")))?;
        let Some(Value::Array(entries)) = set.get_mut("keys").map(Value::take) else {
            return Err(KeyError::InvalidKeySet("it has no array \"keys\"".into()));
        };
        let keys = entries
            .into_iter()
            .flat_map(serde_json::from_value)
            .collect();
        Ok(Self { keys })
    }

    /// The key of this id, if the set has it.
    #[must_use]
    pub fn find(&self, kid: &str) -> Option<&Jwk> {
        self.keys.iter().find(|key| key.kid.as_deref() == Some(kid))
    }
}

fn invalid(why: &'static str) -> KeyError {
    KeyError::InvalidPublicKey(why)
}

fn required<'a>(member: &'a Option<String>, name: &'static str) -> Result<&'a str, KeyError> {
    member.as_deref().ok_or(match name {
        "x" => invalid("member x is missing"),
        "y" => invalid("member y is missing"),
        "n" => invalid("member n is missing"),
        "e" => invalid("member e is missing"),
        _ => invalid("member crv is missing"),
    })
}

fn decode(member: &Option<String>, name: &'static str) -> Result<Vec<u8>, KeyError> {
    URL_SAFE_NO_PAD
        .decode(required(member, name)?)
        .map_err(|_| invalid("a member is not base64url without padding"))
}

fn coordinate(member: &Option<String>, name: &'static str) -> Result<Vec<u8>, KeyError> {
    let bytes = decode(member, name)?;
    if bytes.len() == COORDINATE_BYTES {
        Ok(bytes)
    } else {
        Err(invalid("a coordinate is not of 32 bytes"))
    }
}
