//! Copying one stream: what is there, what is missing, and closing the source.

use std::time::Duration;

use super::Migration;
use super::error::{Failure, StreamError};
use super::lease::Lease;
use super::marker::StreamMigrated;
use super::sources::last_event;
use super::table::{StreamState, note};
use super::transform::{Rules, TransformedStream};
use crate::error::AppendError;
use crate::event::{Append, ExpectedVersion, RecordedEvent, StreamKey, StreamWrite};
use crate::store::EventStore;

/// Events read at once.
const PAGE: usize = 500;

/// How often an append is tried whose outcome is not known, and how long the first pause is.
const ATTEMPTS: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// What became of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is copied and closed.
    Migrated,
    /// It was closed; what came behind is copied.
    CaughtUp,
    /// An earlier run left nothing to do.
    AlreadyMigrated,
    /// Another migration closed it.
    ClosedElsewhere,
}

/// Copies streams of one migration.
pub(super) struct Copier<'r> {
    pub(super) store: &'r dyn EventStore,
    pub(super) rules: Rules<'r>,
    /// How often a stream may change under the copy.
    pub(super) max_conflicts: u32,
}

impl Copier<'_> {
    fn migration(&self) -> &dyn Migration {
        self.rules.migration
    }

    /// Takes in what the source has behind what is taken in. Gives the new events.
    pub(super) async fn catch_up(
        &self,
        stream: &mut TransformedStream,
    ) -> Result<Vec<RecordedEvent>, Failure> {
        let mut new = Vec::new();
        loop {
            let (source, after) = (&stream.source, stream.source_version);
            let page = self.store.stream_page(source, after, PAGE).await?;
            stream.extend(self.rules, &page.events)?;
            new.extend(page.events);
            if page.end {
                return Ok(new);
            }
        }
    }

    pub(super) fn validate(&self, stream: &TransformedStream) -> Result<(), Failure> {
        let valid = self.migration().validate(stream);
        Ok(valid.map_err(|message| StreamError::Invalid { message })?)
    }

    /// What is to be done about a stream that is taken in.
    pub(super) fn outlook(&self, stream: &TransformedStream) -> Outcome {
        match &stream.closed {
            None => Outcome::Migrated,
            Some(closed) if closed.migration != self.migration().name() => Outcome::ClosedElsewhere,
            Some(closed) if stream.last_event() > closed.source_version => Outcome::CaughtUp,
            Some(_) => Outcome::AlreadyMigrated,
        }
    }

    /// Finds how many of the stream's events are in the target already, and that nothing else is.
    pub(super) async fn look(&self, stream: &mut TransformedStream) -> Result<(), Failure> {
        stream.present = 0;
        loop {
            let (target, there) = (&stream.target, stream.present as u64);
            let page = self.store.stream_page(target, there, PAGE).await?;
            if stream.present + page.events.len() > stream.events.len() {
                // Perhaps another run was here, and knew more of the source.
                self.catch_up(stream).await?;
            }
            for event in &page.events {
                compare(stream, stream.present, event)?;
                stream.present += 1;
            }
            if page.end {
                return Ok(());
            }
        }
    }

    /// Copies a stream that is taken in, whatever it needs.
    pub(super) async fn copy(
        &self,
        lease: &mut Lease,
        stream: &mut TransformedStream,
    ) -> Result<Outcome, Failure> {
        let outlook = self.outlook(stream);
        match outlook {
            Outcome::Migrated => self.copy_open(lease, stream).await?,
            Outcome::CaughtUp => self.copy_late(lease, stream).await?,
            Outcome::AlreadyMigrated | Outcome::ClosedElsewhere => {}
        }
        Ok(outlook)
    }

    /// Copies a stream that nobody closed yet. Its target has nothing but what the migration put there.
    async fn copy_open(
        &self,
        lease: &mut Lease,
        stream: &mut TransformedStream,
    ) -> Result<(), Failure> {
        self.look(stream).await?;
        self.note(lease, stream, StreamState::Begun).await?;
        let mut conflicts = 0;
        loop {
            if let Some(closed) = &stream.closed {
                if closed.migration == self.migration().name() {
                    // Another run was faster; whatever came behind its end is late.
                    return self.copy_late(lease, stream).await;
                }
                let migration = closed.migration.clone();
                return Err(StreamError::ClosedMeanwhile { migration }.into());
            }
            let there = stream.present;
            let end = stream.chunk_end(there);
            let last = end == stream.events.len();
            let mut writes = write(stream, there..end, there as u64);
            if last {
                let marker = self.marker(stream, stream.last_event(), end as u64);
                writes.push(self.closing(stream, &marker)?);
            }
            match self.append(&stream.source, Append::new(writes)).await? {
                Ok(()) => {
                    stream.appended += (end - there) as u64;
                    stream.present = end;
                    if last {
                        break;
                    }
                    self.note(lease, stream, StreamState::Begun).await?;
                    continue;
                }
                Err(Conflict::Source) => {}
                Err(Conflict::Target) => self.look(stream).await?,
                Err(Conflict::Duplicate(error)) => {
                    let before = (there, stream.source_version);
                    self.look(stream).await?;
                    self.catch_up(stream).await?;
                    if before == (stream.present, stream.source_version) {
                        return Err(StreamError::Append(error).into());
                    }
                }
            }
            conflicts += 1;
            self.after_conflict(lease, stream, conflicts).await?;
        }
        self.verify(stream).await?;
        self.note(lease, stream, StreamState::Migrated).await
    }

    /// Copies what came behind the closing event, to the end of the target, which is in use by now. Where
    /// its events lie there nobody else knows, so each piece closes the source again, as far as it goes.
    async fn copy_late(
        &self,
        lease: &mut Lease,
        stream: &mut TransformedStream,
    ) -> Result<(), Failure> {
        let mut conflicts = 0;
        while let Some(closed) = stream.closed.clone() {
            let Some((end, through)) = stream.whole_chunk(closed.source_version) else {
                break;
            };
            let start = stream.start_after(closed.source_version);
            let target = last_event(self.store.database(), &stream.target).await?;
            let version = target.map_or(0, |event| event.stream_version);
            let mut writes = write(stream, start..end, version);
            let marker = self.marker(stream, through, version + (end - start) as u64);
            writes.push(self.closing(stream, &marker)?);
            match self.append(&stream.source, Append::new(writes)).await? {
                Ok(()) => stream.appended += (end - start) as u64,
                Err(Conflict::Source | Conflict::Target) => conflicts += 1,
                Err(Conflict::Duplicate(error)) => {
                    let before = stream.source_version;
                    self.catch_up(stream).await?;
                    if before == stream.source_version {
                        return Err(StreamError::Append(error).into());
                    }
                }
            }
            // Reads the closing event, too.
            self.after_conflict(lease, stream, conflicts).await?;
        }
        stream.present = stream.events.len();
        self.note(lease, stream, StreamState::Migrated).await
    }

    async fn after_conflict(
        &self,
        lease: &mut Lease,
        stream: &mut TransformedStream,
        conflicts: u32,
    ) -> Result<(), Failure> {
        if conflicts > self.max_conflicts {
            let attempts = conflicts;
            return Err(StreamError::Restless { attempts }.into());
        }
        lease.keep().await?;
        let known = stream.last_event();
        self.catch_up(stream).await?;
        if stream.last_event() > known {
            self.validate(stream)?;
        }
        Ok(())
    }

    /// That the target has all that was copied, in order.
    async fn verify(&self, stream: &TransformedStream) -> Result<(), Failure> {
        let mut there = 0;
        while there < stream.events.len() {
            let target = &stream.target;
            let page = self.store.read_stream(target, there as u64, PAGE).await?;
            if page.is_empty() {
                return Err(StreamError::Incomplete {
                    stream: target.clone(),
                    version: there as u64,
                }
                .into());
            }
            let copied = stream.events.len() - there;
            for (event, index) in page.iter().zip(there..).take(copied) {
                compare(stream, index, event)?;
            }
            there += page.len();
        }
        Ok(())
    }

    fn marker(&self, stream: &TransformedStream, through: u64, version: u64) -> StreamMigrated {
        StreamMigrated {
            migration: self.migration().name().to_owned(),
            target: stream.target.clone(),
            source_version: through,
            target_version: version,
        }
    }

    /// Closes the source, if it is as it was read.
    fn closing(
        &self,
        stream: &TransformedStream,
        marker: &StreamMigrated,
    ) -> Result<StreamWrite, Failure> {
        let event = marker.event(&stream.source);
        let event = event.map_err(|error| StreamError::Invalid {
            message: error.to_string(),
        })?;
        Ok(StreamWrite {
            stream: stream.source.clone(),
            expected: ExpectedVersion::Exact(stream.source_version),
            events: vec![event],
        })
    }

    async fn note(
        &self,
        lease: &mut Lease,
        stream: &TransformedStream,
        state: StreamState,
    ) -> Result<(), Failure> {
        let name = self.migration().name();
        Ok(note(lease, name, stream, state, None).await?)
    }

    /// Appends until it is known what came of it.
    async fn append(
        &self,
        source: &StreamKey,
        append: Append,
    ) -> Result<Result<(), Conflict>, Failure> {
        let mut attempts = 1;
        loop {
            let error = match self.store.append(append.clone()).await {
                Ok(_) => return Ok(Ok(())),
                Err(error) => error,
            };
            match error {
                AppendError::Conflict { ref stream, .. } => {
                    let of_source = stream == source;
                    return Ok(Err(if of_source {
                        Conflict::Source
                    } else {
                        Conflict::Target
                    }));
                }
                AppendError::DuplicateEventId { .. } => return Ok(Err(Conflict::Duplicate(error))),
                AppendError::Invalid { .. } => return Err(StreamError::Append(error).into()),
                AppendError::Overloaded | AppendError::Unavailable { .. } => {
                    if attempts >= ATTEMPTS {
                        return Err(Failure::Run(error.into()));
                    }
                }
            }
            tokio::time::sleep(FIRST_PAUSE * 2_u32.pow(attempts)).await;
            attempts += 1;
        }
    }
}

/// What was not as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Conflict {
    Source,
    Target,
    /// Some of the events are stored, or something else has their ids.
    Duplicate(AppendError),
}

/// Events of a range for the target; no write if there are none.
fn write(
    stream: &TransformedStream,
    range: std::ops::Range<usize>,
    version: u64,
) -> Vec<StreamWrite> {
    let events = stream.events[range].to_vec();
    if events.is_empty() {
        return Vec::new();
    }
    vec![StreamWrite {
        stream: stream.target.clone(),
        expected: ExpectedVersion::Exact(version),
        events,
    }]
}

/// That an event of the target is the one that belongs there.
fn compare(
    stream: &TransformedStream,
    index: usize,
    event: &RecordedEvent,
) -> Result<(), StreamError> {
    let target: StreamKey = stream.target.clone();
    let position = event.position;
    let Some(wanted) = stream
        .events
        .get(index)
        .filter(|wanted| wanted.id == event.id)
    else {
        return Err(StreamError::ForeignEvent { target, position });
    };
    let same = wanted.event_type == event.event_type
        && wanted.schema_version == event.schema_version
        && wanted.data == event.data;
    if same {
        Ok(())
    } else {
        Err(StreamError::Changed { target, position })
    }
}
