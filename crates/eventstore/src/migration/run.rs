//! A run from its lease to its report.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::time::Instant;

use super::Migration;
use super::backup::{BackUp, Writer};
use super::copy::{Copier, Outcome};
use super::error::{Failure, MigrationError, StreamError};
use super::lease::Lease;
use super::marker::StreamMigrated;
use super::report::{EventCounts, Phase, Progress, Report, StreamCounts, StreamFailure};
use super::sources::{Sources, has_events_after, last_event};
use super::table::{StreamState, is_target, note};
use super::transform::{Rules, TransformedStream};
use crate::event::{RecordedEvent, StreamKey};
use crate::registry::Registry;
use crate::store::EventStore;

/// Failures that a report lists.
const MOST_FAILURES: usize = 1000;

/// Events read at once for the back-up.
const PAGE: usize = 500;

const LONGEST_NAME: usize = 64;

/// Settings of runs; the defaults suit production.
#[derive(Debug, Clone)]
pub struct RunnerOptions {
    /// Source of times in reports; on SQLite the lease is judged by it, too.
    pub clock: fn() -> OffsetDateTime,
    /// How long a run that broke off keeps others from taking over. It is renewed while a run lives. To be
    /// the same wherever a migration is run: a lease ten times as long is taken for one from before the
    /// clock was set back, and not respected.
    pub lease: Duration,
    /// Most events of one stream, before and after: a stream is in memory while it is copied.
    pub max_stream_events: usize,
    /// Most events that are appended to a target at once.
    pub append_events: usize,
    /// How often a stream may change under the copy before it is left for another run.
    pub max_conflicts: u32,
    /// Most samples in the report of a dry run.
    pub samples: usize,
}

impl Default for RunnerOptions {
    fn default() -> Self {
        Self {
            clock: OffsetDateTime::now_utc,
            lease: Duration::from_secs(30),
            max_stream_events: 200_000,
            append_events: 500,
            max_conflicts: 1000,
            samples: 20,
        }
    }
}

/// Runs migrations on a store. A run that is dropped can be begun again when its lease is over.
pub struct MigrationRunner {
    store: Arc<dyn EventStore>,
    registry: Registry,
    options: RunnerOptions,
    progress: watch::Sender<Progress>,
}

/// What a run has to do, and what it need not do.
#[derive(Default)]
struct Agenda {
    sources: Vec<StreamKey>,
    counts: StreamCounts,
}

impl MigrationRunner {
    /// A runner that checks targets with `registry`.
    pub fn new(store: Arc<dyn EventStore>, registry: Registry, options: RunnerOptions) -> Self {
        Self {
            store,
            registry,
            options,
            progress: watch::Sender::new(Progress::default()),
        }
    }

    /// How far the run is, now and whenever that changes.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Does everything but write: no lease, no back-up, no event.
    ///
    /// # Errors
    /// See [`MigrationError`]; what is wrong with single streams is in the report.
    pub async fn dry_run(&self, migration: &dyn Migration) -> Result<Report, MigrationError> {
        check(migration)?;
        let mut report = self.begin(migration, true);
        let began = Instant::now();
        let agenda = self.agenda(migration, None).await?;
        report.streams = agenda.counts;
        self.enter(Phase::Copying);
        let copier = self.copier(migration);
        let mut targets = HashSet::new();
        for source in agenda.sources {
            let mut stream = self.begin_stream(migration, source);
            let outcome = self.rehearse(&copier, &mut stream, &mut targets, &mut report);
            let outcome = outcome.await;
            self.account(&mut report, &stream, outcome)?;
        }
        Ok(self.end(report, began))
    }

    /// Migrates the streams, or goes on where a run broke off. `back_ups` is the folder for the back-up.
    ///
    /// # Errors
    /// See [`MigrationError`]; streams that failed are in the report, and the others are done.
    pub async fn run(
        &self,
        migration: &dyn Migration,
        back_ups: &Path,
    ) -> Result<Report, MigrationError> {
        check(migration)?;
        let (name, options) = (migration.name(), &self.options);
        let database = self.store.database();
        let mut lease = Lease::take(database, name, options.lease, options.clock).await?;
        let outcome = self.run_leased(migration, back_ups, &mut lease).await;
        let text = outcome.as_ref().ok().map(serde_json::to_string);
        let given_back = match text.transpose() {
            Ok(text) => lease.give_back(text).await,
            Err(_) => lease.give_back(None).await,
        };
        let report = outcome?;
        given_back?;
        Ok(report)
    }

