//! What several test files use.

mod keys;
mod mutation;
mod refusals;
mod spiffe;
mod vectors;

use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::{Algorithm, Claims, Jwks, PrivateKey, Verifier};

pub(crate) const NOW: i64 = 1_800_000_000;
pub(crate) const ISSUER: &str = "https://signet.example/t/acme";

/// One key per algorithm; RSA keys take long to make.
pub(crate) fn key(algorithm: Algorithm) -> &'static PrivateKey {
    static KEYS: OnceLock<Vec<PrivateKey>> = OnceLock::new();
    KEYS.get_or_init(|| {
        Algorithm::ALL
            .into_iter()
            .map(|algorithm| PrivateKey::generate(&format!("key-{algorithm}"), algorithm).unwrap())
            .collect()
    })
    .iter()
    .find(|key| key.algorithm() == algorithm)
    .unwrap()
}

pub(crate) fn all_keys() -> Jwks {
    Jwks {
        keys: Algorithm::ALL
            .into_iter()
            .map(|algorithm| key(algorithm).public_jwk())
            .collect(),
    }
}

pub(crate) fn verifier() -> Verifier {
    Verifier::new(ISSUER, vec!["acme".into(), "billing".into()], &all_keys()).unwrap()
}

pub(crate) fn claims() -> Claims {
    Claims {
        iss: ISSUER.into(),
        sub: "spiffe://acme.cluster.local/ns/shop/sa/checkout".into(),
        aud: vec!["acme".into()],
        exp: NOW + 900,
        iat: NOW,
        tenant_id: Some("acme".into()),
        roles: vec!["shop/order-writer".into()],
        ..Claims::default()
    }
}

/// A token with this header and payload, whatever they are, truly signed.
pub(crate) fn signed(key: &PrivateKey, header: &str, payload: &str) -> String {
    let message = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(payload)
    );
    let signature = URL_SAFE_NO_PAD.encode(key.sign_bytes(message.as_bytes()).unwrap());
    format!("{message}.{signature}")
}

/// A token of the ES256 key with these members changed in the header; `null` removes one.
pub(crate) fn with_header(changes: Value) -> String {
    let key = key(Algorithm::Es256);
    let header = merged(
        json!({ "alg": "ES256", "kid": key.kid(), "typ": "JWT" }),
        changes,
    );
    signed(
        key,
        &header.to_string(),
        &serde_json::to_string(&claims()).unwrap(),
    )
}

/// A token of the ES256 key with these members changed in the claims; `null` removes one.
pub(crate) fn with_claims(changes: Value) -> String {
    let key = key(Algorithm::Es256);
    let header = json!({ "alg": "ES256", "kid": key.kid(), "typ": "JWT" });
    let payload = merged(serde_json::to_value(claims()).unwrap(), changes);
    signed(key, &header.to_string(), &payload.to_string())
}

fn merged(mut object: Value, changes: Value) -> Value {
    let Value::Object(changes) = changes else {
        panic!("changes are an object")
    };
    for (name, value) in changes {
        let members = object.as_object_mut().unwrap();
        if value.is_null() {
            members.remove(&name);
        } else {
            members.insert(name, value);
        }
    }
    object
}
