//! Waiting until a projection is as far as somebody needs it (read your writes).

use std::time::Duration;

use tokio::time::Instant;

use super::control::Projections;
use super::partition::PartitionBy;
use super::table::{checkpoints, control};
use super::{ProjectionError, ProjectionState, select};
use crate::event::Position;

/// Pauses between two looks at the checkpoint, when another process moves it.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// The active generation of a projection, as far as it does not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Active {
    pub(crate) generation: i64,
    pub(crate) version: u32,
    pub(crate) partitions: u32,
    pub(crate) by: PartitionBy,
}

/// The partitions that an answer comes from: first and last.
pub(crate) type Span = (u32, u32);

impl Active {
    /// Where all documents of a tenant are.
    pub(crate) fn span_of_tenant(&self, tenant: &str) -> Span {
        match self.by {
            PartitionBy::Tenant => self.span_of(tenant, ""),
            PartitionBy::Key => self.span(),
        }
    }

    /// Where a document is.
    pub(crate) fn span_of(&self, tenant: &str, key: &str) -> Span {
        let partition = self.by.partition_of(self.partitions, tenant, key);
        (partition, partition)
    }

    /// Everything.
    pub(crate) fn span(&self) -> Span {
        (0, self.partitions.saturating_sub(1))
    }
}

impl Projections {
    /// Waits until a projection has applied everything up to a position, in all partitions, and gives
    /// the position that it has reached.
    ///
    /// # Errors
    /// [`ProjectionError::Behind`] when the time does not suffice, [`ProjectionError::Failed`] as soon as
    /// waiting is of no use, and those of [`pause`](Self::pause).
    pub async fn wait(
        &self,
        projection: &str,
        wanted: Position,
        timeout: Duration,
    ) -> Result<Position, ProjectionError> {
        let all = |active: &Active| active.span();
        self.wait_in(projection, all, wanted, Instant::now() + timeout)
            .await
    }

    /// As [`wait`](Self::wait), for some of the partitions.
    pub(crate) async fn wait_in(
        &self,
        projection: &str,
        span: impl Fn(&Active) -> Span,
        wanted: Position,
        until: Instant,
    ) -> Result<Position, ProjectionError> {
        let mut progress = self.signals.progress();
        let mut pause = FIRST_PAUSE;
        let mut seen = self.seen(projection);
        loop {
            progress.mark_unchanged();
            let active = match seen.take() {
                Some(active) => active,
                None => self.active(projection).await?,
            };
            let span = span(&active);
            let place = select::place(self.store.database(), &active, span, projection).await?;
            let Some(reached) = place else {
                // It is another one by now.
                continue;
            };
            if reached.position >= wanted {
                return Ok(reached.position);
            }
            let is_stopped = reached.failed.is_some_and(|failed| failed <= wanted);
            if is_stopped || Instant::now() >= until {
                return Err(self
                    .why(projection, active.generation, span, wanted)
                    .await?);
            }
            let next = (Instant::now() + pause).min(until);
            while let Ok(Ok(())) = tokio::time::timeout_at(next, progress.changed()).await {
                if !self.signals.knows_better(active.generation, span, wanted.0) {
                    break;
                }
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
            seen = Some(active);
        }
    }

    /// Waits until a generation is the active one.
    pub(crate) async fn wait_for_swap(
        &self,
        projection: &str,
        generation: u64,
        timeout: Duration,
    ) -> Result<Position, ProjectionError> {
        let until = Instant::now() + timeout;
        let number = i64::try_from(generation).unwrap_or(i64::MAX);
        let mut progress = self.signals.progress();
        loop {
            progress.mark_unchanged();
            let active = self.active(projection).await?;
            let checkpoints = checkpoints::look(self.store.database(), vec![number]).await?;
            // A younger one has taken its place if it was cleared meanwhile.
            if active.generation >= number {
                let least = checkpoints.iter().map(|one| one.position).min();
                return Ok(Position(least.unwrap_or(0)));
            }
            let is_stopped = checkpoints.iter().any(|one| one.failed.is_some());
            if is_stopped || Instant::now() >= until {
                let wanted = self.store.head_watch().borrow().to_owned();
                return Err(self.why(projection, number, (0, u32::MAX), wanted).await?);
            }
            let next = (Instant::now() + LONGEST_PAUSE).min(until);
            let _ = tokio::time::timeout_at(next, progress.changed()).await;
        }
    }

    /// The active generation, from the database.
    pub(crate) async fn active(&self, projection: &str) -> Result<Active, ProjectionError> {
        let database = self.store.database();
        loop {
            let rows = control::look(database, Some(projection)).await?;
            let row = rows.first();
            let row = row.ok_or_else(|| ProjectionError::unknown(projection))?;
            let generations = control::look_at_generations(database, projection).await?;
            let Some(found) = generations.iter().find(|one| one.number == row.active) else {
                // Swapped and cleared away between the two looks.
                continue;
            };
            let active = Active {
                generation: found.number,
                version: found.version,
                partitions: found.partitions,
                by: found.by,
            };
            let mut seen = self
                .seen
                .lock()
                .unwrap_or_else(|poisoned| poisoned.into_inner());
            seen.insert(projection.to_owned(), active);
            return Ok(active);
        }
    }

    /// Why a position is not reached.
    async fn why(
        &self,
        projection: &str,
        generation: i64,
        (first, last): Span,
        wanted: Position,
    ) -> Result<ProjectionError, ProjectionError> {
        let database = self.store.database();
        let mut checkpoints = checkpoints::look(database, vec![generation]).await?;
        checkpoints.retain(|one| (first..=last).contains(&one.partition));
        let projection = projection.to_owned();
        if let Some(failed) = checkpoints.iter().find_map(|one| one.failed.clone()) {
            return Ok(ProjectionError::Failed {
                projection,
                position: Position(failed.position),
                message: failed.message,
            });
        }
        let rows = control::look(database, Some(&projection)).await?;
        let least = checkpoints.iter().map(|one| one.position).min();
        Ok(ProjectionError::Behind {
            projection,
            wanted,
            reached: Position(least.unwrap_or(0)),
            state: match rows.iter().any(|row| row.paused) {
                true => ProjectionState::Paused,
                false => ProjectionState::Behind,
            },
        })
    }

    /// The active generation as it was last seen.
    pub(crate) fn seen(&self, projection: &str) -> Option<Active> {
        let seen = self
            .seen
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        seen.get(projection).copied()
    }
}
