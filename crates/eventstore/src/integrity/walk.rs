//! The walk of a verification: along the positions, page by page.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::chain_check::{Chain, Finding};
use super::checkpoint::Checkpoint;
use super::error::IntegrityError;
use super::faults::{Fault, FaultKind, Faults, Report};
use super::stored::{self, Content, Page, PageLen, Stored};
use super::streams::{self, InStream};
use super::verify::{Verify, VerifyScope};
use super::{bounds, compare};
use crate::backend::read_error;
use crate::chain::{ChainEnd, Hash};
use crate::database::Database;
use crate::event::Position;
use crate::replay::{Meter, Progress};
use crate::store::EventStore;

/// Everything that is known on the way.
pub(super) struct Walk {
    /// Held, so that the connections stay open.
    pub(super) store: Arc<dyn EventStore>,
    pub(super) verify: Verify,
    pub(super) faults: Faults,
    pub(super) chains: HashMap<String, Chain>,
    /// Trusted checkpoints to start from, by tenant.
    pub(super) starts: HashMap<String, Checkpoint>,
    /// Checkpoints kept elsewhere that were not met yet, by position.
    pub(super) kept: BTreeMap<u64, Vec<Checkpoint>>,
    /// Last position of the store when the walk began.
    pub(super) end: u64,
    /// Last position walked over.
    pub(super) done: u64,
    /// Last event seen.
    pub(super) latest: u64,
    /// Time of the last sound event, in microseconds.
    latest_time: Option<time::OffsetDateTime>,
    page_len: PageLen,
    events: u64,
    pub(super) checkpoints: u64,
    pub(super) kept_checkpoints: u64,
    meter: Meter,
    progress: watch::Sender<Progress>,
    cancelled: CancellationToken,
}

/// Where the events of a page stand in their chains, by position.
pub(super) type Seen<'a> = HashMap<u64, (&'a str, ChainEnd)>;

impl Walk {
    pub(super) fn new(
        store: Arc<dyn EventStore>,
        verify: Verify,
        meter: Meter,
        progress: watch::Sender<Progress>,
        cancelled: CancellationToken,
    ) -> Self {
        Self {
            page_len: PageLen::new(verify.page_len),
            done: verify.after.0,
            latest: verify.after.0,
            store,
            verify,
            faults: Faults::default(),
            chains: HashMap::new(),
            starts: HashMap::new(),
            kept: BTreeMap::new(),
            end: 0,
            latest_time: None,
            events: 0,
            checkpoints: 0,
            kept_checkpoints: 0,
            meter,
            progress,
            cancelled,
        }
    }

    /// Walks to the end, or until it is cancelled.
    pub(super) async fn run(
        mut self,
    ) -> (
        Result<Report, IntegrityError>,
        Meter,
        watch::Sender<Progress>,
    ) {
        let complete = self.all().await;
        let Self {
            verify,
            faults,
            chains,
            meter,
            progress,
            ..
        } = self;
        let report = complete.map(|complete| {
            let (faults, more_faulty_tenants) = faults.into_parts();
            Report {
                store: self.store.id(),
                after: verify.after,
                until: Position(if complete { self.end } else { self.done }),
                complete,
                events: self.events,
                tenants: chains.len() as u64,
                checkpoints: self.checkpoints,
                kept_checkpoints: self.kept_checkpoints,
                signatures_checked: !verify.keys.is_empty(),
                scope: verify.scope,
                faults,
                more_faulty_tenants,
            }
        });
        (report, meter, progress)
    }

    pub(super) fn database(&self) -> Database {
        self.store.database().clone()
    }

    pub(super) fn fault(
        &mut self,
        kind: FaultKind,
        tenant: Option<&str>,
        place: (u64, Option<u64>),
        event: Option<&Content>,
        message: String,
    ) {
        self.faults.add(Fault {
            kind,
            tenant: tenant.map(str::to_owned),
            position: Position(place.0),
            tenant_sequence: place.1,
            event_id: event.map(|event| event.id),
            message,
        });
    }

    async fn all(&mut self) -> Result<bool, IntegrityError> {
        let total = bounds::find(self).await?;
        compare::starts(self).await?;
        compare::beyond(self).await?;
        let (after, until) = (self.verify.after, Position(self.end));
        self.meter.expect(after, until, total);
        self.publish();
        while self.done < self.end {
            if self.cancelled.is_cancelled() {
                return Ok(false);
            }
            self.page().await?;
        }
        if self.verify.scope == VerifyScope::Everything && self.latest < self.end {
            let missing = self.latest + 1;
            let message = format!(
                "the store has {} events by its head; they end here",
                self.end
            );
            self.fault(FaultKind::CutOff, None, (missing, None), None, message);
        }
        Ok(true)
    }

    fn publish(&self) {
        self.progress.send_replace(self.meter.progress().clone());
    }

