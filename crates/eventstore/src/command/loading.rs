//! Bringing a state up to date: from a snapshot, or from what was kept, and the events behind it.

use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use super::aggregate::{Aggregate, StateCodec, Versioned};
use super::error::CommandError;
use super::states::Kept;
use crate::error::ReadError;
use crate::event::{RecordedEvent, StreamKey};
use crate::snapshot::{Restored, SnapshotError, Snapshots};
use crate::store::EventStore;

/// Events read at once.
const PAGE: usize = 512;

/// Makes an event of an older shape one of the current shape, e.g. by a registry of upcasters; or says
/// why it cannot.
pub type Upcast = Arc<dyn Fn(RecordedEvent) -> Result<RecordedEvent, String> + Send + Sync>;

/// Where states come from.
pub(super) struct Loading<A: Aggregate> {
    pub(super) store: Arc<dyn EventStore>,
    pub(super) snapshots: Option<Snapshots>,
    pub(super) codec: Option<StateCodec<A::State>>,
    pub(super) upcast: Option<Upcast>,
}

impl<A: Aggregate> Loading<A> {
    /// Takes in what the stream has beyond `kept`, up to version `until`.
    ///
    /// After an error `kept` is true for the version it says, and another call goes on.
    pub(super) async fn refresh(
        &self,
        stream: &StreamKey,
        kept: &mut Kept<A>,
        until: u64,
    ) -> Result<(), CommandError> {
        if kept.at.version == 0
            && let Some(restored) = self.restore(stream, until).await?
        {
            *kept = Kept {
                at: Versioned {
                    state: restored.state,
                    version: restored.stream_version,
                    position: restored.position,
                },
                snapshot_version: restored.stream_version,
                tail_bytes: 0,
                tail_since: Some(restored.taken_at),
            };
        }
        while kept.at.version < until {
            let wanted =
                usize::try_from(until - kept.at.version).map_or(PAGE, |left| left.min(PAGE));
            let page = self
                .store
                .stream_page(stream, kept.at.version, wanted)
                .await
                .map_err(|error| unreadable(stream, error))?;
            for event in page.events {
                self.apply(stream, kept, event)?;
            }
            if page.end {
                break;
            }
        }
        Ok(())
    }

    async fn restore(
        &self,
        stream: &StreamKey,
        until: u64,
    ) -> Result<Option<Restored<A::State>>, CommandError> {
        let (Some(snapshots), Some(codec)) = (&self.snapshots, &self.codec) else {
            return Ok(None);
        };
        let read = |version, value| codec.read(version, value);
        let loaded = snapshots.load(stream, until, codec.version(), read).await;
        loaded.map_err(|error| not_snapshot(stream, &error))
    }

    fn apply(
        &self,
        stream: &StreamKey,
        kept: &mut Kept<A>,
        event: RecordedEvent,
    ) -> Result<(), CommandError> {
        let RecordedEvent {
            stream_version,
            position,
            recorded_at,
            ..
        } = event;
        if stream_version != kept.at.version + 1 {
            let message = format!(
                "version {} is missing, {stream_version} follows",
                kept.at.version + 1
            );
            let stream = stream.clone();
            return Err(CommandError::Corrupt { stream, message });
        }
        let bytes = self.bytes_that_count(&event.data);
        let (event_type, schema_version) = (event.event_type.clone(), event.schema_version);
        let happened = match &self.upcast {
            Some(upcast) => upcast(event),
            None => Ok(event),
        }
        .and_then(|event| A::decode(&event.event_type, event.schema_version, event.data))
        .map_err(|message| CommandError::NotUnderstood {
            stream: Box::new(stream.clone()),
            position,
            event_type,
            schema_version,
            message,
        })?;
        // Should the domain panic, what is left behind is the state before the first event.
        let before = std::mem::take(&mut kept.at);
        kept.at = Versioned {
            state: A::evolve(before.state, &happened),
            version: stream_version,
            position,
        };
        kept.tail_grew(bytes, recorded_at);
        Ok(())
    }

    /// Size of an event's data, if sizes decide about snapshots.
    pub(super) fn bytes_that_count(&self, data: &Value) -> u64 {
        let counts = |snapshots: &Snapshots| snapshots.options().policy.counts_bytes();
        if self.snapshots.as_ref().is_some_and(counts) {
            json_bytes(data)
        } else {
            0
        }
    }
}

/// Size of a value as JSON.
pub(super) fn json_bytes(value: &impl Serialize) -> u64 {
    struct Counter(u64);
    impl std::io::Write for Counter {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len() as u64;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut counter = Counter(0);
    // What cannot be written is refused by the store, and has no size until then.
    let _ = serde_json::to_writer(&mut counter, value);
    counter.0
}

/// A failure of reading, before anything was appended.
pub(super) fn unreadable(stream: &StreamKey, error: ReadError) -> CommandError {
    match error {
        ReadError::Unavailable { message } => CommandError::Unavailable {
            message,
            may_be_stored: false,
        },
        error => CommandError::Corrupt {
            stream: stream.clone(),
            message: error.to_string(),
        },
    }
}

/// A failure of making, storing or looking up a snapshot.
pub(super) fn not_snapshot(stream: &StreamKey, error: &SnapshotError) -> CommandError {
    match error {
        SnapshotError::Unavailable { message } => CommandError::Unavailable {
            message: message.clone(),
            may_be_stored: false,
        },
        error => CommandError::Unwritable {
            stream: stream.clone(),
            message: error.to_string(),
        },
    }
}
