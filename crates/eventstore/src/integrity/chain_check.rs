//! The chain of one tenant, event by event: pure.

use super::faults::FaultKind;
use super::stored::Content;
use crate::chain::{ChainEnd, Hash};

/// How far a chain is verified.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Chain {
    pub(super) end: ChainEnd,
    /// Events up to this position were verified by others: a trusted checkpoint stands over them.
    pub(super) trusted_until: u64,
    pub(super) faulty: bool,
}

/// What an event says about its chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Finding {
    /// It is the next one.
    Sound,
    /// Nothing: it was verified by others, or the chain is broken already.
    Nothing,
    /// It is not.
    Fault {
        kind: FaultKind,
        /// Place in the chain that is wrong.
        sequence: u64,
        message: String,
    },
    /// It is the one that was missed before the fault of its chain.
    Explains { kind: FaultKind, message: String },
}

impl Chain {
    /// Looks at the next event of the tenant.
    pub(super) fn look(&mut self, position: u64, event: &Content) -> Finding {
        let ChainEnd { sequence, hash } = self.end;
        if position <= self.trusted_until {
            return Finding::Nothing;
        }
        let expected = sequence.saturating_add(1);
        let found = event.tenant_sequence;
        let stored = Hash::try_from(event.hash.as_slice()).ok();
        let fits = |sequence| stored == Some(event.sealed(position, sequence).hash(hash));
        if self.faulty {
            return match found == expected {
                true => explain(expected, fits(expected)),
                false => Finding::Nothing,
            };
        }
        if let (Some(stored), true) = (stored, found == expected)
            && fits(expected)
        {
            self.end = ChainEnd {
                sequence: expected,
                hash: stored,
            };
            return Finding::Sound;
        }
        self.faulty = true;
        let fault = |kind, sequence, message| Finding::Fault {
            kind,
            sequence,
            message,
        };
        if event.hash.is_empty() || found == 0 {
            return fault(FaultKind::Unsealed, found, "it has no hash".to_owned());
        }
        if found != expected && fits(expected) {
            let message = format!("its tenant_sequence is {found} instead of {expected}");
            return fault(FaultKind::Changed, expected, message);
        }
        match found.cmp(&expected) {
            std::cmp::Ordering::Greater => {
                let message = match found - expected {
                    1 => format!("{expected} of the tenant is missing before it"),
                    _ => format!(
                        "{expected} to {} of the tenant are missing before it",
                        found - 1
                    ),
                };
                fault(FaultKind::Missing, expected, message)
            }
            std::cmp::Ordering::Less => {
                let message = format!("the tenant has had its event {found} before");
                fault(FaultKind::Added, found, message)
            }
            std::cmp::Ordering::Equal => {
                let message = "its content and the hash before it do not give its hash".to_owned();
                fault(FaultKind::Changed, found, message)
            }
        }
    }
}

/// The one that was missed comes after all.
fn explain(sequence: u64, fits: bool) -> Finding {
    if fits {
        // What stood between does not belong to the chain, which goes on behind it.
        let message = format!("it stands within the chain; {sequence} of the tenant follows");
        return Finding::Explains {
            kind: FaultKind::Added,
            message,
        };
    }
    let message = format!("it comes before {sequence} of the tenant");
    Finding::Explains {
        kind: FaultKind::Reordered,
        message,
    }
}

#[cfg(test)]
mod tests;