    async fn page(&mut self) -> Result<(), IntegrityError> {
        let tenant = self.verify.tenant_name().map(str::to_owned);
        let (after, limit) = (self.done, self.page_len.rows());
        let database = self.database();
        let page = stored::page(&database, tenant.as_deref(), after, self.end, limit).await;
        let Page { rows, is_full } = page.map_err(read_error)?;
        self.page_len.learn(&rows);
        let until = match rows.last() {
            Some(last) if is_full => last.position,
            _ => self.end,
        };
        self.catch_up(&rows).await?;
        if self.cancelled.is_cancelled() {
            // Perhaps it has not caught up: nothing can be said about this page.
            return Ok(());
        }
        if tenant.is_none() {
            self.order(&rows);
        }
        self.look(&rows).await?;
        self.latest = rows.last().map_or(self.latest, |last| last.position);

        let seen = rows.iter().filter_map(|row| {
            let content = row.content.as_ref().ok()?;
            let hash = Hash::try_from(content.hash.as_slice()).ok()?;
            let sequence = content.tenant_sequence;
            let end = ChainEnd { sequence, hash };
            Some((row.position, (content.stream.tenant.as_str(), end)))
        });
        compare::checkpoints(self, &seen.collect(), until).await?;
        self.done = until;
        let read = rows.len() as u64;
        self.meter.page(Instant::now(), read, read, Position(until));
        self.publish();
        Ok(())
    }

    /// Verifies what a tenant, met for the first time, has between its trusted checkpoint (or its
    /// beginning) and where the walk began.
    async fn catch_up(&mut self, rows: &[Stored]) -> Result<(), IntegrityError> {
        for row in rows {
            let Some(tenant) = &row.tenant else { continue };
            if self.chains.contains_key(tenant) {
                continue;
            }
            let mut chain = Chain::default();
            if let Some(start) = self.starts.get(tenant) {
                chain.end = ChainEnd {
                    sequence: start.tenant_sequence,
                    hash: start.hash,
                };
                chain.trusted_until = start.position.0;
            }
            let (mut after, until) = (chain.trusted_until, self.verify.after.0);
            self.chains.insert(tenant.clone(), chain);
            while after < until && !self.cancelled.is_cancelled() {
                let limit = self.page_len.rows();
                let database = self.database();
                let page = stored::page(&database, Some(tenant), after, until, limit).await;
                let Page { rows, is_full } = page.map_err(read_error)?;
                self.page_len.learn(&rows);
                after = match rows.last() {
                    Some(last) if is_full => last.position,
                    _ => until,
                };
                self.look(&rows).await?;
            }
        }
        Ok(())
    }

    /// Positions without gaps, times that never go back.
    fn order(&mut self, rows: &[Stored]) {
        let mut next = self.latest.max(self.done) + 1;
        for row in rows {
            if row.position != next {
                let message = match row.position - next {
                    1 => format!("no event has the position {next}"),
                    _ => format!(
                        "no events have the positions {next} to {}",
                        row.position - 1
                    ),
                };
                self.fault(FaultKind::Missing, None, (next, None), None, message);
            }
            next = row.position + 1;
        }
    }

    /// Hashes, and the streams of the events whose hashes hold.
    async fn look(&mut self, rows: &[Stored]) -> Result<(), IntegrityError> {
        let mut sound: Vec<(&Stored, &Content)> = Vec::with_capacity(rows.len());
        for row in rows {
            self.events += 1;
            let place = (row.position, None);
            let content = match &row.content {
                Ok(content) => content,
                Err(message) => {
                    let tenant = row.tenant.as_deref();
                    if let Some(chain) = tenant.and_then(|tenant| self.chains.get_mut(tenant)) {
                        chain.faulty = true;
                    }
                    self.fault(FaultKind::Changed, tenant, place, None, message.clone());
                    continue;
                }
            };
            let tenant = &content.stream.tenant;
            let chain = self.chains.entry(tenant.clone()).or_default();
            match chain.look(row.position, content) {
                Finding::Sound => sound.push((row, content)),
                Finding::Nothing => {}
                Finding::Fault {
                    kind,
                    sequence,
                    message,
                } => {
                    let place = (row.position, Some(sequence));
                    self.fault(kind, Some(tenant), place, Some(content), message);
                }
                Finding::Explains { kind, message } => {
                    self.faults.explain_missing(tenant, kind, message);
                }
            }
        }
        self.times(&sound);
        let in_streams: Vec<InStream<'_>> = sound
            .iter()
            .map(|(row, content)| InStream {
                stream: &content.stream,
                version: content.stream_version,
                position: row.position,
            })
            .collect();
        let faults = streams::faults(&self.database(), &in_streams).await;
        for (index, message) in faults.map_err(read_error)? {
            let (row, content) = sound[index];
            let place = (row.position, Some(content.tenant_sequence));
            let tenant = Some(content.stream.tenant.as_str());
            self.fault(FaultKind::StreamGap, tenant, place, Some(content), message);
        }
        Ok(())
    }

    fn times(&mut self, sound: &[(&Stored, &Content)]) {
        for (row, content) in sound {
            // While catching up the walk is behind itself.
            if row.position <= self.verify.after.0 {
                continue;
            }
            match self.latest_time {
                Some(latest) if content.recorded_at < latest => {
                    let message = format!("recorded at {}, after {latest}", content.recorded_at);
                    let place = (row.position, Some(content.tenant_sequence));
                    self.fault(FaultKind::TimeWentBack, None, place, Some(content), message);
                }
                _ => self.latest_time = Some(content.recorded_at),
            }
        }
    }
}
