//! The checkpoints of inline projections, which are moved under the lane and need no lease.

use super::unsigned;
use crate::database::{Row, Session, Sql, arguments};

/// The checkpoint of an inline projection that is not stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Current {
    pub(crate) projection: String,
    pub(crate) version: i64,
    pub(crate) generation: i64,
    pub(crate) position: u64,
    pub(crate) documents: u64,
}

/// Holds the checkpoints of those inline projections that are neither paused nor failed.
pub(crate) async fn lock(
    session: &mut Session<'_>,
    projections: Vec<String>,
) -> Result<Vec<Current>, sqlx::Error> {
    let sql = |named: &str, lock: &str| {
        format!(
            "SELECT p.projection, g.version, c.generation, c.position, c.documents \
             FROM projections AS p JOIN projection_generations AS g ON g.generation = p.active \
             JOIN projection_checkpoints AS c ON c.generation = p.active AND c.partition = 0 \
             WHERE p.projection {named} AND p.mode = 'inline' AND NOT p.paused \
               AND g.partitions = 1 AND c.failed_position IS NULL \
             ORDER BY p.projection {lock}"
        )
    };
    let sql = Sql::each(
        sql("= ANY ($1)", "FOR UPDATE OF c"),
        sql("IN (SELECT value FROM json_each($1))", ""),
    );
    let rows = session.fetch(sql, arguments![projections]).await?;
    let current = |row: &Row| {
        Ok(Current {
            projection: row.text(0)?,
            version: row.int(1)?,
            generation: row.int(2)?,
            position: unsigned(row.int(3)?),
            documents: unsigned(row.int(4)?),
        })
    };
    rows.iter().map(current).collect()
}

/// Holds the one checkpoint of a generation and gives its position; none if it failed or is gone.
pub(crate) async fn lock_position(
    session: &mut Session<'_>,
    generation: i64,
) -> Result<Option<u64>, sqlx::Error> {
    let plain = "SELECT position FROM projection_checkpoints \
        WHERE generation = $1 AND partition = 0 AND failed_position IS NULL";
    let sql = Sql::each(format!("{plain} FOR UPDATE"), plain);
    let row = session.fetch_one(sql, arguments![generation]).await?;
    row.map(|row| Ok(unsigned(row.int(0)?))).transpose()
}

/// Moves the checkpoints of inline projections, each with the growth of its documents.
pub(crate) async fn advance(
    session: &mut Session<'_>,
    moved: Vec<(i64, i64)>,
    to: u64,
    now: i64,
) -> Result<(), sqlx::Error> {
    if moved.is_empty() {
        return Ok(());
    }
    let (generations, grows): (Vec<i64>, Vec<i64>) = moved.into_iter().unzip();
    let sql = Sql::each(
        "UPDATE projection_checkpoints AS c \
         SET position = $3, written_at = $4, documents = c.documents + moved.grows \
         FROM unnest($1::bigint[], $2::bigint[]) AS moved (generation, grows) \
         WHERE c.generation = moved.generation AND c.partition = 0",
        "UPDATE projection_checkpoints \
         SET position = $3, written_at = $4, documents = documents \
           + (SELECT $2 ->> ('$[' || key || ']') FROM json_each($1) WHERE value = generation) \
         WHERE partition = 0 AND generation IN (SELECT value FROM json_each($1))",
    );
    session
        .execute(sql, arguments![generations, grows, to, now])
        .await?;
    Ok(())
}
