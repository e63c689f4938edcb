//! Key pairs that sign.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RsaKeyPair, RsaPublicKeyComponents,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use crate::{Algorithm, Jwk};

/// Longest key id: it stands in every token.
const MAX_KEY_ID_BYTES: usize = 128;

/// What is wrong with a key, a key set, or what was asked of one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The algorithm's name is not served.
    #[error("algorithm {0:?} is not served: use ES256, EdDSA or RS256")]
    UnsupportedAlgorithm(String),
    /// The system gave no randomness or no memory for a key.
    #[error("no {0} key could be made: the system's random source failed")]
    Generation(Algorithm),
    /// The bytes are not a private key of the algorithm.
    #[error(
        "this is not an unencrypted PKCS#8 private key for {0} (P-256, Ed25519, RSA of 2048 to 8192 bits)"
    )]
    InvalidPrivateKey(Algorithm),
    /// The key id is empty, too long, or has characters that do not print.
    #[error("a key id must be 1 to 128 visible ASCII characters, such as 2026-11-a")]
    InvalidKeyId,
    /// The public key cannot verify anything.
    #[error("the public key cannot be used: {0}")]
    InvalidPublicKey(&'static str),
    /// The key set cannot be read.
    #[error("the key set cannot be read: {0}")]
    InvalidKeySet(String),
    /// Two keys of one set have the same id, so that a token would not say which it means.
    #[error("two keys of the set have the id {0:?}: give each its own")]
    DuplicateKeyId(String),
    /// The claims cannot be put into a token.
    #[error("the claims cannot be signed: {0}")]
    InvalidClaims(String),
    /// The signature could not be made.
    #[error("signing with {0} failed inside the cryptographic library")]
    Signing(Algorithm),
    /// A verifier was asked for without an issuer or without audiences: it would accept too much.
    #[error("a verifier needs a non-empty issuer and at least one non-empty audience")]
    InvalidVerifier,
}

impl KeyError {
    /// A stable code for logs and error answers.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnsupportedAlgorithm(_) => "SIGNET-TOKEN-0021",
            Self::Generation(_) => "SIGNET-TOKEN-0022",
            Self::InvalidPrivateKey(_) => "SIGNET-TOKEN-0023",
            Self::InvalidKeyId => "SIGNET-TOKEN-0024",
            Self::InvalidPublicKey(_) => "SIGNET-TOKEN-0025",
            Self::InvalidKeySet(_) => "SIGNET-TOKEN-0026",
            Self::DuplicateKeyId(_) => "SIGNET-TOKEN-0027",
            Self::InvalidClaims(_) => "SIGNET-TOKEN-0028",
            Self::Signing(_) => "SIGNET-TOKEN-0029",
            Self::InvalidVerifier => "SIGNET-TOKEN-0030",
        }
    }
}

/// A key pair and its id. Cheap to clone; wiped from memory with the last clone.
///
/// `Debug` shows the id and the algorithm, never the key.
#[derive(Clone)]
pub struct PrivateKey(Arc<Inner>);

struct Inner {
    kid: String,
    pkcs8: Zeroizing<Vec<u8>>,
    pair: Pair,
}

/// Parsed once: reading and checking a key costs more than one signature with it.
enum Pair {
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
    Rs256(Box<RsaKeyPair>),
}

