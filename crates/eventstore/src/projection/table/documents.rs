//! The rows of documents, many at once.
//!
//! PostgreSQL takes one array per column, SQLite one JSON array of rows.

use serde_json::Value;

use crate::database::{Argument, Database, Row, Session, Sql, arguments};
use crate::projection::changes::Upsert;
use crate::projection::fold::Name;

/// Bytes of documents that go into one statement.
const STATEMENT_BYTES: usize = 32 * 1024 * 1024;

/// A document as it is stored.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) generation: i64,
    pub(crate) name: Name,
    pub(crate) position: u64,
    pub(crate) data: Value,
}

/// Names of documents, by generation.
pub(crate) type Wanted = Vec<(i64, Name)>;

/// Those documents that exist.
pub(crate) async fn look(database: &Database, wanted: Wanted) -> Result<Vec<Stored>, sqlx::Error> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let arguments = named(wanted, database.is_sqlite())?;
    let rows = database.fetch(load(), arguments).await?;
    rows.iter().map(stored).collect()
}

/// As [`look`], within a transaction.
pub(crate) async fn read(
    session: &mut Session<'_>,
    wanted: Wanted,
) -> Result<Vec<Stored>, sqlx::Error> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let arguments = named(wanted, matches!(session, Session::Sqlite(_)))?;
    let rows = session.fetch(load(), arguments).await?;
    rows.iter().map(stored).collect()
}

/// As [`read`]; of one that is damaged the generation.
pub(crate) async fn read_each(
    session: &mut Session<'_>,
    wanted: Wanted,
) -> Result<Vec<Result<Stored, i64>>, sqlx::Error> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let arguments = named(wanted, matches!(session, Session::Sqlite(_)))?;
    let rows = session.fetch(load(), arguments).await?;
    let each = rows.iter().map(|row| {
        let generation = row.int(0)?;
        Ok(stored(row).map_err(|_| generation))
    });
    each.collect()
}

fn load() -> Sql<'static> {
    // A subquery with a LIMIT is looked up once per name; without, the planner may join otherwise.
    Sql::each(
        "SELECT wanted.generation, wanted.tenant, wanted.key, document.position, document.data \
         FROM unnest($1::bigint[], $2::text[], $3::text[]) AS wanted (generation, tenant, key) \
         CROSS JOIN LATERAL ( \
           SELECT position, data FROM projection_documents AS d \
           WHERE d.generation = wanted.generation AND d.tenant = wanted.tenant \
             AND d.key = wanted.key LIMIT 1) AS document",
        "SELECT d.generation, d.tenant, d.key, d.position, d.data \
         FROM json_each($1) AS wanted CROSS JOIN projection_documents AS d \
         WHERE d.generation = wanted.value ->> 0 AND d.tenant = wanted.value ->> 1 \
           AND d.key = wanted.value ->> 2",
    )
}

fn named(wanted: Wanted, sqlite: bool) -> Result<Vec<Argument>, sqlx::Error> {
    if sqlite {
        let rows: Vec<_> = wanted
            .iter()
            .map(|(generation, (tenant, key))| (generation, tenant, key))
            .collect();
        return Ok(arguments![json(&rows)?]);
    }
    let (mut generations, mut tenants, mut keys) = (Vec::new(), Vec::new(), Vec::new());
    for (generation, (tenant, key)) in wanted {
        generations.push(generation);
        tenants.push(tenant);
        keys.push(key);
    }
    Ok(arguments![generations, tenants, keys])
}

fn stored(row: &Row) -> Result<Stored, sqlx::Error> {
    let data = serde_json::from_str(&row.text(4)?);
    Ok(Stored {
        generation: row.int(0)?,
        name: (row.text(1)?, row.text(2)?),
        position: row.int(3)?.unsigned_abs(),
        data: data.map_err(|error| sqlx::Error::Decode(error.into()))?,
    })
}

/// Writes documents; none comes twice.
pub(crate) async fn write(
    session: &mut Session<'_>,
    mut upserts: Vec<(i64, Upsert)>,
) -> Result<(), sqlx::Error> {
    while !upserts.is_empty() {
        let mut bytes = 0;
        let fits = upserts.iter().take_while(|(_, upsert)| {
            bytes += upsert.data.len();
            bytes <= STATEMENT_BYTES
        });
        let count = fits.count().max(1);
        let rest = upserts.split_off(count);
        write_some(session, std::mem::replace(&mut upserts, rest)).await?;
    }
    Ok(())
}

async fn write_some(
    session: &mut Session<'_>,
    upserts: Vec<(i64, Upsert)>,
) -> Result<(), sqlx::Error> {
    let arguments = if let Session::Sqlite(_) = session {
        let rows: Vec<_> = upserts
            .iter()
            .map(|(generation, row)| (generation, &row.tenant, &row.key, row.position, &row.data))
            .collect();
        arguments![json(&rows)?]
    } else {
        let (mut generations, mut tenants, mut keys) = (Vec::new(), Vec::new(), Vec::new());
        let (mut positions, mut data) = (Vec::new(), Vec::new());
        for (generation, row) in upserts {
            generations.push(generation);
            tenants.push(row.tenant);
            keys.push(row.key);
            positions.push(crate::backend::to_i64(row.position));
            data.push(row.data);
        }
        arguments![generations, tenants, keys, positions, data]
    };
    // "WHERE true" keeps SQLite from taking ON for a part of the join.
    let sql = Sql::each(
        "INSERT INTO projection_documents AS d (generation, tenant, key, position, data) \
         SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::text[]) \
         ON CONFLICT (generation, tenant, key) \
           DO UPDATE SET position = excluded.position, data = excluded.data",
        "INSERT INTO projection_documents (generation, tenant, key, position, data) \
         SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4 \
         FROM json_each($1) WHERE true \
         ON CONFLICT (generation, tenant, key) \
           DO UPDATE SET position = excluded.position, data = excluded.data",
    );
    session.execute(sql, arguments).await?;
    Ok(())
}

/// Deletes documents.
pub(crate) async fn delete(session: &mut Session<'_>, named_so: Wanted) -> Result<(), sqlx::Error> {
    if named_so.is_empty() {
        return Ok(());
    }
    let arguments = named(named_so, matches!(session, Session::Sqlite(_)))?;
    let sql = Sql::each(
        "DELETE FROM projection_documents AS d \
         USING unnest($1::bigint[], $2::text[], $3::text[]) AS gone (generation, tenant, key) \
         WHERE d.generation = gone.generation AND d.tenant = gone.tenant AND d.key = gone.key",
        "DELETE FROM projection_documents WHERE (generation, tenant, key) IN \
         (SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each($1))",
    );
    session.execute(sql, arguments).await?;
    Ok(())
}

/// Deletes up to `limit` documents of a generation, and tells how many there were.
pub(crate) async fn delete_some(
    session: &mut Session<'_>,
    generation: i64,
    limit: u64,
) -> Result<u64, sqlx::Error> {
    session
        .execute(
            "DELETE FROM projection_documents WHERE (generation, tenant, key) IN ( \
               SELECT generation, tenant, key FROM projection_documents WHERE generation = $1 \
               ORDER BY generation, tenant, key LIMIT $2)",
            arguments![generation, limit],
        )
        .await
}

fn json(rows: &impl serde::Serialize) -> Result<String, sqlx::Error> {
    serde_json::to_string(rows).map_err(|error| sqlx::Error::Encode(error.into()))
}
