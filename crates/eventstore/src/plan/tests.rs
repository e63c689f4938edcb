use std::collections::HashMap;

use proptest::prelude::*;
use proptest::sample::Index;
use uuid::Uuid;

use super::{Decision, Plan, Stored, plan};
use crate::error::AppendError;
use crate::event::{Appended, ExpectedVersion, Position, StreamKey, StreamVersion};
use crate::request::{Event, Request, Write};

fn stream(name: u8) -> StreamKey {
    StreamKey::new("acme", "order", name.to_string())
}

fn event(id: u128, data: &str) -> Event {
    Event {
        id: Uuid::from_u128(id),
        event_type: "Happened".into(),
        schema_version: 1,
        data: data.into(),
        metadata: "{}".into(),
        correlation_id: None,
    }
}

fn request(writes: Vec<(u8, ExpectedVersion, Vec<Event>)>) -> Request {
    let writes: Vec<_> = writes
        .into_iter()
        .map(|(name, expected, events)| Write {
            stream: stream(name),
            expected,
            events,
        })
        .collect();
    let events = writes.iter().map(|write| write.events.len()).sum();
    Request {
        snapshots: Vec::new(),
        writes,
        events,
        bytes: 0,
    }
}

fn one(name: u8, expected: ExpectedVersion, id: u128) -> Request {
    request(vec![(name, expected, vec![event(id, "1")])])
}

fn appended(first: u64, last: u64, versions: &[u64], already_stored: bool) -> Appended {
    let (first, last) = (Position(first), Position(last));
    Appended {
        first,
        last,
        versions: versions.to_vec(),
        already_stored,
    }
}

/// Decisions on an empty store.
fn decide(requests: &[Request]) -> Vec<Decision> {
    plan(0, &HashMap::new(), &HashMap::new(), requests).decisions
}

#[test]
fn requests_build_on_those_before_them_in_the_group() {
    let requests = [
        one(1, ExpectedVersion::NoStream, 1),
        one(1, ExpectedVersion::Exact(1), 2),
    ];

    let decisions = decide(&requests);

    assert_eq!(
        decisions,
        [
            Decision::Store(appended(1, 1, &[1], false)),
            Decision::Store(appended(2, 2, &[2], false))
        ]
    );
}

#[test]
fn a_conflict_names_both_versions_and_takes_no_position() {
    let requests = [
        one(1, ExpectedVersion::NoStream, 1),
        one(1, ExpectedVersion::Exact(7), 2),
        one(2, ExpectedVersion::Any, 3),
    ];

    let decisions = decide(&requests);

    let conflict = AppendError::Conflict {
        stream: stream(1),
        expected: ExpectedVersion::Exact(7),
        actual: StreamVersion(1),
    };
    assert_eq!(decisions[1], Decision::Refuse(conflict));
    assert_eq!(decisions[2], Decision::Store(appended(2, 2, &[1], false)));
}

#[test]
fn a_retry_in_the_same_group_is_answered_like_the_first_attempt() {
    let append = one(1, ExpectedVersion::NoStream, 1);
    let decisions = decide(&[append.clone(), one(1, ExpectedVersion::Any, 2), append]);
    assert_eq!(
        decisions[2],
        Decision::AlreadyStored(appended(1, 1, &[1], true))
    );
}

