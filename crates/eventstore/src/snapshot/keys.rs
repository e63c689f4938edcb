//! Keys that snapshots are encrypted with, handed in by whoever keeps keys.

use std::collections::HashMap;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};

use super::error::SnapshotKeysError;

const MAX_ID_BYTES: usize = 128;

/// One key to encrypt with, and those that older snapshots may be encrypted with.
///
/// Nonces are random, so a key should be replaced before it has encrypted 2³² snapshots. Debugging
/// shows ids and no keys.
#[derive(Debug)]
pub struct SnapshotKeys {
    current: String,
    keys: HashMap<String, RandomizedNonceKey>,
}

impl SnapshotKeys {
    /// A set of one key.
    ///
    /// # Errors
    /// [`SnapshotKeysError::InvalidId`].
    pub fn new(id: impl Into<String>, key: &[u8; 32]) -> Result<Self, SnapshotKeysError> {
        let current = id.into();
        let keys = Self {
            current: current.clone(),
            keys: HashMap::new(),
        };
        keys.with_older(current, key)
    }

    /// The same set, with a key that is only read with.
    ///
    /// # Errors
    /// [`SnapshotKeysError`], when the id is unusable or in the set already.
    pub fn with_older(
        mut self,
        id: impl Into<String>,
        key: &[u8; 32],
    ) -> Result<Self, SnapshotKeysError> {
        let id = id.into();
        if id.is_empty() || id.len() > MAX_ID_BYTES || id.contains('\0') {
            return Err(SnapshotKeysError::InvalidId);
        }
        if self.keys.contains_key(&id) {
            return Err(SnapshotKeysError::DoubleId { id });
        }
        // It fails for a wrong length only, and the type has the right one.
        let key =
            RandomizedNonceKey::new(&AES_256_GCM, key).map_err(|_| SnapshotKeysError::InvalidId)?;
        self.keys.insert(id, key);
        Ok(self)
    }

    /// Id of the key to encrypt with.
    pub fn current(&self) -> &str {
        &self.current
    }

    pub(super) fn knows(&self, id: &str) -> bool {
        self.keys.contains_key(id)
    }

    /// Nonce, ciphertext and tag, one behind the other.
    pub(super) fn seal(&self, associated: &[u8], mut plain: Vec<u8>) -> Option<Vec<u8>> {
        let key = self.keys.get(&self.current)?;
        let nonce = key
            .seal_in_place_append_tag(Aad::from(associated), &mut plain)
            .ok()?;
        let mut sealed = nonce.as_ref().to_vec();
        sealed.append(&mut plain);
        Some(sealed)
    }

    /// None: another key, another place, or it was changed.
    pub(super) fn open(&self, id: &str, associated: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut opened = sealed.to_vec();
        let key = self.keys.get(id)?;
        let length = key
            .open_in_place(nonce, Aad::from(associated), &mut opened)
            .ok()?
            .len();
        opened.truncate(length);
        Some(opened)
    }
}
