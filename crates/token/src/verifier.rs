//! Compact text to claims, or the reason why not.

use std::collections::HashMap;
use std::fmt;

use jsonwebtoken::DecodingKey;
use jsonwebtoken::crypto::aws_lc;

use crate::compact::Compact;
use crate::{Algorithm, Claims, Jwks, KeyError, Rejection};

/// How far the clocks of issuer and verifier may differ, unless said otherwise.
pub const DEFAULT_LEEWAY_SECONDS: i64 = 30;

/// Checks the tokens of one issuer, with the keys and audiences it was made with.
///
/// It never changes: when the keys do, make a new one and swap it in. It does no I/O, knows no clock
/// and does not panic, whatever text it is given.
pub struct Verifier {
    issuer: String,
    audiences: Vec<String>,
    keys: HashMap<String, Key>,
    ignored: Vec<IgnoredKey>,
    leeway: i64,
}

pub(crate) struct Key {
    pub(crate) algorithm: Algorithm,
    pub(crate) decoding: DecodingKey,
}

/// A key of the set that the verifier cannot use, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IgnoredKey {
    /// Its id, if it has one.
    pub kid: Option<String>,
    /// What is wrong with it.
    pub error: KeyError,
}

impl Verifier {
    /// A verifier for the tokens that `issuer` signs with `keys` for any of `audiences`.
    ///
    /// A key that cannot be used (no id, another kind, bad material) is left out, as RFC 7517 §5
    /// asks, and told by [`Self::ignored_keys`].
    ///
    /// # Errors
    /// [`KeyError::InvalidVerifier`] when the issuer is empty, or there is no audience or an empty
    /// one; [`KeyError::DuplicateKeyId`].
    pub fn new(
        issuer: impl Into<String>,
        audiences: Vec<String>,
        keys: &Jwks,
    ) -> Result<Self, KeyError> {
        let issuer = issuer.into();
        if issuer.is_empty() || audiences.is_empty() || audiences.iter().any(String::is_empty) {
            return Err(KeyError::InvalidVerifier);
        }
        let mut usable = HashMap::new();
        let mut ignored = Vec::new();
        for jwk in &keys.keys {
            let Some(kid) = &jwk.kid else {
                ignored.push(IgnoredKey {
                    kid: None,
                    error: KeyError::InvalidKeyId,
                });
                continue;
            };
            match jwk.decoding_key() {
                Ok((algorithm, decoding)) => {
                    if usable
                        .insert(
                            kid.clone(),
                            Key {
                                algorithm,
                                decoding,
                            },
                        )
                        .is_some()
                    {
                        return Err(KeyError::DuplicateKeyId(kid.clone()));
                    }
                }
                Err(error) => ignored.push(IgnoredKey {
                    kid: Some(kid.clone()),
                    error,
                }),
            }
        }
        let leeway = DEFAULT_LEEWAY_SECONDS;
        Ok(Self {
            issuer,
            audiences,
            keys: usable,
            ignored,
            leeway,
        })
    }

    /// The same, with another allowance for clocks that differ, in seconds; a negative one is zero.
    #[must_use]
    pub fn with_leeway(self, seconds: i64) -> Self {
        Self {
            leeway: seconds.max(0),
            ..self
        }
    }

    /// Checks a token at the time `now_unix` (seconds since 1970) and gives its claims.
    ///
    /// `audience`: `None` takes any of the verifier's audiences; `Some(a)` demands that `a` is one of
    /// them and stands in the token's `aud`.
    ///
    /// # Errors
    /// The first [`Rejection`] that applies, in this order: size and form, algorithm, key,
    /// signature, claims present, issuer, audience, times.
    pub fn verify(
        &self,
        token: &str,
        audience: Option<&str>,
        now_unix: i64,
    ) -> Result<Claims, Rejection> {
        let compact = Compact::parse(token)?;
        let kid = compact.kid.as_deref().ok_or(Rejection::UnknownKey)?;
        let key = self.keys.get(kid).ok_or(Rejection::UnknownKey)?;
        if compact.algorithm != key.algorithm {
            return Err(Rejection::AlgorithmNotAllowed);
        }
        key.check(&compact)?;
        let claims = Claims::from_object(compact.payload()?)?;
        if claims.iss != self.issuer {
            return Err(Rejection::WrongIssuer);
        }
        self.check_audience(&claims, audience)?;
        self.check_times(&claims, now_unix)?;
        Ok(claims)
    }

    /// The issuer whose tokens are taken.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The audiences that are taken.
    #[must_use]
    pub fn audiences(&self) -> &[String] {
        &self.audiences
    }

    /// The ids of the keys in use, in no order.
    pub fn key_ids(&self) -> impl Iterator<Item = &str> {
        self.keys.keys().map(String::as_str)
    }

    /// The keys of the set that could not be used.
    #[must_use]
    pub fn ignored_keys(&self) -> &[IgnoredKey] {
        &self.ignored
    }

    fn check_audience(&self, claims: &Claims, audience: Option<&str>) -> Result<(), Rejection> {
        let ours = |candidate: &str| self.audiences.iter().any(|own| own == candidate);
        let meant = match audience {
            Some(wanted) => ours(wanted) && claims.aud.iter().any(|one| one == wanted),
            None => claims.aud.iter().any(|one| ours(one)),
        };
        if meant {
            Ok(())
        } else {
            Err(Rejection::WrongAudience)
        }
    }

    fn check_times(&self, claims: &Claims, now: i64) -> Result<(), Rejection> {
        let latest = now.saturating_add(self.leeway);
        if now >= claims.exp.saturating_add(self.leeway) {
            return Err(Rejection::Expired);
        }
        if claims.nbf.is_some_and(|not_before| not_before > latest) {
            return Err(Rejection::NotYetValid);
        }
        if claims.iat > latest {
            return Err(Rejection::IssuedInFuture);
        }
        Ok(())
    }
}

impl Key {
    pub(crate) fn check(&self, compact: &Compact<'_>) -> Result<(), Rejection> {
        let algorithm = match self.algorithm {
            Algorithm::Es256 => jsonwebtoken::Algorithm::ES256,
            Algorithm::EdDsa => jsonwebtoken::Algorithm::EdDSA,
            Algorithm::Rs256 => jsonwebtoken::Algorithm::RS256,
        };
        // Named rather than looked up: the process-wide default panics when a dependency switches on
        // a second provider.
        let verifier = (aws_lc::DEFAULT_PROVIDER.verifier_factory)(&algorithm, &self.decoding)
            .map_err(|_| Rejection::BadSignature)?;
        verifier
            .verify(compact.message.as_bytes(), &compact.signature)
            .map_err(|_| Rejection::BadSignature)
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Verifier")
            .field("issuer", &self.issuer)
            .field("audiences", &self.audiences)
            .field("keys", &self.keys.keys().collect::<Vec<_>>())
            .field("leeway", &self.leeway)
            .finish_non_exhaustive()
    }
}
