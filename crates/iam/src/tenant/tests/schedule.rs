//! Properties: whatever comes in whatever order, and over simulated time.

use std::collections::BTreeMap;
use std::time::Duration as Length;

use proptest::prelude::*;

use super::*;
use crate::tenant::{KeyPhase, KeyStep};

fn a_spec() -> impl Strategy<Value = Spec> {
    (
        prop::sample::select(vec![Algorithm::Es256, Algorithm::EdDsa, Algorithm::Rs256]),
        60_u64..=86_400,
        0_u64..100_000,
        1_u64..1_000_000,
        prop::collection::btree_set("[a-z]{1,3}", 0..3),
    )
        .prop_map(
            |(algorithm, lifetime, overlap, rotation, namespaces)| Spec {
                namespaces,
                tokens: TokenSettings {
                    algorithm,
                    access_token_lifetime_seconds: lifetime,
                    refresh_token_lifetime_seconds: lifetime,
                    audiences: vec!["acme".to_owned()],
                },
                keys: KeySettings {
                    overlap_seconds: lifetime + overlap,
                    rotate_every_seconds: lifetime + overlap + rotation,
                },
                ..spec()
            },
        )
}

fn a_command() -> impl Strategy<Value = Command> {
    let kid = || prop::sample::select(vec!["a", "b", "c", "d"]).prop_map(str::to_owned);
    let at = || (0_u64..10_000_000).prop_map(after);
    let algorithm = prop::sample::select(vec![Algorithm::Es256, Algorithm::EdDsa]);
    prop_oneof![
        2 => a_spec().prop_map(Command::Declare),
        2 => Just(Command::Declare(spec())),
        1 => Just(Command::Release),
        1 => Just(Command::Close),
        5 => (kid(), algorithm, at()).prop_map(|(kid, algorithm, at)| Command::AddKey {
            public_jwk: jwk(&kid, algorithm),
            kid,
            algorithm,
            at,
        }),
        5 => (kid(), at()).prop_map(|(kid, at)| Command::ActivateKey { kid, at }),
        5 => (kid(), at()).prop_map(|(kid, at)| Command::RetireKey { kid, at }),
    ]
}

