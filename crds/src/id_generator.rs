//! The IdGenerator: a name for every new thing of one kind.

#![allow(
    unreachable_pub,
    clippy::duplicated_attributes,
    reason = "KubeSchema repeats each struct inside a function; printer columns repeat their types"
)]

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::duration::Duration;
use crate::status::{Condition, Phase};

/// A generator of ids of a tenant.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "signet.dev",
    version = "v1alpha1",
    kind = "IdGenerator",
    plural = "idgenerators",
    shortname = "idg",
    category = "signet",
    namespaced,
    status = "IdGeneratorStatus",
    derive = "PartialEq",
    doc = "A generator of ids of a tenant.",
    printcolumn(name = "Tenant", type_ = "string", json_path = ".spec.tenant"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#
    ),
    printcolumn(
        name = "Next",
        type_ = "integer",
        json_path = ".status.next",
        description = "The first id that no range holds yet"
    ),
    printcolumn(
        name = "Remaining",
        type_ = "integer",
        json_path = ".status.remaining",
        description = "Ids that no range holds yet"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].message"#,
        priority = 1
    )
)]
#[x_kube(
    validation = (
        "[has(self.segment), has(self.snowflake)].exists_one(given, given)",
        "exactly one of segment and snowflake must be given"
    ),
    validation = (
        "has(self.segment) == has(oldSelf.segment) && has(self.snowflake) == has(oldSelf.snowflake)",
        "the algorithm cannot be changed: ids of the two could meet. Declare another generator"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct IdGeneratorSpec {
    /// The tenant it belongs to. It cannot be changed.
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    )]
    #[x_kube(validation = (
        "self == oldSelf",
        "tenant cannot be changed: delete this generator and create it for the other tenant"
    ))]
    pub tenant: String,

    /// Consecutive numbers, committed in blocks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Segment")]
    pub segment: Option<Segment>,

    /// Numbers made of time, place and a sequence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Snowflake")]
    pub snowflake: Option<Snowflake>,

    /// What each sidecar holds ahead of demand.
    #[serde(default)]
    pub buffer: Buffer,

    /// What may answer when this cannot. Not served by this release: must stay empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(validation = (
        "size(self) == 0",
        "fallback is not served by this release: leave it out or empty"
    ))]
    pub fallback: Vec<String>,
}

/// Consecutive numbers from `start` to `max`, committed in multiples of `step`.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[x_kube(
    validation = ("self.max > self.start", "max must be greater than start"),
    validation = (
        "self.step - 1 <= self.max - self.start",
        "step is greater than the whole segment: make step smaller or max greater"
    ),
    validation = (
        "self.start == oldSelf.start",
        "start cannot be moved: ids may have been given. Declare another generator"
    ),
    validation = (
        "self.max >= oldSelf.max",
        "max cannot be lowered: ids beyond it may have been given. Raise it or leave it"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct Segment {
    /// The first id.
    #[serde(default = "Segment::default_start")]
    #[schemars(range(min = 0))]
    pub start: i64,

    /// The last id that may be given. It can be raised, never lowered.
    #[schemars(range(min = 1))]
    pub max: i64,

    /// Ids are committed in multiples of this many.
    #[serde(default = "Segment::default_step")]
    #[schemars(range(min = 1))]
    pub step: i64,
}

impl Segment {
    fn default_start() -> i64 {
        1
    }

    fn default_step() -> i64 {
        1000
    }
}

/// Numbers of 64 bits made of a sign, milliseconds since an epoch, data centre, worker and sequence.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Snowflake {
    /// The instant that counts as zero, RFC 3339. It cannot be changed.
    #[schemars(
        length(max = 40),
        regex(
            pattern = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})$"
        )
    )]
    #[x_kube(validation = (
        "self == oldSelf",
        "epoch cannot be changed: ids made after the change would meet older ones"
    ))]
    pub epoch: String,

    /// Bits of sign, time, data centre, worker and sequence; together 64.
    #[serde(default = "Snowflake::default_bits")]
    #[schemars(length(max = 14), regex(pattern = "^[0-9]{1,2}(/[0-9]{1,2}){4}$"))]
    #[x_kube(validation = (
        "self.split('/').map(bits, int(bits)).sum() == 64",
        "bits must add up to 64, such as 1/42/3/8/10"
    ))]
    pub bits: String,
}

impl Snowflake {
    fn default_bits() -> String {
        "1/42/3/8/10".into()
    }
}

/// What each sidecar holds ahead of demand.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[x_kube(validation = (
    "duration(self.outageBudget) <= duration('168h')",
    "outageBudget must be at most 168h"
))]
#[serde(rename_all = "camelCase")]
pub struct Buffer {
    /// Ids held when full.
    #[serde(default = "Buffer::default_capacity")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub capacity: i64,

    /// Percentage left at which more are asked for.
    #[serde(default = "Buffer::default_refill_at")]
    #[schemars(range(min = 1, max = 90))]
    pub refill_at: i32,

    /// How long a sidecar should live on what it holds, at the rate it sees.
    #[serde(default = "Buffer::default_outage_budget")]
    pub outage_budget: Duration,
}

impl Buffer {
    fn default_capacity() -> i64 {
        1_000_000
    }

    fn default_refill_at() -> i32 {
        10
    }

    fn default_outage_budget() -> Duration {
        Duration::from_secs(600)
    }
}

impl Default for Buffer {
    fn default() -> Self {
        Self {
            capacity: Self::default_capacity(),
            refill_at: Self::default_refill_at(),
            outage_budget: Self::default_outage_budget(),
        }
    }
}

/// What the operator last saw of a generator.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct IdGeneratorStatus {
    /// The generation of the spec this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Where it stands, in one word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// The first id that no range holds yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<i64>,
    /// Ids that no range holds yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remaining: Option<i64>,
    /// Ready, Reconciling and Stalled, in the manner of kstatus.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}
