//! Who has which ids: a document for every range that was ever given, named by the position of its event.

use std::time::Duration;

use eventstore::{
    Position, RecordedEvent,
    command::Aggregate,
    projection::{
        Answer, AtLeast, Compare, Document, DocumentPage, DocumentQuery, Field, Filter, Projection,
        ProjectionError, Projections, Tenants,
    },
};
use idgen::generator::Event;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;

use crate::aggregates::Generator;

/// How long an answer is waited for that has to be of a position.
const PATIENCE: Duration = Duration::from_secs(5);

/// The projection.
pub(crate) struct Allocations;

/// A range, as it was given. It can be asked by its members, so another shape of it is another
/// [`version`](Projection::version).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Allocation {
    pub(crate) generator: String,
    pub(crate) namespace: String,
    /// Whose it is: `namespace/pod`, as the pod was proven.
    pub(crate) owner: String,
    /// When it was stored, in microseconds since 1970: text would not compare.
    pub(crate) recorded_at: i64,
    pub(crate) start: u64,
    /// Last id that may be in it: the end itself may be 2^63, which SQLite cannot compare.
    pub(crate) last: u64,
    pub(crate) stride: u64,
    pub(crate) count: u64,
    pub(crate) epoch: u64,
}

/// Which ranges; what is not given does not matter.
#[derive(Debug, Default)]
pub(crate) struct AllocationQuery {
    /// Whose; none for all tenants.
    pub(crate) tenant: Option<String>,
    pub(crate) generator: Option<String>,
    pub(crate) namespace: Option<String>,
    /// That this id lies in.
    pub(crate) id: Option<u64>,
    /// Stored at this time or later.
    pub(crate) from: Option<OffsetDateTime>,
    /// Stored before this time.
    pub(crate) until: Option<OffsetDateTime>,
    /// What the page before gave as the next.
    pub(crate) cursor: Option<String>,
    pub(crate) limit: usize,
    /// The answer knows everything up to here.
    pub(crate) at_least: Option<Position>,
}

impl Allocations {
    pub(crate) const NAME: &'static str = "allocations";

    /// The ranges of a question, the youngest of each tenant first.
    pub(crate) async fn find(
        projections: &Projections,
        query: AllocationQuery,
    ) -> Result<Answer<DocumentPage>, ProjectionError> {
        let tenants = query.tenant.clone().map_or(Tenants::All, Tenants::One);
        projections
            .list(&DocumentQuery {
                filters: query.filters()?,
                descending: true,
                limit: u32::try_from(query.limit).unwrap_or(u32::MAX),
                cursor: query.cursor,
                at_least: query.at_least.map(|position| AtLeast {
                    position,
                    timeout: PATIENCE,
                }),
                ..DocumentQuery::new(Self::NAME, tenants)
            })
            .await
    }

    /// The range of a document.
    pub(crate) fn read(document: &Document) -> Result<Allocation, serde_json::Error> {
        Allocation::deserialize(&document.data)
    }
}

impl AllocationQuery {
    fn filters(&self) -> Result<Vec<Filter>, ProjectionError> {
        let microseconds = |at: OffsetDateTime| {
            let since = at.unix_timestamp_nanos() / 1000;
            i64::try_from(since).unwrap_or(i64::MAX)
        };
        let text = |text: &Option<String>| text.clone().map(Value::from);
        let id = self.id.map(Value::from);
        let wanted = [
            ("/generator", Compare::Equal, text(&self.generator)),
            ("/namespace", Compare::Equal, text(&self.namespace)),
            ("/start", Compare::LessOrEqual, id.clone()),
            ("/last", Compare::GreaterOrEqual, id),
            (
                "/recorded_at",
                Compare::GreaterOrEqual,
                self.from.map(|at| microseconds(at).into()),
            ),
            (
                "/recorded_at",
                Compare::Less,
                self.until.map(|at| microseconds(at).into()),
            ),
        ];
        let mut filters = Vec::new();
        for (field, compare, value) in wanted {
            if let Some(value) = value {
                let field: Field = field.parse()?;
                filters.push(Filter {
                    field,
                    compare,
                    value,
                });
            }
        }
        Ok(filters)
    }
}

impl Projection for Allocations {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn version(&self) -> u32 {
        1
    }

    fn selects(&self, event: &RecordedEvent) -> bool {
        event.stream.stream_type == Generator::STREAM_TYPE && event.event_type == "RangeAllocated"
    }