#[test]
fn members_in_another_order_are_the_same_content_other_values_are_not() {
    let with = |data| request(vec![(1, ExpectedVersion::Any, vec![event(1, data)])]);
    let requests = [
        with(r#"{"a":1,"b":[2]}"#),
        with(r#"{"b":[2],"a":1}"#),
        with(r#"{"a":1,"b":[3]}"#),
    ];

    let decisions = decide(&requests);

    assert_eq!(
        decisions[1],
        Decision::AlreadyStored(appended(1, 1, &[1], true))
    );
    let id = Uuid::from_u128(1);
    assert_eq!(
        decisions[2],
        Decision::Refuse(AppendError::DuplicateEventId { id })
    );
}

#[test]
fn a_half_known_append_is_no_retry() {
    let both = request(vec![(
        1,
        ExpectedVersion::Any,
        vec![event(2, "1"), event(1, "1")],
    )]);
    let decisions = decide(&[one(1, ExpectedVersion::Any, 1), both]);
    let id = Uuid::from_u128(1);
    assert_eq!(
        decisions[1],
        Decision::Refuse(AppendError::DuplicateEventId { id })
    );
}

#[test]
fn two_appends_do_not_make_one() {
    let apart = [
        one(1, ExpectedVersion::Any, 1),
        one(2, ExpectedVersion::Any, 2),
        one(1, ExpectedVersion::Any, 3),
        request(vec![(
            1,
            ExpectedVersion::Any,
            vec![event(1, "1"), event(3, "1")],
        )]),
    ];
    let id = Uuid::from_u128(1);
    let refusal = Decision::Refuse(AppendError::DuplicateEventId { id });
    assert_eq!(decide(&apart)[3], refusal);
}

/// The store as one would draw it on a board: a list of events, and every question answered by
/// going through all of it.
#[derive(Debug, Default, Clone)]
struct Model(Vec<(StreamKey, Event)>);

impl Model {
    fn version(&self, stream: &StreamKey) -> u64 {
        self.0.iter().filter(|(of, _)| of == stream).count() as u64
    }

    fn version_at(&self, index: usize) -> u64 {
        let (stream, _) = &self.0[index];
        self.0[..=index]
            .iter()
            .filter(|(of, _)| of == stream)
            .count() as u64
    }

    fn append(&mut self, request: &Request) -> Decision {
        let flat: Vec<(StreamKey, Event)> = request
            .writes
            .iter()
            .flat_map(|write| {
                write
                    .events
                    .iter()
                    .map(|e| (write.stream.clone(), e.clone()))
            })
            .collect();
        let taken = |id: Uuid| self.0.iter().any(|(_, stored)| stored.id == id);
        if let Some(id) = request.ids().find(|id| taken(*id)) {
            let start = self.0.windows(flat.len()).position(|window| window == flat);
            return match start {
                Some(start) => Decision::AlreadyStored(self.answer(start, request, true)),
                None => Decision::Refuse(AppendError::DuplicateEventId { id }),
            };
        }
        for Write {
            stream, expected, ..
        } in &request.writes
        {
            let actual = StreamVersion(self.version(stream));
            if !expected.accepts(actual) {
                let (stream, expected) = (stream.clone(), *expected);
                return Decision::Refuse(AppendError::Conflict {
                    stream,
                    expected,
                    actual,
                });
            }
        }
        let start = self.0.len();
        self.0.extend(flat);
        Decision::Store(self.answer(start, request, false))
    }

    fn answer(&self, start: usize, request: &Request, already_stored: bool) -> Appended {
        let mut index = start;
        let mut versions = vec![];
        for write in &request.writes {
            index += write.events.len();
            versions.push(self.version_at(index - 1));
        }
        appended(start as u64 + 1, index as u64, &versions, already_stored)
    }

    /// What a database would tell the planner before a group.
    fn plan_group<'a>(&self, group: &'a [Request]) -> Plan<'a> {
        let mut versions = HashMap::new();
        for write in group.iter().flat_map(|request| &request.writes) {
            if self.version(&write.stream) > 0 {
                versions.insert(write.stream.clone(), self.version(&write.stream));
            }
        }
        let wanted: Vec<Uuid> = group.iter().flat_map(Request::ids).collect();
        let stored = self
            .0
            .iter()
            .enumerate()
            .filter(|(_, (_, e))| wanted.contains(&e.id));
        let known = stored.map(|(index, (stream, event))| {
            let stored = Stored {
                position: index as u64 + 1,
                stream: stream.clone(),
                stream_version: self.version_at(index),
                event_type: event.event_type.clone(),
                schema_version: event.schema_version,
                data: event.data.clone(),
            };
            (event.id, stored)
        });
        plan(self.0.len() as u64, &versions, &known.collect(), group)
    }
}

fn expected() -> impl Strategy<Value = ExpectedVersion> {
    prop_oneof![
        3 => Just(ExpectedVersion::Any),
        1 => Just(ExpectedVersion::NoStream),
        2 => (0..5_u64).prop_map(ExpectedVersion::Exact),
    ]
}

/// One to three writes to different streams, with ids from a pool so small that they collide.
fn any_request() -> impl Strategy<Value = Request> {
    let streams = proptest::sample::subsequence(vec![1_u8, 2, 3], 1..=3).prop_shuffle();
    let ids = proptest::sample::subsequence((1..=16_u128).collect::<Vec<_>>(), 6).prop_shuffle();
    let shape = proptest::collection::vec((expected(), 1..=2_usize, 0..4_u8), 3);
    (streams, ids, shape).prop_map(|(streams, ids, shape)| {
        let mut ids = ids.into_iter();
        let writes = streams
            .into_iter()
            .zip(shape)
            .map(|(name, (expected, events, data))| {
                let data = if data == 0 { "2" } else { "1" };
                let events = ids
                    .by_ref()
                    .take(events)
                    .map(|id| event(id, data))
                    .collect();
                (name, expected, events)
            });
        request(writes.collect())
    })
}

/// Requests in groups; some come again, as a caller that retries would send them.
fn groups() -> impl Strategy<Value = Vec<Vec<Request>>> {
    let pool = proptest::collection::vec(any_request(), 1..12);
    let calls = proptest::collection::vec(proptest::collection::vec(any::<Index>(), 1..6), 1..8);
    (pool, calls).prop_map(|(pool, calls)| {
        let pick = |group: Vec<Index>| group.iter().map(|i| i.get(&pool).clone()).collect();
        calls.into_iter().map(pick).collect()
    })
}

proptest! {
    /// However requests are grouped, each is decided as if it had come alone; and what is to be
    /// written is what the model holds, place by place.
    #[test]
    fn groups_are_decided_like_single_requests(groups in groups()) {
        let mut model = Model::default();
        for group in &groups {
            let before = model.0.len();
            let planned = model.plan_group(group);

            let one_by_one: Vec<_> = group.iter().map(|request| model.append(request)).collect();

            prop_assert_eq!(&planned.decisions, &one_by_one);
            prop_assert_eq!(planned.rows.len(), model.0.len() - before);
            for (offset, row) in planned.rows.iter().enumerate() {
                let index = before + offset;
                let (stream, event) = &model.0[index];
                prop_assert_eq!(row.position, index as u64 + 1);
                prop_assert_eq!((row.stream, row.event), (stream, event));
                prop_assert_eq!(row.stream_version, model.version_at(index));
            }
        }
    }
}
