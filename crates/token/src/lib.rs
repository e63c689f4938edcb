//! # token
//!
//! Signs and verifies JSON Web Tokens, and carries the public keys that do it.
//!
//! **Here:** key pairs ([`PrivateKey`]), public key sets ([`Jwk`], [`Jwks`]), [`Claims`], [`sign`],
//! the strict [`Verifier`] and its [`Rejection`]s, SPIFFE ids ([`SpiffeId`]). **Never here:** a clock
//! (callers hand the time in), HTTP, a key store, rotation, revocation, what a claim entitles to.
//!
//! **The way through:** a [`PrivateKey`] signs [`Claims`] into compact text → its
//! [`PrivateKey::public_jwk`] travels in a [`Jwks`] → a [`Verifier`] made of that set gives the
//! claims back, or says in one word why not. Nothing in a token chooses how it is checked: the key
//! named by `kid` decides the algorithm, and a header that asks for anything else is refused.
//!
//! ```
//! use token::{Algorithm, Claims, Jwks, PrivateKey, Rejection, Verifier};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let now = 1_800_000_000;
//! let key = PrivateKey::generate("2026-11-a", Algorithm::Es256)?;
//! let claims = Claims {
//!     iss: "https://signet.example/t/acme".into(),
//!     sub: "spiffe://acme.cluster.local/ns/shop/sa/checkout".into(),
//!     aud: vec!["acme".into()],
//!     exp: now + 900,
//!     iat: now,
//!     ..Claims::default()
//! };
//! let text = token::sign(&key, &claims)?;
//!
//! let keys = Jwks { keys: vec![key.public_jwk()] };
//! let verifier = Verifier::new(claims.iss.clone(), vec!["acme".into()], &keys)?;
//! assert_eq!(verifier.verify(&text, None, now)?, claims);
//! assert_eq!(verifier.verify(&text, None, now + 3600), Err(Rejection::Expired));
//! # Ok(())
//! # }
//! ```

mod algorithm;
mod claims;
mod compact;
mod jwk;
mod key;
mod rejection;
mod sign;
mod spiffe;
mod verifier;

pub use algorithm::Algorithm;
pub use claims::Claims;
pub use compact::MAX_TOKEN_BYTES;
pub use jwk::{Jwk, Jwks};
pub use key::{KeyError, PrivateKey};
pub use rejection::Rejection;
pub use sign::sign;
pub use spiffe::{SpiffeId, SpiffeIdError};
pub use verifier::{DEFAULT_LEEWAY_SECONDS, IgnoredKey, Verifier};

#[cfg(test)]
mod tests;
