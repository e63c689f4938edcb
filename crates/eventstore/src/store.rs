//! The trait, and the store behind it: a queue in front of the lane, a reader beside it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::backend::Writer;
use crate::database::Database;
use crate::error::{AppendError, ReadError};
use crate::event::{Append, Appended, Position, RecordedEvent, StreamKey, StreamPage};
use crate::head::{self, Head};
use crate::lane::{Lane, Pending};
use crate::options::Options;
use crate::query::{self, EventPage, EventQuery};
use crate::reader::Reader;
use crate::replica::ReadStatistics;
use crate::request::Request;
use crate::subscription::Subscription;
use crate::view::View;

/// An append-only store of events; see the [crate's](crate) example.
///
/// All methods may be called from many tasks at once, and several processes may hold a store on the
/// same database.
#[async_trait]
pub trait EventStore: Send + Sync + 'static {
    /// Which store this is: made with its tables, and kept for as long as they exist. A position of one
    /// store says nothing about another.
    fn id(&self) -> Uuid;

    /// The database it lies in, for what is to be stored in one transaction with a checkpoint.
    fn database(&self) -> &Database;

    /// Stores all events of an append, or none of them.
    ///
    /// When it returns, the events are on disk and every reader sees them. A call that is repeated
    /// with the same event ids is answered as the first one was
    /// ([`already_stored`](Appended::already_stored)), whatever versions the streams have meanwhile.
    /// Dropping the future does not take the append back: it is stored or not.
    ///
    /// # Errors
    /// See [`AppendError`]; after any of them a repetition with the same ids is safe.
    async fn append(&self, append: Append) -> Result<Appended, AppendError>;

    /// Up to `limit` events of one stream with versions above `after_version`, in order. An unknown
    /// stream has none.
    ///
    /// Fewer than `limit` are not the end: no answer goes on behind the event that brings it to 8 MiB of
    /// JSON. It has one event at least if there is one, so who reads on until nothing comes has read
    /// everything; [`stream_page`](Self::stream_page) says it sooner.
    ///
    /// # Errors
    /// See [`ReadError`].
    async fn read_stream(
        &self,
        stream: &StreamKey,
        after_version: u64,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, ReadError>;

    /// As [`read_stream`](Self::read_stream), and whether that is the end of the stream.
    ///
    /// A store that stands in front of another one may leave this as it is; only an empty page is an end
    /// then.
    ///
    /// # Errors
    /// See [`ReadError`].
    async fn stream_page(
        &self,
        stream: &StreamKey,
        after_version: u64,
        limit: usize,
    ) -> Result<StreamPage, ReadError> {
        let events = self.read_stream(stream, after_version, limit).await?;
        let end = events.is_empty();
        Ok(StreamPage { events, end })
    }

    /// Up to `limit` events of all streams with positions above `after`, in order. As with
    /// [`read_stream`](Self::read_stream), only an empty answer is the end.
    ///
    /// # Errors
    /// See [`ReadError`].
    async fn read_all(
        &self,
        after: Position,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, ReadError>;

    /// Position of the last event, [`Position::START`] if there is none.
    ///
    /// # Errors
    /// See [`ReadError`].
    async fn head(&self) -> Result<Position, ReadError>;

    /// One page of the events that a query asks for. Pages follow one another by position, so events
    /// appended meanwhile neither shift nor double anything; see [`EventQuery`].
    ///
    /// # Errors
    /// See [`ReadError`]; `Invalid` and `AheadOfStore` are the caller's.
    async fn query(&self, query: &EventQuery) -> Result<EventPage, ReadError>;

    /// The store as of `position` or later: what is read through it may come from the replica
    /// ([`Options::read_replica_url`]), and has everything up to `position` all the same.
    fn at_least(&self, position: Position) -> View;

    /// Where reads went since the store was opened.
    fn read_statistics(&self) -> ReadStatistics;

    /// Waits until the store is known to have `position`, and gives the position it is known to have.
    ///
    /// # Errors
    /// [`ReadError::NotReached`] when that takes longer than `bound`; [`ReadError::Unavailable`] when
    /// the store is closed meanwhile. A database that is away for a while is waited for.
    async fn wait_for(&self, position: Position, bound: Duration) -> Result<Position, ReadError>;

    /// The end of the store as this process knows it; changes when it learns of new events. It only
    /// grows, and may be a little behind [`head`](Self::head).
    fn head_watch(&self) -> watch::Receiver<Position>;

    /// All events above `after`: those that are stored, then those to come, each once, in order and
    /// without gaps.
    ///
    /// Lost connections are survived by waiting and reading on; the stream gives an error only
    /// when going on would be wrong, and ends after it. It also ends when the store is closed.
    fn subscribe(&self, after: Position) -> Subscription;

    /// Refuses further appends, commits those that are queued, ends the subscriptions and gives all
    /// connections back. A store that is dropped does the same without anybody waiting for it.
    async fn close(&self);
}

/// How many polls long a subscription may wait before it looks whether the store still reaches as far
/// as its cursor.
const POLLS_PER_CURSOR_CHECK: u32 = 5;

/// What a store and its subscriptions share.
pub(crate) struct Shared {
    id: Uuid,
    pub(crate) reader: Reader,
    pub(crate) head: Head,
    pub(crate) cancelled: CancellationToken,
    /// How often a waiting subscription looks whether the store still reaches as far as its cursor.
    pub(crate) cursor_check: Duration,
    queue: mpsc::Sender<Pending>,
    queue_wait: Duration,
    max_event_bytes: usize,
    tasks: TaskTracker,
    _cancel_on_drop: DropGuard,
}

impl Shared {
    /// A place in the queue, waited for as long as the options allow.
    async fn room(&self) -> Result<mpsc::Permit<'_, Pending>, TrySendError<()>> {
        match self.queue.try_reserve() {
            Err(TrySendError::Full(())) if !self.queue_wait.is_zero() => {
                match timeout(self.queue_wait, self.queue.reserve()).await {
                    Ok(room) => room.map_err(|_| TrySendError::Closed(())),
                    Err(_) => Err(TrySendError::Full(())),
                }
            }
            answer => answer,
        }
    }
}

