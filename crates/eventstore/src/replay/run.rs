//! One replay: pages are read by one task and seen by the visitor in another.

use std::sync::Arc;

use time::OffsetDateTime;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::bounds::{self, Path, Walk};
use super::error::ReplayError;
use super::pages::{Page, read_ahead};
use super::progress::{Failure, Meter, Progress, State};
use super::request::Replay;
use super::visitor::Visitor;
use crate::error::ReadError;
use crate::reader::Reader;

/// Pages that wait between the reading task and the visitor.
const PAGES_AHEAD: usize = 1;

/// What a run needs beside its visitor.
pub(super) struct Run {
    pub(super) reader: Reader,
    pub(super) replay: Arc<Replay>,
    pub(super) page_len: usize,
    pub(super) clock: fn() -> OffsetDateTime,
    pub(super) progress: watch::Sender<Progress>,
    pub(super) meter: Meter,
    pub(super) cancelled: CancellationToken,
}

impl Run {
    /// Runs to the end and says which it was.
    pub(super) async fn run<V: Visitor>(mut self, mut visitor: V) {
        let outcome = self.pages(&mut visitor).await;
        let (state, failure) = match outcome {
            Ok(true) => (State::Done, None),
            Ok(false) => (State::Cancelled, None),
            Err(error) => {
                let failure = Failure {
                    code: error.code(),
                    message: error.to_string(),
                };
                (State::Failed, Some(failure))
            }
        };
        // What a visitor keeps is let go before anybody hears of the end.
        drop(visitor);
        self.meter.end(state, (self.clock)(), failure);
        self.publish();
    }

    fn publish(&self) {
        self.progress.send_replace(self.meter.progress().clone());
    }

    /// Whether it came to its end.
    async fn pages<V: Visitor>(&mut self, visitor: &mut V) -> Result<bool, ReplayError> {
        let cancelled = self.cancelled.clone();
        let Some(walk) = cancelled.run_until_cancelled(self.walk(visitor)).await else {
            return Ok(false);
        };
        let walk = walk?;
        let (after, until) = walk.positions;
        self.meter.expect(after, until, walk.total);
        self.publish();

        let (sender, mut pages) = mpsc::channel(PAGES_AHEAD);
        let reading = read_ahead(
            self.reader.clone(),
            Replay::clone(&self.replay),
            walk,
            self.page_len,
            sender,
            cancelled.clone(),
        );
        tokio::spawn(reading);
        while let Some(page) = cancelled.run_until_cancelled(pages.recv()).await {
            let Some(page) = page else {
                return Ok(!cancelled.is_cancelled());
            };
            self.page(page, visitor).await?;
        }
        Ok(false)
    }

    async fn walk<V: Visitor>(&self, visitor: &mut V) -> Result<Walk, ReadError> {
        let mut walk = bounds::walk(&self.reader, &self.replay).await?;
        if let (Path::Stream(stream), true) = (&walk.path, self.replay.is_of_a_state()) {
            let known = visitor.known_version(stream, walk.until).await;
            if known <= walk.until {
                walk.after = known;
                walk.total = Some(walk.until - known);
            }
        }
        Ok(walk)
    }

    async fn page<V: Visitor>(
        &mut self,
        page: Result<Page, ReadError>,
        visitor: &mut V,
    ) -> Result<(), ReplayError> {
        let Page {
            events,
            read,
            position,
        } = page?;
        if !events.is_empty() {
            visitor
                .visit(&events)
                .await
                .map_err(|error| ReplayError::Visitor {
                    after: self.meter.progress().position,
                    message: error.to_string(),
                })?;
        }
        let matched = events.len() as u64;
        self.meter.page(Instant::now(), read, matched, position);
        self.publish();
        Ok(())
    }
}
