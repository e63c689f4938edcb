//! The rows of projections and of their generations.

use crate::backend::LANE;
use crate::database::{Database, Row, Session, Sql, arguments};
use crate::projection::partition::PartitionBy;

/// Who applies the events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    Async,
    Inline,
}

impl Mode {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Async => "async",
            Self::Inline => "inline",
        }
    }
}

/// A row of `projections`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Control {
    pub(crate) projection: String,
    pub(crate) mode: Mode,
    pub(crate) active: i64,
    pub(crate) building: Option<i64>,
    pub(crate) paused: bool,
    /// Grows when everybody is to forget the documents in memory.
    pub(crate) cache_epoch: i64,
    /// Until when the active generation waits for the swap; microseconds since 1970.
    pub(crate) hold_until: i64,
}

/// A row of `projection_generations`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Generation {
    pub(crate) number: i64,
    pub(crate) version: u32,
    pub(crate) partitions: u32,
    pub(crate) by: PartitionBy,
    pub(crate) state: String,
    pub(crate) created_at: i64,
}

/// How a control row is held to the end of the transaction. SQLite has one writer and needs none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lock {
    Share,
    Update,
}

const CONTROL: &str = "SELECT projection, mode, active, building, paused, cache_epoch, hold_until \
    FROM projections";

fn control(row: &Row) -> Result<Control, sqlx::Error> {
    Ok(Control {
        projection: row.text(0)?,
        mode: match row.text(1)?.as_str() {
            "inline" => Mode::Inline,
            _ => Mode::Async,
        },
        active: row.int(2)?,
        building: row.optional_int(3)?,
        paused: row.flag(4)?,
        cache_epoch: row.int(5)?,
        hold_until: row.int(6)?,
    })
}

/// Waits for the lane and holds it to the end of the transaction; gives the head.
pub(crate) async fn take_lane(session: &mut Session<'_>) -> Result<u64, sqlx::Error> {
    let taken = session
        .fetch_one(
            "UPDATE event_lanes SET head = head WHERE lane = $1 RETURNING head",
            arguments![i64::from(LANE)],
        )
        .await?;
    let row = taken.ok_or(sqlx::Error::RowNotFound)?;
    Ok(row.int(0)?.unsigned_abs())
}

pub(crate) async fn read(
    session: &mut Session<'_>,
    projection: &str,
    lock: Lock,
) -> Result<Option<Control>, sqlx::Error> {
    let plain = format!("{CONTROL} WHERE projection = $1");
    let locking = match lock {
        Lock::Share => format!("{plain} FOR SHARE"),
        Lock::Update => format!("{plain} FOR UPDATE"),
    };
    let row = session
        .fetch_one(Sql::each(locking, plain), arguments![projection])
        .await?;
    row.as_ref().map(control).transpose()
}

/// One row without a transaction, or all of them by name.
pub(crate) async fn look(
    database: &Database,
    projection: Option<&str>,
) -> Result<Vec<Control>, sqlx::Error> {
    let sql = format!("{CONTROL} WHERE $1 IS NULL OR projection = $1 ORDER BY projection");
    let sql = Sql::each(sql.replace("$1 IS", "$1::text IS"), sql);
    let rows = database
        .fetch(sql, arguments![projection.map(str::to_owned)])
        .await?;
    rows.iter().map(control).collect()
}

/// Writes every field but the name; makes the row if there is none.
pub(crate) async fn write(session: &mut Session<'_>, row: &Control) -> Result<(), sqlx::Error> {
    // Neither database takes the other's way to bind a truth value.
    let paused = if row.paused { "true" } else { "false" };
    session
        .execute(
            format!(
                "INSERT INTO projections (projection, mode, active, building, paused, \
                   cache_epoch, hold_until) VALUES ($1, $2, $3, $4, {paused}, $5, $6) \
                 ON CONFLICT (projection) DO UPDATE SET mode = excluded.mode, \
                   active = excluded.active, building = excluded.building, \
                   paused = excluded.paused, cache_epoch = excluded.cache_epoch, \
                   hold_until = excluded.hold_until"
            ),
            arguments![
                row.projection.as_str(),
                row.mode.as_str(),
                row.active,
                row.building,
                row.cache_epoch,
                row.hold_until,
            ],
        )
        .await?;
    Ok(())
}

