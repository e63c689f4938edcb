//! Leases of partitions: who may work on them, while nobody else does. The fence in front of every write
//! is the epoch, which grows with every owner; time only tells when to try.

use tokio_util::sync::CancellationToken;

use super::engine::{Engine, Task, pause};
use super::table::checkpoints::{self, Lease, Taken};

/// How often a worker looks for a lease that another has.
const LOOKS_PER_LEASE: u32 = 4;

/// Waits for the lease; none if cancelled.
pub(super) async fn acquire(
    engine: &Engine,
    task: &Task,
    cancelled: &CancellationToken,
) -> Result<Option<Taken>, sqlx::Error> {
    loop {
        if cancelled.is_cancelled() {
            return Ok(None);
        }
        let mut transaction = engine.database.begin().await?;
        let taken = checkpoints::acquire(
            &mut transaction.session(),
            (task.generation, task.share.partition),
            &engine.owner,
            engine.now(),
            engine.lease_for(),
        )
        .await?;
        if taken.is_some() {
            transaction.commit().await?;
            return Ok(taken);
        }
        transaction.rollback().await?;
        if !pause(cancelled, engine.lease / LOOKS_PER_LEASE).await {
            return Ok(None);
        }
    }
}

/// Gives a lease back, so that the next one need not wait.
pub(super) async fn give_back(engine: &Engine, lease: Lease) -> Result<(), sqlx::Error> {
    let mut transaction = engine.database.begin().await?;
    checkpoints::release(&mut transaction.session(), lease).await?;
    transaction.commit().await
}

/// Prolongs a lease. False: somebody else has it.
pub(super) async fn renew(engine: &Engine, lease: Lease) -> Result<bool, sqlx::Error> {
    let mut transaction = engine.database.begin().await?;
    let (now, lease_for) = (engine.now(), engine.lease_for());
    let is_ours = checkpoints::renew(&mut transaction.session(), lease, now, lease_for).await?;
    transaction.commit().await?;
    Ok(is_ours)
}
