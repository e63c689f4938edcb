//! Versions of streams: none is missing, none is there twice. The hashes alone do not say so, when
//! somebody made them anew.
//!
//! Nothing is kept from page to page: of each stream of a page, the version before its first event
//! there is looked up.

use std::collections::HashMap;

use crate::database::{Database, Sql, arguments};
use crate::event::StreamKey;

/// An event, as far as its stream goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct InStream<'a> {
    pub(super) stream: &'a StreamKey,
    pub(super) version: u64,
    pub(super) position: u64,
}

/// Which of the events do not continue their streams, and why.
pub(super) async fn faults(
    database: &Database,
    events: &[InStream<'_>],
) -> Result<Vec<(usize, String)>, sqlx::Error> {
    let mut latest: HashMap<&StreamKey, u64> = HashMap::new();
    let mut firsts = Vec::new();
    let mut faults = Vec::new();
    for (index, event) in events.iter().enumerate() {
        match latest.insert(event.stream, event.version) {
            Some(before) if before.checked_add(1) != Some(event.version) => {
                let message = format!(
                    "version {} of the stream {} follows {before}",
                    event.version, event.stream
                );
                faults.push((index, message));
            }
            Some(_) => {}
            None => firsts.push((index, event)),
        }
    }
    let mut found = neighbours(database, &firsts).await?;
    for (index, event) in firsts {
        let InStream {
            stream,
            version,
            position,
        } = *event;
        let mut found = found.remove(&index).unwrap_or_default();
        found.sort_unstable();
        let fits = match found.as_slice() {
            [this] => version == 1 && *this == (1, position),
            [before, this] => {
                before.0 + 1 == version && before.1 < position && *this == (version, position)
            }
            _ => false,
        };
        if !fits {
            let message = format!(
                "version {version} of the stream {stream} does not follow one version {}",
                version.saturating_sub(1)
            );
            faults.push((index, message));
        }
    }
    Ok(faults)
}

/// Versions and positions of what a stream has at each event's version and at the one before.
async fn neighbours(
    database: &Database,
    events: &[(usize, &InStream<'_>)],
) -> Result<HashMap<usize, Vec<(u64, u64)>>, sqlx::Error> {
    let wanted: Vec<_> = events
        .iter()
        .map(|(index, event)| {
            let StreamKey {
                tenant,
                stream_type,
                stream_id,
            } = event.stream;
            let version = event.version;
            let before = version.saturating_sub(1);
            (index, tenant, stream_type, stream_id, before, version)
        })
        .collect();
    let wanted =
        serde_json::to_string(&wanted).map_err(|error| sqlx::Error::Encode(error.into()))?;
    const WHICH: &str = "events.tenant = wanted.value ->> 1 \
        AND events.stream_type = wanted.value ->> 2 AND events.stream_id = wanted.value ->> 3 \
        AND events.stream_version >= CAST(wanted.value ->> 4 AS bigint) \
        AND events.stream_version <= CAST(wanted.value ->> 5 AS bigint)";
    const WHAT: &str = "SELECT CAST(wanted.value ->> 0 AS bigint), ";
    // Three tell that there are too many; and behind a LIMIT the planner has no choice but the index.
    let postgres = format!(
        "{WHAT} near.stream_version, near.position \
         FROM json_array_elements($1::json) AS wanted (value) CROSS JOIN LATERAL ( \
           SELECT stream_version, position FROM events WHERE {WHICH} \
           ORDER BY stream_version LIMIT 3) AS near"
    );
    let sqlite = format!(
        "{WHAT} events.stream_version, events.position \
         FROM json_each($1) AS wanted CROSS JOIN events ON {WHICH}"
    );
    let rows = database
        .fetch(Sql::each(postgres, sqlite), arguments![wanted])
        .await?;
    let mut found: HashMap<usize, Vec<(u64, u64)>> = HashMap::new();
    for row in &rows {
        let index = usize::try_from(row.int(0)?).unwrap_or(usize::MAX);
        let near = (row.int(1)?.unsigned_abs(), row.int(2)?.unsigned_abs());
        found.entry(index).or_default().push(near);
    }
    Ok(found)
}
