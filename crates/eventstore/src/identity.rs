//! Which store this is; and putting events from before the hash chain on it.

use std::collections::HashMap;

use uuid::Uuid;

use crate::backend::LANE;
use crate::chain::{ChainEnd, Hash, Sealed};
use crate::database::{Database, Session, arguments};
use crate::reader::{columns, raw};

/// Events sealed by one statement.
const PAGE: u64 = 1000;

/// Reads the store's identity, and seals what is not sealed yet.
pub(crate) async fn prepare(database: &Database) -> Result<Uuid, sqlx::Error> {
    let (id, chained) = read(database).await?;
    if !chained {
        seal(database).await?;
    }
    Ok(id)
}

/// The store's identity, and whether its events are sealed.
pub(crate) async fn read(database: &Database) -> Result<(Uuid, bool), sqlx::Error> {
    const READ: &str = "SELECT store_id, chained FROM event_store";
    let rows = database.fetch(READ, Vec::new()).await?;
    let row = rows.first().ok_or(sqlx::Error::RowNotFound)?;
    Ok((row.uuid(0)?, row.flag(1)?))
}

/// Gives every event its hash, in one transaction that holds the lane.
async fn seal(database: &Database) -> Result<(), sqlx::Error> {
    let mut transaction = database.begin().await?;
    let mut session = transaction.session();
    let lane = "UPDATE event_lanes SET head = head WHERE lane = $1";
    session.execute(lane, arguments![i64::from(LANE)]).await?;
    let chained = session
        .fetch_one("SELECT chained FROM event_store", Vec::new())
        .await?
        .ok_or(sqlx::Error::RowNotFound)?;
    // Another process may have been first.
    if chained.flag(0)? {
        return transaction.rollback().await;
    }
    tracing::info!("sealing the events that were stored before there was a hash chain");
    let mut ends = HashMap::new();
    let mut after = 0;
    while let Some(last) = seal_page(&mut session, after, &mut ends).await? {
        after = last;
    }
    session
        .execute("UPDATE event_store SET chained = true", Vec::new())
        .await?;
    if let Session::Postgres(_) = session {
        // From now on an event without a hash is refused.
        let strict = "ALTER TABLE events \
            ALTER COLUMN tenant_sequence DROP DEFAULT, ALTER COLUMN hash DROP DEFAULT";
        session.execute(strict, Vec::new()).await?;
    }
    transaction.commit().await
}

/// Seals the next events above a position, and gives the position of the last one.
async fn seal_page(
    session: &mut Session<'_>,
    after: u64,
    ends: &mut HashMap<String, ChainEnd>,
) -> Result<Option<u64>, sqlx::Error> {
    const READ: &str = concat!(
        "SELECT ",
        columns!(),
        " FROM events WHERE lane = $1 AND position > $2 ORDER BY position LIMIT $3"
    );
    let rows = session
        .fetch(READ, arguments![i64::from(LANE), after, PAGE])
        .await?;
    let mut links = Vec::with_capacity(rows.len());
    let mut last = None;
    for row in &rows {
        let event = raw(row)?;
        let number = |number: i64| number.unsigned_abs();
        let end = ends.entry(event.stream.tenant.clone()).or_default();
        let sealed = Sealed {
            tenant_sequence: end.sequence + 1,
            position: number(event.position),
            id: event.id,
            stream: &event.stream,
            stream_version: number(event.stream_version),
            event_type: &event.event_type,
            schema_version: u32::try_from(event.schema_version)
                .map_err(|error| sqlx::Error::Decode(error.into()))?,
            recorded_at: event.recorded_at,
            data: &event.data,
            metadata: &event.metadata,
        };
        let hash: Hash = sealed.hash(end.hash);
        *end = ChainEnd {
            sequence: sealed.tenant_sequence,
            hash,
        };
        last = Some(sealed.position);
        links.push((sealed.position, sealed.tenant_sequence, hash));
    }
    write(session, &links).await?;
    Ok(last)
}

/// Writes position, sequence and hash of each event.
async fn write(session: &mut Session<'_>, links: &[(u64, u64, Hash)]) -> Result<(), sqlx::Error> {
    if let Session::Sqlite(_) = session {
        // One statement for all would walk through the table once for each.
        let one = "UPDATE events SET tenant_sequence = $3, hash = $4 \
            WHERE lane = $1 AND position = $2";
        for (position, sequence, hash) in links {
            let lane = i64::from(LANE);
            let arguments = arguments![lane, *position, *sequence, hash.0.as_slice()];
            session.execute(one, arguments).await?;
        }
        return Ok(());
    }
    let links = serde_json::to_string(links).map_err(|error| sqlx::Error::Encode(error.into()))?;
    let all = "UPDATE events SET tenant_sequence = (link.value ->> 1)::bigint, \
          hash = decode(link.value ->> 2, 'hex') \
        FROM json_array_elements($1::json) AS link (value) \
        WHERE lane = $2 AND position = (link.value ->> 0)::bigint";
    session
        .execute(all, arguments![links, i64::from(LANE)])
        .await?;
    Ok(())
}
