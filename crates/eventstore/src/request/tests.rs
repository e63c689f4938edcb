use serde_json::json;

use super::{MAX_DEPTH, MAX_EVENTS, Request};
use crate::{Append, AppendError, ExpectedVersion, NewEvent, StreamKey, StreamWrite};

fn write(stream_id: &str, events: Vec<NewEvent>) -> StreamWrite {
    StreamWrite {
        stream: StreamKey::new("acme", "order", stream_id),
        expected: ExpectedVersion::Any,
        events,
    }
}

fn event() -> NewEvent {
    NewEvent::new("Happened", 1, json!({ "n": 1 }))
}

/// The field an append is refused for.
fn refused_field(writes: Vec<StreamWrite>) -> String {
    match Request::check(Append::new(writes), 1000) {
        Err(AppendError::Invalid { field, .. }) => field,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

#[test]
fn a_good_append_is_written_out() {
    let (first, second) = (event(), event());
    let append = Append::new(vec![
        write("a", vec![first.clone()]),
        write("b", vec![second.clone()]),
    ]);

    let request = Request::check(append, 1000).unwrap();

    assert_eq!(request.events, 2);
    assert_eq!(request.bytes, 2 * r#"{"n":1}{}"#.len());
    assert_eq!(request.ids().collect::<Vec<_>>(), [first.id, second.id]);
}

#[test]
fn nothing_to_append_is_refused() {
    assert_eq!(refused_field(vec![]), "writes");
    assert_eq!(refused_field(vec![write("a", vec![])]), "writes[0].events");
}

#[test]
fn the_same_stream_twice_is_refused() {
    let writes = vec![write("a", vec![event()]), write("a", vec![event()])];
    assert_eq!(refused_field(writes), "writes[1].stream");
}

#[test]
fn the_same_id_twice_is_refused_across_writes() {
    let event = event();
    let writes = vec![write("a", vec![event.clone()]), write("b", vec![event])];
    assert_eq!(refused_field(writes), "writes[1].events[0].id");
}

#[test]
fn a_nil_id_is_refused() {
    let event = NewEvent {
        id: uuid::Uuid::nil(),
        ..event()
    };
    assert_eq!(
        refused_field(vec![write("a", vec![event])]),
        "writes[0].events[0].id"
    );
}

#[test]
fn names_must_be_there_short_and_without_nul() {
    for bad in ["", "a\0b", &"x".repeat(600)] {
        let with_key = |stream| {
            vec![StreamWrite {
                stream,
                ..write("a", vec![event()])
            }]
        };
        let part = |name: &str| format!("writes[0].stream.{name}");
        assert_eq!(
            refused_field(with_key(StreamKey::new(bad, "order", "a"))),
            part("tenant")
        );
        assert_eq!(
            refused_field(with_key(StreamKey::new("t", bad, "a"))),
            part("stream_type")
        );
        assert_eq!(
            refused_field(with_key(StreamKey::new("t", "order", bad))),
            part("stream_id")
        );
        let event = NewEvent {
            event_type: bad.into(),
            ..event()
        };
        assert_eq!(
            refused_field(vec![write("a", vec![event])]),
            "writes[0].events[0].event_type"
        );
    }
}

#[test]
fn nul_in_content_is_refused_wherever_it_hides() {
    for data in [
        json!("\0"),
        json!([{ "a": ["b\0"] }]),
        json!({ "a": { "k\0": 1 } }),
    ] {
        let event = NewEvent { data, ..event() };
        assert_eq!(
            refused_field(vec![write("a", vec![event])]),
            "writes[0].events[0].data"
        );
    }
    let mut event = event();
    event.metadata.actor = Some("a\0".into());
    assert_eq!(
        refused_field(vec![write("a", vec![event])]),
        "writes[0].events[0].metadata"
    );
}

#[test]
fn the_text_backslash_u0000_is_no_nul() {
    let event = NewEvent {
        data: json!({ "pattern": r"\u0000" }),
        ..event()
    };
    assert!(Request::check(Append::new(vec![write("a", vec![event])]), 1000).is_ok());
}

#[test]
fn an_oversized_event_is_refused_at_the_first_byte_too_many() {
    // Two quotes around the text and two braces of empty metadata.
    let of_size = |size: usize| NewEvent {
        data: json!("x".repeat(size - 4)),
        ..event()
    };
    assert!(Request::check(Append::new(vec![write("a", vec![of_size(1000)])]), 1000).is_ok());
    assert_eq!(
        refused_field(vec![write("a", vec![of_size(1001)])]),
        "writes[0].events[0]"
    );
}

#[test]
fn content_too_deep_to_be_read_back_is_refused() {
    let nested = |levels: usize| (0..levels).fold(json!(1), |inner, _| json!([inner]));
    let good = NewEvent {
        data: nested(MAX_DEPTH),
        ..event()
    };
    let request = Request::check(Append::new(vec![write("a", vec![good])]), 1000).unwrap();
    let text = &request.writes[0].events[0].data;
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(text).unwrap(),
        nested(MAX_DEPTH)
    );

    let bad = NewEvent {
        data: nested(MAX_DEPTH + 1),
        ..event()
    };
    assert_eq!(
        refused_field(vec![write("a", vec![bad])]),
        "writes[0].events[0].data"
    );
}

#[test]
fn too_many_events_at_once_are_refused() {
    let events = (0..=MAX_EVENTS).map(|_| event()).collect();
    assert_eq!(refused_field(vec![write("a", events)]), "writes");
}
