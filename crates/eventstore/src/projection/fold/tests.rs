//! The fold against a model that does one event after the other.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Fold, Name};
use crate::chain::Hash;
use crate::event::{Metadata, Position, RecordedEvent, StreamKey};
use crate::projection::partition::{PartitionBy, Share};
use crate::projection::{Projection, changes::Changes};

/// Counts per key; zero deletes, 13 is refused, 14 panics.
struct Counts;

impl Projection for Counts {
    fn name(&self) -> &str {
        "counts"
    }

    fn version(&self) -> u32 {
        1
    }

    fn selects(&self, event: &RecordedEvent) -> bool {
        event.event_type == "Counted"
    }

    /// Of version 0 the key was called something else.
    fn upcast(&self, event: &mut RecordedEvent) -> Result<(), String> {
        match event.schema_version {
            0 => event.data["keys"] = event.data["names"].take(),
            1 => {}
            version => return Err(format!("version {version} is not known")),
        }
        event.schema_version = 1;
        Ok(())
    }

    fn keys(&self, event: &RecordedEvent) -> Vec<String> {
        let keys = event.data["keys"].as_array().cloned().unwrap_or_default();
        let keys = keys.iter().map(|key| key.as_str().unwrap().to_owned());
        keys.collect()
    }

    fn apply(
        &self,
        document: Option<Value>,
        _: &str,
        event: &RecordedEvent,
    ) -> Result<Option<Value>, String> {
        let n = event.data["n"].as_i64().unwrap();
        match n {
            0 => Ok(None),
            13 => Err("unlucky".into()),
            14 => panic!("worse"),
            n => {
                let before = document.map_or(0, |document| document["sum"].as_i64().unwrap());
                Ok(Some(json!({ "sum": before + n })))
            }
        }
    }
}

fn event(position: u64, tenant: &str, keys: &[&str], n: i64) -> RecordedEvent {
    RecordedEvent {
        id: Uuid::nil(),
        position: Position(position),
        stream: StreamKey::new(tenant, "t", "1"),
        stream_version: 1,
        event_type: "Counted".into(),
        schema_version: 1,
        data: json!({ "keys": keys, "n": n }),
        metadata: Metadata::default(),
        recorded_at: OffsetDateTime::UNIX_EPOCH,
        tenant_sequence: 1,
        hash: Hash::NONE,
    }
}

/// A database of documents, in memory.
#[derive(Default)]
struct Stored(BTreeMap<Name, (u64, String)>);

impl Stored {
    fn write(&mut self, changes: Changes) -> i64 {
        for upsert in changes.upserts {
            let name = (upsert.tenant, upsert.key);
            self.0.insert(name, (upsert.position, upsert.data));
        }
        for name in changes.deletes {
            assert!(self.0.remove(&name).is_some(), "{name:?} was not there");
        }
        changes.grows
    }

    fn fold(&self, fold: &mut Fold, events: &[RecordedEvent]) {
        let events = &mut events.to_vec();
        let touched = fold.touched(events);
        for name in fold.missing(events, &touched) {
            if let Some((position, data)) = self.0.get(&name) {
                fold.load(name, *position, serde_json::from_str(data).unwrap());
            }
        }
        fold.apply(events, touched).unwrap();
    }
}

#[derive(Debug, Clone)]
enum Step {
    Event { tenant: u8, keys: Vec<u8>, n: i64 },
    Write,
    Crash,
    Forget,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..3u8, proptest::collection::vec(0..5u8, 0..3), 0..5i64)
            .prop_map(|(tenant, keys, n)| Step::Event { tenant, keys, n }),
        3 => Just(Step::Write),
        1 => Just(Step::Crash),
        1 => Just(Step::Forget),
    ]
}

