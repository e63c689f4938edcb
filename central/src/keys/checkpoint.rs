//! The key that signs checkpoints over the events: one for the store, made by whoever starts first,
//! sealed by the master key.
//!
//! Events lie in the same database, so that whoever can rewrite them must not be able to sign them
//! anew: without the master key, which is not there, the key does not open.

use std::sync::Arc;

use aws_lc_rs::digest;
use eventstore::integrity::{ED25519, Ed25519Signer, PublicKeys};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::{KeyStore, sealing::Place, table::SealedCheckpointKey};
use crate::error::StartError;

const SEED_BYTES: usize = 32;
/// So much of its digest names a key; there are few to be told apart.
const FINGERPRINT_BYTES: usize = 8;

/// What signs checkpoints, and what all that were ever signed are verified with.
#[derive(Debug)]
pub(crate) struct CheckpointKey {
    pub(crate) signer: Arc<Ed25519Signer>,
    pub(crate) public: PublicKeys,
}

impl KeyStore {
    /// The key of this store: the one that is there, or a new one. Of several replicas that make one at
    /// once, all get that of the first.
    pub(crate) async fn checkpoint_key(
        &self,
        now: OffsetDateTime,
    ) -> Result<CheckpointKey, StartError> {
        let mut rows = self.table.checkpoint_keys().await.map_err(unusable)?;
        if rows.is_empty() {
            let row = self.new_checkpoint_key()?;
            self.table
                .insert_checkpoint_key(&row, now)
                .await
                .map_err(unusable)?;
            rows = self.table.checkpoint_keys().await.map_err(unusable)?;
        }
        let (mut newest, mut public) = (None, PublicKeys::none());
        for row in &rows {
            let signer = self.open_checkpoint_key(row)?;
            public = public
                .with_ed25519(&row.key_id, &signer.public_key())
                .map_err(|_| damaged(&row.key_id))?;
            newest = Some(signer);
        }
        let signer = newest.ok_or_else(|| {
            StartError::KeyTable("it does not keep the key for checkpoints".into())
        })?;
        Ok(CheckpointKey {
            signer: Arc::new(signer),
            public,
        })
    }

    fn new_checkpoint_key(&self) -> Result<SealedCheckpointKey, StartError> {
        let mut seed = Zeroizing::new([0; SEED_BYTES]);
        aws_lc_rs::rand::fill(seed.as_mut_slice()).map_err(|_| StartError::Randomness)?;
        let key_id = key_id(&signer("", seed.as_slice())?.public_key());
        let sealed = self
            .master
            .seal(place(&key_id), seed.as_slice())
            .map_err(|_| StartError::Randomness)?;
        Ok(SealedCheckpointKey {
            generation: 1,
            key_id,
            master_key_id: self.master.fingerprint().to_owned(),
            sealed,
        })
    }

    fn open_checkpoint_key(&self, row: &SealedCheckpointKey) -> Result<Ed25519Signer, StartError> {
        if row.master_key_id != self.master.fingerprint() {
            return Err(StartError::WrongMasterKey {
                stored: row.master_key_id.clone(),
                given: self.master.fingerprint().to_owned(),
            });
        }
        let seed = self
            .master
            .open(place(&row.key_id), &row.sealed)
            .map_err(|_| damaged(&row.key_id))?;
        signer(&row.key_id, &seed)
    }
}

fn signer(key_id: &str, seed: &[u8]) -> Result<Ed25519Signer, StartError> {
    Ed25519Signer::from_seed(key_id, seed).map_err(|_| damaged(key_id))
}

/// No tenant has the empty name, so that the place is no signing key's.
fn place(key_id: &str) -> Place<'_> {
    Place {
        tenant: "",
        kid: key_id,
        algorithm: ED25519,
    }
}

fn key_id(public_key: &[u8]) -> String {
    let digest = digest::digest(&digest::SHA256, public_key);
    let fingerprint = digest.as_ref().iter().take(FINGERPRINT_BYTES);
    let hexadecimal: String = fingerprint.map(|byte| format!("{byte:02x}")).collect();
    format!("checkpoints-{hexadecimal}")
}

fn unusable(error: sqlx::Error) -> StartError {
    StartError::KeyTable(error.to_string())
}

fn damaged(key_id: &str) -> StartError {
    StartError::DamagedCheckpointKey {
        key_id: key_id.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use eventstore::integrity::CheckpointSigner as _;
    use time::OffsetDateTime;

    use crate::keys::{KeyStore, MasterKey};

    const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    async fn store(folder: &tempfile::TempDir, byte: u8) -> KeyStore {
        let url = format!("sqlite://{}", folder.path().join("keys.db").display());
        let master = MasterKey::new(&[byte; 32]).unwrap();
        KeyStore::open(&url, master).await.unwrap()
    }

    #[tokio::test]
    async fn those_that_start_at_once_get_one_key_and_it_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (store(&folder, 1).await, store(&folder, 1).await);

        let (left, right) = tokio::join!(one.checkpoint_key(NOW), two.checkpoint_key(NOW));

        let (left, right) = (left.unwrap(), right.unwrap());
        assert_eq!(left.public, right.public);
        assert_eq!(left.signer.key_id(), right.signer.key_id());
        let later = store(&folder, 1).await.checkpoint_key(NOW).await.unwrap();
        assert_eq!(later.public, left.public);
        assert_eq!(later.signer.public_key(), left.signer.public_key());
    }

    #[tokio::test]
    async fn another_master_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        store(&folder, 1).await.checkpoint_key(NOW).await.unwrap();

        let refused = store(&folder, 2).await.checkpoint_key(NOW).await;

        assert_eq!(refused.unwrap_err().code(), "SIGNET-CENTRAL-0102");
    }
}
