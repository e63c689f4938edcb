//! Signing the ends of the chains.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use time::OffsetDateTime;

use super::checkpoint::Checkpoint;
use super::error::IntegrityError;
use super::keys::CheckpointSigner;
use super::table::{self, Cursor, Link};
use crate::backend::read_error;
use crate::chain::microseconds;
use crate::database::{Database, from_microseconds};
use crate::error::ReadError;
use crate::event::Position;
use crate::store::EventStore;

/// Tenants looked at together.
const TENANTS_PER_PAGE: usize = 200;

/// Refusals that are described; further ones are counted.
const MOST_DESCRIBED: usize = 100;

/// Signs the ends of chains. Several processes may do so at once; each end is signed once.
pub struct Checkpoints {
    store: Arc<dyn EventStore>,
    signer: Arc<dyn CheckpointSigner>,
    clock: fn() -> OffsetDateTime,
}

/// Answer to signing one tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Signed {
    /// The checkpoint at the end of the chain.
    pub checkpoint: Checkpoint,
    /// Whether this call made it; else it was there.
    pub is_new: bool,
}

/// A tenant that was not signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// Whose chain.
    pub tenant: String,
    /// Stable code of the error.
    pub code: &'static str,
    /// Why, and what to do.
    pub message: String,
}

/// Answer to signing all tenants.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SignedAll {
    /// Checkpoints stand over every event up to here, but for the refused tenants. With the newest
    /// checkpoint of each tenant, a verification can start from here: [`Verify::resume`](super::Verify::resume).
    pub covered: Position,
    /// Checkpoints made.
    pub signed: u64,
    /// Chains that had not moved.
    pub unchanged: u64,
    /// Chains that contradict their last checkpoint, or that cannot be read; at most 100 are described.
    pub refused: Vec<Refused>,
    /// Number of them.
    pub refusals: u64,
}

impl Checkpoints {
    /// Signs for a store; the clock gives `signed_at`.
    pub fn new(
        store: Arc<dyn EventStore>,
        signer: Arc<dyn CheckpointSigner>,
        clock: fn() -> OffsetDateTime,
    ) -> Self {
        Self {
            store,
            signer,
            clock,
        }
    }

    /// Signs the end of a tenant's chain, if it has moved since the last checkpoint. None if the
    /// tenant has no events and never had a checkpoint.
    ///
    /// # Errors
    /// [`IntegrityError::Contradiction`] if the event under the last checkpoint is not what was signed;
    /// [`IntegrityError::Signing`], [`IntegrityError::Read`].
    pub async fn sign(&self, tenant: &str) -> Result<Option<Signed>, IntegrityError> {
        let database = self.store.database();
        // Before the end of the chain: a checkpoint seen now stands over an event that is seen then.
        let latest = table::latest(database, tenant).await?;
        let contradiction = |message: String| IntegrityError::Contradiction {
            tenant: tenant.to_owned(),
            message,
        };
        let latest = latest
            .transpose()
            .map_err(|row| contradiction(row.message))?;
        let end = table::chain_end(database, tenant).await?;
        if let Some(latest) = latest {
            match self.contradicts(&latest, end.as_ref()).await? {
                Some(message) => return Err(contradiction(message)),
                None if end
                    .as_ref()
                    .is_some_and(|end| end.position == latest.position) =>
                {
                    return Ok(Some(Signed {
                        checkpoint: latest,
                        is_new: false,
                    }));
                }
                None => {}
            }
        }
        let Some(end) = end else {
            return Ok(None);
        };
        let checkpoint = self.checkpoint(end).await?;
        let stored = table::store(database, &checkpoint).await;
        if stored.map_err(read_error)? {
            let is_new = true;
            return Ok(Some(Signed { checkpoint, is_new }));
        }
        // Another process was faster; its checkpoint is the one that counts.
        let theirs = table::at(database, tenant, checkpoint.tenant_sequence).await?;
        let theirs = theirs
            .transpose()
            .map_err(|row| contradiction(row.message))?;
        match theirs {
            Some(theirs) if theirs.hash == checkpoint.hash => Ok(Some(Signed {
                checkpoint: theirs,
                is_new: false,
            })),
            _ => Err(contradiction(
                "another checkpoint stands at its end".to_owned(),
            )),
        }
    }

