//! Step 2: whether an IdGenerator says something this release can pass on, and its tenant takes it.
//! Whether its segment fits beside others is central's to judge.

use crds::{Buffer, IdGenerator, Segment, Snowflake};
use kube::ResourceExt;

use super::dereference::Dereferenced;
use crate::invalid::InvalidResource;
use crate::membership;

/// An IdGenerator that can be built.
#[derive(Clone, Debug, PartialEq)]
pub struct Validated {
    pub(super) tenant: String,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) algorithm: Algorithm,
    pub(super) buffer: ValidBuffer,
}

/// The one algorithm that is given, its numbers known to be none below zero.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Algorithm {
    Segment { start: u64, max: u64, step: u64 },
    Snowflake(Snowflake),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct ValidBuffer {
    pub(super) capacity: u64,
    pub(super) refill_at_percent: u32,
    pub(super) outage_budget_seconds: u64,
}

/// Checks an IdGenerator, and against its tenant.
///
/// # Errors
/// When it does not name exactly one algorithm, a number is out of bounds, a field asks for what
/// this release does not serve, or the tenant does not take it.
pub fn validate(
    generator: &IdGenerator,
    dereferenced: &Dereferenced,
) -> Result<Validated, InvalidResource> {
    let spec = &generator.spec;
    if !spec.fallback.is_empty() {
        return Err(InvalidResource::wrong(
            "NotServed",
            "spec.fallback",
            "fallback is not served by this release: leave it out or empty",
        ));
    }
    let algorithm = algorithm(spec.segment.as_ref(), spec.snowflake.as_ref())?;
    let buffer = buffer(&spec.buffer)?;
    let namespace = generator.namespace().unwrap_or_default();
    membership::check(
        &spec.tenant,
        dereferenced.tenant.as_deref(),
        &namespace,
        &dereferenced.namespace_labels,
    )?;
    Ok(Validated {
        tenant: spec.tenant.clone(),
        namespace,
        name: generator.name_any(),
        algorithm,
        buffer,
    })
}

fn algorithm(
    segment: Option<&Segment>,
    snowflake: Option<&Snowflake>,
) -> Result<Algorithm, InvalidResource> {
    match (segment, snowflake) {
        (Some(Segment { start, max, step }), None) => {
            let number = |name: &str, value: i64| {
                u64::try_from(value).map_err(|_| {
                    InvalidResource::wrong(
                        "InvalidSegment",
                        &format!("spec.segment.{name}"),
                        format!("{name} must not be negative"),
                    )
                })
            };
            Ok(Algorithm::Segment {
                start: number("start", *start)?,
                max: number("max", *max)?,
                step: number("step", *step)?,
            })
        }
        (None, Some(snowflake)) => Ok(Algorithm::Snowflake(snowflake.clone())),
        _ => Err(InvalidResource::wrong(
            "InvalidAlgorithm",
            "spec",
            "exactly one of segment and snowflake must be given",
        )),
    }
}

fn buffer(buffer: &Buffer) -> Result<ValidBuffer, InvalidResource> {
    let Buffer {
        capacity,
        refill_at,
        outage_budget,
    } = buffer;
    let capacity = u64::try_from(*capacity)
        .ok()
        .filter(|capacity| *capacity > 0);
    let refill_at = u32::try_from(*refill_at)
        .ok()
        .filter(|percent| (1..=90).contains(percent));
    let wrong = |field: &str, message: &str| {
        InvalidResource::wrong("InvalidBuffer", &format!("spec.buffer.{field}"), message)
    };
    Ok(ValidBuffer {
        capacity: capacity.ok_or_else(|| wrong("capacity", "capacity must be at least 1"))?,
        refill_at_percent: refill_at
            .ok_or_else(|| wrong("refillAt", "refillAt must lie between 1 and 90 percent"))?,
        outage_budget_seconds: outage_budget.as_secs(),
    })
}
