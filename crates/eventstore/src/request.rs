//! An append that passed every check that needs no database, with its JSON written out.

use std::collections::HashSet;
use std::fmt::Arguments;

use serde_json::Value;
use uuid::Uuid;

use crate::error::AppendError;
use crate::event::{Append, ExpectedVersion, NewEvent, StreamKey, StreamWrite};
use crate::snapshot::SnapshotRecord;

/// Bounds of names in bytes. Together they stay below the 2704 bytes that an index row may have on
/// PostgreSQL.
const MAX_NAME_BYTES: usize = 128;
const MAX_STREAM_ID_BYTES: usize = 512;
const MAX_KEY_ID_BYTES: usize = 512;

/// A reader refuses JSON nested deeper than 128 levels (`serde_json`); what is written must be
/// readable, also inside an envelope or two.
const MAX_DEPTH: usize = 100;

/// Bounds of one append; more is a bulk load and has to come in pieces.
pub(crate) const MAX_EVENTS: usize = 10_000;
pub(crate) const MAX_BYTES: usize = 32 * 1024 * 1024;

/// A checked append.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Request {
    pub(crate) writes: Vec<Write>,
    pub(crate) snapshots: Vec<SnapshotRecord>,
    /// Number of events, at least 1.
    pub(crate) events: usize,
    /// Size of all data, metadata and snapshots.
    pub(crate) bytes: usize,
}

/// A checked [`StreamWrite`].
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Write {
    pub(crate) stream: StreamKey,
    pub(crate) expected: ExpectedVersion,
    pub(crate) events: Vec<Event>,
}

/// A checked [`NewEvent`].
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Event {
    pub(crate) id: Uuid,
    pub(crate) event_type: String,
    pub(crate) schema_version: u32,
    pub(crate) data: String,
    pub(crate) metadata: String,
    /// Of the metadata.
    pub(crate) correlation_id: Option<Uuid>,
}

impl Request {
    /// Checks an append.
    ///
    /// # Errors
    /// [`AppendError::Invalid`], naming the first part that is wrong.
    pub(crate) fn check(append: Append, max_event_bytes: usize) -> Result<Self, AppendError> {
        let Append { writes, snapshots } = append;
        if writes.is_empty() {
            return Err(invalid("writes", "an append needs at least one write"));
        }
        let mut ids = HashSet::new();
        let mut checked: Vec<Write> = Vec::with_capacity(writes.len());
        let mut streams = HashSet::new();
        let (mut events, mut bytes) = (0, 0);
        for (index, write) in writes.into_iter().enumerate() {
            if !streams.insert(write.stream.clone()) {
                let message = "the stream is written twice; put its events into one write";
                return Err(invalid(format!("writes[{index}].stream"), message));
            }
            let at = format_args!("writes[{index}]");
            let write = check_write(at, write, max_event_bytes, &mut ids)?;
            events += write.events.len();
            bytes += write.events.iter().map(Event::bytes).sum::<usize>();
            checked.push(write);
        }
        for (index, snapshot) in snapshots.iter().enumerate() {
            check_snapshot(format_args!("snapshots[{index}]"), snapshot, &checked)?;
            bytes += snapshot.data.len();
        }
        if events > MAX_EVENTS || bytes > MAX_BYTES {
            let message = format!(
                "{events} events of {bytes} bytes are too much for one append; \
                 send at most {MAX_EVENTS} events and {MAX_BYTES} bytes at once"
            );
            return Err(invalid("writes", message));
        }
        Ok(Self {
            writes: checked,
            snapshots,
            events,
            bytes,
        })
    }

    /// Ids of all events, in order.
    pub(crate) fn ids(&self) -> impl Iterator<Item = Uuid> + '_ {
        self.writes
            .iter()
            .flat_map(|write| write.events.iter().map(|event| event.id))
    }
}

impl Event {
    fn bytes(&self) -> usize {
        self.data.len() + self.metadata.len()
    }
}

fn check_write(
    at: Arguments<'_>,
    write: StreamWrite,
    max_event_bytes: usize,
    ids: &mut HashSet<Uuid>,
) -> Result<Write, AppendError> {
    let StreamWrite {
        stream,
        expected,
        events,
    } = write;
    check_name(
        format_args!("{at}.stream.tenant"),
        &stream.tenant,
        MAX_NAME_BYTES,
    )?;
    check_name(
        format_args!("{at}.stream.stream_type"),
        &stream.stream_type,
        MAX_NAME_BYTES,
    )?;
    check_name(
        format_args!("{at}.stream.stream_id"),
        &stream.stream_id,
        MAX_STREAM_ID_BYTES,
    )?;
    if events.is_empty() {
        return Err(invalid(
            format_args!("{at}.events"),
            "a write needs at least one event",
        ));
    }
    let events = events
        .into_iter()
        .enumerate()
        .map(|(index, event)| {
            let at = format_args!("{at}.events[{index}]");
            if !ids.insert(event.id) {
                let message = format!("the id {} is used twice in one append", event.id);
                return Err(invalid(format_args!("{at}.id"), message));
            }
            check_event(at, event, max_event_bytes)
        })
        .collect::<Result<_, _>>()?;
    Ok(Write {
        stream,
        expected,
        events,
    })
}