    /// Signs every chain that has moved since its last checkpoint, and hands the new checkpoints over,
    /// so that they can be sent away. Memory does not grow with the number of tenants.
    ///
    /// # Errors
    /// [`IntegrityError::Signing`], [`IntegrityError::Read`]; what was signed until then stays, and
    /// another call goes on there.
    pub async fn sign_all(
        &self,
        mut made: impl FnMut(&Checkpoint) + Send,
    ) -> Result<SignedAll, IntegrityError> {
        let mut all = SignedAll {
            covered: self.store.head().await?,
            ..SignedAll::default()
        };
        let mut behind = String::new();
        loop {
            let page = table::tenants(self.store.database(), &behind, TENANTS_PER_PAGE).await?;
            let Some((last, _)) = page.last() else {
                return Ok(all);
            };
            behind = last.clone();
            for (tenant, stands) in page {
                if stands {
                    all.unchanged += 1;
                    continue;
                }
                match self.sign(&tenant).await {
                    Ok(Some(Signed { checkpoint, is_new })) if is_new => {
                        made(&checkpoint);
                        all.signed += 1;
                    }
                    Ok(_) => all.unchanged += 1,
                    Err(
                        error @ (IntegrityError::Contradiction { .. }
                        | IntegrityError::Read(ReadError::Corrupt { .. })),
                    ) => all.refuse(tenant, &error),
                    Err(error) => return Err(error),
                }
            }
        }
    }

    async fn contradicts(
        &self,
        latest: &Checkpoint,
        end: Option<&Link>,
    ) -> Result<Option<String>, ReadError> {
        let Checkpoint {
            tenant_sequence,
            position,
            ..
        } = latest;
        if end.is_none_or(|end| end.position < *position) {
            let message = format!("it ends before position {position}, which was signed");
            return Ok(Some(message));
        }
        let link = table::link_at(self.store.database(), *position).await?;
        let same = link.is_some_and(|link| stands_over(latest, &link));
        Ok((!same).then(|| {
            format!("event {tenant_sequence} at position {position} is not what was signed")
        }))
    }

    async fn checkpoint(&self, end: Link) -> Result<Checkpoint, IntegrityError> {
        let now = from_microseconds(microseconds((self.clock)())).map_err(read_error)?;
        let mut checkpoint = Checkpoint {
            store: self.store.id(),
            tenant: end.tenant,
            tenant_sequence: end.end.sequence,
            position: end.position,
            hash: end.end.hash,
            signed_at: now,
            key_id: self.signer.key_id().to_owned(),
            algorithm: self.signer.algorithm().to_owned(),
            signature: Vec::new(),
        };
        let signature = self.signer.sign(&checkpoint.signed_bytes()).await;
        checkpoint.signature = signature.map_err(|message| IntegrityError::Signing { message })?;
        Ok(checkpoint)
    }

    /// Up to `limit` checkpoints of a tenant or of all above a position, by position: to be kept
    /// elsewhere. No two have the same position.
    ///
    /// # Errors
    /// [`IntegrityError::Read`], also if one of them cannot be read.
    pub async fn list(
        &self,
        tenant: Option<&str>,
        after: Position,
        limit: usize,
    ) -> Result<Vec<Checkpoint>, IntegrityError> {
        list(self.store.database(), tenant, after, limit).await
    }
}

/// Whether an event is the one that was signed.
pub(super) fn stands_over(checkpoint: &Checkpoint, link: &Link) -> bool {
    checkpoint.tenant == link.tenant
        && checkpoint.position == link.position
        && checkpoint.tenant_sequence == link.end.sequence
        && checkpoint.hash == link.end.hash
}

async fn list(
    database: &Database,
    tenant: Option<&str>,
    after: Position,
    limit: usize,
) -> Result<Vec<Checkpoint>, IntegrityError> {
    let end = Position(u64::MAX);
    let cursor = Cursor::above(Some(after.0));
    let rows = table::between(database, tenant, &cursor, end, limit).await?;
    readable(rows)
}

/// Up to `limit` checkpoints of a tenant or of all, the last one first, only those below a position if
/// one is given: to be shown. No two have the same position. Nobody has to sign for that.
///
/// # Errors
/// [`IntegrityError::Read`], also if one of them cannot be read.
pub async fn newest(
    store: &dyn EventStore,
    tenant: Option<&str>,
    before: Option<Position>,
    limit: usize,
) -> Result<Vec<Checkpoint>, IntegrityError> {
    let before = before.unwrap_or(Position(u64::MAX));
    readable(table::newest(store.database(), tenant, before, limit).await?)
}

fn readable(rows: Vec<table::Kept>) -> Result<Vec<Checkpoint>, IntegrityError> {
    let readable = rows.into_iter().map(|row| {
        row.map_err(|row| {
            let (position, message) = (row.position, row.message);
            IntegrityError::Read(ReadError::Corrupt { position, message })
        })
    });
    readable.collect()
}

impl SignedAll {
    fn refuse(&mut self, tenant: String, error: &IntegrityError) {
        self.refusals += 1;
        tracing::error!(%tenant, %error, "a chain is not signed");
        if self.refused.len() < MOST_DESCRIBED {
            self.refused.push(Refused {
                tenant,
                code: error.code(),
                message: error.to_string(),
            });
        }
    }
}

impl fmt::Debug for Checkpoints {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Checkpoints(key {:?})", self.signer.key_id())
    }
}
