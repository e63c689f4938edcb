//! How often and how urgently each command may run.
//!
//! All of them pass one gate, by priority: ranges first, for a pod without ids cannot work; what the
//! operator declares next; the rotation of keys last, for nobody waits for it and it has hours. None
//! starves: a line that was passed over eight times is next.

use std::{collections::HashMap, num::NonZeroU32};

use eventstore::command::{Limits, Rate};

/// A sidecar takes ids.
pub(super) const ALLOCATE_RANGE: &str = "AllocateRange";
/// A replica takes a step of the rotation of keys.
pub(super) const ROTATE_KEYS: &str = "RotateKeys";

/// How often a tenant's resources may be declared: 100 times a second as everything else, but after a
/// pause also 1,000 at once, for an operator that starts declares all it finds.
const DECLARATIONS: Rate = Rate {
    per_second: number(100),
    burst: number(1000),
};

/// The limits of one replica.
pub(super) fn limits(allocations_per_second: u32) -> Limits {
    let rates = HashMap::from([
        // All pods of a tenant ask as one caller.
        (
            ALLOCATE_RANGE,
            Some(Rate::per_second(allocations_per_second)),
        ),
        // Only replicas themselves call it, each at its interval and when a step is due.
        (ROTATE_KEYS, None),
    ]);
    Limits {
        rate: Some(DECLARATIONS),
        rates,
        ..Limits::default()
    }
}

const fn number(of: u32) -> NonZeroU32 {
    match NonZeroU32::new(of) {
        Some(number) => number,
        None => NonZeroU32::MIN,
    }
}
