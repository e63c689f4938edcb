//! Claims to compact text.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use crate::claims::RESERVED;
use crate::compact::MAX_TOKEN_BYTES;
use crate::{Claims, KeyError, PrivateKey};

/// Signs the claims: a JWS in compact form (RFC 7515 §3.1) with the header `alg`, `kid`, `typ: JWT`.
///
/// # Errors
/// [`KeyError::InvalidClaims`] when an extra claim has the name of a claim that [`Claims`] has a
/// field for, when there is no audience, or when the token would be larger than a verifier takes;
/// [`KeyError::Signing`].
pub fn sign(key: &PrivateKey, claims: &Claims) -> Result<String, KeyError> {
    if let Some(name) = claims
        .extra
        .keys()
        .find(|name| RESERVED.contains(&name.as_str()))
    {
        let why = format!("the extra claim {name:?} has a field of its own, set that");
        return Err(KeyError::InvalidClaims(why));
    }
    if claims.aud.is_empty() {
        return Err(KeyError::InvalidClaims("there is no audience".into()));
    }
    let header = json!({ "alg": key.algorithm(), "kid": key.kid(), "typ": "JWT" });
    let payload = serde_json::to_vec(claims)
        .map_err(|error| KeyError::InvalidClaims(format!("they are not JSON: {error}")))?;
    let mut text = URL_SAFE_NO_PAD.encode(header.to_string());
    text.push('.');
    URL_SAFE_NO_PAD.encode_string(payload, &mut text);
    let signature = key.sign_bytes(text.as_bytes())?;
    text.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut text);
    if text.len() > MAX_TOKEN_BYTES {
        return Err(KeyError::InvalidClaims(
            "the token would be larger than 16 KiB".into(),
        ));
    }
    Ok(text)
}
