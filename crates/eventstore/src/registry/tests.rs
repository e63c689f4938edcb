use proptest::prelude::*;
use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{RegistrationFault, Registry, RegistryBuilder, RegistryError};
use crate::chain::Hash;
use crate::event::{Metadata, Position, RecordedEvent, StreamKey};

fn recorded(stream_type: &str, event_type: &str, version: u32, data: Value) -> RecordedEvent {
    RecordedEvent {
        id: Uuid::from_u128(7),
        position: Position(12),
        stream: StreamKey::new("acme", stream_type, "1"),
        stream_version: 3,
        event_type: event_type.into(),
        schema_version: version,
        data,
        metadata: Metadata::default(),
        recorded_at: OffsetDateTime::UNIX_EPOCH,
        tenant_sequence: 4,
        hash: Hash::NONE,
    }
}

fn order(event_type: &str, version: u32, data: Value) -> RecordedEvent {
    recorded("order", event_type, version, data)
}

/// Appends a number to the list that the content is.
fn push(number: u32) -> impl Fn(Value) -> Result<Value, String> {
    move |data| {
        let mut list = data.as_array().ok_or("not a list")?.clone();
        list.push(json!(number));
        Ok(Value::Array(list))
    }
}

/// Takes a number away that `push` appended.
fn pop(number: u32) -> impl Fn(Value) -> Result<Value, String> {
    move |data| {
        let mut list = data.as_array().ok_or("not a list")?.clone();
        match list.pop() {
            Some(last) if last == json!(number) => Ok(Value::Array(list)),
            other => Err(format!("{other:?} is at the end, not {number}")),
        }
    }
}

/// A type that went through `current` versions, each with a step there and back, and through two names
/// if there is room for them.
fn chain(current: u32) -> Registry {
    let mut builder = Registry::builder().event("New", current);
    for version in 1..current {
        builder = builder.upcaster("New", version, push(version)).downcaster(
            "New",
            version + 1,
            pop(version),
        );
    }
    if current > 2 {
        builder = builder.formerly("New", "Old", 2);
    }
    builder.build().unwrap()
}

fn name_at(current: u32, version: u32) -> &'static str {
    if current > 2 && version <= 2 {
        "Old"
    } else {
        "New"
    }
}

proptest! {
    #[test]
    fn up_and_down_again_changes_nothing(current in 1u32..12, version in 1u32..12, data in any::<Vec<u8>>()) {
        let version = version.min(current);
        let registry = chain(current);
        let stored = order(name_at(current, version), version, json!(data));
        let up = registry.upcast(stored.clone()).unwrap();
        prop_assert_eq!(up.schema_version, current);
        prop_assert_eq!(up.event_type.as_str(), "New");
        prop_assert_eq!(registry.downcast(up, version).unwrap(), stored);
    }

    #[test]
    fn a_chain_leads_to_the_same_by_any_way(current in 1u32..12, from in 1u32..12, over in 1u32..12) {
        let (from, over) = (from.min(current), over.min(current));
        let registry = chain(current);
        let before: Vec<u32> = (1..from).collect();
        let stored = order(name_at(current, from), from, json!(before));
        let straight = registry.upcast(stored.clone()).unwrap();
        let stopover = registry.downcast(stored, over).unwrap();
        prop_assert_eq!(stopover.event_type.as_str(), name_at(current, over));
        prop_assert_eq!(registry.upcast(stopover).unwrap(), straight.clone());
        let steps: Vec<u32> = (1..current).collect();
        prop_assert_eq!(straight.data, json!(steps));
    }
}

fn fault(builder: RegistryBuilder) -> RegistrationFault {
    match builder.build() {
        Err(RegistryError::Registration { fault, .. }) => fault,
        other => panic!("{other:?}"),
    }
}

fn two() -> RegistryBuilder {
    Registry::builder()
        .event("A", 2)
        .upcaster("A", 1, Ok::<Value, String>)
}

