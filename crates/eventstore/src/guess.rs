//! What a group will be if nobody else has written since the one before, and nothing of it is stored
//! already. It is decided before the database is asked, and stored by one message that checks it.

use time::OffsetDateTime;

use crate::backend::Committed;
use crate::chain::{self, ChainEnd, microseconds};
use crate::database::from_microseconds;
use crate::event::ExpectedVersion;
use crate::memory::{Last, Memory};
use crate::plan::{Decision, Known, Plan, plan, streams};
use crate::projection::Inline;
use crate::request::Request;

/// How many groups are looked up after one that was not as it was thought to be. Where several
/// processes write all the time, or callers repeat themselves, a guess is work for nothing.
const REST: u32 = 16;

/// What a writer needs to decide groups without asking.
#[derive(Debug, Default)]
pub(crate) struct Guesses {
    /// Nothing after a failure.
    pub(crate) memory: Memory,
    /// How many groups are still looked up.
    rest: u32,
}

impl Guesses {
    /// None if the group has to be looked up, as it is wherever projections are written with it.
    pub(crate) fn next<'a>(
        &mut self,
        inline: &Inline,
        requests: &'a [Request],
        now: OffsetDateTime,
    ) -> Option<Guess<'a>> {
        if !inline.is_empty() {
            return None;
        }
        if self.rest > 0 {
            self.rest -= 1;
            return None;
        }
        Guess::at(&self.memory, requests, now)
    }

    /// Takes note that a group was not as it was thought to be.
    pub(crate) fn miss(&mut self) {
        self.rest = REST;
    }

    /// Takes in a group that was as it was thought to be, and is stored.
    pub(crate) fn hit(&mut self, guess: Guess<'_>) -> Committed {
        let rows = &guess.plan.rows;
        let memory = &mut self.memory;
        memory.take_in(Known::default(), rows, &guess.links, guess.recorded_at);
        Committed::from_plan(guess.plan)
    }
}

/// A group that is decided by what is remembered.
pub(crate) struct Guess<'a> {
    pub(crate) plan: Plan<'a>,
    /// One for each row of the plan.
    pub(crate) links: Vec<ChainEnd>,
    pub(crate) recorded_at: OffsetDateTime,
    /// The event behind which the rows are to come.
    pub(crate) last: Last,
}

impl<'a> Guess<'a> {
    /// None if what is remembered does not decide the group, if there is more to store than events, or
    /// if not all of them are.
    ///
    /// A stream that nobody has heard of is taken for a new one if the group says that it is; then its
    /// first event is among the rows, by which the database checks it.
    pub(crate) fn at(
        memory: &Memory,
        requests: &'a [Request],
        now: OffsetDateTime,
    ) -> Option<Self> {
        let last = memory.last()?;
        let mut known = Known::default();
        for stream in streams(requests) {
            if let Some(version) = memory.version(stream) {
                known.versions.insert(stream.clone(), version);
            }
            if !known.chain_ends.contains_key(&stream.tenant) {
                let end = memory.chain_end(&stream.tenant)?;
                known.chain_ends.insert(stream.tenant.clone(), end);
            }
        }
        let mut writes = requests.iter().flat_map(|request| &request.writes);
        let decided = writes.all(|write| {
            let is_new = write.expected == ExpectedVersion::NoStream;
            is_new || known.versions.contains_key(&write.stream)
        });
        if !decided {
            return None;
        }
        let plan = plan(last.position, &known.versions, &known.events, requests);
        // What would be refused may be a repetition, whose events are stored for long.
        let is_stored = |decision: &Decision| matches!(decision, Decision::Store(_));
        if !plan.decisions.iter().all(is_stored) || plan.snapshots(requests).next().is_some() {
            return None;
        }
        let now = from_microseconds(microseconds(now)).ok()?;
        let recorded_at = last.recorded_at.max(now);
        let links = chain::link(&plan.rows, known.chain_ends, recorded_at);
        Some(Self {
            plan,
            links,
            recorded_at,
            last,
        })
    }
}
