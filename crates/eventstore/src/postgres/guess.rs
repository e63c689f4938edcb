//! What a group will be if nobody else has written since the one before, and nothing of it is stored
//! already. It is decided before the database is asked, and stored by one statement that checks it.

use time::OffsetDateTime;

use crate::chain::{self, ChainEnd, microseconds};
use crate::database::from_microseconds;
use crate::event::ExpectedVersion;
use crate::memory::{Last, Memory};
use crate::plan::{Known, Plan, plan, streams};
use crate::request::Request;

/// A group that is decided by what is remembered.
pub(super) struct Guess<'a> {
    pub(super) plan: Plan<'a>,
    /// One for each row of the plan.
    pub(super) links: Vec<ChainEnd>,
    pub(super) recorded_at: OffsetDateTime,
    /// The event behind which the rows are to come.
    pub(super) last: Last,
}

impl<'a> Guess<'a> {
    /// None if what is remembered does not decide the group, if there is more to store than events, or
    /// nothing.
    ///
    /// A stream that nobody has heard of is taken for a new one if the group says that it is; then its
    /// first event is among the rows, by which the statement checks it.
    pub(super) fn at(
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
        if plan.rows.is_empty() || plan.snapshots(requests).next().is_some() {
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