    fn keys(&self, event: &RecordedEvent) -> Vec<String> {
        // Keys are ordered as text.
        vec![format!("{:020}", event.position.0)]
    }

    fn apply(
        &self,
        _: Option<Value>,
        _: &str,
        event: &RecordedEvent,
    ) -> Result<Option<Value>, String> {
        let name = event.event_type.as_str();
        let happened = Generator::decode(name, event.schema_version, event.data.clone())?;
        let Event::RangeAllocated {
            namespace,
            range,
            owner,
        } = happened
        else {
            return Err(format!("{name} is no allocation"));
        };
        let recorded_at = event.recorded_at.unix_timestamp_nanos() / 1000;
        let allocation = Allocation {
            generator: event.stream.stream_id.clone(),
            namespace,
            owner,
            recorded_at: i64::try_from(recorded_at).map_err(|error| error.to_string())?,
            start: range.start,
            last: range.end - 1,
            stride: range.stride,
            count: range.len(),
            epoch: range.epoch,
        };
        let document = serde_json::to_value(allocation).map_err(|error| error.to_string())?;
        Ok(Some(document))
    }
}

#[cfg(test)]
mod tests {
    use eventstore::{Metadata, Position, RecordedEvent, StreamKey, projection::Projection as _};
    use serde_json::{Value, json};
    use time::macros::datetime;
    use uuid::Uuid;

    use super::{AllocationQuery, Allocations};

    fn event(stream_type: &str, event_type: &str, data: Value) -> RecordedEvent {
        RecordedEvent {
            position: Position(7),
            id: Uuid::nil(),
            stream: StreamKey::new("acme", stream_type, "order-id"),
            stream_version: 2,
            tenant_sequence: 5,
            event_type: event_type.into(),
            schema_version: 1,
            recorded_at: datetime!(2026-11-21 17:00:00.000001 UTC),
            metadata: Metadata::default(),
            data,
            hash: eventstore::Hash([0; 32]),
        }
    }

    fn allocated() -> RecordedEvent {
        let range = json!({ "start": 1, "end": 1u64 << 63, "stride": 2, "epoch": 3 });
        let data = json!({
            "type": "RangeAllocated", "namespace": "shop", "range": range, "owner": "shop/pod-1",
        });
        event("generator", "RangeAllocated", data)
    }

    #[test]
    fn a_range_is_told_with_who_has_it_and_since_when() {
        let event = allocated();
        assert!(Allocations.selects(&event));
        assert_eq!(Allocations.keys(&event), ["00000000000000000007"]);
        let document = Allocations.apply(None, "", &event).unwrap().unwrap();
        let expected = json!({
            "generator": "order-id", "namespace": "shop", "owner": "shop/pod-1",
            "recorded_at": 1_795_280_400_000_001_i64, "start": 1, "last": i64::MAX,
            "stride": 2, "count": 1u64 << 62, "epoch": 3,
        });
        assert_eq!(document, expected);
    }

    #[test]
    fn other_events_do_not_matter_and_newer_ones_are_not_guessed_at() {
        for (stream_type, event_type) in [("generator", "Declared"), ("role", "RangeAllocated")] {
            let other = event(stream_type, event_type, Value::Null);
            assert!(!Allocations.selects(&other), "{stream_type} {event_type}");
        }
        let newer = RecordedEvent {
            schema_version: 2,
            ..allocated()
        };
        let refused = Allocations.apply(None, "", &newer).unwrap_err();
        assert!(refused.contains("newer release"), "{refused}");
    }

    #[test]
    fn only_what_is_given_is_asked_for() {
        assert!(AllocationQuery::default().filters().unwrap().is_empty());
        let all = AllocationQuery {
            generator: Some("order-id".into()),
            namespace: Some("shop".into()),
            id: Some(5),
            from: Some(datetime!(2026-11-21 17:00 UTC)),
            until: Some(datetime!(2026-11-22 17:00 UTC)),
            ..AllocationQuery::default()
        };
        let filters = all.filters().unwrap();
        let fields: Vec<_> = filters.iter().map(|one| one.field.to_string()).collect();
        let expected = [
            "/generator",
            "/namespace",
            "/start",
            "/last",
            "/recorded_at",
            "/recorded_at",
        ];
        assert_eq!(fields, expected);
    }
}
