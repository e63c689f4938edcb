//! Step 3: an IdGenerator as central is told of it.

use crds::Snowflake;
use protocol::v1;

use super::validate::{Algorithm, ValidBuffer, Validated};

/// The request that makes central hold the generator. Destructured whole: a field forgotten here
/// does not compile.
pub fn build(validated: &Validated) -> v1::ApplyIdGeneratorRequest {
    let Validated {
        tenant,
        namespace,
        name,
        algorithm,
        buffer,
    } = validated;
    let ValidBuffer {
        capacity,
        refill_at_percent,
        outage_budget_seconds,
    } = buffer;
    let algorithm = match algorithm {
        Algorithm::Segment { start, max, step } => {
            v1::id_generator_spec::Algorithm::Segment(v1::Segment {
                start: *start,
                max: *max,
                step: *step,
            })
        }
        Algorithm::Snowflake(Snowflake { epoch, bits }) => {
            v1::id_generator_spec::Algorithm::Snowflake(v1::Snowflake {
                epoch: epoch.clone(),
                bits: bits.clone(),
            })
        }
    };
    v1::ApplyIdGeneratorRequest {
        tenant: tenant.clone(),
        namespace: namespace.clone(),
        name: name.clone(),
        spec: Some(v1::IdGeneratorSpec {
            algorithm: Some(algorithm),
            buffer: Some(v1::Buffer {
                capacity: *capacity,
                refill_at_percent: *refill_at_percent,
                outage_budget_seconds: *outage_budget_seconds,
            }),
        }),
    }
}
