//! The tenant's public keys, and the verifier made of them.

use protocol::v1::KeyState;
use token::{Claims, Jwks, Rejection, Verifier};
use tracing::warn;

/// The keys, issuer and audiences that a token of the tenant must agree with.
#[derive(Debug)]
pub struct HeldKeys {
    version: u64,
    issuer: String,
    audiences: Vec<String>,
    kids: Vec<String>,
    // None: the tenant is closed, no token of it holds any more.
    verifier: Option<Verifier>,
}

impl HeldKeys {
    /// Takes the state in.
    ///
    /// # Errors
    /// Why it cannot be used: no issuer, or a key set that cannot be read.
    pub fn new(version: u64, state: KeyState) -> Result<Self, String> {
        let KeyState {
            issuer,
            audiences,
            jwks,
            closed,
        } = state;
        if closed {
            return Ok(Self {
                version,
                issuer,
                audiences,
                kids: Vec::new(),
                verifier: None,
            });
        }
        if issuer.is_empty() {
            return Err("the issuer is empty".to_owned());
        }
        let keys = Jwks::parse(&jwks).map_err(|error| format!("the key set: {error}"))?;
        let verifier = Verifier::new(issuer.clone(), audiences.clone(), &keys)
            .map_err(|error| format!("the key set: {error}"))?;
        for ignored in verifier.ignored_keys() {
            warn!(kid = ignored.kid.as_deref(), problem = %ignored.error,
                "a key of the tenant cannot be used");
        }
        let mut kids: Vec<String> = verifier.key_ids().map(str::to_owned).collect();
        kids.sort();
        if kids.is_empty() && !keys.keys.is_empty() {
            return Err("the key set: none of its keys can be used".to_owned());
        }
        Ok(Self {
            version,
            issuer,
            audiences,
            kids,
            verifier: Some(verifier),
        })
    }

    /// The version central gave it.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Who issues the tenant's tokens.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// What tokens may be meant for; the first is the default.
    #[must_use]
    pub fn audiences(&self) -> &[String] {
        &self.audiences
    }

    /// The ids of the keys in use, sorted.
    #[must_use]
    pub fn kids(&self) -> &[String] {
        &self.kids
    }

    /// Whether the tenant is closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.verifier.is_none()
    }

    /// Checks a token. `audience`: what it must be meant for; none: any of the tenant's.
    /// The outer `None`: the tenant is closed.
    ///
    /// # Errors
    /// Why the token does not hold.
    pub fn verify(
        &self,
        token: &str,
        audience: Option<&str>,
        now_unix: i64,
    ) -> Option<Result<Claims, Rejection>> {
        self.verifier
            .as_ref()
            .map(|verifier| verifier.verify(token, audience, now_unix))
    }
}