    async fn run_leased(
        &self,
        migration: &dyn Migration,
        back_ups: &Path,
        lease: &mut Lease,
    ) -> Result<Report, MigrationError> {
        let mut report = self.begin(migration, false);
        let began = Instant::now();
        let agenda = self.agenda(migration, Some(lease)).await?;
        report.streams = agenda.counts;
        if !agenda.sources.is_empty() {
            let back_up = self.back_up(migration, &agenda.sources, back_ups, lease);
            report.back_up = Some(back_up.await?);
        }
        self.enter(Phase::Copying);
        let copier = self.copier(migration);
        let mut targets = HashSet::new();
        for source in agenda.sources {
            let mut stream = self.begin_stream(migration, source);
            lease.keep().await?;
            let outcome = async {
                take_in(&copier, &mut stream, &mut targets).await?;
                copier.copy(lease, &mut stream).await
            };
            let outcome = outcome.await;
            if let Err(Failure::Stream(error)) = &outcome {
                let text = Some(error.to_string());
                note(lease, migration.name(), &stream, StreamState::Failed, text).await?;
            }
            self.account(&mut report, &stream, outcome)?;
        }
        Ok(self.end(report, began))
    }

    /// What a run would do about a stream.
    async fn rehearse(
        &self,
        copier: &Copier<'_>,
        stream: &mut TransformedStream,
        targets: &mut HashSet<StreamKey>,
        report: &mut Report,
    ) -> Result<Outcome, Failure> {
        let events = take_in(copier, stream, targets).await?;
        let outlook = copier.outlook(stream);
        if outlook == Outcome::Migrated {
            copier.look(stream).await?;
        }
        stream.sample(&events, &mut report.samples, self.options.samples);
        Ok(outlook)
    }

    fn begin_stream(&self, migration: &dyn Migration, source: StreamKey) -> TransformedStream {
        let target = migration.target(&source);
        TransformedStream::new(source, target, self.options.append_events)
    }

    fn copier<'r>(&'r self, migration: &'r dyn Migration) -> Copier<'r> {
        Copier {
            store: &*self.store,
            rules: Rules {
                migration,
                registry: &self.registry,
                limit: self.options.max_stream_events,
            },
            max_conflicts: self.options.max_conflicts,
        }
    }

    /// The streams to go through. Targets of the migration itself are none.
    async fn agenda(
        &self,
        migration: &dyn Migration,
        mut lease: Option<&mut Lease>,
    ) -> Result<Agenda, MigrationError> {
        self.enter(Phase::Selecting);
        let database = self.store.database();
        let (name, selection) = (migration.name(), migration.selection());
        let mut sources = Sources::new(database, &selection);
        let mut agenda = Agenda::default();
        while let Some(source) = sources.next().await? {
            if let Some(lease) = &mut lease {
                lease.keep().await?;
            }
            if !migration.selects(&source) {
                continue;
            }
            let Some(last) = last_event(database, &source).await? else {
                agenda.counts.missing += 1;
                continue;
            };
            if is_target(database, name, &source).await? {
                continue;
            }
            agenda.counts.selected += 1;
            match StreamMigrated::of(&last) {
                Some(marker) if marker.migration == name => {
                    let covered = marker.source_version;
                    match has_events_after(&*self.store, &source, covered).await? {
                        true => agenda.sources.push(source),
                        false => agenda.counts.already_migrated += 1,
                    }
                }
                Some(_) => agenda.counts.closed_elsewhere += 1,
                None => agenda.sources.push(source),
            }
        }
        let streams = agenda.sources.len() as u64;
        self.progress
            .send_modify(|progress| progress.streams = streams);
        Ok(agenda)
    }

