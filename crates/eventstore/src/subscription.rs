//! Following the store: what is there first, then what comes.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use std::vec;
use std::{fmt, mem};

use futures::Stream;
use futures::future::{BoxFuture, FutureExt};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use crate::backend::read_error;
use crate::database::{Row, Rows};
use crate::error::ReadError;
use crate::event::{Position, RecordedEvent};
use crate::reader::{self, Reader};
use crate::store::Shared;

/// Events read at once: few at first, more while there are more and they are small.
const FIRST_PAGE: usize = 128;
const LARGEST_PAGE: usize = 1024;

/// Size to stay below with one page, as far as the page before it tells. Well below where a page is cut off,
/// which costs a connection.
const PAGE_BYTES: usize = 2 * 1024 * 1024;

const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// All events above a position, now and in future: a [`Stream`] of [`RecordedEvent`]s. See
/// [`EventStore::subscribe`](crate::EventStore::subscribe).
///
/// Nothing is read ahead of demand but two pages, so a slow reader slows nobody else. It keeps the
/// connections of the store open even if the store's handle is dropped.
pub struct Subscription(State);

enum State {
    /// Gives out what it has fetched.
    Giving(Box<Follower>),
    /// Has given out everything, and gets more.
    Filling(BoxFuture<'static, Result<Option<Box<Follower>>, ReadError>>),
    Ended,
}

impl Subscription {
    pub(crate) fn new(shared: Arc<Shared>, after: Position) -> Self {
        let follower = Follower {
            head: shared.head.watch(),
            shared,
            after,
            last: None,
            page: Vec::new().into_iter(),
            limit: FIRST_PAGE,
            ahead: None,
            pause: SHORTEST_PAUSE,
            cursor_checked: false,
            promised: false,
        };
        Self(State::Giving(Box::new(follower)))
    }
}

impl Stream for Subscription {
    type Item = Result<RecordedEvent, ReadError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let state = &mut self.0;
        loop {
            let outcome = match mem::replace(state, State::Ended) {
                State::Giving(mut follower) => match follower.page.next() {
                    Some(row) => {
                        let event = follower.step(&row);
                        if event.is_ok() {
                            *state = State::Giving(follower);
                        }
                        return Poll::Ready(Some(event));
                    }
                    None => State::Filling(follower.filled().boxed()),
                },
                State::Filling(mut filling) => match filling.poll_unpin(context) {
                    Poll::Pending => {
                        *state = State::Filling(filling);
                        return Poll::Pending;
                    }
                    Poll::Ready(Ok(Some(follower))) => State::Giving(follower),
                    Poll::Ready(Ok(None)) => State::Ended,
                    Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error))),
                },
                State::Ended => return Poll::Ready(None),
            };
            *state = outcome;
        }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Subscription")
    }
}

/// A reader's place in the store.
struct Follower {
    shared: Arc<Shared>,
    head: watch::Receiver<Position>,
    /// Last position given out.
    after: Position,
    /// Id of the event there, if it was given out. It is read again before each page: whether the store goes on
    /// from what was read cannot be told by positions.
    last: Option<Uuid>,
    /// Fetched, but not given out yet. What an event says is read when it is asked for: by then the
    /// database is busy with the next page.
    page: vec::IntoIter<Row>,
    /// Events to read at once.
    limit: usize,
    /// The page after `page`, being read while that is given out.
    ahead: Option<AbortOnDropHandle<Result<Rows, ReadError>>>,
    /// How long to wait after the next failure.
    pause: Duration,
    /// Whether the store is known to reach as far as `after`; to be looked up again after a lost
    /// connection, behind which another database may stand, and now and then while nothing comes.
    cursor_checked: bool,
    /// Whether the next page has events: the store was seen to reach beyond `after` before it is read.
    promised: bool,
}

impl Follower {
    /// The same with a page at hand; none when the store is closed.
    async fn filled(mut self: Box<Self>) -> Result<Option<Box<Self>>, ReadError> {
        let cancelled = self.shared.cancelled.clone();
        while self.page.as_slice().is_empty() {
            match cancelled.run_until_cancelled(self.fill()).await {
                None => return Ok(None),
                Some(Ok(())) => self.pause = SHORTEST_PAUSE,
                Some(Err(ReadError::Unavailable { message })) => {
                    tracing::warn!(%message, after = %self.after, "a subscription cannot read");
                    self.cursor_checked = false;
                    let pause = tokio::time::sleep(self.pause);
                    if cancelled.run_until_cancelled(pause).await.is_none() {
                        return Ok(None);
                    }
                    self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                }
                Some(Err(error)) => return Err(error),
            }
        }
        Ok(Some(self))
    }

