//! What the projections of a store are doing.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use time::OffsetDateTime;

use super::ProjectionError;
use super::control::Projections;
use super::partition::PartitionBy;
use super::table::checkpoints::{self, Checkpoint};
use super::table::{Control, Generation, control, events};
use crate::database::from_microseconds;
use crate::event::Position;

/// After this long without a batch a rate is of the past.
const RATE_LASTS: i64 = 10_000_000;

/// What a projection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ProjectionState {
    /// It applies what comes.
    Running,
    /// It was stopped by an operator.
    Paused,
    /// It answers from the active documents while others are built.
    Building,
    /// It cannot get past an event; or what is built beside it cannot, and will not take its place.
    Failed,
    /// It has not applied events that are old, or nobody runs it.
    Behind,
}

impl fmt::Display for ProjectionState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Building => "building",
            Self::Failed => "failed",
            Self::Behind => "behind",
        })
    }
}

/// The event that a partition cannot get past.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// Position of the event.
    pub position: Position,
    /// What the projection said.
    pub message: String,
    /// When it was tried.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
}

/// How far a partition is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartitionStatus {
    /// Which one, from 0.
    pub partition: u32,
    /// Everything up to here is applied.
    pub position: Position,
    /// Events that are not applied.
    pub lag_events: u64,
    /// Number of documents.
    pub documents: u64,
    /// Events applied per second of late.
    pub events_per_second: u64,
    /// Who works on it; none for an inline projection that is up to date.
    pub runner: Option<String>,
    /// Why it does not go on, if it does not.
    pub failure: Option<Failure>,
}

/// One build of a projection's documents.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GenerationStatus {
    /// Its number; a later one is greater.
    pub generation: u64,
    /// Version of the projection.
    pub version: u32,
    /// What it is divided by.
    pub partitioned_by: PartitionBy,
    /// When it was begun.
    #[serde(with = "time::serde::rfc3339")]
    pub begun_at: OffsetDateTime,
    /// Everything up to here is applied, in all partitions.
    pub position: Position,
    /// Events that are not applied.
    pub lag_events: u64,
    /// Age of the first event that is not applied.
    pub lag_seconds: f64,
    /// How much of the store is applied: 0 to 1.
    pub progress: f64,
    /// Number of documents, of all tenants.
    pub documents: u64,
    /// Events applied per second of late.
    pub events_per_second: u64,
    /// Its parts.
    pub partitions: Vec<PartitionStatus>,
}

/// What a projection is doing.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProjectionStatus {
    /// Its name.
    pub projection: String,
    /// Whether appends bring it up to date themselves.
    pub inline: bool,
    /// What it is doing, all in all.
    pub state: ProjectionState,
    /// What is to be said about it, for an operator.
    pub reason: Option<String>,
    /// Where the store ends.
    pub head: Position,
    /// The documents that are asked.
    pub active: GenerationStatus,
    /// The documents that are built beside them.
    pub building: Option<GenerationStatus>,
}

impl Projections {
    /// What a projection is doing.
    ///
    /// # Errors
    /// [`ProjectionError::Unknown`] and [`ProjectionError::Unavailable`].
    pub async fn status(&self, projection: &str) -> Result<ProjectionStatus, ProjectionError> {
        loop {
            let rows = control::look(self.store.database(), Some(projection)).await?;
            let row = rows.first();
            let row = row.ok_or_else(|| ProjectionError::unknown(projection))?;
            if let Some(status) = self.describe(row).await? {
                return Ok(status);
            }
        }
    }

