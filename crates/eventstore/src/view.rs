//! The store as of a position or later: reads that say how current they have to be, and may go to the
//! replica when it is.

use std::future::Future;
use std::time::Duration;

use crate::error::ReadError;
use crate::event::{Position, RecordedEvent, StreamKey, StreamPage};
use crate::head::Head;
use crate::query::{self, EventPage, EventQuery};
use crate::reader::{self, Reader, Source};
use crate::replica::Outcome;

/// How long to wait for the replica unless told otherwise.
const PATIENCE: Duration = Duration::from_millis(100);

/// Reads that have everything up to a position; see
/// [`EventStore::at_least`](crate::EventStore::at_least).
///
/// With a replica they go there as soon as it has the position, which is waited for
/// [so long](Self::within); when it has not, or is away, they go to the primary. Each read is one
/// snapshot of the replica, in which its position was looked up, so several replicas may stand behind
/// one address. A cursor (`after`, or `at_most` backward) is a position that was seen and counts
/// as one the read has to have.
#[derive(Debug, Clone)]
pub struct View {
    reader: Reader,
    head: Head,
    at_least: Position,
    within: Duration,
}

impl View {
    pub(crate) fn new(reader: Reader, head: Head, at_least: Position) -> Self {
        Self {
            reader,
            head,
            at_least,
            within: PATIENCE,
        }
    }

    /// The same, with another bound on waiting for the replica; 100 ms unless told otherwise. With
    /// zero it is used only if it is known to be far enough.
    #[must_use]
    pub fn within(mut self, bound: Duration) -> Self {
        self.within = bound;
        self
    }

    /// As [`EventStore::read_stream`](crate::EventStore::read_stream).
    ///
    /// # Errors
    /// See [`ReadError`]; `AheadOfStore` when not even the primary has the position.
    pub async fn read_stream(
        &self,
        stream: &StreamKey,
        after_version: u64,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, ReadError> {
        let page = self.stream_page(stream, after_version, limit).await?;
        Ok(page.events)
    }

    /// As [`EventStore::stream_page`](crate::EventStore::stream_page).
    ///
    /// # Errors
    /// As [`read_stream`](Self::read_stream).
    pub async fn stream_page(
        &self,
        stream: &StreamKey,
        after_version: u64,
        limit: usize,
    ) -> Result<StreamPage, ReadError> {
        let read = StreamRead {
            stream,
            after_version,
            limit,
        };
        self.read(&read).await
    }

    /// As [`EventStore::read_all`](crate::EventStore::read_all).
    ///
    /// # Errors
    /// As [`read_stream`](Self::read_stream).
    pub async fn read_all(
        &self,
        after: Position,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, ReadError> {
        self.read(&ReadAll { after, limit }).await
    }

    /// As [`EventStore::query`](crate::EventStore::query).
    ///
    /// # Errors
    /// As [`read_stream`](Self::read_stream).
    pub async fn query(&self, query: &EventQuery) -> Result<EventPage, ReadError> {
        query.check()?;
        self.read(query).await
    }

    /// Where what is read through this view ends: at its position or behind it.
    ///
    /// # Errors
    /// As [`read_stream`](Self::read_stream).
    pub async fn head(&self) -> Result<Position, ReadError> {
        self.read(&ReadHead).await
    }

    async fn read<R: Read>(&self, read: &R) -> Result<R::Answer, ReadError> {
        let reads = self.reader.reads();
        match self.reader.replica() {
            Some(replica) => {
                let position = self.at_least.max(read.cursor());
                match replica.read(read, position, self.within).await {
                    Outcome::Answered(answer) => {
                        reads.by_replica();
                        return Ok(answer);
                    }
                    Outcome::Behind => reads.behind(),
                    Outcome::Away => reads.away(),
                }
            }
            None => reads.by_primary(),
        }
        if self.head.known() < self.at_least {
            let head = self.reader.head().await?;
            self.head.advance(head);
            if head < self.at_least {
                let cursor = self.at_least;
                return Err(ReadError::AheadOfStore { cursor, head });
            }
        }
        read.run(&mut self.reader.source()).await
    }
}

/// Something to be read, wherever that is.
pub(crate) trait Read: Sync {
    type Answer: Send;

    /// What the caller has seen already.
    fn cursor(&self) -> Position {
        Position::START
    }

    fn run(
        &self,
        source: &mut Source<'_>,
    ) -> impl Future<Output = Result<Self::Answer, ReadError>> + Send;
}

struct StreamRead<'r> {
    stream: &'r StreamKey,
    after_version: u64,
    limit: usize,
}

impl Read for StreamRead<'_> {
    type Answer = StreamPage;

    async fn run(&self, source: &mut Source<'_>) -> Result<Self::Answer, ReadError> {
        reader::stream_page(self.stream, self.after_version, self.limit, source).await
    }
}

struct ReadAll {
    after: Position,
    limit: usize,
}

impl Read for ReadAll {
    type Answer = Vec<RecordedEvent>;

    fn cursor(&self) -> Position {
        self.after
    }

    async fn run(&self, source: &mut Source<'_>) -> Result<Self::Answer, ReadError> {
        reader::read_all(self.after, self.limit, source).await
    }
}

struct ReadHead;

impl Read for ReadHead {
    type Answer = Position;

    async fn run(&self, source: &mut Source<'_>) -> Result<Self::Answer, ReadError> {
        reader::head(source).await
    }
}

impl Read for EventQuery {
    type Answer = EventPage;

    fn cursor(&self) -> Position {
        EventQuery::cursor(self).unwrap_or(Position::START)
    }

    async fn run(&self, source: &mut Source<'_>) -> Result<Self::Answer, ReadError> {
        query::run(self, source).await
    }
}
