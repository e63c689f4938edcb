//! Who signs, and with which public keys it is verified.

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use aws_lc_rs::signature::{self, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use uuid::Uuid;

use super::checkpoint::Checkpoint;
use super::error::IntegrityError;
use super::faults::FaultKind;

/// Name of the algorithm of [`Ed25519Signer`].
pub const ED25519: &str = "Ed25519";

/// Signs checkpoints; the key may lie in another machine.
#[async_trait]
pub trait CheckpointSigner: Send + Sync + 'static {
    /// Which key; never the same for two keys.
    fn key_id(&self) -> &str;

    /// How it signs. The verifier knows [`ED25519`].
    fn algorithm(&self) -> &str;

    /// The signature over a message.
    ///
    /// # Errors
    /// What went wrong, in words; nothing is stored then.
    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, String>;
}

/// Signs with an Ed25519 key in this process.
pub struct Ed25519Signer {
    key_id: String,
    pair: Ed25519KeyPair,
}

impl Ed25519Signer {
    /// From a private key as PKCS#8 (DER), version 1 or 2.
    ///
    /// # Errors
    /// [`IntegrityError::Key`].
    pub fn from_pkcs8(key_id: impl Into<String>, pkcs8: &[u8]) -> Result<Self, IntegrityError> {
        let key_id = key_id.into();
        match Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8) {
            Ok(pair) => Ok(Self { key_id, pair }),
            Err(_) => Err(IntegrityError::Key {
                key_id,
                message: "not an Ed25519 private key; give it as unencrypted PKCS#8, DER",
            }),
        }
    }

    /// From the 32 bytes that a private key is made of (RFC 8032).
    ///
    /// # Errors
    /// [`IntegrityError::Key`].
    pub fn from_seed(key_id: impl Into<String>, seed: &[u8]) -> Result<Self, IntegrityError> {
        let key_id = key_id.into();
        match Ed25519KeyPair::from_seed_unchecked(seed) {
            Ok(pair) => Ok(Self { key_id, pair }),
            Err(_) => Err(IntegrityError::Key {
                key_id,
                message: "not a seed of an Ed25519 key; give 32 random bytes",
            }),
        }
    }

    /// The public key, 32 bytes, for [`PublicKeys::with_ed25519`].
    pub fn public_key(&self) -> Vec<u8> {
        self.pair.public_key().as_ref().to_vec()
    }
}

impl fmt::Debug for Ed25519Signer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Ed25519Signer({:?})", self.key_id)
    }
}

#[async_trait]
impl CheckpointSigner for Ed25519Signer {
    fn key_id(&self) -> &str {
        &self.key_id
    }

    fn algorithm(&self) -> &str {
        ED25519
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, String> {
        let signature = self.pair.try_sign(message);
        let signature = signature.map_err(|_| "the cryptographic library failed".to_owned())?;
        Ok(signature.as_ref().to_vec())
    }
}

/// The public keys that are trusted, by their ids: those in use and those that were.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PublicKeys(BTreeMap<String, Vec<u8>>);

impl PublicKeys {
    /// No keys: signatures are not checked then, and the report says so.
    pub fn none() -> Self {
        Self::default()
    }

    /// The same set with one more Ed25519 key (32 bytes, RFC 8032).
    ///
    /// # Errors
    /// [`IntegrityError::Key`]: not such a key, or the set has another one of this id.
    pub fn with_ed25519(
        mut self,
        key_id: impl Into<String>,
        public_key: &[u8],
    ) -> Result<Self, IntegrityError> {
        let key_id = key_id.into();
        if public_key.len() != 32 {
            let message = "not an Ed25519 public key; give its 32 bytes";
            return Err(IntegrityError::Key { key_id, message });
        }
        if self.0.get(&key_id).is_some_and(|key| key != public_key) {
            let message = "there is another key of this id; give every key its own";
            return Err(IntegrityError::Key { key_id, message });
        }
        self.0.insert(key_id, public_key.to_vec());
        Ok(self)
    }

    /// The keys by their ids, to be shown: Ed25519, 32 bytes (RFC 8032).
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let keys = self.0.iter();
        keys.map(|(id, key)| (id.as_str(), key.as_slice()))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is wrong with a checkpoint in itself, if anything is.
    pub(super) fn objection(
        &self,
        checkpoint: &Checkpoint,
        store: Uuid,
    ) -> Option<(FaultKind, String)> {
        let Checkpoint {
            key_id, algorithm, ..
        } = checkpoint;
        if !self.is_empty() {
            let Some(key) = self.0.get(key_id).filter(|_| algorithm == ED25519) else {
                let message = format!("key {key_id:?} with algorithm {algorithm:?} is not known");
                return Some((FaultKind::UnknownKey, message));
            };
            let key = UnparsedPublicKey::new(&signature::ED25519, key);
            let message = checkpoint.signed_bytes();
            if key.verify(&message, &checkpoint.signature).is_err() {
                let message = format!("the signature of key {key_id:?} does not hold");
                return Some((FaultKind::BadSignature, message));
            }
        }
        (checkpoint.store != store).then(|| {
            let message = format!("it is of the store {}", checkpoint.store);
            (FaultKind::OtherStore, message)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_checked_when_they_are_given() {
        let signer = Ed25519Signer::from_seed("a", &[7; 32]).unwrap();
        let public = signer.public_key();
        let other = Ed25519Signer::from_seed("b", &[8; 32]).unwrap();
        assert!(Ed25519Signer::from_seed("a", &[7; 31]).is_err());
        assert!(Ed25519Signer::from_pkcs8("a", &[7; 48]).is_err());
        let keys = PublicKeys::none().with_ed25519("a", &public).unwrap();
        assert_eq!(keys.clone().with_ed25519("a", &public).unwrap(), keys);
        assert!(keys.clone().with_ed25519("a", &other.public_key()).is_err());
        assert!(keys.with_ed25519("b", &public[1..]).is_err());
    }

    #[test]
    fn the_public_key_is_that_of_rfc_8032() {
        // Section 7.1, test 1.
        let bytes = |text: &str| {
            let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
            (0..64).step_by(2).map(byte).collect::<Vec<u8>>()
        };
        let seed = bytes("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
        let public = bytes("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
        let signer = Ed25519Signer::from_seed("rfc", &seed).unwrap();
        assert_eq!(signer.public_key(), public);
        // The same key as PKCS#8, version 1.
        let mut pkcs8 = vec![
            0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22,
            0x04, 0x20,
        ];
        pkcs8.extend(&seed);
        let signer = Ed25519Signer::from_pkcs8("rfc", &pkcs8).unwrap();
        assert_eq!(signer.public_key(), public);
    }
}
