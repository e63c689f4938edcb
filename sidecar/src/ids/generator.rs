//! One generator: its ring, and the line of requests that wait for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use idgen::{Range, Ring, RingSettings};
use tokio::sync::{Mutex, Notify, watch};
use tokio::time::timeout;

use super::IdError;
use crate::content::KnownGenerator;

/// Requests that wait for one generator; the next one is refused at once.
const LONGEST_LINE: usize = 1024;

/// How the last call for ids went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Supply {
    /// Ids arrive when they are asked for.
    Arriving,
    /// Central has none left.
    Exhausted,
    /// Central says that the namespace has no such generator; the list of generators lags.
    Unknown,
    /// Central cannot be asked, for this reason.
    Failing(String),
}

/// A generator that was asked for. Shared by the requests and its filler.
#[derive(Debug)]
pub struct Generator {
    name: String,
    pub(super) known: ArcSwap<KnownGenerator>,
    pub(super) ring: ArcSwap<Ring>,
    withdrawn: AtomicBool,
    supply: watch::Sender<Supply>,
    /// Ids per second, as bits of an `f64`.
    rate: AtomicU64,
    taken: AtomicU64,
    waiting: AtomicUsize,
    /// What the first in line still lacks.
    lacking: AtomicU64,
    /// Whoever holds it is first in line (the lock is fair); it holds what was set aside for a
    /// request larger than what the ring can hold at once.
    line: Mutex<Aside>,
    /// What the ring of the last declaration held and this one's did not take; for who waits next.
    /// The filler must not wait for the line: it is what the first in line waits for.
    left_over: std::sync::Mutex<Vec<Range>>,
    /// How often it became another: what was set aside before is not of it any more.
    became_another: AtomicU64,
    /// Only the first in line waits for it.
    pub(super) arrived: Notify,
    /// Only the filler waits for these.
    pub(super) demanded: Notify,
    pub(super) redeclared: Notify,
}

/// Ids set aside, and which of the generators of this name they are of.
#[derive(Debug, Default)]
struct Aside {
    ranges: Vec<Range>,
    of: u64,
}

