use proptest::prelude::*;
use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::event::Position;
use crate::migration::Selection;

const CHUNK: usize = 5;

/// Makes of an event with the number n as many as n says.
struct Times;

impl Migration for Times {
    fn name(&self) -> &'static str {
        "times"
    }

    fn selection(&self) -> Selection {
        Selection {
            tenant: None,
            stream_type: "order".into(),
            stream_ids: None,
        }
    }

    fn target(&self, source: &StreamKey) -> StreamKey {
        StreamKey::new("acme", "copy", source.stream_id.as_str())
    }

    fn transform(&self, event: &RecordedEvent) -> Result<Vec<Shape>, String> {
        let times = event.data.as_u64().ok_or("no number")?;
        let shape = |index| Shape {
            event_type: "Part".into(),
            schema_version: 1,
            data: json!([event.stream_version, index]),
        };
        Ok((0..times).map(shape).collect())
    }
}

fn event(version: u64, times: u64) -> RecordedEvent {
    RecordedEvent {
        id: Uuid::from_u128(u128::from(version)),
        position: Position(version),
        stream: StreamKey::new("acme", "order", "1"),
        stream_version: version,
        event_type: "Happened".into(),
        schema_version: 1,
        data: json!(times),
        metadata: Metadata {
            correlation_id: Some(Uuid::from_u128(9)),
            actor: Some("somebody".into()),
            ..Metadata::default()
        },
        recorded_at: OffsetDateTime::UNIX_EPOCH,
        tenant_sequence: version,
        hash: Hash::NONE,
    }
}

fn source(times: &[u64]) -> Vec<RecordedEvent> {
    let versions = 1..;
    versions
        .zip(times)
        .map(|(version, times)| event(version, *times))
        .collect()
}

fn registry() -> Registry {
    Registry::builder().event("Part", 1).build().unwrap()
}

fn transform(
    registry: &Registry,
    events: &[RecordedEvent],
) -> Result<TransformedStream, StreamError> {
    let rules = Rules {
        migration: &Times,
        registry,
        limit: 200,
    };
    let source = StreamKey::new("acme", "order", "1");
    let target = Times.target(&source);
    let mut stream = TransformedStream::new(source, target, CHUNK);
    stream.extend(rules, events)?;
    Ok(stream)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_source_event_is_accounted_for(times in prop::collection::vec(0u64..4, 0..40)) {
        let stream = transform(&registry(), &source(&times)).unwrap();
        let expected: Vec<_> = (1u64..)
            .zip(&times)
            .flat_map(|(version, times)| (0..*times).map(move |index| json!([version, index])))
            .collect();
        let written: Vec<_> = stream.events.iter().map(|event| event.data.clone()).collect();
        prop_assert_eq!(&written, &expected);
        let counts = EventCounts {
            read: times.len() as u64,
            written: expected.len() as u64,
            dropped: times.iter().filter(|times| **times == 0).count() as u64,
            split: times.iter().filter(|times| **times > 1).count() as u64,
        };
        prop_assert_eq!(stream.counts, counts);
    }

    #[test]
    fn it_is_the_same_in_whatever_pieces_the_source_comes(
        times in prop::collection::vec(0u64..4, 1..40), cut in any::<prop::sample::Index>(),
    ) {
        let (events, registry) = (source(&times), registry());
        let at_once = transform(&registry, &events).unwrap();
        let (first, rest) = events.split_at(cut.index(events.len()));
        let mut in_two = transform(&registry, first).unwrap();
        let rules = Rules { migration: &Times, registry: &registry, limit: 200 };
        in_two.extend(rules, rest).unwrap();
        prop_assert_eq!(in_two.events, at_once.events);
        prop_assert_eq!(in_two.counts, at_once.counts);
    }

    #[test]
    fn chunks_of_whole_events_cover_each_event_once(
        times in prop::collection::vec(0u64..8, 0..12),
        covered in 0u64..12,
    ) {
        let stream = transform(&registry(), &source(&times)).unwrap();
        let covered = covered.min(times.len() as u64);
        let (mut at, mut through) = (stream.start_after(covered), covered);
        while let Some((end, version)) = stream.whole_chunk(through) {
            prop_assert!(version > through);
            prop_assert_eq!(end, stream.start_after(version));
            prop_assert!(end - at <= CHUNK.max(7));
            (at, through) = (end, version);
        }
        prop_assert_eq!((at, through), (stream.events.len(), times.len() as u64));
    }
}

#[test]
fn an_event_keeps_its_circumstances_and_names_its_source() {
    let stream = transform(&registry(), &source(&[2])).unwrap();
    for event in &stream.events {
        assert_eq!(event.metadata.correlation_id, Some(Uuid::from_u128(9)));
        assert_eq!(event.metadata.actor.as_deref(), Some("somebody"));
        assert_eq!(event.metadata.causation_id, Some(Uuid::from_u128(1)));
    }
    assert_ne!(stream.events[0].id, stream.events[1].id);
    // For ever: a run that is resumed by another release must come to the same.
    assert_eq!(
        stream.events[0].id.to_string(),
        "c80f9eeb-6be4-8d6a-8b43-d6cb326ada38"
    );
    assert_eq!(stream.events[0].id.get_version_num(), 8);
}

#[test]
fn a_gap_in_the_source_is_no_stream() {
    let mut events = source(&[1, 1, 1]);
    events.remove(1);
    let error = transform(&registry(), &events).unwrap_err();
    assert!(matches!(error, StreamError::Incomplete { version: 1, .. }));
}

#[test]
fn what_the_registry_cannot_read_is_not_written() {
    let unknown = Registry::builder().build().unwrap();
    let error = transform(&unknown, &source(&[0, 1])).unwrap_err();
    assert_eq!(error.code(), "SIGNET-EVENTS-0031");
    assert_eq!(error.position(), Some(Position(2)));
}

#[test]
fn a_stream_has_to_fit() {
    let error = transform(&registry(), &source(&[201])).unwrap_err();
    assert_eq!(error, StreamError::TooLong { limit: 200 });
}