/// The store; the databases differ only in what stands behind [`Reader`] and [`Writer`].
pub(crate) struct Store(Arc<Shared>);

impl Store {
    /// Starts the lane and the poll; `tasks` and `cancelled` may hold further tasks of the backend.
    pub(crate) fn start<W: Writer>(
        id: Uuid,
        writer: W,
        reader: Reader,
        head: Head,
        options: &Options,
        tasks: TaskTracker,
        cancelled: CancellationToken,
    ) -> Self {
        let (queue, receiver) = mpsc::channel(options.queue_len);
        let lane = Lane {
            writer,
            queue: receiver,
            batch_max: options.batch_max,
            head: head.clone(),
            clock: options.clock,
        };
        tasks.spawn(lane.run(cancelled.clone()));
        let poll = head::poll(
            head.clone(),
            reader.clone(),
            options.poll_interval,
            cancelled.clone(),
        );
        tasks.spawn(poll);
        tasks.close();
        Self(Arc::new(Shared {
            id,
            reader,
            head,
            _cancel_on_drop: cancelled.clone().drop_guard(),
            cancelled,
            cursor_check: options.poll_interval.saturating_mul(POLLS_PER_CURSOR_CHECK),
            queue,
            queue_wait: options.queue_wait,
            max_event_bytes: options.max_event_bytes,
            tasks,
        }))
    }
}

#[async_trait]
impl EventStore for Store {
    fn id(&self) -> Uuid {
        self.0.id
    }

    fn database(&self) -> &Database {
        self.0.reader.database()
    }

    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        let request = Request::check(append, self.0.max_event_bytes)?;
        let closed = || AppendError::Unavailable {
            message: "the store is closed".into(),
        };
        // The lane closes the queue too, but only when it is done with what it has in hand.
        if self.0.cancelled.is_cancelled() {
            return Err(closed());
        }
        let room = self.0.room().await.map_err(|full| match full {
            TrySendError::Full(()) => AppendError::Overloaded,
            TrySendError::Closed(()) => closed(),
        })?;
        let (reply, answer) = oneshot::channel();
        room.send(Pending { request, reply });
        answer.await.unwrap_or_else(|_| {
            let message = "outcome unknown: the store was closed meanwhile".into();
            Err(AppendError::Unavailable { message })
        })
    }

    async fn read_stream(
        &self,
        stream: &StreamKey,
        after_version: u64,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, ReadError> {
        let page = self.stream_page(stream, after_version, limit).await?;
        Ok(page.events)
    }

    async fn stream_page(
        &self,
        stream: &StreamKey,
        after_version: u64,
        limit: usize,
    ) -> Result<StreamPage, ReadError> {
        self.0.reader.reads().by_primary();
        self.0
            .reader
            .stream_page(stream, after_version, limit)
            .await
    }

    async fn read_all(
        &self,
        after: Position,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, ReadError> {
        self.0.reader.reads().by_primary();
        self.0.reader.read_all(after, limit).await
    }

    async fn head(&self) -> Result<Position, ReadError> {
        self.0.reader.head().await
    }

    async fn query(&self, query: &EventQuery) -> Result<EventPage, ReadError> {
        self.0.reader.reads().by_primary();
        query::run(query, &mut self.0.reader.source()).await
    }

    fn at_least(&self, position: Position) -> View {
        View::new(self.0.reader.clone(), self.0.head.clone(), position)
    }

    fn read_statistics(&self) -> ReadStatistics {
        let replica = self.0.reader.replica();
        let replica_head = replica.and_then(|replica| replica.head());
        self.0.reader.reads().statistics(replica_head)
    }

    async fn wait_for(&self, position: Position, bound: Duration) -> Result<Position, ReadError> {
        let Shared { head, reader, .. } = &*self.0;
        let reached = head::reached(head, reader, position);
        let reached = tokio::time::timeout(bound, reached);
        match self.0.cancelled.run_until_cancelled(reached).await {
            Some(Ok(reached)) => Ok(reached),
            Some(Err(_)) => Err(ReadError::NotReached {
                position,
                head: head.known(),
            }),
            None => Err(ReadError::Unavailable {
                message: "the store is closed".into(),
            }),
        }
    }

    fn head_watch(&self) -> watch::Receiver<Position> {
        self.0.head.watch()
    }

    fn subscribe(&self, after: Position) -> Subscription {
        Subscription::new(Arc::clone(&self.0), after)
    }

    async fn close(&self) {
        self.0.cancelled.cancel();
        self.0.tasks.wait().await;
        self.0.reader.close().await;
    }
}
