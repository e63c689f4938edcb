//! Inline projections in the lane: folded and written in the transaction of the append.
//!
//! Whether one may be is decided by its checkpoint alone, which every append moves to the new head. If
//! it stands at the head of before, the events of the group are all there is to fold. If it is a little
//! behind (another replica does not run this projection, and appended), what lies between is folded
//! first, in the same transaction. If it is far behind, is new or has a new version, the append leaves
//! it as it is, and the keeper (`keeper.rs`) brings it up to date beside. So it is never wrong, only
//! behind, and says so.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use time::OffsetDateTime;
use tokio::sync::Notify;

use super::Projection;
use super::changes::Changes;
use super::fold::{Fold, Touched};
use super::partition::Share;
use super::table::documents::Wanted;
use super::table::inline::{self, Current};
use super::table::{documents, events};
use crate::backend::RawEvent;
use crate::chain::{ChainEnd, microseconds};
use crate::database::Session;
use crate::event::RecordedEvent;
use crate::plan::Row;

/// Events of others that an append folds before its own.
pub(crate) const GAP: u64 = 500;

/// Why a group cannot be stored.
#[derive(Debug)]
pub(crate) enum InlineFailure {
    Database(sqlx::Error),
    /// A projection refuses an event of the group.
    Refused {
        message: String,
    },
}

