//! Tokens taken apart and forged (RFC 7515 compact form). Nothing here can sign.

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// A token's three parts.
#[derive(Debug, Clone)]
pub struct Parts {
    /// The header.
    pub header: Value,
    /// The claims.
    pub claims: Value,
    signature: String,
}

impl Parts {
    /// Takes a token apart without looking at its signature.
    ///
    /// # Errors
    /// It is not in the compact form.
    pub fn of(token: &str) -> Result<Self> {
        let parts: Vec<&str> = token.split('.').collect();
        let [header, claims, signature] = parts.as_slice() else {
            bail!("a token has three parts, not {}", parts.len());
        };
        Ok(Self {
            header: decode(header).context("header")?,
            claims: decode(claims).context("claims")?,
            signature: (*signature).to_owned(),
        })
    }

    /// The token with its signature as it was, whatever was changed in the other parts.
    #[must_use]
    pub fn token(&self) -> String {
        format!(
            "{}.{}.{}",
            encode(&self.header),
            encode(&self.claims),
            self.signature
        )
    }

    /// The same token with other claims, under the old signature.
    #[must_use]
    pub fn with_claim(mut self, name: &str, value: Value) -> Self {
        self.claims[name] = value;
        self
    }

    /// The same token with another first character of the signature.
    #[must_use]
    pub fn with_broken_signature(mut self) -> Self {
        let first = if self.signature.starts_with('A') {
            "B"
        } else {
            "A"
        };
        self.signature.replace_range(..1, first);
        self
    }

    /// The claims as an unsigned token: `alg` none and no signature (RFC 7519 section 6).
    #[must_use]
    pub fn unsigned(mut self) -> Self {
        self.header = json!({ "alg": "none", "typ": "JWT" });
        self.signature.clear();
        self
    }
}

fn decode(part: &str) -> Result<Value> {
    Ok(serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part)?)?)
}

fn encode(part: &Value) -> String {
    URL_SAFE_NO_PAD.encode(part.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Parts;

    /// {"alg":"ES256"} . {"sub":"a"} . a signature
    const TOKEN: &str = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln";

    #[test]
    fn what_is_not_changed_stays() {
        let parts = Parts::of(TOKEN).unwrap();
        assert_eq!(
            (&parts.claims, parts.token().as_str()),
            (&json!({ "sub": "a" }), TOKEN)
        );
    }

    #[test]
    fn forgeries_differ_where_they_say() {
        let parts = Parts::of(TOKEN).unwrap();
        let other = parts.clone().with_claim("sub", json!("b")).token();
        assert_eq!(Parts::of(&other).unwrap().claims["sub"], "b");
        assert!(other.ends_with(".c2ln"));
        assert!(
            parts
                .clone()
                .with_broken_signature()
                .token()
                .ends_with(".A2ln")
        );
        let unsigned = parts.unsigned().token();
        assert_eq!(Parts::of(&unsigned).unwrap().header["alg"], "none");
        assert!(unsigned.ends_with('.'));
    }

    #[test]
    fn two_parts_are_none() {
        assert!(Parts::of("e30.e30").is_err());
    }
}