impl PrivateKey {
    /// Makes a new key with the system's randomness; RSA keys have 2048 bits.
    ///
    /// # Errors
    /// [`KeyError::InvalidKeyId`], [`KeyError::Generation`].
    pub fn generate(kid: &str, algorithm: Algorithm) -> Result<Self, KeyError> {
        check_key_id(kid)?;
        let failed = |_| KeyError::Generation(algorithm);
        let random = SystemRandom::new();
        let pkcs8 = match algorithm {
            Algorithm::Es256 => {
                EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random)
                    .map(|document| Zeroizing::new(document.as_ref().to_vec()))
            }
            // Version 1 of PKCS#8: the one that other programs read too.
            Algorithm::EdDsa => Ed25519KeyPair::generate_pkcs8v1(&random)
                .map(|document| Zeroizing::new(document.as_ref().to_vec())),
            Algorithm::Rs256 => RsaKeyPair::generate(KeySize::Rsa2048)
                .and_then(|pair| pair.as_der())
                .map(|document| Zeroizing::new(document.as_ref().to_vec())),
        }
        .map_err(failed)?;
        Self::from_pkcs8(kid, algorithm, &pkcs8)
    }

    /// Reads an unencrypted PKCS#8 key (RFC 5208) in DER.
    ///
    /// # Errors
    /// [`KeyError::InvalidKeyId`]; [`KeyError::InvalidPrivateKey`] when the bytes are no key of the
    /// algorithm.
    pub fn from_pkcs8(kid: &str, algorithm: Algorithm, der: &[u8]) -> Result<Self, KeyError> {
        check_key_id(kid)?;
        let pair = match algorithm {
            Algorithm::Es256 => {
                EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der).map(Pair::Es256)
            }
            Algorithm::EdDsa => Ed25519KeyPair::from_pkcs8(der).map(Pair::EdDsa),
            Algorithm::Rs256 => RsaKeyPair::from_pkcs8(der).map(|pair| Pair::Rs256(Box::new(pair))),
        }
        .map_err(|_| KeyError::InvalidPrivateKey(algorithm))?;
        let pkcs8 = Zeroizing::new(der.to_vec());
        Ok(Self(Arc::new(Inner {
            kid: kid.to_owned(),
            pkcs8,
            pair,
        })))
    }

    /// The key as [`Self::from_pkcs8`] reads it. Wrap it before it is stored.
    #[must_use]
    pub fn to_pkcs8(&self) -> Zeroizing<Vec<u8>> {
        self.0.pkcs8.clone()
    }

    /// The key's id.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.0.kid
    }

    /// The algorithm the key signs with.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        match self.0.pair {
            Pair::Es256(_) => Algorithm::Es256,
            Pair::EdDsa(_) => Algorithm::EdDsa,
            Pair::Rs256(_) => Algorithm::Rs256,
        }
    }

    /// The public half, with `kid`, `alg` and `use: sig`.
    #[must_use]
    pub fn public_jwk(&self) -> Jwk {
        let encode = |bytes: &[u8]| Some(URL_SAFE_NO_PAD.encode(bytes));
        let common = Jwk {
            kid: Some(self.0.kid.clone()),
            alg: Some(self.algorithm().to_string()),
            use_: Some("sig".to_owned()),
            ..Jwk::default()
        };
        match &self.0.pair {
            Pair::Es256(pair) => {
                // An uncompressed point, SEC 1 §2.3.3: 0x04, x, y.
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                Jwk {
                    kty: "EC".into(),
                    crv: Some("P-256".into()),
                    x: encode(x),
                    y: encode(y),
                    ..common
                }
            }
            Pair::EdDsa(pair) => Jwk {
                kty: "OKP".into(),
                crv: Some("Ed25519".into()),
                x: encode(pair.public_key().as_ref()),
                ..common
            },
            Pair::Rs256(pair) => {
                let components = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
                Jwk {
                    kty: "RSA".into(),
                    n: encode(&components.n),
                    e: encode(&components.e),
                    ..common
                }
            }
        }
    }

    /// The JWS signature of the bytes, in the fixed form of RFC 7518 §3.
    pub(crate) fn sign_bytes(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let failed = |_| KeyError::Signing(self.algorithm());
        let random = SystemRandom::new();
        match &self.0.pair {
            Pair::Es256(pair) => Ok(pair
                .sign(&random, message)
                .map_err(failed)?
                .as_ref()
                .to_vec()),
            Pair::EdDsa(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Pair::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .map_err(failed)?;
                Ok(signature)
            }
        }
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PrivateKey")
            .field("kid", &self.kid())
            .field("algorithm", &self.algorithm())
            .finish_non_exhaustive()
    }
}

fn check_key_id(kid: &str) -> Result<(), KeyError> {
    let sound = !kid.is_empty()
        && kid.len() <= MAX_KEY_ID_BYTES
        && kid.bytes().all(|byte| byte.is_ascii_graphic());
    if sound {
        Ok(())
    } else {
        Err(KeyError::InvalidKeyId)
    }
}
