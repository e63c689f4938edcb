//! The handle: running projections, and telling those that run what to do.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use time::OffsetDateTime;
use uuid::Uuid;

use super::engine::{Engine, Limits, Signals};
use super::register::Layout;
use super::runner::{ProjectionRunner, RunnerOptions};
use super::table::{Control, Generation, Lock, Mode, checkpoints, control};
use super::wait::Active;
use super::{Projection, ProjectionError, swap};
use crate::chain::microseconds;
use crate::database::Session;
use crate::event::Position;
use crate::store::EventStore;

/// Settings that are not of one projection.
#[derive(Debug, Clone)]
pub struct ProjectionOptions {
    /// Time for leases on SQLite, and for ages in a status.
    pub clock: fn() -> OffsetDateTime,
    /// A projection counts as [`Behind`](super::ProjectionState::Behind) when the first event that it
    /// has not applied is older than this.
    pub behind_after: Duration,
}

impl Default for ProjectionOptions {
    fn default() -> Self {
        Self {
            clock: OffsetDateTime::now_utc,
            behind_after: Duration::from_secs(10),
        }
    }
}

/// The projections of a store: to run them, to ask them, to control them.
///
/// Clones are the same handle. What is told to one counts for all replicas; in this process at once, in
/// others within [`RunnerOptions::poll_interval`] (but for inline ones, within a quarter of a second).
#[derive(Clone)]
pub struct Projections {
    pub(crate) store: Arc<dyn EventStore>,
    pub(crate) options: ProjectionOptions,
    pub(crate) signals: Arc<Signals>,
    /// Active generations as they were last seen; every answer checks whether it still is so.
    pub(crate) seen: Arc<Mutex<HashMap<String, Active>>>,
}

impl std::fmt::Debug for Projections {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Projections of {}", self.store.id())
    }
}

impl Projections {
    /// The projections of a store.
    pub fn new(store: Arc<dyn EventStore>, options: ProjectionOptions) -> Self {
        Self {
            store,
            options,
            signals: Arc::default(),
            seen: Arc::default(),
        }
    }

    /// Runs a projection until the runner is stopped or dropped. Any number of replicas may do so: each
    /// partition is worked on by one of them, and by another when that one is silent.
    ///
    /// Of a version that is higher than the active one, the documents are built beside the old ones and
    /// swapped in when they are as far. A lower version waits. Must be called inside a Tokio runtime.
    ///
    /// # Errors
    /// [`ProjectionError::Invalid`]: a name or an option out of bounds.
    pub fn run(
        &self,
        projection: Arc<dyn Projection>,
        options: &RunnerOptions,
    ) -> Result<ProjectionRunner, ProjectionError> {
        super::register::check_name(projection.name())?;
        options.check()?;
        let engine = Engine {
            database: self.store.database().clone(),
            clock: self.options.clock,
            owner: Uuid::new_v4().to_string(),
            lease: options.lease,
            limits: Limits {
                page_events: u64::from(options.page_events),
                batch_events: u64::from(options.batch_events),
                batch_documents: options.batch_documents as usize,
                cached_documents: options.cached_documents as usize,
            },
            signals: Arc::clone(&self.signals),
        };
        let head = self.store.head_watch();
        Ok(ProjectionRunner::start(engine, projection, options, head))
    }

    /// Stops a projection until [`resume`](Self::resume): when this returns, no replica applies
    /// anything. Its documents can be asked as they are.
    ///
    /// # Errors
    /// [`ProjectionError::Unknown`] and [`ProjectionError::Unavailable`], as all that follow.
    pub async fn pause(&self, projection: &str) -> Result<(), ProjectionError> {
        self.set_paused(projection, true).await
    }

    /// Lets a projection go on where it was stopped.
    ///
    /// # Errors
    /// As [`pause`](Self::pause).
    pub async fn resume(&self, projection: &str) -> Result<(), ProjectionError> {
        self.set_paused(projection, false).await
    }