    async fn back_up(
        &self,
        migration: &dyn Migration,
        sources: &[StreamKey],
        folder: &Path,
        lease: &mut Lease,
    ) -> Result<BackUp, MigrationError> {
        self.enter(Phase::BackingUp);
        let now = (self.options.clock)();
        let run = lease.epoch().unsigned_abs();
        let store = self.store.id();
        let mut writer = Writer::begin(folder, store, migration.name(), run, now).await?;
        for source in sources {
            writer.stream();
            let mut version = 0;
            loop {
                lease.keep().await?;
                let page = self.store.stream_page(source, version, PAGE).await?;
                let count = page.events.len() as u64;
                version += count;
                for event in page.events {
                    writer.event(event).await?;
                }
                self.progress
                    .send_modify(|progress| progress.events_backed_up += count);
                if page.end {
                    break;
                }
            }
        }
        let back_up = writer.finish().await?;
        lease.keep().await?;
        Ok(back_up)
    }

    fn enter(&self, phase: Phase) {
        self.progress.send_modify(|progress| progress.phase = phase);
    }

    fn begin(&self, migration: &dyn Migration, dry_run: bool) -> Report {
        let name = migration.name().to_owned();
        self.progress.send_replace(Progress {
            migration: name.clone(),
            ..Progress::default()
        });
        Report {
            migration: name,
            dry_run,
            began_at: (self.options.clock)(),
            milliseconds: 0,
            streams: StreamCounts::default(),
            events: EventCounts::default(),
            failures: Vec::new(),
            samples: Vec::new(),
            back_up: None,
        }
    }

    fn end(&self, mut report: Report, began: Instant) -> Report {
        self.enter(Phase::Done);
        report.milliseconds = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        report
    }

    /// Puts what became of a stream into the report; what stops the run comes back.
    fn account(
        &self,
        report: &mut Report,
        stream: &TransformedStream,
        outcome: Result<Outcome, Failure>,
    ) -> Result<(), MigrationError> {
        let counts = &mut report.streams;
        let failed = matches!(outcome, Err(Failure::Stream(_)));
        match outcome {
            Ok(done @ (Outcome::Migrated | Outcome::CaughtUp)) => {
                report.events.add(stream.counts);
                match done {
                    Outcome::Migrated => counts.migrated += 1,
                    _ => counts.caught_up += 1,
                }
            }
            Ok(Outcome::AlreadyMigrated) => counts.already_migrated += 1,
            Ok(Outcome::ClosedElsewhere) => counts.closed_elsewhere += 1,
            Err(Failure::Run(error)) => return Err(error),
            Err(Failure::Stream(error)) => {
                counts.failed += 1;
                tracing::warn!(
                    migration = %report.migration, stream = %stream.source, %error,
                    "a stream was not migrated"
                );
                if report.failures.len() < MOST_FAILURES {
                    report.failures.push(StreamFailure {
                        stream: stream.source.clone(),
                        position: error.position(),
                        code: error.code().to_owned(),
                        message: error.to_string(),
                    });
                }
            }
        }
        self.progress.send_modify(|progress| {
            progress.streams_done += 1;
            progress.streams_failed += u64::from(failed);
            progress.events_read += stream.counts.read;
            progress.events_appended += stream.appended;
        });
        Ok(())
    }
}

/// Reads and checks a stream, without writing anything. Gives its events.
async fn take_in(
    copier: &Copier<'_>,
    stream: &mut TransformedStream,
    targets: &mut HashSet<StreamKey>,
) -> Result<Vec<RecordedEvent>, Failure> {
    let target = stream.target.clone();
    if target == stream.source || !targets.insert(target.clone()) {
        return Err(StreamError::TargetTaken { target }.into());
    }
    let events = copier.catch_up(stream).await?;
    match copier.outlook(stream) {
        Outcome::Migrated | Outcome::CaughtUp => copier.validate(stream)?,
        Outcome::AlreadyMigrated | Outcome::ClosedElsewhere => {}
    }
    Ok(events)
}

/// The name becomes part of file names.
fn check(migration: &dyn Migration) -> Result<(), MigrationError> {
    let name = migration.name();
    let usable = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
    let refuse = |message: String| MigrationError::Definition {
        name: name.to_owned(),
        message,
    };
    if name.is_empty()
        || name.len() > LONGEST_NAME
        || name.starts_with('.')
        || !name.chars().all(usable)
    {
        return Err(refuse(format!(
            "a name has 1 to {LONGEST_NAME} letters, digits, `-`, `_` and `.`, the first no `.`"
        )));
    }
    if migration.selection().stream_type.is_empty() {
        return Err(refuse("the selection needs a stream type".into()));
    }
    Ok(())
}
