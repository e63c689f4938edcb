//! Private keys by tenant and key id, opened when they are needed.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use eventstore::Transaction;
use time::OffsetDateTime;
use token::{Algorithm, PrivateKey};

use super::{
    sealing::{MasterKey, Place},
    table::{self, KeyTable, SealedKey},
};
use crate::error::{ServiceError, StartError};

/// The private signing keys of all tenants.
#[derive(Debug)]
pub(crate) struct KeyStore {
    pub(super) table: KeyTable,
    pub(super) master: MasterKey,
    /// The key each tenant signed with last. At most one a tenant, so that memory holds few.
    opened: Mutex<HashMap<String, PrivateKey>>,
}

impl KeyStore {
    /// Opens the table and makes sure that the master key is the one its rows were sealed with.
    pub(crate) async fn open(url: &str, master: MasterKey) -> Result<Self, StartError> {
        let table = KeyTable::open(url)
            .await
            .map_err(|error| StartError::KeyTable(error.to_string()))?;
        let store = Self {
            table,
            master,
            opened: Mutex::default(),
        };
        store.check_master_key().await?;
        Ok(store)
    }

    async fn check_master_key(&self) -> Result<(), StartError> {
        let samples = self.table.one_per_master_key().await;
        for row in samples.map_err(|error| StartError::KeyTable(error.to_string()))? {
            if row.master_key_id != self.master.fingerprint() {
                return Err(StartError::WrongMasterKey {
                    stored: row.master_key_id,
                    given: self.master.fingerprint().to_owned(),
                });
            }
            let SealedKey {
                tenant,
                kid,
                algorithm,
                sealed,
                ..
            } = &row;
            if self
                .master
                .open(
                    Place {
                        tenant,
                        kid,
                        algorithm,
                    },
                    sealed,
                )
                .is_err()
            {
                return Err(StartError::DamagedKey {
                    tenant: tenant.clone(),
                    kid: kid.clone(),
                });
            }
        }
        Ok(())
    }

    /// A key for this place: a new one, or the one another replica has just made for it.
    pub(crate) async fn make(
        &self,
        tenant: &str,
        kid: &str,
        algorithm: Algorithm,
        now: OffsetDateTime,
    ) -> Result<PrivateKey, ServiceError> {
        let owned_kid = kid.to_owned();
        // An RSA key takes a while.
        let key = tokio::task::spawn_blocking(move || PrivateKey::generate(&owned_kid, algorithm))
            .await
            .map_err(|error| ServiceError::Internal(error.to_string()))?
            .map_err(|error| ServiceError::Internal(error.to_string()))?;
        let place = Place {
            tenant,
            kid,
            algorithm: algorithm.as_str(),
        };
        let sealed = self
            .master
            .seal(place, &key.to_pkcs8())
            .map_err(|_| ServiceError::Internal("a key could not be sealed".into()))?;
        let row = SealedKey {
            tenant: tenant.to_owned(),
            kid: kid.to_owned(),
            algorithm: algorithm.to_string(),
            master_key_id: self.master.fingerprint().to_owned(),
            sealed,
        };
        let stored = self
            .table
            .insert_or_get(&row, now)
            .await
            .map_err(unavailable)?;
        // Only a retirement removes rows, and it is of a key that was announced before.
        self.unseal(&stored.ok_or(ServiceError::Contended)?, algorithm)
    }

    /// The private part of a key that was announced.
    pub(crate) async fn open_key(
        &self,
        tenant: &str,
        kid: &str,
        algorithm: Algorithm,
    ) -> Result<PrivateKey, ServiceError> {
        if let Some(key) = self.opened().get(tenant)
            && key.kid() == kid
            && key.algorithm() == algorithm
        {
            return Ok(key.clone());
        }
        let place = Place {
            tenant,
            kid,
            algorithm: algorithm.as_str(),
        };
        let row = self
            .table
            .get(place)
            .await
            .map_err(unavailable)?
            .ok_or_else(|| {
                ServiceError::Internal(format!("signing key {tenant}/{kid} has no private part"))
            })?;
        let key = self.unseal(&row, algorithm)?;
        self.opened().insert(tenant.to_owned(), key.clone());
        Ok(key)
    }