    async fn set_paused(&self, projection: &str, paused: bool) -> Result<(), ProjectionError> {
        let change = async |session: &mut Session<'_>, row: &mut Control| {
            row.paused = paused;
            control::write(session, row).await
        };
        self.change(projection, change).await
    }

    /// Has a projection that failed try the event again; gives the number of partitions that had.
    ///
    /// # Errors
    /// As [`pause`](Self::pause).
    pub async fn retry(&self, projection: &str) -> Result<u64, ProjectionError> {
        let change = async |session: &mut Session<'_>, row: &mut Control| {
            let mut failed = checkpoints::clear_failures(session, row.active).await?;
            if let Some(building) = row.building {
                failed += checkpoints::clear_failures(session, building).await?;
            }
            Ok(failed)
        };
        self.change(projection, change).await
    }

    /// Takes all documents and the checkpoint away, at once; they are built again from the first event.
    /// Until then answers are of what is built so far, with the position that they are as of. To go on
    /// answering from the old documents meanwhile, [`rebuild`](Self::rebuild).
    ///
    /// # Errors
    /// As [`pause`](Self::pause).
    pub async fn clear(&self, projection: &str) -> Result<(), ProjectionError> {
        let now = self.now();
        let change = async |session: &mut Session<'_>, row: &mut Control| {
            let like = active(session, row).await?;
            let version = like.version;
            let new = empty(version, layout(row, &like, None), now);
            let number = control::add_generation(session, &row.projection, &new).await?;
            swap::activate(session, row, number).await
        };
        self.change(projection, change).await
    }

    /// Has all replicas forget the documents that they keep in memory, and read them again.
    ///
    /// # Errors
    /// As [`pause`](Self::pause).
    pub async fn clear_cache(&self, projection: &str) -> Result<(), ProjectionError> {
        let change = async |session: &mut Session<'_>, row: &mut Control| {
            row.cache_epoch += 1;
            control::write(session, row).await
        };
        self.change(projection, change).await
    }

    /// Has the documents built anew from the first event, beside the active ones, and swapped in when
    /// they are as far: a full refresh. Gives the number of the generation that is built; if one of this
    /// version is being built already, that one's.
    ///
    /// `version`: that of the active documents if none is given. A lower one takes a release back that
    /// had a higher one.
    ///
    /// # Errors
    /// As [`pause`](Self::pause).
    pub async fn rebuild(
        &self,
        projection: &str,
        version: Option<u32>,
    ) -> Result<u64, ProjectionError> {
        self.rebuild_as(projection, version, None).await
    }

    pub(crate) async fn rebuild_as(
        &self,
        projection: &str,
        version: Option<u32>,
        wanted: Option<Layout>,
    ) -> Result<u64, ProjectionError> {
        let now = self.now();
        let change = async |session: &mut Session<'_>, row: &mut Control| {
            let generations = control::generations(session, &row.projection).await?;
            let find = |number| generations.iter().find(|one| one.number == number);
            let active = find(row.active).ok_or(sqlx::Error::RowNotFound)?;
            let version = version.unwrap_or(active.version);
            if let Some(building) = row.building.and_then(find) {
                if building.version == version && wanted.is_none() {
                    return Ok(building.number.unsigned_abs());
                }
                control::set_state(session, building.number, "dropped").await?;
            }
            let new = Generation {
                state: "building".to_owned(),
                ..empty(version, layout(row, active, wanted), now)
            };
            let number = control::add_generation(session, &row.projection, &new).await?;
            row.building = Some(number);
            row.hold_until = 0;
            control::write(session, row).await?;
            Ok(number.unsigned_abs())
        };
        self.change(projection, change).await
    }

    /// Gives up what is being built anew; the active documents stay, and go on following. False if nothing
    /// is being built.
    ///
    /// # Errors
    /// As [`pause`](Self::pause), and [`ProjectionError::Invalid`] for what is built because a program of a
    /// higher version runs: nobody would follow with the active documents then.
    pub async fn cancel_rebuild(&self, projection: &str) -> Result<bool, ProjectionError> {
        let change = async |session: &mut Session<'_>, row: &mut Control| {
            let generations = control::generations(session, &row.projection).await?;
            let version = |number| {
                let one = generations.iter().find(|one| one.number == number);
                one.map(|one| one.version)
            };
            let Some(building) = row.building else {
                return Ok(Ok(false));
            };
            if let (Some(new), Some(old)) = (version(building), version(row.active))
                && new > old
            {
                return Ok(Err(new));
            }
            control::set_state(session, building, "dropped").await?;
            row.building = None;
            row.hold_until = 0;
            control::write(session, row).await?;
            Ok(Ok(true))
        };
        let given_up = self.change(projection, change).await?;
        given_up.map_err(|version| {
            ProjectionError::invalid(
                "projection",
                format!(
                    "version {version} is built for the release that runs; run the former one and rebuild \
                     with its version"
                ),
            )
        })
    }

    /// As [`rebuild`](Self::rebuild), with the documents divided in another way. An inline projection is
    /// not divided.
    ///
    /// # Errors
    /// As [`pause`](Self::pause), and [`ProjectionError::Invalid`].
    pub async fn repartition(
        &self,
        projection: &str,
        options: &RunnerOptions,
    ) -> Result<u64, ProjectionError> {
        options.check()?;
        let layout = Layout {
            partitions: options.partitions,
            by: options.partition_by,
        };
        self.rebuild_as(projection, None, Some(layout)).await
    }

    /// Brings a projection to where the store ends now: an incremental refresh. Gives the position that
    /// it has reached, at least that one.
    ///
    /// # Errors
    /// As [`pause`](Self::pause), [`ProjectionError::Failed`], and [`ProjectionError::Behind`] when the
    /// time does not suffice.
    pub async fn refresh(
        &self,
        projection: &str,
        timeout: Duration,
    ) -> Result<Position, ProjectionError> {
        let head = self.store.head().await;
        let head = head.map_err(|error| ProjectionError::Unavailable {
            message: error.to_string(),
        })?;
        self.signals.controlled();
        self.wait(projection, head, timeout).await
    }

    /// Has the documents built anew and waits until they are the active ones: a full refresh. Gives the
    /// position that they have reached.
    ///
    /// # Errors
    /// As [`refresh`](Self::refresh); the building goes on when the time does not suffice.
    pub async fn refresh_full(
        &self,
        projection: &str,
        timeout: Duration,
    ) -> Result<Position, ProjectionError> {
        let number = self.rebuild(projection, None).await?;
        self.wait_for_swap(projection, number, timeout).await
    }

    /// Takes everything of a projection away that is not run any more. One that is run begins anew when its
    /// program starts again.
    ///
    /// # Errors
    /// As [`pause`](Self::pause).
    pub async fn remove(&self, projection: &str) -> Result<(), ProjectionError> {
        let change = async |session: &mut Session<'_>, row: &mut Control| {
            for generation in control::generations(session, &row.projection).await? {
                control::set_state(session, generation.number, "dropped").await?;
            }
            control::remove(session, &row.projection).await
        };
        match self.change(projection, change).await {
            // What a removal that was cut off left behind.
            Err(ProjectionError::Unknown { .. })
                if swap::sweep_some(self.store.database(), projection).await? => {}
            outcome => outcome?,
        }
        while swap::sweep_some(self.store.database(), projection).await? {}
        Ok(())
    }

    fn now(&self) -> i64 {
        microseconds((self.options.clock)())
    }

    /// Changes a control row, while nobody applies anything and nobody appends.
    async fn change<T>(
        &self,
        projection: &str,
        change: impl AsyncFnOnce(&mut Session<'_>, &mut Control) -> Result<T, sqlx::Error>,
    ) -> Result<T, ProjectionError> {
        let mut transaction = self.store.database().begin().await?;
        let mut session = transaction.session();
        control::take_lane(&mut session).await?;
        let Some(mut row) = control::read(&mut session, projection, Lock::Update).await? else {
            transaction.rollback().await?;
            return Err(ProjectionError::unknown(projection));
        };
        let outcome = change(&mut session, &mut row).await?;
        transaction.commit().await?;
        self.signals.controlled();
        Ok(outcome)
    }
}

async fn active(session: &mut Session<'_>, row: &Control) -> Result<Generation, sqlx::Error> {
    let generations = control::generations(session, &row.projection).await?;
    let active = generations.into_iter().find(|one| one.number == row.active);
    active.ok_or(sqlx::Error::RowNotFound)
}

/// How a generation is to be divided that takes the place of another.
fn layout(row: &Control, like: &Generation, wanted: Option<Layout>) -> Layout {
    match (row.mode, wanted) {
        (Mode::Inline, _) => Layout::WHOLE,
        (Mode::Async, Some(wanted)) => wanted,
        (Mode::Async, None) => Layout {
            partitions: like.partitions,
            by: like.by,
        },
    }
}

/// A generation to be added.
fn empty(version: u32, layout: Layout, now: i64) -> Generation {
    Generation {
        number: 0,
        version,
        partitions: layout.partitions,
        by: layout.by,
        state: "active".to_owned(),
        created_at: now,
    }
}