/// A snapshot has to be the state after a write whose version is known beforehand.
fn check_snapshot(
    at: Arguments<'_>,
    snapshot: &SnapshotRecord,
    writes: &[Write],
) -> Result<(), AppendError> {
    let Some(write) = writes.iter().find(|write| write.stream == snapshot.stream) else {
        let message = "its stream is not written by this append";
        return Err(invalid(format_args!("{at}.stream"), message));
    };
    check_name(
        format_args!("{at}.format"),
        &snapshot.format,
        MAX_NAME_BYTES,
    )?;
    if let Some(key_id) = &snapshot.key_id {
        check_name(format_args!("{at}.key_id"), key_id, MAX_KEY_ID_BYTES)?;
    }
    let before = match write.expected {
        ExpectedVersion::NoStream => 0,
        ExpectedVersion::Exact(version) => version,
        ExpectedVersion::Any => {
            let message = "the write of its stream must expect an exact version";
            return Err(invalid(at, message));
        }
    };
    let after = before.saturating_add(write.events.len() as u64);
    if snapshot.stream_version != after {
        let message = format!(
            "stands for version {}, the stream has version {after} after the write",
            snapshot.stream_version
        );
        return Err(invalid(format_args!("{at}.stream_version"), message));
    }
    Ok(())
}

fn check_event(
    at: Arguments<'_>,
    event: NewEvent,
    max_event_bytes: usize,
) -> Result<Event, AppendError> {
    let NewEvent {
        id,
        event_type,
        schema_version,
        data,
        metadata,
    } = event;
    if id.is_nil() {
        return Err(invalid(
            format_args!("{at}.id"),
            "the nil UUID is no id; use a new UUID",
        ));
    }
    check_name(format_args!("{at}.event_type"), &event_type, MAX_NAME_BYTES)?;
    check_json(format_args!("{at}.data"), &data, 0)?;
    let texts = [&metadata.actor, &metadata.source_ip, &metadata.trace_id];
    if texts.into_iter().flatten().any(|text| text.contains('\0')) {
        return Err(invalid(format_args!("{at}.metadata"), NUL));
    }
    let correlation_id = metadata.correlation_id;
    let unwritable = |error: serde_json::Error| invalid(at, error.to_string());
    let data = serde_json::to_string(&data).map_err(unwritable)?;
    let metadata = serde_json::to_string(&metadata).map_err(unwritable)?;
    let event = Event {
        id,
        event_type,
        schema_version,
        data,
        metadata,
        correlation_id,
    };
    if event.bytes() > max_event_bytes {
        let message = format!(
            "the event has {} bytes, {max_event_bytes} are allowed; \
             store large content elsewhere and refer to it",
            event.bytes()
        );
        return Err(invalid(at, message));
    }
    Ok(event)
}

const NUL: &str = "must not hold NUL characters, the database cannot store them";

fn check_name(at: Arguments<'_>, name: &str, max_bytes: usize) -> Result<(), AppendError> {
    if name.is_empty() {
        return Err(invalid(at, "must not be empty"));
    }
    if name.len() > max_bytes {
        let message = format!("has {} bytes, {max_bytes} are allowed", name.len());
        return Err(invalid(at, message));
    }
    if name.contains('\0') {
        return Err(invalid(at, NUL));
    }
    Ok(())
}

fn check_json(at: Arguments<'_>, value: &Value, depth: usize) -> Result<(), AppendError> {
    if depth > MAX_DEPTH {
        return Err(invalid(
            at,
            format!("is nested deeper than {MAX_DEPTH} levels"),
        ));
    }
    match value {
        Value::String(text) if text.contains('\0') => Err(invalid(at, NUL)),
        Value::Array(items) => items
            .iter()
            .try_for_each(|item| check_json(at, item, depth + 1)),
        Value::Object(members) => members.iter().try_for_each(|(name, member)| {
            if name.contains('\0') {
                return Err(invalid(at, NUL));
            }
            check_json(at, member, depth + 1)
        }),
        _ => Ok(()),
    }
}

fn invalid(field: impl ToString, message: impl Into<String>) -> AppendError {
    AppendError::Invalid {
        field: field.to_string(),
        message: message.into(),
    }
}

#[cfg(test)]
mod tests;
