//! Settings of a store.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;

use crate::error::OpenError;
use crate::projection::Projection;

/// Address of a database. It may hold a password and is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl<T: Into<String>> From<T> for DatabaseUrl {
    fn from(url: T) -> Self {
        Self(url.into())
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("DatabaseUrl(…)")
    }
}

/// Settings of a store; the defaults suit production.
#[derive(Debug, Clone)]
pub struct Options {
    /// Source of `recorded_at`.
    pub clock: fn() -> OffsetDateTime,
    /// How often the end of the store is looked up behind the notifications, so that a lost one
    /// (or another process on SQLite, which sends none) delays a subscriber by no more than this.
    pub poll_interval: Duration,
    /// How many appends may wait for the lane; one more is answered `Overloaded`, at once or after
    /// [`queue_wait`](Self::queue_wait).
    pub queue_len: usize,
    /// How long an append waits for room in a full queue before it is answered `Overloaded`. Zero
    /// answers at once, which suits a service that can tell its own callers to slow down; a batch job
    /// rather waits.
    pub queue_wait: Duration,
    /// How many appends are committed together at most.
    pub batch_max: usize,
    /// Greatest size of one event, in bytes of its data and metadata as JSON.
    pub max_event_bytes: usize,
    /// Connections for reading, beside the one that writes and the one that listens.
    pub read_connections: u32,
    /// A streaming replica of the database (PostgreSQL only), for the reads of those who say how
    /// current they have to be ([`EventStore::at_least`](crate::EventStore::at_least)). It need not
    /// be there: without it they read from the primary. It has `read_connections` of its own.
    pub read_replica_url: Option<DatabaseUrl>,
    /// Connections for what is written beside the lane: checkpoints, effects of handlers, read
    /// models. SQLite has one connection that writes, for everything.
    pub write_connections: u32,
    /// Projections whose documents are written in the transaction of each append, so that whoever reads
    /// them afterwards sees it. An event that one of them cannot apply is refused. See
    /// [`Projections`](crate::Projections) for those that follow behind.
    pub inline_projections: Vec<Arc<dyn Projection>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            clock: OffsetDateTime::now_utc,
            poll_interval: Duration::from_secs(1),
            queue_len: 1024,
            queue_wait: Duration::ZERO,
            batch_max: 200,
            max_event_bytes: 1024 * 1024,
            read_connections: 8,
            read_replica_url: None,
            write_connections: 4,
            inline_projections: Vec::new(),
        }
    }
}

impl Options {
    /// Refuses settings that no store could run with.
    pub(crate) fn check(&self) -> Result<(), OpenError> {
        let positive = [
            ("poll_interval", self.poll_interval.is_zero()),
            ("queue_len", self.queue_len == 0),
            ("batch_max", self.batch_max == 0),
            ("max_event_bytes", self.max_event_bytes == 0),
            ("read_connections", self.read_connections == 0),
            ("write_connections", self.write_connections == 0),
        ];
        match positive.into_iter().find(|(_, is_zero)| *is_zero) {
            Some((option, _)) => Err(OpenError::InvalidOption {
                option,
                message: "must be more than zero".into(),
            }),
            None => Ok(()),
        }
    }
}