/// Takes the row away.
pub(crate) async fn remove(session: &mut Session<'_>, projection: &str) -> Result<(), sqlx::Error> {
    let delete = "DELETE FROM projections WHERE projection = $1";
    session.execute(delete, arguments![projection]).await?;
    Ok(())
}

/// The generations of a projection that are not gone, oldest first.
pub(crate) async fn generations(
    session: &mut Session<'_>,
    projection: &str,
) -> Result<Vec<Generation>, sqlx::Error> {
    let rows = session.fetch(GENERATIONS, arguments![projection]).await?;
    rows.iter().map(generation).collect()
}

/// As [`generations`], without a transaction.
pub(crate) async fn look_at_generations(
    database: &Database,
    projection: &str,
) -> Result<Vec<Generation>, sqlx::Error> {
    let rows = database.fetch(GENERATIONS, arguments![projection]).await?;
    rows.iter().map(generation).collect()
}

const GENERATIONS: &str = "SELECT generation, version, partitions, partitioned_by, state, \
    created_at FROM projection_generations WHERE projection = $1 ORDER BY generation";

fn generation(row: &Row) -> Result<Generation, sqlx::Error> {
    let small =
        |number: i64| u32::try_from(number).map_err(|error| sqlx::Error::Decode(error.into()));
    Ok(Generation {
        number: row.int(0)?,
        version: small(row.int(1)?)?,
        partitions: small(row.int(2)?)?,
        by: PartitionBy::from_stored(&row.text(3)?),
        state: row.text(4)?,
        created_at: row.int(5)?,
    })
}

/// Makes a generation with its checkpoints at the start, and gives its number.
pub(crate) async fn add_generation(
    session: &mut Session<'_>,
    projection: &str,
    new: &Generation,
) -> Result<i64, sqlx::Error> {
    let row = session
        .fetch_one(
            "INSERT INTO projection_generations \
               (projection, version, partitions, partitioned_by, state, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6) RETURNING generation",
            arguments![
                projection,
                i64::from(new.version),
                i64::from(new.partitions),
                new.by.as_str(),
                new.state.as_str(),
                new.created_at,
            ],
        )
        .await?
        .ok_or(sqlx::Error::RowNotFound)?;
    let number = row.int(0)?;
    let partitions: Vec<i64> = (0..i64::from(new.partitions)).collect();
    session
        .execute(
            Sql::each(
                "INSERT INTO projection_checkpoints (generation, partition, position, documents, \
                   rate, written_at, epoch, lease_until) \
                 SELECT $1, partition, 0, 0, 0, 0, 0, 0 FROM unnest($2::bigint[]) AS p (partition)",
                "INSERT INTO projection_checkpoints (generation, partition, position, documents, \
                   rate, written_at, epoch, lease_until) \
                 SELECT $1, value, 0, 0, 0, 0, 0, 0 FROM json_each($2)",
            ),
            arguments![number, partitions],
        )
        .await?;
    Ok(number)
}

pub(crate) async fn set_state(
    session: &mut Session<'_>,
    generation: i64,
    state: &str,
) -> Result<(), sqlx::Error> {
    session
        .execute(
            "UPDATE projection_generations SET state = $2 WHERE generation = $1",
            arguments![generation, state],
        )
        .await?;
    Ok(())
}

/// Takes a generation without documents away.
pub(crate) async fn forget_generation(
    session: &mut Session<'_>,
    generation: i64,
) -> Result<(), sqlx::Error> {
    for delete in [
        "DELETE FROM projection_checkpoints WHERE generation = $1",
        "DELETE FROM projection_generations WHERE generation = $1",
    ] {
        session.execute(delete, arguments![generation]).await?;
    }
    Ok(())
}