#[test]
fn a_registry_that_is_not_complete_is_refused() {
    use RegistrationFault as Fault;
    let keep = Ok::<Value, String>;
    let begun = Registry::builder;

    assert_eq!(fault(begun().event("A", 2)), Fault::Gap { from: 1 });
    let hole = begun()
        .event("A", 4)
        .upcaster("A", 1, keep)
        .upcaster("A", 3, keep);
    assert_eq!(fault(hole), Fault::Gap { from: 2 });
    assert_eq!(fault(begun().event("A", 0)), Fault::Version { version: 0 });
    assert_eq!(fault(begun().event("", 1)), Fault::Name);
    assert_eq!(fault(begun().event("eventstore.A", 1)), Fault::Name);
    assert_eq!(fault(begun().event("A", 1).event("A", 1)), Fault::Twice);
    let kind = "upcaster";
    assert_eq!(
        fault(two().upcaster("A", 1, keep)),
        Fault::StepTwice { kind, from: 1 }
    );
    assert_eq!(fault(two().upcaster("B", 1, keep)), Fault::Unknown);
    assert_eq!(
        fault(two().upcaster("A", 0, keep)),
        Fault::Version { version: 0 }
    );
    assert_eq!(
        fault(two().downcaster("A", 1, keep)),
        Fault::Version { version: 1 }
    );
    let beyond = |from| Fault::Beyond { from, current: 2 };
    assert_eq!(fault(two().upcaster("A", 2, keep)), beyond(2));
    assert_eq!(fault(two().downcaster("A", 3, keep)), beyond(3));
    assert_eq!(fault(two().upcaster("A", u32::MAX, keep)), beyond(u32::MAX));
    assert_eq!(fault(two().formerly("A", "Old", 2)), beyond(2));
    assert_eq!(fault(two().formerly("B", "Old", 1)), Fault::Unknown);
    assert_eq!(fault(two().formerly("A", "A", 1)), Fault::Twice);
    assert_eq!(
        fault(two().event("Old", 1).formerly("A", "Old", 1)),
        Fault::Twice
    );
    assert_eq!(fault(two().retired("A", 2)), beyond(2));
    assert_eq!(
        fault(two().retired("A", 1)),
        Fault::Retired {
            from: 1,
            through: 1
        }
    );
}

#[test]
fn what_is_not_known_is_named_with_its_place() {
    let registry = two().build().unwrap();

    let unknown = registry.upcast(order("B", 1, json!({}))).unwrap_err();
    assert_eq!(unknown.code(), "SIGNET-EVENTS-0031");
    assert_eq!(
        unknown.to_string(),
        "event B version 1 at position 12 of stream acme/order/1: the type is unknown; \
         run a release that knows it, or register it"
    );
    for version in [0, 3] {
        let newer = registry.upcast(order("A", version, json!({}))).unwrap_err();
        assert_eq!(newer.code(), "SIGNET-EVENTS-0032");
        assert!(newer.to_string().contains("knows the versions 1 to 2"));
        assert_eq!(newer.place().unwrap().schema_version, version);
    }
    let back = registry.downcast(order("A", 2, json!({})), 1).unwrap_err();
    assert_eq!(back.code(), "SIGNET-EVENTS-0033");
    assert!(
        back.to_string()
            .contains("no step leads from version 2 to 1")
    );
    let nowhere = registry.downcast(order("A", 2, json!({})), 3).unwrap_err();
    assert_eq!(nowhere.code(), "SIGNET-EVENTS-0033");
}

#[test]
fn a_step_that_fails_names_the_event_as_it_is_stored() {
    let registry = Registry::builder()
        .event("A", 3)
        .upcaster("A", 1, Ok)
        .upcaster("A", 2, |_| Err("no total".into()))
        .build()
        .unwrap();
    let failed = registry.upcast(order("A", 1, json!({}))).unwrap_err();
    let RegistryError::Step {
        place,
        version,
        message,
    } = &failed
    else {
        panic!("{failed}");
    };
    assert_eq!((place.schema_version, *version), (1, 3));
    assert_eq!(message, "no total");
}