    /// Removes a retired key for ever, with whatever else the transaction does. Gives whether it was
    /// there.
    ///
    /// Other replicas may have it in memory still; see [`KeyStore::forget_opened`].
    pub(crate) async fn remove(
        &self,
        transaction: &mut Transaction,
        tenant: &str,
        kid: &str,
    ) -> Result<bool, sqlx::Error> {
        Ok(table::remove(transaction, tenant, kid).await? > 0)
    }

    /// Lets go of opened keys that are retired, by tenant and key id.
    pub(super) fn forget_opened(&self, is_retired: impl Fn(&str, &str) -> bool) {
        self.opened()
            .retain(|tenant, key| !is_retired(tenant, key.kid()));
    }

    /// Gives the connections back.
    pub(crate) async fn close(&self) {
        self.table.close().await;
    }

    fn unseal(&self, row: &SealedKey, algorithm: Algorithm) -> Result<PrivateKey, ServiceError> {
        let SealedKey {
            tenant,
            kid,
            algorithm: name,
            sealed,
            ..
        } = row;
        let broken =
            |why: &str| ServiceError::Internal(format!("signing key {tenant}/{kid} {why}"));
        let der = self
            .master
            .open(
                Place {
                    tenant,
                    kid,
                    algorithm: name,
                },
                sealed,
            )
            .map_err(|_| broken("does not open"))?;
        PrivateKey::from_pkcs8(kid, algorithm, &der).map_err(|error| broken(&error.to_string()))
    }

    // The map has no half-made state, and nothing panics while it is locked.
    fn opened(&self) -> MutexGuard<'_, HashMap<String, PrivateKey>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unavailable(error: sqlx::Error) -> ServiceError {
    tracing::warn!(%error, "the table of signing keys could not be used");
    ServiceError::StoreUnavailable
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;
    use token::Algorithm;

    use super::{KeyStore, MasterKey};

    fn master(byte: u8) -> MasterKey {
        MasterKey::new(&[byte; 32]).unwrap()
    }

    fn file(folder: &tempfile::TempDir) -> String {
        format!("sqlite://{}", folder.path().join("keys.db").display())
    }

    const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    #[tokio::test]
    async fn a_key_outlives_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let first = KeyStore::open(&file(&folder), master(1)).await.unwrap();
        let made = first
            .make("acme", "2026-11-a", Algorithm::Es256, NOW)
            .await
            .unwrap();
        first.close().await;

        let second = KeyStore::open(&file(&folder), master(1)).await.unwrap();
        let opened = second
            .open_key("acme", "2026-11-a", Algorithm::Es256)
            .await
            .unwrap();

        assert_eq!(opened.public_jwk(), made.public_jwk());
    }

    #[tokio::test]
    async fn two_that_make_the_same_key_get_one() {
        let folder = tempfile::tempdir().unwrap();
        let one = KeyStore::open(&file(&folder), master(1)).await.unwrap();
        let two = KeyStore::open(&file(&folder), master(1)).await.unwrap();

        let (left, right) = tokio::join!(
            one.make("acme", "2026-11-a", Algorithm::EdDsa, NOW),
            two.make("acme", "2026-11-a", Algorithm::EdDsa, NOW),
        );

        assert_eq!(left.unwrap().public_jwk(), right.unwrap().public_jwk());
    }

    #[tokio::test]
    async fn another_master_key_is_refused_at_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let first = KeyStore::open(&file(&folder), master(1)).await.unwrap();
        first
            .make("acme", "2026-11-a", Algorithm::Es256, NOW)
            .await
            .unwrap();
        first.close().await;

        let error = KeyStore::open(&file(&folder), master(2)).await.unwrap_err();

        assert_eq!(error.code(), "SIGNET-CENTRAL-0102");
        assert!(error.to_string().contains("signet-master-key"), "{error}");
    }

    #[tokio::test]
    async fn a_retired_key_is_held_in_memory_no_more() {
        let store = KeyStore::open("sqlite::memory:", master(1)).await.unwrap();
        for tenant in ["acme", "bank"] {
            let (kid, algorithm) = ("2026-11-a", Algorithm::EdDsa);
            store.make(tenant, kid, algorithm, NOW).await.unwrap();
            store.open_key(tenant, kid, algorithm).await.unwrap();
        }

        store.forget_opened(|tenant, kid| (tenant, kid) == ("acme", "2026-11-a"));

        assert_eq!(store.opened().keys().collect::<Vec<_>>(), ["bank"]);
    }
}