impl Generator {
    pub(super) fn new(name: &str, known: KnownGenerator) -> Self {
        Self {
            name: name.to_owned(),
            ring: ArcSwap::from_pointee(ring_for(&known)),
            known: ArcSwap::from_pointee(known),
            withdrawn: AtomicBool::new(false),
            supply: watch::Sender::new(Supply::Arriving),
            rate: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
            lacking: AtomicU64::new(0),
            line: Mutex::default(),
            left_over: std::sync::Mutex::default(),
            became_another: AtomicU64::new(0),
            arrived: Notify::new(),
            demanded: Notify::new(),
            redeclared: Notify::new(),
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Ids held.
    #[must_use]
    pub fn level(&self) -> u64 {
        self.ring.load().level()
    }

    /// Ids held when full.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.ring.load().capacity()
    }

    /// Ids handed out since it was opened.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Requests that wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Ids handed out per second, of late.
    #[must_use]
    pub fn rate(&self) -> f64 {
        f64::from_bits(self.rate.load(Ordering::Relaxed))
    }

    /// How the last call for ids went, now and after every call.
    #[must_use]
    pub fn supply(&self) -> watch::Receiver<Supply> {
        self.supply.subscribe()
    }

    /// Whether its declaration was taken away.
    #[must_use]
    pub fn is_withdrawn(&self) -> bool {
        self.withdrawn.load(Ordering::Acquire)
    }

    /// Takes exactly `count` ids, waiting for them at most `wait`.
    ///
    /// # Errors
    /// They did not arrive in time, or cannot arrive.
    pub async fn take(&self, count: u64, wait: Duration) -> Result<Vec<Range>, IdError> {
        // Nobody overtakes those who wait.
        if self.waiting.load(Ordering::Acquire) == 0
            && let Some(ranges) = self.take_at_once(count)
        {
            return Ok(self.taken_out(ranges, count));
        }
        let _place = Place::new(self)?;
        match timeout(wait, self.take_in_turn(count)).await {
            Ok(result) => result.map(|ranges| self.taken_out(ranges, count)),
            Err(_) => Err(self.too_late(wait)),
        }
    }

    fn take_at_once(&self, count: u64) -> Option<Vec<Range>> {
        self.ring.load().take_exact(count)
    }

    async fn take_in_turn(&self, count: u64) -> Result<Vec<Range>, IdError> {
        let mut aside = self.line.lock().await;
        let _lacking = Lacking(self);
        loop {
            self.bring_up_to_date(&mut aside);
            let ranges = &mut aside.ranges;
            let have: u64 = ranges.iter().map(Range::len).sum();
            if have < count {
                ranges.extend(self.ring.load().take_many(count - have));
            }
            let have: u64 = ranges.iter().map(Range::len).sum();
            if have >= count {
                return Ok(split_off(ranges, count));
            }
            if let Some(error) = self.never() {
                return Err(error);
            }
            self.lacking.store(count - have, Ordering::Release);
            self.demanded.notify_one();
            self.arrived.notified().await;
        }
    }

    fn bring_up_to_date(&self, aside: &mut Aside) {
        let of = self.became_another.load(Ordering::Acquire);
        if aside.of != of {
            aside.ranges.clear();
            aside.of = of;
        }
        aside.ranges.append(&mut self.left_over());
    }

    /// Puts a new ring in the place of the one there is, with the ids of that one, or, when it
    /// `became_another`, without any.
    pub(super) fn replace_ring(&self, new: Ring, became_another: bool) {
        let held = self.ring.load().take_many(u64::MAX);
        let mut left_over = self.left_over();
        if became_another {
            left_over.clear();
            self.became_another.fetch_add(1, Ordering::AcqRel);
        } else {
            left_over.extend(held.into_iter().filter(|range| new.push(*range).is_err()));
        }
        self.ring.store(Arc::new(new));
    }

    fn left_over(&self) -> std::sync::MutexGuard<'_, Vec<Range>> {
        self.left_over
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Counts what leaves, and wakes the filler when it is time to ask for more.
    fn taken_out(&self, ranges: Vec<Range>, count: u64) -> Vec<Range> {
        self.taken.fetch_add(count, Ordering::Relaxed);
        if self.ring.load().demand(self.rate()) > 0 {
            self.demanded.notify_one();
        }
        ranges
    }

    /// Why waiting is of no use.
    fn never(&self) -> Option<IdError> {
        let name = self.name.clone();
        match *self.supply.borrow() {
            _ if self.is_withdrawn() => Some(IdError::Unknown { name }),
            Supply::Exhausted => Some(IdError::Exhausted { name }),
            Supply::Unknown => Some(IdError::Unknown { name }),
            Supply::Arriving | Supply::Failing(_) => None,
        }
    }

    fn too_late(&self, waited: Duration) -> IdError {
        let name = self.name.clone();
        match &*self.supply.borrow() {
            Supply::Failing(problem) => IdError::Unreachable {
                name,
                problem: problem.clone(),
            },
            _ => self.never().unwrap_or(IdError::Late { name, waited }),
        }
    }

    /// How many ids the filler should ask for now; 0: none.
    pub(super) fn demand(&self, rate: f64) -> u64 {
        self.rate.store(rate.to_bits(), Ordering::Relaxed);
        if self.is_withdrawn() {
            return 0;
        }
        let ring = self.ring.load();
        // What arrived since is there to be taken; more than the ring can hold it would refuse.
        let lacking = self.lacking.load(Ordering::Acquire).min(ring.capacity());
        ring.demand(rate).max(lacking.saturating_sub(ring.level()))
    }

    pub(super) fn set_supply(&self, supply: Supply) {
        self.supply.send_replace(supply);
        // The first in line may have to learn that waiting is of no use.
        self.arrived.notify_one();
    }

    /// It is declared so, still or again.
    pub(super) fn declared(&self, known: &KnownGenerator) {
        let returned = self.withdrawn.swap(false, Ordering::AcqRel);
        let changed = **self.known.load() != *known;
        if changed {
            self.known.store(Arc::new(known.clone()));
        }
        // A longer segment shows in nothing that is held here: a refusal to give ids is asked again.
        let refused = matches!(*self.supply.borrow(), Supply::Exhausted | Supply::Unknown);
        if changed || returned || refused {
            self.redeclared.notify_one();
        }
    }

    /// Its declaration was taken away.
    pub(super) fn withdrawn(&self) {
        self.withdrawn.store(true, Ordering::Release);
        self.arrived.notify_one();
    }
}

pub(super) fn ring_for(known: &KnownGenerator) -> Ring {
    Ring::new(RingSettings {
        capacity: known.capacity,
        refill_at_percent: known.refill_at_percent,
        outage_budget: Duration::from_secs(known.outage_budget_seconds),
    })
}

/// Takes the first `count` ids off `ranges`, which hold at least as many.
fn split_off(ranges: &mut Vec<Range>, count: u64) -> Vec<Range> {
    let mut taken = Vec::new();
    let mut missing = count;
    while missing > 0
        && let Some(first) = ranges.first_mut()
    {
        if first.len() <= missing {
            missing -= first.len();
            taken.push(ranges.remove(0));
        } else {
            taken.extend(first.split_off_front(missing));
            missing = 0;
        }
    }
    taken
}

/// A place in line; given up when the request ends, however it ends.
struct Place<'a>(&'a Generator);

impl<'a> Place<'a> {
    fn new(generator: &'a Generator) -> Result<Self, IdError> {
        if generator.waiting.fetch_add(1, Ordering::AcqRel) >= LONGEST_LINE {
            generator.waiting.fetch_sub(1, Ordering::AcqRel);
            return Err(IdError::Crowded {
                name: generator.name.clone(),
            });
        }
        Ok(Self(generator))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The first in line lacks nothing any more when it leaves.
struct Lacking<'a>(&'a Generator);

impl Drop for Lacking<'_> {
    fn drop(&mut self) {
        self.0.lacking.store(0, Ordering::Release);
    }
}

#[cfg(test)]
mod tests;
