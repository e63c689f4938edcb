//! What a generator is declared as, and which declarations make sense on their own.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Reason, Refusal};
use crate::MAX_ID;

/// Ids one sidecar may hold.
const MAX_CAPACITY: u64 = 1_000_000_000;
const MAX_REFILL_PERCENT: u8 = 90;
/// A week.
const MAX_OUTAGE_SECONDS: u64 = 7 * 24 * 3600;

/// A declaration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    /// How ids come about.
    pub algorithm: Algorithm,
    /// How many of them each sidecar holds.
    pub buffer: Buffer,
}

/// How ids come about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Algorithm {
    /// Consecutive numbers of a segment.
    Segment(Segment),
    /// Numbers of time, worker and sequence.
    Snowflake(Snowflake),
}

/// The ids `start` to `max`, both among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Segment {
    /// The first id.
    pub start: u64,
    /// The last id; at most [`MAX_ID`].
    pub max: u64,
    /// Ids are committed in multiples of this many.
    pub step: u64,
}

/// A Snowflake layout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Snowflake {
    /// The time that counts as 0, as RFC 3339 writes it.
    pub epoch: String,
    /// Bits of sign, time, data centre, worker and sequence, such as `1/42/3/8/10`; empty for these.
    pub bits: String,
}

/// How many ids each sidecar holds, and when it asks for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Buffer {
    /// Ids when full.
    pub capacity: u64,
    /// Percentage left at which more are asked for, 1 to 90.
    pub refill_at_percent: u8,
    /// How long a sidecar should live on what it holds.
    pub outage_budget_seconds: u64,
}

impl Default for Buffer {
    /// A million ids, refilled at 10%, for an outage of 10 minutes.
    fn default() -> Self {
        Self {
            capacity: 1_000_000,
            refill_at_percent: 10,
            outage_budget_seconds: 600,
        }
    }
}

impl Spec {
    pub(super) fn check(&self, now: OffsetDateTime) -> Result<(), Refusal> {
        match &self.algorithm {
            Algorithm::Segment(segment) => segment.check()?,
            Algorithm::Snowflake(snowflake) => snowflake.check(now)?,
        }
        self.buffer.check()
    }
}

impl Algorithm {
    /// The field of the resource that declares it.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Segment(_) => "segment",
            Self::Snowflake(_) => "snowflake",
        }
    }
}

impl Segment {
    /// Whether a number is one of its ids.
    #[must_use]
    pub fn contains(&self, id: u64) -> bool {
        (self.start..=self.max).contains(&id)
    }

    fn check(&self) -> Result<(), Refusal> {
        let Self { start, max, step } = *self;
        if max > MAX_ID {
            let message = format!(
                "max {max} is too large: ids go to {MAX_ID} (2^63 - 1), so that SQL's bigint and Java's long hold them"
            );
            return Err(Refusal::new(
                Reason::InvalidSegment,
                Some("spec.segment.max"),
                message,
            ));
        }
        if max <= start {
            let message = format!("max {max} must be larger than start {start}");
            return Err(Refusal::new(
                Reason::InvalidSegment,
                Some("spec.segment.max"),
                message,
            ));
        }
        let ids = max - start + 1;
        if step == 0 || step > ids {
            let message =
                format!("step {step} must be 1 to {ids}, the number of ids in the segment");
            return Err(Refusal::new(
                Reason::InvalidStep,
                Some("spec.segment.step"),
                message,
            ));
        }
        Ok(())
    }
}

impl Snowflake {
    fn check(&self, now: OffsetDateTime) -> Result<(), Refusal> {
        let invalid = |message: String| {
            Refusal::new(Reason::InvalidEpoch, Some("spec.snowflake.epoch"), message)
        };
        let epoch = OffsetDateTime::parse(&self.epoch, &Rfc3339).map_err(|_| {
            let epoch: String = self.epoch.chars().take(64).collect();
            invalid(format!(
                "epoch {epoch:?} is not a time such as 2026-01-01T00:00:00Z"
            ))
        })?;
        if epoch > now {
            let epoch = &self.epoch;
            return Err(invalid(format!(
                "epoch {epoch} lies in the future: choose one that passed"
            )));
        }
        if !self.bits.is_empty() && !layout(&self.bits) {
            let message = "bits must be five numbers of sign (1), time (at least 36), data centre, worker and sequence (at least 1) that add up to 64, such as 1/42/3/8/10";
            return Err(Refusal::new(
                Reason::InvalidBits,
                Some("spec.snowflake.bits"),
                message,
            ));
        }
        Ok(())
    }

    /// Whether both count from the same time, however they write it.
    pub(super) fn same_epoch(&self, other: &Self) -> bool {
        let parse = |text: &str| OffsetDateTime::parse(text, &Rfc3339).ok();
        self.epoch == other.epoch
            || parse(&self.epoch).is_some_and(|epoch| parse(&other.epoch) == Some(epoch))
    }
}

/// 36 bits of milliseconds last two years: less is a mistake.
fn layout(bits: &str) -> bool {
    let parts: Option<Vec<u32>> = bits
        .split('/')
        .map(|part| part.parse::<u8>().ok().map(u32::from))
        .collect();
    match parts.as_deref() {
        Some([1, time, centre, worker, sequence]) => {
            *time >= 36 && *sequence >= 1 && 1 + time + centre + worker + sequence == 64
        }
        _ => false,
    }
}

impl Buffer {
    fn check(&self) -> Result<(), Refusal> {
        let refuse = |field: &str, message: String| {
            let field = format!("spec.buffer.{field}");
            Err(Refusal::new(Reason::InvalidBuffer, Some(&field), message))
        };
        if !(1..=MAX_CAPACITY).contains(&self.capacity) {
            return refuse(
                "capacity",
                format!("the capacity must be 1 to {MAX_CAPACITY} ids"),
            );
        }
        if !(1..=MAX_REFILL_PERCENT).contains(&self.refill_at_percent) {
            return refuse(
                "refillAt",
                format!("refillAt must be 1 to {MAX_REFILL_PERCENT} percent"),
            );
        }
        if self.outage_budget_seconds > MAX_OUTAGE_SECONDS {
            return refuse(
                "outageBudget",
                "outageBudget must be at most a week (168h)".into(),
            );
        }
        Ok(())
    }
}
