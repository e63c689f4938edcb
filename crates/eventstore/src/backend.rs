//! What the lane and the store ask of a database.

use async_trait::async_trait;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::chain::Hash;
use crate::error::{AppendError, ReadError};
use crate::event::{Appended, Position, RecordedEvent, StreamKey};
use crate::plan::{Decision, Plan};
use crate::request::Request;

/// Number of the one lane of this store: key of its row, first part of every position's key.
pub(crate) const LANE: i16 = 0;

/// The writing side; owned by the lane.
#[async_trait]
pub(crate) trait Writer: Send + 'static {
    /// Decides and stores a group of requests in one transaction, and announces it to the other
    /// processes of the database. Nothing of the group is stored when it fails, but for
    /// [`CommitFailure::Unknown`].
    async fn commit(
        &mut self,
        requests: &[Request],
        now: OffsetDateTime,
    ) -> Result<Committed, CommitFailure>;

    /// Gives the connection back.
    async fn close(&mut self);
}

/// A group that is through.
#[derive(Debug)]
pub(crate) struct Committed {
    /// One answer per request, in their order.
    pub(crate) answers: Vec<Result<Appended, AppendError>>,
    /// Position of the last event written; none if nothing was.
    pub(crate) head: Option<Position>,
}

impl Committed {
    pub(crate) fn from_plan(plan: Plan<'_>) -> Self {
        let head = plan.rows.last().map(|row| Position(row.position));
        let answers = plan.decisions.into_iter().map(|decision| match decision {
            Decision::Store(appended) | Decision::AlreadyStored(appended) => Ok(appended),
            Decision::Refuse(refusal) => Err(refusal),
        });
        Self {
            answers: answers.collect(),
            head,
        }
    }

    /// The same, found by an attempt after one of unknown outcome that would have stored what was
    /// `planned`. What is found just there that one has stored: news to its caller.
    pub(crate) fn found(mut self, planned: &[Option<Appended>]) -> Self {
        let answers = self.answers.iter_mut().zip(planned);
        for (answer, planned) in answers {
            let (Ok(found), Some(planned)) = (answer, planned) else {
                continue;
            };
            let as_first = Appended {
                already_stored: false,
                ..found.clone()
            };
            if as_first == *planned {
                self.head = self.head.max(Some(planned.last));
                *found = as_first;
            }
        }
        self
    }
}

/// A group that is not through, as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CommitFailure {
    /// The database refused what is in the group; it was rolled back. Tried alone, the innocent
    /// requests pass.
    Refused { message: String },
    /// The group was rolled back, or never begun; another attempt may succeed at once.
    Interrupted { message: String },
    /// The group was not stored, and will not be for the moment.
    Unavailable { message: String },
    /// The commit was sent and its answer did not come: stored or not, the next attempt finds out. If it
    /// is, `planned` is the answer to those requests of the group whose events it stored.
    Unknown {
        message: String,
        planned: Vec<Option<Appended>>,
    },
}

/// An unsigned number as the databases' signed 64-bit type. Positions, versions and limits stay far
/// below; a caller's absurd value means "beyond everything" and does so afterwards too.
pub(crate) fn to_i64(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A row of the events' table, its JSON unread; texts and bytes its own, or where they lie in the row.
#[derive(Debug, Clone)]
pub(crate) struct RawEvent<Text = String, Bytes = Vec<u8>> {
    pub(crate) id: Uuid,
    pub(crate) position: i64,
    pub(crate) stream: StreamKey,
    pub(crate) stream_version: i64,
    pub(crate) event_type: String,
    pub(crate) schema_version: i64,
    pub(crate) recorded_at: OffsetDateTime,
    pub(crate) data: Text,
    pub(crate) metadata: Text,
    pub(crate) tenant_sequence: i64,
    pub(crate) hash: Bytes,
}

impl<Text: AsRef<str>, Bytes: AsRef<[u8]>> RawEvent<Text, Bytes> {
    /// Reads the JSON and checks the numbers.
    pub(crate) fn into_recorded(self) -> Result<RecordedEvent, ReadError> {
        let position = Position(u64::try_from(self.position).unwrap_or(0));
        let corrupt = |what: &str, error: String| {
            let message = format!("{what}: {error}");
            ReadError::Corrupt { position, message }
        };
        Ok(RecordedEvent {
            id: self.id,
            position,
            stream: self.stream,
            stream_version: u64::try_from(self.stream_version)
                .map_err(|error| corrupt("stream_version", error.to_string()))?,
            event_type: self.event_type,
            schema_version: u32::try_from(self.schema_version)
                .map_err(|error| corrupt("schema_version", error.to_string()))?,
            data: serde_json::from_str(self.data.as_ref())
                .map_err(|error| corrupt("data", error.to_string()))?,
            metadata: serde_json::from_str(self.metadata.as_ref())
                .map_err(|error| corrupt("metadata", error.to_string()))?,
            recorded_at: self.recorded_at,
            tenant_sequence: u64::try_from(self.tenant_sequence)
                .map_err(|error| corrupt("tenant_sequence", error.to_string()))?,
            hash: Hash::try_from(self.hash.as_ref())
                .map_err(|error| corrupt("hash", error.to_owned()))?,
        })
    }
}

/// Maps a failure of reading: what cannot be decoded is corrupt, everything else may pass.
pub(crate) fn read_error(error: sqlx::Error) -> ReadError {
    match error {
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => ReadError::Corrupt {
            position: Position::START,
            message: error.to_string(),
        },
        _ => ReadError::Unavailable {
            message: error.to_string(),
        },
    }
}
