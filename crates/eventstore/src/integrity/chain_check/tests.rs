use proptest::prelude::*;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::*;
use crate::event::StreamKey;

/// A chain of events that hold, at the positions 1, 2, 3 …
fn sealed(count: u64) -> Vec<(u64, Content)> {
    let mut before = Hash::NONE;
    let one = |n: u64| {
        let mut event = Content {
            id: Uuid::from_u128(u128::from(n)),
            stream: StreamKey::new("acme", "order", "1"),
            stream_version: n,
            event_type: "Happened".into(),
            schema_version: 1,
            recorded_at: OffsetDateTime::UNIX_EPOCH + Duration::seconds(n as i64),
            data: format!("{{\"n\":{n}}}"),
            metadata: "{}".into(),
            tenant_sequence: n,
            hash: Vec::new(),
        };
        before = event.sealed(n, n).hash(before);
        event.hash = before.0.to_vec();
        (n, event)
    };
    (1..=count).map(one).collect()
}

/// The first fault, as its kind, its position and the place in the chain.
fn first(events: &[(u64, Content)]) -> Option<(FaultKind, u64, u64)> {
    let mut chain = Chain::default();
    let mut fault = None;
    for (position, event) in events {
        match chain.look(*position, event) {
            Finding::Fault { kind, sequence, .. } => {
                assert!(fault.is_none(), "a second fault");
                fault = Some((kind, *position, sequence));
            }
            Finding::Explains { kind, .. } => {
                fault = fault.map(|(before, position, sequence)| match before {
                    FaultKind::Missing => (kind, position, sequence),
                    other => (other, position, sequence),
                });
            }
            Finding::Sound => assert!(fault.is_none()),
            Finding::Nothing => assert!(fault.is_some()),
        }
    }
    fault
}

#[test]
fn what_was_written_is_sound() {
    assert_eq!(first(&sealed(5)), None);
}

#[test]
fn a_chain_is_taken_up_behind_what_is_trusted() {
    let events = sealed(5);
    let mut chain = Chain {
        end: ChainEnd {
            sequence: 3,
            hash: Hash::try_from(events[2].1.hash.as_slice()).unwrap(),
        },
        trusted_until: 3,
        faulty: false,
    };
    let findings: Vec<Finding> = events
        .iter()
        .map(|(position, event)| chain.look(*position, event))
        .collect();
    assert_eq!(
        findings[..3],
        [Finding::Nothing, Finding::Nothing, Finding::Nothing]
    );
    assert_eq!(findings[3..], [Finding::Sound, Finding::Sound]);
}

#[test]
fn one_that_is_gone_is_missed_at_the_next() {
    for gone in 0..4_usize {
        let mut events = sealed(5);
        events.remove(gone);
        let (position, sequence) = (gone as u64 + 2, gone as u64 + 1);
        assert_eq!(
            first(&events),
            Some((FaultKind::Missing, position, sequence))
        );
    }
}

#[test]
fn two_that_changed_places_are_told_from_one_that_is_gone() {
    let mut events = sealed(5);
    let (front, back) = events.split_at_mut(3);
    std::mem::swap(&mut front[1].1, &mut back[0].1);
    assert_eq!(first(&events), Some((FaultKind::Reordered, 2, 2)));
}

#[test]
fn one_of_elsewhere_is_told_from_one_that_is_gone() {
    let mut events = sealed(5);
    let mut foreign = sealed(9).remove(8);
    foreign.0 = 3;
    events.insert(2, foreign);
    assert_eq!(first(&events), Some((FaultKind::Added, 3, 3)));
}

#[test]
fn one_that_comes_again_does_not_belong_there() {
    let mut events = sealed(4);
    let (_, again) = sealed(2).remove(1);
    events.push((5, again));
    assert_eq!(first(&events), Some((FaultKind::Added, 5, 2)));
}

#[test]
fn another_number_in_the_chain_is_a_change_of_it() {
    let mut events = sealed(4);
    events[1].1.tenant_sequence = 40;
    assert_eq!(first(&events), Some((FaultKind::Changed, 2, 2)));
}

#[test]
fn one_without_a_hash_is_unsealed() {
    let mut events = sealed(4);
    events[2].1.hash.clear();
    assert_eq!(first(&events), Some((FaultKind::Unsealed, 3, 3)));
}

#[test]
fn a_change_with_its_own_hash_made_anew_shows_at_the_next() {
    let mut events = sealed(4);
    events[1].1.data = "{\"n\":3}".into();
    let before = Hash::try_from(events[0].1.hash.as_slice()).unwrap();
    let hash = events[1].1.sealed(2, 2).hash(before);
    events[1].1.hash = hash.0.to_vec();
    assert_eq!(first(&events), Some((FaultKind::Changed, 3, 3)));
}

proptest! {
    #[test]
    fn any_change_shows_at_the_event(at in 0..6_usize, part in 0..9_u8, bit in 0..8_u32, n in 1..9_u64) {
        let mut events = sealed(6);
        let event = &mut events[at].1;
        match part {
            0 => event.id = Uuid::from_u128(event.id.as_u128() ^ (1 << bit)),
            1 => event.stream.stream_type.push('s'),
            2 => event.stream.stream_id.push('0'),
            3 => event.stream_version += n,
            4 => event.event_type.insert(0, 'X'),
            5 => event.schema_version += 1,
            6 => event.recorded_at += Duration::microseconds(n as i64),
            7 => event.data.push(' '),
            _ => event.hash[n as usize] ^= 1 << bit,
        }
        let place = at as u64 + 1;
        prop_assert_eq!(first(&events), Some((FaultKind::Changed, place, place)));
    }
}
