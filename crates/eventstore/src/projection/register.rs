//! What a projection of the program means for the tables: which generations there have to be, and
//! which of them are to be worked on.

use std::sync::Arc;

use super::partition::{PartitionBy, Share};
use super::table::{Control, Generation, Lock, Mode, control};
use super::{Projection, ProjectionError, engine::Task};
use crate::database::{Database, Session};

const MAX_NAME_BYTES: usize = 128;

/// Greatest number of partitions.
pub(crate) const MAX_PARTITIONS: u32 = 256;

/// How a new generation is divided.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    pub(crate) partitions: u32,
    pub(crate) by: PartitionBy,
}

impl Layout {
    /// That of an inline projection: the lane is one.
    pub(crate) const WHOLE: Self = Self {
        partitions: 1,
        by: PartitionBy::Tenant,
    };
}

/// Sees to it that the tables know the projection in this version and mode. The last one to say how it
/// is run, is right; a lower version than the active one changes nothing.
pub(crate) async fn register(
    database: &Database,
    projection: &dyn Projection,
    mode: Mode,
    layout: Layout,
    now: i64,
) -> Result<(), ProjectionError> {
    check_name(projection.name())?;
    let mut transaction = database.begin().await?;
    let mut session = transaction.session();
    // Every change of a control row holds the lane, and so keeps inline projections from running.
    control::take_lane(&mut session).await?;
    let is_changed = change(&mut session, projection, mode, layout, now).await?;
    match is_changed {
        true => transaction.commit().await?,
        false => transaction.rollback().await?,
    }
    Ok(())
}

async fn change(
    session: &mut Session<'_>,
    projection: &dyn Projection,
    mode: Mode,
    layout: Layout,
    now: i64,
) -> Result<bool, sqlx::Error> {
    let (name, version) = (projection.name(), projection.version());
    let new = |state: &str| Generation {
        number: 0,
        version,
        partitions: layout.partitions,
        by: layout.by,
        state: state.to_owned(),
        created_at: now,
    };
    let Some(mut row) = control::read(session, name, Lock::Update).await? else {
        // There is nothing else to answer from, so an answer of its beginnings is better than none.
        let active = control::add_generation(session, name, &new("active")).await?;
        let row = Control {
            projection: name.to_owned(),
            mode,
            active,
            building: None,
            paused: false,
            cache_epoch: 0,
            hold_until: 0,
        };
        control::write(session, &row).await?;
        return Ok(true);
    };
    let before = row.clone();
    let generations = control::generations(session, name).await?;
    let find = |number: i64| {
        generations
            .iter()
            .find(|generation| generation.number == number)
    };
    let (active, building) = (find(row.active), row.building.and_then(find));
    let is_superseded = active.is_some_and(|active| active.version > version);
    if !is_superseded {
        row.mode = mode;
        let is_there = |generation: &Generation| is_usable(generation, version, mode);
        let is_newer = building.is_some_and(|building| building.version > version);
        if !active.is_some_and(is_there) && !building.is_some_and(is_there) && !is_newer {
            if let Some(old) = row.building {
                control::set_state(session, old, "dropped").await?;
            }
            row.building = Some(control::add_generation(session, name, &new("building")).await?);
        }
    }
    if row == before {
        return Ok(false);
    }
    control::write(session, &row).await?;
    Ok(true)
}

/// Whether a program with this version, and run in this mode, can work on a generation.
fn is_usable(generation: &Generation, version: u32, mode: Mode) -> bool {
    generation.version == version && (mode == Mode::Async || generation.partitions == 1)
}

/// What is to be worked on now.
pub(crate) async fn tasks(
    database: &Database,
    projection: &Arc<dyn Projection>,
    mode: Mode,
) -> Result<Vec<Task>, sqlx::Error> {
    let name = projection.name();
    let controls = control::look(database, Some(name)).await?;
    let Some(row) = controls
        .first()
        .filter(|row| !row.paused && row.mode == mode)
    else {
        return Ok(Vec::new());
    };
    let generations = control::look_at_generations(database, name).await?;
    let wanted = generations.iter().filter(|generation| {
        let is_wanted = generation.number == row.active || Some(generation.number) == row.building;
        is_wanted && is_usable(generation, projection.version(), mode)
    });
    let tasks = wanted.flat_map(|generation| {
        (0..generation.partitions).map(|partition| Task {
            projection: Arc::clone(projection),
            generation: generation.number,
            share: Share {
                by: generation.by,
                partition,
                partitions: generation.partitions,
            },
            mode,
            cache_epoch: row.cache_epoch,
            building: generation.number != row.active,
        })
    });
    Ok(tasks.collect())
}

pub(crate) fn check_name(name: &str) -> Result<(), ProjectionError> {
    if (1..=MAX_NAME_BYTES).contains(&name.len()) && !name.contains('\0') {
        return Ok(());
    }
    let message = format!("a name has 1 to {MAX_NAME_BYTES} bytes and no NUL");
    Err(ProjectionError::invalid("projection", message))
}