    /// Gives an event out, if it is the one that has to come next.
    fn step(&mut self, row: &Row) -> Result<RecordedEvent, ReadError> {
        let expected = Position(self.after.0.saturating_add(1));
        let event = match reader::recorded(row) {
            Ok(event) if event.position == expected => event,
            outcome => {
                let found = outcome?.position;
                return Err(ReadError::Gap { expected, found });
            }
        };
        (self.after, self.last) = (event.position, Some(event.id));
        Ok(event)
    }

    /// Reads a page, with the event before it if that is known.
    async fn read(
        reader: Reader,
        after: Position,
        overlaps: bool,
        limit: usize,
    ) -> Result<Rows, ReadError> {
        let overlap = u64::from(overlaps);
        let from = Position(after.0.saturating_sub(overlap));
        reader.page(from, limit + overlap as usize).await
    }

    /// Takes away the event before a page, which has to be the one that was read there before.
    fn continued(&self, mut page: Rows) -> Result<Rows, ReadError> {
        let (Some(last), false) = (self.last, page.rows.is_empty()) else {
            return Ok(page);
        };
        let before = page.rows.remove(0);
        match reader::name(&before).map_err(read_error)? {
            (id, position) if position == self.after && id == last => Ok(page),
            (_, position) if position == self.after => Err(ReadError::Rewritten { position }),
            (_, found) => Err(ReadError::Gap {
                expected: self.after,
                found,
            }),
        }
    }

    /// Begins to read the page behind a full one.
    fn read_ahead(&mut self, page: &Rows) -> Result<(), ReadError> {
        let Some(last) = page.rows.last() else {
            return Ok(());
        };
        let after = reader::position(last).map_err(read_error)?;
        let affordable = PAGE_BYTES * page.rows.len() / page.bytes.max(1);
        self.limit = (self.limit * 2).min(LARGEST_PAGE).min(affordable).max(1);
        let reading = Self::read(self.shared.reader.clone(), after, true, self.limit);
        let reading = tokio::spawn(reading);
        self.ahead = Some(AbortOnDropHandle::new(reading));
        Ok(())
    }

    /// Reads the next page; if there is none, waits until there is something to read.
    async fn fill(&mut self) -> Result<(), ReadError> {
        // Looked at before reading: a commit between the two wakes the wait below.
        let known_head = *self.head.borrow_and_update();
        let promised = mem::take(&mut self.promised);
        let limit = self.limit;
        let page = match self.ahead.take() {
            Some(reading) => reading.await.unwrap_or_else(|error| {
                let message = format!("reading ahead was given up: {error}");
                Err(ReadError::Unavailable { message })
            })?,
            None => {
                let reader = self.shared.reader.clone();
                Self::read(reader, self.after, self.last.is_some(), limit).await?
            }
        };
        let mut page = self.continued(page)?;
        if page.rows.is_empty() && page.is_cut {
            // The event before was a page by itself.
            let reader = self.shared.reader.clone();
            page = Self::read(reader, self.after, false, limit).await?;
        }
        if !page.rows.is_empty() {
            if page.is_cut || page.rows.len() == limit {
                self.read_ahead(&page)?;
            }
            self.page = page.rows.into_iter();
            return Ok(());
        }
        if !self.cursor_checked || known_head > self.after {
            let head = self.shared.reader.head().await?;
            if head < self.after {
                return Err(ReadError::AheadOfStore {
                    cursor: self.after,
                    head,
                });
            }
            if head > self.after && promised {
                return Err(ReadError::Gap {
                    expected: Position(self.after.0.saturating_add(1)),
                    found: Position(head.0.saturating_add(1)),
                });
            }
            if head > self.after {
                // Committed since the page was read.
                self.promised = true;
                return Ok(());
            }
            self.cursor_checked = true;
        }
        if known_head > self.after {
            // Announced, but not to be read: the database went back in time, or lags behind itself.
            let message = format!("it announced position {known_head} and does not have it");
            return Err(ReadError::Unavailable { message });
        }
        let after = self.after;
        let more = self.head.wait_for(|head| *head > after);
        // Nothing fails here when the database is put back to an earlier state meanwhile, and what is
        // written then comes below the cursor. An error means that the store is gone; it is cancelled
        // then, and the caller notices.
        if timeout(self.shared.cursor_check, more).await.is_err() {
            self.cursor_checked = false;
        }
        Ok(())
    }
}
