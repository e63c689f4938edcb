//! Fetching events ahead of the fold, a page or two.

use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::fold::Stop;
use super::partition::Share;
use super::table::events;
use crate::backend::RawEvent;
use crate::database::{Database, Row, Rows};
use crate::event::{Position, RecordedEvent};
use crate::reader::{self, PAGE_BYTES};

/// Pages that wait to be folded, beside the one that is read.
const AHEAD: usize = 2;

/// Before what was announced and is not there is looked for again.
const SHORT_PAUSE: Duration = Duration::from_millis(100);

/// How often a waiting reader looks whether the store still reaches as far as its cursor.
const CURSOR_CHECK: Duration = Duration::from_secs(5);

/// Consecutive events, without those that cannot matter.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) events: Vec<RecordedEvent>,
    /// Position of the last event, also if it is left out.
    pub(crate) last: u64,
    /// Whether the store ended there.
    pub(crate) end: bool,
    /// An event behind them that cannot be read.
    pub(crate) stop: Option<Stop>,
}

/// Rows as they were fetched: what is in them is read where it is folded, so that meanwhile the database
/// gives the next ones, and so that events are dropped by the thread that made them.
#[derive(Debug)]
struct Fetched {
    rows: Vec<Row>,
    end: bool,
    /// An event behind all rows that cannot be.
    stop: Option<Stop>,
}

/// A task that fetches; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Pages {
    fetched: mpsc::Receiver<Result<Fetched, sqlx::Error>>,
    share: Share,
    /// Position of the last event given out.
    after: u64,
    /// Whether there was an event that nothing goes past.
    stopped: bool,
    task: JoinHandle<()>,
}

impl Drop for Pages {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Pages {
    /// Reads everything above `after`, and then what comes, if `head` tells when.
    pub(crate) fn start(
        database: Database,
        share: Share,
        after: u64,
        limit: u64,
        head: Option<watch::Receiver<Position>>,
    ) -> Self {
        let (sender, fetched) = mpsc::channel(AHEAD);
        let fetching = Fetching {
            database,
            after,
            limit,
            page: limit,
            sender,
        };
        let task = tokio::spawn(fetching.run(head));
        Self {
            fetched,
            share,
            after,
            stopped: false,
            task,
        }
    }

    /// The next page; none when there will not be another.
    pub(crate) async fn next(&mut self) -> Option<Result<Page, sqlx::Error>> {
        if self.stopped {
            return None;
        }
        let fetched = self.fetched.recv().await?;
        Some(fetched.and_then(|fetched| self.read(fetched)))
    }

    fn read(&mut self, fetched: Fetched) -> Result<Page, sqlx::Error> {
        let mut page = Page {
            last: self.after,
            end: fetched.end,
            stop: fetched.stop,
            ..Page::default()
        };
        for row in &fetched.rows {
            let taken = match reader::raw_here(row) {
                Ok(event) => self.take(&mut page, event),
                Err(error) => Err(Stop {
                    position: page.last + 1,
                    message: format!("the event is corrupt ({error}); restore it from a backup"),
                }),
            };
            if let Err(stop) = taken {
                page.stop = Some(stop);
                break;
            }
        }
        self.after = page.last;
        self.stopped = page.stop.is_some();
        Ok(page)
    }

    /// Puts an event into the page, if it is the next.
    fn take(&self, page: &mut Page, event: RawEvent<&str, &[u8]>) -> Result<(), Stop> {
        let position = event.position.unsigned_abs();
        let expected = page.last + 1;
        if position != expected {
            let message = format!("it is missing, {position} follows; restore it from a backup");
            return Err(Stop {
                position: expected,
                message,
            });
        }
        if self.share.may_hold(&event.stream.tenant) {
            let recorded = events::recorded(event);
            let recorded = recorded.map_err(|(position, message)| Stop { position, message })?;
            page.events.push(recorded);
        }
        page.last = position;
        Ok(())
    }
}

struct Fetching {
    database: Database,
    after: u64,
    limit: u64,
    /// Events asked for, at most `limit`.
    page: u64,
    sender: mpsc::Sender<Result<Fetched, sqlx::Error>>,
}

impl Fetching {
    async fn run(mut self, mut head: Option<watch::Receiver<Position>>) {
        let mut told_end = false;
        loop {
            let known = head.as_mut().map(|head| head.borrow_and_update().0);
            let after = self.after;
            let fetched = self.fetch().await;
            let (is_end, is_last) = match &fetched {
                Ok(fetched) => (fetched.end, fetched.stop.is_some()),
                Err(_) => (false, true),
            };
            // An end is told once, also when the page before it was full or there was none.
            let is_news = is_last || is_end && !told_end || self.after > after;
            told_end = is_end;
            if is_news && self.sender.send(fetched).await.is_err() || is_last {
                return;
            }
            if is_end && known.is_some_and(|known| known > self.after) {
                // Announced, but not to be read: the database went back in time, or nobody wrote it.
                tokio::time::sleep(SHORT_PAUSE).await;
            } else if is_end {
                let Some(head) = &mut head else { return };
                let after = self.after;
                let more = head.wait_for(|head| head.0 > after);
                if let Ok(Err(_)) = tokio::time::timeout(CURSOR_CHECK, more).await {
                    return;
                }
            }
        }
    }

    async fn fetch(&mut self) -> Result<Fetched, sqlx::Error> {
        let read = events::page(&self.database, self.after, self.page, PAGE_BYTES).await?;
        let Rows {
            rows,
            bytes,
            is_cut,
        } = read;
        let end = !is_cut && (rows.len() as u64) < self.page;
        let stop = match rows.last() {
            None => self.ahead_of_store().await?,
            Some(last) => {
                self.after = reader::position(last)?.0;
                None
            }
        };
        // To cut a page off costs a connection.
        self.page = match is_cut || bytes >= PAGE_BYTES / 2 {
            true => (self.page / 2).max(1),
            false => (self.page * 2).min(self.limit),
        };
        Ok(Fetched { rows, end, stop })
    }

    async fn ahead_of_store(&self) -> Result<Option<Stop>, sqlx::Error> {
        let head = events::head(&self.database).await?;
        Ok((head < self.after).then(|| Stop {
            position: self.after + 1,
            message: format!(
                "the checkpoint {} is ahead of the store, which ends at {head}; clear the projection",
                self.after
            ),
        }))
    }
}