fn check_invariants(state: &State) -> Result<(), TestCaseError> {
    let in_phase = |phase| state.keys.iter().filter(|key| key.phase() == phase).count();
    prop_assert!(in_phase(KeyPhase::Active) <= 1);
    prop_assert!(in_phase(KeyPhase::Published) <= 1);
    prop_assert!(
        state
            .keys
            .iter()
            .all(|key| !state.retired.contains(&key.kid))
    );
    prop_assert!(state.is_open() || state.keys.is_empty());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn invariants_hold_after_any_commands(commands in prop::collection::vec(a_command(), 0..60)) {
        let mut state = State::default();
        let mut retired = BTreeSet::new();
        for command in commands {
            let Ok(events) = decide(&state, command.clone()) else {
                continue;
            };
            let next = events.iter().fold(state.clone(), evolve);
            check_invariants(&next)?;
            prop_assert!(retired.is_subset(&next.retired), "a retired key is forgotten");
            // Asked twice, it is so already.
            prop_assert_eq!(decide(&next, command), Ok(vec![]));
            retired.clone_from(&next.retired);
            state = next;
        }
    }

    #[test]
    fn events_are_read_as_they_were_written_whatever_they_hold(
        commands in prop::collection::vec(a_command(), 0..20),
    ) {
        let mut state = State::default();
        for command in commands {
            for event in decide(&state, command).unwrap_or_default() {
                let stored = serde_json::to_string(&event).unwrap();
                prop_assert_eq!(&serde_json::from_str::<Event>(&stored).unwrap(), &event);
                state = evolve(state, &event);
            }
        }
    }

    /// The rotation over months, asked at irregular times, with the declaration changing under it:
    /// there is always a key to sign with, it has been published for long enough unless there was no
    /// other, and every token can be verified for as long as it lives.
    #[test]
    fn rotation_never_fails_a_token(
        mut specs in prop::collection::vec(a_spec(), 1..4),
        waits in prop::collection::vec(1_u64..200_000, 1..80),
        propagation in 0_u64..600,
    ) {
        let propagation = Length::from_secs(propagation);
        let mut state = evolve(State::default(), &Event::Declared { spec: specs.remove(0) });
        let mut now = START;
        // Until when tokens of each key live.
        let mut lives: BTreeMap<String, OffsetDateTime> = BTreeMap::new();
        let every = waits.len() / (specs.len() + 1) + 1;
        for (turn, wait) in waits.into_iter().enumerate() {
            if turn % every == every - 1 && !specs.is_empty() {
                let changed = decide(&state, Command::Declare(specs.remove(0))).unwrap();
                state = changed.iter().fold(state, evolve);
            }
            let mut steps = 0;
            while let Some(step) = state.next_key_step(now, propagation) {
                steps += 1;
                prop_assert!(steps < 10, "the steps do not end: {step:?}");
                let had_active = state.active_key().is_some();
                let command = match step {
                    KeyStep::Add { kid, algorithm } => Command::AddKey {
                        public_jwk: jwk(&kid, algorithm),
                        kid,
                        algorithm,
                        at: now,
                    },
                    KeyStep::Activate { kid } => {
                        let key = state.key(&kid).unwrap();
                        prop_assert!(!had_active || now - key.added_at >= propagation);
                        Command::ActivateKey { kid, at: now }
                    }
                    KeyStep::Retire { kid } => {
                        prop_assert!(lives.get(&kid).is_none_or(|until| *until < now));
                        Command::RetireKey { kid, at: now }
                    }
                };
                let events = decide(&state, command);
                prop_assert!(events.as_ref().is_ok_and(|events| !events.is_empty()), "{:?}", events);
                state = events.unwrap().iter().fold(state, evolve);
                prop_assert!(!had_active || state.active_key().is_some());
                check_invariants(&state)?;
            }
            let active = state.active_key();
            prop_assert!(active.is_some(), "no key to sign with");
            let lifetime = state.spec.as_ref().unwrap().tokens.access_token_lifetime_seconds;
            // A token is signed now, and the last just before the next turn, or by a replica that
            // has not heard of the next turn yet.
            let last_signed = now + Duration::seconds(i64::try_from(wait).unwrap());
            let until = last_signed + Duration::seconds(i64::try_from(lifetime).unwrap());
            let kid = active.unwrap().kid.clone();
            let life = lives.entry(kid).or_insert(until);
            *life = (*life).max(until);
            for (kid, until) in &lives {
                prop_assert!(*until < now || state.key(kid).is_some(), "{kid} is gone too early");
            }
            now = last_signed;
        }
    }

    /// Left alone for long enough, a tenant has one key, or two around a change.
    #[test]
    fn rotation_leaves_nothing_behind(spec in a_spec(), turns in 10_usize..60) {
        let mut state = evolve(State::default(), &Event::Declared { spec: spec.clone() });
        let mut now = START;
        for _ in 0..turns {
            while let Some(step) = state.next_key_step(now, Length::from_secs(60)) {
                let event = match step {
                    KeyStep::Add { kid, algorithm } => Event::KeyAdded {
                        public_jwk: jwk(&kid, algorithm),
                        kid,
                        algorithm,
                        at: now,
                    },
                    KeyStep::Activate { kid } => Event::KeyActivated { kid, at: now },
                    KeyStep::Retire { kid } => Event::KeyRetired { kid, at: now },
                };
                state = evolve(state, &event);
            }
            now += Duration::seconds(i64::try_from(spec.keys.rotate_every_seconds).unwrap() / 4);
        }
        prop_assert!(state.keys.len() <= 5, "{} keys", state.keys.len());
    }
}
