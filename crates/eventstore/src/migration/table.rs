//! What is written down about migrations and their streams, for people to look at.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;

use super::error::MigrationError;
use super::lease::Lease;
use super::transform::TransformedStream;
use crate::backend::read_error;
use crate::database::{Database, Row, arguments};
use crate::error::ReadError;
use crate::event::StreamKey;
use crate::store::EventStore;

/// How far a stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StreamState {
    /// It is copied, or was when a run broke off.
    Begun,
    /// All of it is in the target, and the source is closed.
    Migrated,
    /// It was left as it is.
    Failed,
}

impl StreamState {
    fn as_str(self) -> &'static str {
        match self {
            Self::Begun => "begun",
            Self::Migrated => "migrated",
            Self::Failed => "failed",
        }
    }

    fn parse(text: &str) -> Result<Self, sqlx::Error> {
        [Self::Begun, Self::Migrated, Self::Failed]
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| sqlx::Error::Decode(format!("unknown state {text:?}").into()))
    }
}

/// A migration that was run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MigrationStatus {
    /// Its name.
    pub name: String,
    /// How often it was begun.
    pub runs: u64,
    /// When the last run began.
    #[serde(with = "time::serde::rfc3339")]
    pub begun_at: OffsetDateTime,
    /// When the last run came to its end; none while it goes on, or if it broke off.
    #[serde(with = "time::serde::rfc3339::option")]
    pub ended_at: Option<OffsetDateTime>,
    /// [`Report`](super::Report) of the last run that came to its end; none in a tenant's list, for it tells
    /// of all tenants.
    pub report: Option<Value>,
}

/// A stream of a migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StreamStatus {
    /// The source.
    pub source: StreamKey,
    /// Where its events go.
    pub target: StreamKey,
    /// How far it is.
    pub state: StreamState,
    /// Last version of the source that was looked at.
    pub source_version: u64,
    /// Events in the target that come from it.
    pub target_version: u64,
    /// Why it failed.
    pub failure: Option<String>,
}

/// Which streams of a migration to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamQuery {
    /// Name of the migration.
    pub migration: String,
    /// Whose streams; none for every tenant's.
    pub tenant: Option<String>,
    /// Streams behind this one; none from the first.
    pub after: Option<StreamKey>,
    /// How many at most.
    pub limit: usize,
}