proptest! {
    #[test]
    fn batches_crashes_and_forgetting_change_nothing(
        steps in proptest::collection::vec(step(), 1..80),
        partitions in 1..4u32,
        by_key: bool,
    ) {
        let by = if by_key { PartitionBy::Key } else { PartitionBy::Tenant };
        let shares: Vec<Share> = (0..partitions)
            .map(|partition| Share { by, partition, partitions })
            .collect();
        let new = |share: &Share, empty| Fold::new(Arc::new(Counts), *share, empty);
        let mut stored = Stored::default();
        let mut folds: Vec<Fold> = shares.iter().map(|share| new(share, true)).collect();
        let (mut events, mut written, mut count): (Vec<RecordedEvent>, usize, i64) = (vec![], 0, 0);
        for step in steps {
            match step {
                Step::Event { tenant, keys, n } => {
                    let keys: Vec<String> = keys.iter().map(u8::to_string).collect();
                    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
                    let position = events.len() as u64 + 1;
                    events.push(event(position, &tenant.to_string(), &keys, n));
                    for fold in &mut folds {
                        stored.fold(fold, &events[events.len() - 1..]);
                    }
                }
                Step::Write => {
                    for fold in &mut folds {
                        count += stored.write(fold.take_changes().unwrap());
                    }
                    written = events.len();
                }
                Step::Crash => {
                    folds = shares.iter().map(|share| new(share, written == 0)).collect();
                    for fold in &mut folds {
                        stored.fold(fold, &events[written..]);
                    }
                }
                Step::Forget => folds.iter_mut().for_each(|fold| fold.forget_beyond(2)),
            }
        }
        for fold in &mut folds {
            count += stored.write(fold.take_changes().unwrap());
        }

        let mut model: BTreeMap<Name, (u64, Value)> = BTreeMap::new();
        for event in &events {
            let mut keys = Counts.keys(event);
            keys.sort();
            keys.dedup();
            for key in keys {
                let name = (event.stream.tenant.clone(), key.clone());
                let before = model.remove(&name).map(|(_, document)| document);
                if let Some(after) = Counts.apply(before, &key, event).unwrap() {
                    model.insert(name, (event.position.0, after));
                }
            }
        }
        let found: BTreeMap<Name, (u64, Value)> = stored
            .0
            .into_iter()
            .map(|(name, (position, data))| (name, (position, serde_json::from_str(&data).unwrap())))
            .collect();
        prop_assert_eq!(count, found.len() as i64);
        prop_assert_eq!(found, model);
    }
}

fn stop_of(events: &[RecordedEvent]) -> super::Stop {
    let mut fold = Fold::new(Arc::new(Counts), Share::WHOLE, true);
    let events = &mut events.to_vec();
    let touched = fold.touched(events);
    let outcome = fold.apply(events, touched);
    outcome.and_then(|()| fold.take_changes()).unwrap_err()
}

#[test]
fn it_stops_at_the_first_event_that_cannot_be_applied() {
    let good = event(1, "t", &["a"], 1);
    let stop = stop_of(&[
        good.clone(),
        event(2, "t", &["a", "b"], 13),
        event(3, "t", &["a"], 13),
    ]);
    assert_eq!(stop.position, 2);
    assert!(stop.message.contains("unlucky"), "{}", stop.message);
    let stop = stop_of(&[good.clone(), event(2, "t", &["a"], 14)]);
    assert!(stop.message.contains("worse"), "{}", stop.message);
    let stop = stop_of(&[good.clone(), event(2, "t", &[""], 1)]);
    assert_eq!(stop.position, 2);
    // What cannot be applied earlier than a key that cannot be stored, counts.
    let stop = stop_of(&[good, event(2, "t", &["a"], 13), event(3, "t", &["a\0"], 1)]);
    assert_eq!(stop.position, 2);
}

#[test]
fn only_what_it_does_not_know_is_missing() {
    let mut fold = Fold::new(Arc::new(Counts), Share::WHOLE, false);
    let mut events = [event(1, "t", &["a", "b"], 1), event(2, "t", &["a"], 1)];
    let touched = fold.touched(&mut events);
    let named = |key: &str| ("t".to_owned(), key.to_owned());
    assert_eq!(fold.missing(&events, &touched), [named("a"), named("b")]);
    fold.load(named("a"), 0, json!({ "sum": 4 }));
    fold.apply(&events, touched).unwrap();
    let touched = fold.touched(&mut events);
    assert!(fold.missing(&events, &touched).is_empty());
    assert_eq!(fold.changed(), 2);
}

#[test]
fn an_event_of_a_former_release_is_brought_to_the_present_shape() {
    let mut old = event(1, "t", &[], 4);
    (old.schema_version, old.data) = (0, json!({ "names": ["a"], "n": 4 }));
    let mut fold = Fold::new(Arc::new(Counts), Share::WHOLE, true);
    let mut events = [old, event(2, "t", &["a"], 1)];
    let touched = fold.touched(&mut events);
    fold.apply(&events, touched).unwrap();
    assert_eq!(fold.take_changes().unwrap().upserts[0].data, r#"{"sum":5}"#);

    let mut newer = event(1, "t", &["a"], 1);
    newer.schema_version = 2;
    assert!(stop_of(&[newer.clone()]).message.contains("version 2"));
    // What is not selected may be of any version.
    newer.event_type = "Else".into();
    assert!(fold.touched(&mut [newer]).keys.is_empty());
}
