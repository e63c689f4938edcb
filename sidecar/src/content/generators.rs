//! The generators of the workload's namespace.

use std::collections::BTreeMap;

use protocol::v1::{GeneratorState, IdGeneratorSpec, id_generator_spec::Algorithm};

/// The generators central says the namespace has.
#[derive(Debug)]
pub struct HeldGenerators {
    version: u64,
    known: BTreeMap<String, KnownGenerator>,
}

/// One generator as declared. What matters here is how much of it to hold, and whether ids held
/// under one declaration still belong to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownGenerator {
    /// Ids to hold when full.
    pub capacity: u64,
    /// Percentage left at which more are asked for.
    pub refill_at_percent: u8,
    /// How many seconds to live on what is held, at the rate seen.
    pub outage_budget_seconds: u64,
    /// What the ids are of. Ids held are kept when the buffer or the end of a segment changes.
    pub origin: Origin,
}

/// Where a generator's ids come from, without what may change under the ids already held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Numbers of a segment that begins here.
    Segment {
        /// Its first id.
        start: u64,
    },
    /// Times, workers and sequences since an epoch, in this layout.
    Snowflake {
        /// RFC 3339.
        epoch: String,
        /// The layout.
        bits: String,
    },
    /// Of a kind this release does not know; central gives ranges of it all the same.
    Unknown,
}

impl HeldGenerators {
    /// Takes the state in. A buffer that says nothing gets the documented defaults.
    #[must_use]
    pub fn new(version: u64, state: GeneratorState) -> Self {
        let known = state
            .generators
            .into_iter()
            .map(|generator| {
                (
                    generator.name,
                    KnownGenerator::new(generator.spec.unwrap_or_default()),
                )
            })
            .collect();
        Self { version, known }
    }

    /// The version central gave it.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The generator of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&KnownGenerator> {
        self.known.get(name)
    }

    /// Their names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.known.keys().map(String::as_str)
    }
}

impl KnownGenerator {
    fn new(spec: IdGeneratorSpec) -> Self {
        let origin = match spec.algorithm {
            Some(Algorithm::Segment(segment)) => Origin::Segment {
                start: segment.start,
            },
            Some(Algorithm::Snowflake(snowflake)) => Origin::Snowflake {
                epoch: snowflake.epoch,
                bits: snowflake.bits,
            },
            None => Origin::Unknown,
        };
        let buffer = spec.buffer.unwrap_or_default();
        Self {
            capacity: if buffer.capacity == 0 {
                1_000_000
            } else {
                buffer.capacity
            },
            refill_at_percent: match buffer.refill_at_percent {
                0 => 10,
                percent => u8::try_from(percent.min(90)).unwrap_or(90),
            },
            outage_budget_seconds: buffer.outage_budget_seconds,
            origin,
        }
    }
}