#[test]
fn a_type_of_a_stream_type_goes_before_the_general_one() {
    let registry = Registry::builder()
        .event("Closed", 1)
        .event(("account", "Closed"), 2)
        .upcaster(("account", "Closed"), 1, push(1))
        .build()
        .unwrap();
    let account = recorded("account", "Closed", 1, json!([]));
    assert_eq!(registry.upcast(account).unwrap().data, json!([1]));
    let order = order("Closed", 1, json!([]));
    assert_eq!(registry.upcast(order.clone()).unwrap(), order);
    let scoped = Registry::builder()
        .event(("account", "Closed"), 1)
        .build()
        .unwrap();
    assert_eq!(
        scoped.upcast(order).unwrap_err().code(),
        "SIGNET-EVENTS-0031"
    );
}

#[test]
fn a_former_name_has_the_versions_it_had() {
    let registry = chain(4);
    let named = registry.upcast(order("Old", 1, json!([]))).unwrap();
    assert_eq!(
        (named.event_type.as_str(), named.schema_version),
        ("New", 4)
    );
    for (name, version) in [("Old", 3), ("New", 2)] {
        let error = registry
            .upcast(order(name, version, json!([])))
            .unwrap_err();
        assert_eq!(error.code(), "SIGNET-EVENTS-0032", "{error}");
    }
}

#[test]
fn retired_versions_need_no_upcaster_and_are_not_read() {
    let registry = Registry::builder()
        .event("A", 3)
        .retired("A", 1)
        .upcaster("A", 2, push(2))
        .retired("Gone", 5)
        .build()
        .unwrap();
    assert_eq!(
        registry.upcast(order("A", 2, json!([]))).unwrap().data,
        json!([2])
    );
    for (name, version) in [("A", 1), ("Gone", 5)] {
        let error = registry
            .upcast(order(name, version, json!([])))
            .unwrap_err();
        assert_eq!(error.code(), "SIGNET-EVENTS-0034", "{error}");
    }
    let newer = registry.upcast(order("Gone", 6, json!([]))).unwrap_err();
    assert_eq!(newer.code(), "SIGNET-EVENTS-0032");
}

#[test]
fn content_becomes_a_value_of_the_domain() {
    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Placed {
        total: u32,
    }
    let registry = Registry::builder()
        .event("Placed", 2)
        .upcaster("Placed", 1, |data| Ok(json!({ "total": data })))
        .build()
        .unwrap();
    let placed: Placed = registry.decode(order("Placed", 1, json!(12))).unwrap();
    assert_eq!(placed, Placed { total: 12 });
    let wrong = registry.decode::<Placed>(order("Placed", 1, json!("a dozen")));
    let error = wrong.unwrap_err();
    assert_eq!(error.code(), "SIGNET-EVENTS-0035");
    assert!(error.to_string().contains("Placed"), "{error}");
}

#[test]
fn a_registry_tells_what_it_knows() {
    let registry = Registry::builder()
        .event("B", 2)
        .upcaster("B", 1, Ok)
        .downcaster("B", 2, Ok)
        .formerly("B", "A", 1)
        .event(("order", "C"), 1)
        .retired("Gone", 3)
        .build()
        .unwrap();
    assert_eq!(
        serde_json::to_value(registry.types()).unwrap(),
        json!([
            { "stream_type": null, "event_type": "B", "current_version": 2, "oldest_version": 1,
              "upcasters": [1], "downcasters": [2], "former_names": [[1, "A"]] },
            { "stream_type": null, "event_type": "Gone", "current_version": 0, "oldest_version": 4,
              "upcasters": [], "downcasters": [], "former_names": [] },
            { "stream_type": "order", "event_type": "C", "current_version": 1, "oldest_version": 1,
              "upcasters": [], "downcasters": [], "former_names": [] },
        ])
    );
}