/// The migrations that were run, by name: those behind `after`, and with a `tenant` those that met a
/// stream of it.
///
/// # Errors
/// See [`ReadError`].
pub async fn migrations(
    store: &dyn EventStore,
    tenant: Option<&str>,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<MigrationStatus>, ReadError> {
    const LIST: &str = "SELECT name, epoch, begun_at, ended_at, report FROM event_migrations \
        WHERE name > $1 ORDER BY name LIMIT $2";
    const OF_TENANT: &str = "SELECT name, epoch, begun_at, ended_at, NULL FROM event_migrations \
        WHERE name > $1 AND EXISTS (SELECT 1 FROM event_migration_streams AS stream \
          WHERE stream.migration = event_migrations.name AND stream.tenant = $3) \
        ORDER BY name LIMIT $2";
    let mut arguments = arguments![after.unwrap_or_default(), limit as u64];
    let sql = match tenant {
        Some(tenant) => {
            arguments.push(tenant.into());
            OF_TENANT
        }
        None => LIST,
    };
    let rows = store.database().fetch(sql, arguments).await;
    let rows = rows.map_err(read_error)?;
    rows.iter()
        .map(|row| {
            let report = row.optional_text(4)?;
            let report = report
                .map(|report| serde_json::from_str(&report))
                .transpose();
            let ended = row.optional_int(3)?.map(|_| row.microseconds(3));
            Ok(MigrationStatus {
                name: row.text(0)?,
                runs: row.int(1)?.unsigned_abs(),
                begun_at: row.microseconds(2)?,
                ended_at: ended.transpose()?,
                report: report.map_err(|error| sqlx::Error::Decode(error.into()))?,
            })
        })
        .collect::<Result<_, sqlx::Error>>()
        .map_err(read_error)
}

/// The streams of a migration, by tenant, type and id.
///
/// # Errors
/// See [`ReadError`].
pub async fn migration_streams(
    store: &dyn EventStore,
    query: &StreamQuery,
) -> Result<Vec<StreamStatus>, ReadError> {
    let none = StreamKey::new("", "", "");
    let after = query.after.as_ref().unwrap_or(&none);
    let mut arguments = arguments![
        query.migration.as_str(),
        after.tenant.as_str(),
        after.stream_type.as_str(),
        after.stream_id.as_str(),
        query.limit as u64,
    ];
    let of_tenant = match &query.tenant {
        Some(tenant) => {
            arguments.push(tenant.as_str().into());
            "AND tenant = $6"
        }
        None => "",
    };
    let list = format!(
        "SELECT tenant, stream_type, stream_id, target_tenant, target_type, target_id, state, \
           source_version, target_version, failure \
         FROM event_migration_streams \
         WHERE migration = $1 AND (tenant, stream_type, stream_id) > ($2, $3, $4) {of_tenant} \
         ORDER BY migration, tenant, stream_type, stream_id LIMIT $5"
    );
    let rows = store.database().fetch(list, arguments).await;
    let rows = rows.map_err(read_error)?;
    rows.iter()
        .map(status)
        .collect::<Result<_, _>>()
        .map_err(read_error)
}

fn status(row: &Row) -> Result<StreamStatus, sqlx::Error> {
    Ok(StreamStatus {
        source: StreamKey::new(row.text(0)?, row.text(1)?, row.text(2)?),
        target: StreamKey::new(row.text(3)?, row.text(4)?, row.text(5)?),
        state: StreamState::parse(&row.text(6)?)?,
        source_version: row.int(7)?.unsigned_abs(),
        target_version: row.int(8)?.unsigned_abs(),
        failure: row.optional_text(9)?,
    })
}

/// Whether a migration put events of another stream into this one, or is about to. A target that it was
/// refused is none.
pub(super) async fn is_target(
    database: &Database,
    migration: &str,
    stream: &StreamKey,
) -> Result<bool, ReadError> {
    let rows = database
        .fetch(
            "SELECT 1 FROM event_migration_streams WHERE migration = $1 \
               AND target_tenant = $2 AND target_type = $3 AND target_id = $4 \
               AND (state <> 'failed' OR target_version > 0) LIMIT 1",
            arguments![
                migration,
                stream.tenant.as_str(),
                stream.stream_type.as_str(),
                stream.stream_id.as_str(),
            ],
        )
        .await;
    Ok(!rows.map_err(read_error)?.is_empty())
}

/// Writes down how far a stream is, under the epoch of the lease.
pub(super) async fn note(
    lease: &mut Lease,
    migration: &str,
    stream: &TransformedStream,
    state: StreamState,
    failure: Option<String>,
) -> Result<(), MigrationError> {
    // A failure may come before anybody looked into the target; what is known to be there stays known.
    const NOTE: &str = "INSERT INTO event_migration_streams (migration, tenant, stream_type, \
          stream_id, target_tenant, target_type, target_id, state, source_version, \
          target_version, epoch, failure) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) \
        ON CONFLICT (migration, tenant, stream_type, stream_id) DO UPDATE SET \
          target_tenant = excluded.target_tenant, target_type = excluded.target_type, \
          target_id = excluded.target_id, state = excluded.state, \
          source_version = excluded.source_version, target_version = CASE \
            WHEN excluded.state = 'failed' \
              AND event_migration_streams.target_version > excluded.target_version \
            THEN event_migration_streams.target_version ELSE excluded.target_version END, \
          epoch = excluded.epoch, failure = excluded.failure";
    let (source, target) = (&stream.source, &stream.target);
    let arguments = arguments![
        migration,
        source.tenant.as_str(),
        source.stream_type.as_str(),
        source.stream_id.as_str(),
        target.tenant.as_str(),
        target.stream_type.as_str(),
        target.stream_id.as_str(),
        state.as_str(),
        stream.source_version,
        stream.present as u64,
        lease.epoch(),
        failure,
    ];
    lease.write(Some((NOTE.into(), arguments))).await
}