    /// What all projections are doing, by name.
    ///
    /// # Errors
    /// [`ProjectionError::Unavailable`].
    pub async fn statuses(&self) -> Result<Vec<ProjectionStatus>, ProjectionError> {
        let mut statuses = Vec::new();
        for row in control::look(self.store.database(), None).await? {
            match self.status(&row.projection).await {
                Ok(status) => statuses.push(status),
                // Removed meanwhile.
                Err(ProjectionError::Unknown { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(statuses)
    }

    /// None: it was swapped while it was looked at.
    async fn describe(&self, row: &Control) -> Result<Option<ProjectionStatus>, ProjectionError> {
        let database = self.store.database();
        let generations = control::look_at_generations(database, &row.projection).await?;
        let numbers = [Some(row.active), row.building].into_iter().flatten();
        // Read before the head, which so is never below them.
        let checkpoints = checkpoints::look(database, numbers.collect()).await?;
        let head = events::head(database).await?;
        let find = |number: i64| generations.iter().find(|one| one.number == number);
        let Some(active) = find(row.active) else {
            return Ok(None);
        };
        let active = self.generation(active, &checkpoints, head).await?;
        let building = match row.building.and_then(find) {
            Some(building) => Some(self.generation(building, &checkpoints, head).await?),
            None => None,
        };
        let (state, reason) = self.state(row, &active, building.as_ref());
        Ok(Some(ProjectionStatus {
            projection: row.projection.clone(),
            inline: row.mode == super::table::Mode::Inline,
            state,
            reason,
            head: Position(head),
            active,
            building,
        }))
    }

    async fn generation(
        &self,
        generation: &Generation,
        checkpoints: &[Checkpoint],
        head: u64,
    ) -> Result<GenerationStatus, ProjectionError> {
        let now = (self.options.clock)();
        let own = checkpoints
            .iter()
            .filter(|one| one.generation == generation.number);
        let partitions: Result<Vec<_>, _> = own.map(|one| partition(one, head, now)).collect();
        let partitions = partitions?;
        let sum = |of: fn(&PartitionStatus) -> u64| partitions.iter().map(of).sum::<u64>();
        let position = partitions
            .iter()
            .map(|one| one.position.0)
            .min()
            .unwrap_or(0);
        let first = match position < head {
            true => events::recorded_after(self.store.database(), position).await?,
            false => None,
        };
        let age = first.map_or(0.0, |at| (now - at).as_seconds_f64().max(0.0));
        Ok(GenerationStatus {
            generation: generation.number.unsigned_abs(),
            version: generation.version,
            partitioned_by: generation.by,
            begun_at: from_microseconds(generation.created_at)?,
            position: Position(position),
            lag_events: head.saturating_sub(position),
            lag_seconds: age,
            progress: match head {
                0 => 1.0,
                head => (position as f64 / head as f64).min(1.0),
            },
            documents: sum(|one| one.documents),
            events_per_second: sum(|one| one.events_per_second),
            partitions,
        })
    }

    fn state(
        &self,
        row: &Control,
        active: &GenerationStatus,
        building: Option<&GenerationStatus>,
    ) -> (ProjectionState, Option<String>) {
        let failure_of = |generation: &GenerationStatus| {
            let mut partitions = generation.partitions.iter();
            let failure = partitions.find_map(|one| one.failure.clone())?;
            Some(format!(
                "version {} cannot apply the event at position {}: {}",
                generation.version, failure.position, failure.message
            ))
        };
        let unattended = |generation: &GenerationStatus| {
            let mut partitions = generation.partitions.iter();
            partitions.any(|one| one.runner.is_none() && one.lag_events > 0)
        };
        if row.paused {
            return (ProjectionState::Paused, Some("it was paused".into()));
        }
        if let Some(reason) = failure_of(active) {
            return (ProjectionState::Failed, Some(reason));
        }
        if let Some(reason) = building.and_then(failure_of) {
            return (ProjectionState::Failed, Some(reason));
        }
        if let Some(building) = building {
            let percent = building.progress * 100.0;
            let reason = format!("version {} is built, {percent:.1} % done", building.version);
            return (ProjectionState::Building, Some(reason));
        }
        if unattended(active) {
            let reason = format!(
                "nobody works on version {} at the moment: a process that runs it takes it up within \
                 seconds, if there is one",
                active.version
            );
            return (ProjectionState::Behind, Some(reason));
        }
        if Duration::try_from_secs_f64(active.lag_seconds)
            .is_ok_and(|lag| lag > self.options.behind_after)
        {
            let reason = format!("it is {:.0} s behind", active.lag_seconds);
            return (ProjectionState::Behind, Some(reason));
        }
        (ProjectionState::Running, None)
    }
}

fn partition(
    row: &Checkpoint,
    head: u64,
    now: OffsetDateTime,
) -> Result<PartitionStatus, ProjectionError> {
    let now = crate::chain::microseconds(now);
    let failure = row.failed.as_ref().map(|failed| {
        Ok::<_, sqlx::Error>(Failure {
            position: Position(failed.position),
            message: failed.message.clone(),
            at: from_microseconds(failed.at)?,
        })
    });
    Ok(PartitionStatus {
        partition: row.partition,
        position: Position(row.position),
        lag_events: head.saturating_sub(row.position),
        documents: row.documents,
        events_per_second: match now - row.written_at > RATE_LASTS {
            true => 0,
            false => row.rate,
        },
        runner: row.owner.clone().filter(|_| row.lease_until > now),
        failure: failure.transpose()?,
    })
}
