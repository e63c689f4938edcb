//! Putting an append together: the events, and a snapshot behind them when one is due.

use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use super::aggregate::{Aggregate, StateCodec, Versioned};
use super::loading::{Loading, json_bytes};
use super::states::Kept;
use crate::event::{Append, ExpectedVersion, NewEvent, StreamKey};
use crate::request::MAX_BYTES;
use crate::snapshot::{SnapshotError, SnapshotRecord, Snapshots, StateAt};

/// An append that was not sent yet.
pub(super) struct Draft<A: Aggregate> {
    pub(super) append: Append,
    /// The state after it, if it was needed for a snapshot.
    pub(super) next: Option<A::State>,
    /// Size of the events' data, if sizes decide about snapshots.
    pub(super) bytes: u64,
    pub(super) at: OffsetDateTime,
}

impl<A: Aggregate> Loading<A> {
    /// Puts an append together: `new` are `events`, written.
    pub(super) fn draft(
        &self,
        stream: &StreamKey,
        kept: &Kept<A>,
        events: &[A::Event],
        new: Vec<NewEvent>,
    ) -> Draft<A> {
        let bytes = new.iter().map(|event| self.bytes_that_count(&event.data));
        let mut draft = Draft {
            bytes: bytes.sum(),
            append: Append::default(),
            next: None,
            at: OffsetDateTime::UNIX_EPOCH,
        };
        let mut snapshot = None;
        if let (Some(snapshots), Some(codec)) = (&self.snapshots, &self.codec) {
            draft.at = snapshots.now();
            let tail = kept.tail_with(new.len() as u64, draft.bytes, draft.at);
            if snapshots.is_due(&tail) {
                let state = kept.at.state.clone();
                let next = Versioned::<A> {
                    state: events.iter().fold(state, A::evolve),
                    version: kept.at.version + new.len() as u64,
                    position: kept.at.position,
                };
                let id = new.last().map(|event| event.id).unwrap_or_default();
                let made = record(snapshots, codec, stream, &next, id);
                snapshot = self.fitting(stream, made, &new);
                draft.next = Some(next.state);
            }
        }
        let expected = ExpectedVersion::Exact(kept.at.version);
        draft.append = Append::to(stream.clone(), expected, new);
        draft.append.snapshots.extend(snapshot);
        draft
    }

    /// A snapshot that cannot be made, or does not fit into the append, does not keep the events from
    /// being stored.
    fn fitting(
        &self,
        stream: &StreamKey,
        made: Result<SnapshotRecord, SnapshotError>,
        new: &[NewEvent],
    ) -> Option<SnapshotRecord> {
        let size = |event: &NewEvent| json_bytes(&event.data) + json_bytes(&event.metadata);
        let message = match made {
            Ok(snapshot) => {
                let bytes = new.iter().map(size).sum::<u64>() + snapshot.data.len() as u64;
                if bytes <= MAX_BYTES as u64 {
                    return Some(snapshot);
                }
                "the events leave no room for it".to_owned()
            }
            Err(error) => error.to_string(),
        };
        tracing::warn!(%stream, message, "a snapshot could not be taken");
        if let Some(snapshots) = &self.snapshots {
            snapshots.options().observer.not_taken(stream, &message);
        }
        None
    }

    /// Tells that a snapshot is stored.
    pub(super) fn taken(&self, snapshot: &SnapshotRecord) {
        if let Some(snapshots) = &self.snapshots {
            let SnapshotRecord { stream, data, .. } = snapshot;
            snapshots.options().observer.taken(stream, data.len());
        }
    }
}

/// Makes a snapshot of a state behind the event `event_id`.
pub(super) fn record<A: Aggregate>(
    snapshots: &Snapshots,
    codec: &StateCodec<A::State>,
    stream: &StreamKey,
    at: &Versioned<A>,
    event_id: Uuid,
) -> Result<SnapshotRecord, SnapshotError> {
    let state: Value = codec
        .write(&at.state)
        .map_err(|message| SnapshotError::Unwritable { message })?;
    snapshots.record(StateAt {
        stream,
        stream_version: at.version,
        event_id,
        schema_version: codec.version(),
        state: &state,
    })
}
