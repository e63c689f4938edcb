//! A generator as its events made it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Algorithm, Event, Segment, Spec};

/// The generators of one name in one tenant, and what they handed out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// By namespace; removed ones too, for what they handed out.
    pub members: BTreeMap<String, Member>,
    /// How many ranges were ever allocated: the epoch of the last one.
    pub allocations: u64,
}

/// The generator of one namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The declaration that holds, or held last.
    pub spec: Spec,
    /// The first id that no range holds yet. 0 when there is no segment.
    pub next: u64,
    /// Whether it was taken away.
    pub removed: bool,
}

impl Member {
    /// Its segment, if that is its algorithm.
    #[must_use]
    pub fn segment(&self) -> Option<Segment> {
        match self.spec.algorithm {
            Algorithm::Segment(segment) => Some(segment),
            Algorithm::Snowflake(_) => None,
        }
    }

    /// Ids that no range holds yet.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        self.segment()
            .map_or(0, |segment| (segment.max + 1).saturating_sub(self.next))
    }

    /// Whether any range of it was allocated, and its start may thus not move.
    #[must_use]
    pub fn has_handed_out(&self) -> bool {
        self.segment()
            .is_some_and(|segment| self.next > segment.start)
    }
}

impl State {
    /// The declared generator of the namespace.
    #[must_use]
    pub fn member(&self, namespace: &str) -> Option<&Member> {
        self.members.get(namespace).filter(|member| !member.removed)
    }
}

/// The state after an event. Every stored event is accepted: whether it may happen was decided before
/// it was stored.
#[must_use]
pub fn evolve(mut state: State, event: &Event) -> State {
    match event {
        Event::Declared { namespace, spec } | Event::Changed { namespace, spec } => {
            let next = match (state.members.get(namespace), &spec.algorithm) {
                (Some(member), _) if member.has_handed_out() => member.next,
                (_, Algorithm::Segment(segment)) => segment.start,
                (_, Algorithm::Snowflake(_)) => 0,
            };
            let member = Member {
                spec: spec.clone(),
                next,
                removed: false,
            };
            state.members.insert(namespace.clone(), member);
        }
        Event::Removed { namespace } => {
            if let Some(member) = state.members.get_mut(namespace) {
                member.removed = true;
            }
        }
        Event::RangeAllocated {
            namespace,
            range,
            owner: _,
        } => {
            if let Some(member) = state.members.get_mut(namespace) {
                member.next = member.next.max(range.end);
            }
            state.allocations = state.allocations.max(range.epoch);
        }
    }
    state
}
