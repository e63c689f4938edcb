//! Putting another generation in the place of the active one, and clearing away what was there.

use super::engine::{Engine, Task};
use super::table::{Control, Generation, Lock, Mode, checkpoints, control, documents, events};
use crate::database::{Database, Session};

/// How near the head a generation has to be to be swapped in. Whoever waits for a position goes on
/// waiting for the rest; what no reader may see is an answer from before one it had.
const NEAR: u64 = 1000;

/// For how long the active generation waits for one that is nearly there, in microseconds. Else the
/// two could run side by side for ever.
const HOLD: i64 = 3_000_000;

/// Documents of an old generation that are deleted by one transaction.
const SWEEP: u64 = 2000;

/// Swaps the generation of a task in, if it is as far as the active one and near the head. True: it is
/// not being built any more.
pub(crate) async fn try_swap(engine: &Engine, task: &Task) -> Result<bool, sqlx::Error> {
    let head = events::head(&engine.database).await?;
    let mut transaction = engine.database.begin().await?;
    let mut session = transaction.session();
    let row = control::read(&mut session, task.name(), Lock::Update).await?;
    let Some(mut row) = row.filter(|row| row.building == Some(task.generation)) else {
        transaction.rollback().await?;
        return Ok(true);
    };
    let built = checkpoints::span(&mut session, task.generation).await?;
    let active = checkpoints::span(&mut session, row.active).await?;
    let is_near = built.least + NEAR >= head && !built.failed;
    if row.mode != Mode::Async || row.paused || !is_near {
        transaction.rollback().await?;
        return Ok(false);
    }
    if built.least < active.greatest {
        let now = engine.now();
        // As long as it is held it is not held afterwards, should the swap not come.
        if row.hold_until + HOLD <= now {
            row.hold_until = now + HOLD;
            control::write(&mut session, &row).await?;
        }
        transaction.commit().await?;
        return Ok(false);
    }
    activate(&mut session, &mut row, task.generation).await?;
    transaction.commit().await?;
    tracing::info!(
        projection = task.name(),
        generation = task.generation,
        position = built.least,
        "a projection was swapped"
    );
    engine.signals.controlled();
    Ok(true)
}

/// Makes a generation the active one; the control row is held alone.
pub(crate) async fn activate(
    session: &mut Session<'_>,
    row: &mut Control,
    generation: i64,
) -> Result<(), sqlx::Error> {
    control::set_state(session, row.active, "dropped").await?;
    if let Some(building) = row.building.filter(|building| *building != generation) {
        control::set_state(session, building, "dropped").await?;
    }
    control::set_state(session, generation, "active").await?;
    row.active = generation;
    row.building = None;
    row.hold_until = 0;
    control::write(session, row).await
}

/// Deletes a piece of what was swapped out. True: there is more.
pub(crate) async fn sweep_some(database: &Database, projection: &str) -> Result<bool, sqlx::Error> {
    let generations = control::look_at_generations(database, projection).await?;
    let is_gone = |generation: &&Generation| generation.state == "dropped";
    let Some(gone) = generations.iter().find(is_gone) else {
        return Ok(false);
    };
    let mut transaction = database.begin().await?;
    let mut session = transaction.session();
    let deleted = documents::delete_some(&mut session, gone.number, SWEEP).await?;
    if deleted < SWEEP {
        control::forget_generation(&mut session, gone.number).await?;
    }
    transaction.commit().await?;
    Ok(true)
}