impl From<sqlx::Error> for InlineFailure {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

/// The inline projections of a store.
#[derive(Debug, Clone, Default)]
pub(crate) struct Inline {
    pub(crate) projections: Arc<[Arc<dyn Projection>]>,
    /// Wakes the keepers.
    pub(crate) wake: Arc<Notify>,
}

/// A projection that can be brought up to date in this transaction.
struct Folding {
    current: Current,
    fold: Fold,
    /// What it has to fold.
    events: Vec<RecordedEvent>,
    touched: Touched,
}

impl Inline {
    pub(crate) fn new(projections: &[Arc<dyn Projection>]) -> Self {
        Self {
            projections: projections.into(),
            wake: Arc::default(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.projections.is_empty()
    }

    /// Folds the rows of a group, which were just inserted behind `head`. The lane is held.
    pub(crate) async fn apply(
        &self,
        session: &mut Session<'_>,
        head: u64,
        rows: &[Row<'_>],
        links: &[ChainEnd],
        recorded_at: OffsetDateTime,
    ) -> Result<(), InlineFailure> {
        let (Some(last), false) = (rows.last(), self.projections.is_empty()) else {
            return Ok(());
        };
        let mut foldings = self.current(session, head).await?;
        let from = foldings
            .iter()
            .map(|folding| folding.current.position)
            .min();
        let Some(from) = from else { return Ok(()) };
        let gap = match from < head {
            true => events::gap(session, from, head).await?,
            false => Some(Vec::new()),
        };
        let mut recorded = gap.unwrap_or_else(|| {
            // No fault of this append, and nothing to keep everybody waiting for.
            foldings.retain(|folding| folding.current.position >= head);
            self.wake.notify_waiters();
            Vec::new()
        });
        for (row, link) in rows.iter().zip(links) {
            recorded.push(record(row, link, recorded_at)?);
        }
        if fold(session, &mut foldings, &recorded).await? {
            self.wake.notify_waiters();
        }
        let mut written = Vec::new();
        for folding in foldings {
            let Folding {
                current,
                mut fold,
                events,
                touched,
            } = folding;
            let outcome = fold.apply(&events, touched);
            match outcome.and_then(|()| fold.take_changes()) {
                Ok(changes) => written.push((current.generation, changes)),
                Err(stop) if stop.position > head => {
                    let event = recorded
                        .iter()
                        .find(|event| event.position.0 == stop.position);
                    let event = event.map(|event| event.id.to_string()).unwrap_or_default();
                    let message = format!(
                        "the inline projection {} cannot apply the event {event}: {}",
                        current.projection, stop.message
                    );
                    return Err(InlineFailure::Refused { message });
                }
                // An event of before: no fault of this append. The keeper notes it.
                Err(_) => self.wake.notify_waiters(),
            }
        }
        let now = microseconds(recorded_at);
        store(session, written, last.position, now).await?;
        Ok(())
    }

    /// Those that are not far behind; the others are left to the keeper.
    async fn current(
        &self,
        session: &mut Session<'_>,
        head: u64,
    ) -> Result<Vec<Folding>, sqlx::Error> {
        let names = self.projections.iter().map(|one| one.name().to_owned());
        let currents = inline::lock(session, names.collect()).await?;
        let mut foldings = Vec::new();
        for current in currents {
            let projection = self.projections.iter().find(|one| {
                one.name() == current.projection && i64::from(one.version()) == current.version
            });
            let Some(projection) = projection else {
                continue;
            };
            if current.position + GAP < head {
                self.wake.notify_waiters();
                continue;
            }
            let is_empty = current.position == 0 && current.documents == 0;
            let fold = Fold::new(Arc::clone(projection), Share::WHOLE, is_empty);
            foldings.push(Folding {
                current,
                fold,
                events: Vec::new(),
                touched: Touched::default(),
            });
        }
        Ok(foldings)
    }
}

/// Loads what the events touch, of all projections at once. Those with a damaged document among it are left
/// out, and left to the keeper: the append has nothing to do with it. Whether there are any.
async fn fold(
    session: &mut Session<'_>,
    foldings: &mut Vec<Folding>,
    recorded: &[RecordedEvent],
) -> Result<bool, sqlx::Error> {
    let mut wanted = Wanted::new();
    for folding in foldings.iter_mut() {
        folding.events = behind(recorded, folding.current.position).to_vec();
        folding.touched = folding.fold.touched(&mut folding.events);
        let missing = folding.fold.missing(&folding.events, &folding.touched);
        let of = folding.current.generation;
        wanted.extend(missing.into_iter().map(|name| (of, name)));
    }
    let places: HashMap<i64, usize> = foldings
        .iter()
        .enumerate()
        .map(|(place, folding)| (folding.current.generation, place))
        .collect();
    let mut damaged = BTreeSet::new();
    for found in documents::read_each(session, wanted).await? {
        match found {
            Ok(found) => {
                if let Some(place) = places.get(&found.generation) {
                    let fold = &mut foldings[*place].fold;
                    fold.load(found.name, found.position, found.data);
                }
            }
            Err(generation) => {
                damaged.insert(generation);
            }
        }
    }
    foldings.retain(|folding| {
        let is_damaged = damaged.contains(&folding.current.generation);
        if is_damaged {
            let projection = &folding.current.projection;
            tracing::error!(projection, "a document is damaged; clear the projection");
        }
        !is_damaged
    });
    Ok(!damaged.is_empty())
}

/// The events behind a position.
fn behind(events: &[RecordedEvent], position: u64) -> &[RecordedEvent] {
    let first = events.partition_point(|event| event.position.0 <= position);
    &events[first..]
}

/// Writes what was folded, of all projections at once, and moves their checkpoints.
pub(crate) async fn store(
    session: &mut Session<'_>,
    written: Vec<(i64, Changes)>,
    to: u64,
    now: i64,
) -> Result<(), sqlx::Error> {
    let (mut upserts, mut deletes) = (Vec::new(), Vec::new());
    let mut moved = Vec::new();
    for (generation, changes) in written {
        moved.push((generation, changes.grows));
        upserts.extend(
            changes
                .upserts
                .into_iter()
                .map(|upsert| (generation, upsert)),
        );
        deletes.extend(changes.deletes.into_iter().map(|name| (generation, name)));
    }
    documents::write(session, upserts).await?;
    documents::delete(session, deletes).await?;
    inline::advance(session, moved, to, now).await
}

/// An event as a reader will get it.
fn record(
    row: &Row<'_>,
    link: &ChainEnd,
    recorded_at: OffsetDateTime,
) -> Result<RecordedEvent, sqlx::Error> {
    let raw = RawEvent {
        id: row.event.id,
        position: crate::backend::to_i64(row.position),
        stream: row.stream.clone(),
        stream_version: crate::backend::to_i64(row.stream_version),
        event_type: row.event.event_type.clone(),
        schema_version: i64::from(row.event.schema_version),
        recorded_at,
        data: row.event.data.clone(),
        metadata: row.event.metadata.clone(),
        tenant_sequence: crate::backend::to_i64(link.sequence),
        hash: link.hash.0.to_vec(),
    };
    let recorded = raw.into_recorded();
    recorded.map_err(|error| sqlx::Error::Decode(error.into()))
}
