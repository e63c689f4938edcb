//! What a verification says.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use uuid::Uuid;

use super::verify::VerifyScope;
use crate::event::Position;

/// Most tenants whose fault is described; further ones are counted.
const MOST_DESCRIBED: usize = 1000;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// The event does not give the hash that it has: it was changed, or the one before it was, with its
    /// hash made anew.
    Changed,
    /// Events are missing before this one, or at this position.
    Missing,
    /// The event comes before one that it was written behind.
    Reordered,
    /// The event does not belong there: it was not written by the store, or elsewhere.
    Added,
    /// The event has no hash.
    Unsealed,
    /// The events end before a checkpoint, or before the head of the store.
    CutOff,
    /// The event under a checkpoint is another one than was signed.
    Forked,
    /// The signature of a checkpoint does not hold: it was forged or changed.
    BadSignature,
    /// A checkpoint is signed with a key that is not among the trusted ones.
    UnknownKey,
    /// A checkpoint belongs to another store.
    OtherStore,
    /// A checkpoint that is kept elsewhere is not, or not so, in the store any more.
    CheckpointGone,
    /// A version of a stream is missing, or there twice.
    StreamGap,
    /// The event was recorded before the one before it.
    TimeWentBack,
}

/// The first fault of a tenant, or of the store as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// What is wrong.
    pub kind: FaultKind,
    /// Whose chain; none if it is the order of all events.
    pub tenant: Option<String>,
    /// Where it shows: position of the event, or the one that is missing.
    pub position: Position,
    /// Place in the tenant's chain: of the event or checkpoint, or the first one that is missing.
    pub tenant_sequence: Option<u64>,
    /// The event at which it shows, if there is one.
    pub event_id: Option<Uuid>,
    /// In words.
    pub message: String,
}

/// What a verification says. Sound means: nothing that it can see; see the [module](super) for what
/// that is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Which store.
    pub store: Uuid,
    /// Whose events.
    pub scope: VerifyScope,
    /// It began behind this position.
    pub after: Position,
    /// It went up to here: the end of the store when it began, or where it was cancelled.
    pub until: Position,
    /// Whether it came to its end. A report that is not complete says nothing about what is behind
    /// `until`, nor about checkpoints there.
    pub complete: bool,
    /// Events verified.
    pub events: u64,
    /// Tenants they belong to.
    pub tenants: u64,
    /// Checkpoints of the store that hold.
    pub checkpoints: u64,
    /// Checkpoints kept elsewhere that hold.
    pub kept_checkpoints: u64,
    /// Whether there were keys to check signatures with.
    pub signatures_checked: bool,
    /// The first fault of each tenant, and the first of each kind that is of no tenant; by position.
    pub faults: Vec<Fault>,
    /// Tenants with faults that are not described.
    pub more_faulty_tenants: u64,
}

impl Report {
    /// Whether everything was looked at and nothing found.
    pub fn is_sound(&self) -> bool {
        self.complete && self.faults.is_empty() && self.more_faulty_tenants == 0
    }

    /// The fault at the lowest position.
    pub fn first(&self) -> Option<&Fault> {
        self.faults.first()
    }
}

/// Faults as they are found.
#[derive(Debug, Default)]
pub(super) struct Faults {
    tenants: BTreeMap<String, Fault>,
    store: BTreeMap<FaultKind, Fault>,
    more: BTreeSet<String>,
}

impl Faults {
    /// Keeps a fault, unless one at a lower position is known of the same tenant or kind.
    pub(super) fn add(&mut self, fault: Fault) {
        let Some(tenant) = &fault.tenant else {
            keep_lower(&mut self.store, fault.kind, fault);
            return;
        };
        if self.tenants.len() >= MOST_DESCRIBED && !self.tenants.contains_key(tenant) {
            self.more.insert(tenant.clone());
            return;
        }
        keep_lower(&mut self.tenants, tenant.clone(), fault);
    }

    /// Says more exactly what is wrong at a fault that something is missing before.
    pub(super) fn explain_missing(&mut self, tenant: &str, kind: FaultKind, message: String) {
        if let Some(fault) = self.tenants.get_mut(tenant)
            && fault.kind == FaultKind::Missing
        {
            fault.kind = kind;
            fault.message = message;
        }
    }

    pub(super) fn into_parts(self) -> (Vec<Fault>, u64) {
        let all = self.store.into_values().chain(self.tenants.into_values());
        let mut all: Vec<Fault> = all.collect();
        all.sort_by_key(|fault| fault.position);
        (all, self.more.len() as u64)
    }
}

fn keep_lower<K: Ord>(faults: &mut BTreeMap<K, Fault>, key: K, fault: Fault) {
    let known = faults.get(&key).map(|known| known.position);
    if known.is_none_or(|known| fault.position < known) {
        faults.insert(key, fault);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(kind: FaultKind, tenant: Option<&str>, position: u64) -> Fault {
        Fault {
            kind,
            tenant: tenant.map(str::to_owned),
            position: Position(position),
            tenant_sequence: None,
            event_id: None,
            message: String::new(),
        }
    }

    #[test]
    fn the_first_fault_of_each_tenant_is_kept() {
        let mut faults = Faults::default();
        faults.add(fault(FaultKind::Changed, Some("acme"), 7));
        faults.add(fault(FaultKind::StreamGap, Some("acme"), 5));
        faults.add(fault(FaultKind::Forked, Some("acme"), 9));
        faults.add(fault(FaultKind::Missing, None, 6));
        faults.add(fault(FaultKind::Missing, None, 8));
        faults.add(fault(FaultKind::CutOff, None, 9));
        let (all, more) = faults.into_parts();
        let named: Vec<_> = all
            .iter()
            .map(|fault| (fault.kind, fault.position.0))
            .collect();
        let expected = [
            (FaultKind::StreamGap, 5),
            (FaultKind::Missing, 6),
            (FaultKind::CutOff, 9),
        ];
        assert_eq!((named.as_slice(), more), (expected.as_slice(), 0));
    }

    #[test]
    fn beyond_a_thousand_tenants_are_only_counted() {
        let mut faults = Faults::default();
        for n in 0..=MOST_DESCRIBED as u64 {
            let tenant = format!("tenant {n}");
            faults.add(fault(FaultKind::Changed, Some(&tenant), n + 2));
            faults.add(fault(FaultKind::Forked, Some(&tenant), n + 1));
        }
        let (all, more) = faults.into_parts();
        assert_eq!((all.len(), more), (MOST_DESCRIBED, 1));
        assert_eq!(all[0].position, Position(1));
    }
}
