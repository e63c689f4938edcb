use std::time::Duration as Length;

use super::*;
use crate::tenant::{KeyPhase, KeyStep, MAX_CLOCK_DIFFERENCE};

const PROPAGATION: Length = Length::from_secs(60);

fn step(events: &[Event], at: OffsetDateTime) -> Option<KeyStep> {
    given(events).next_key_step(at, PROPAGATION)
}

fn key_add(kid: &str) -> Option<KeyStep> {
    Some(KeyStep::Add {
        kid: kid.to_owned(),
        algorithm: Algorithm::Es256,
    })
}

fn key_activate(kid: &str) -> Option<KeyStep> {
    Some(KeyStep::Activate {
        kid: kid.to_owned(),
    })
}

fn key_retire(kid: &str) -> Option<KeyStep> {
    Some(KeyStep::Retire {
        kid: kid.to_owned(),
    })
}

/// `a` signed first, `b` took its place when the rotation was due.
fn rotated() -> Vec<Event> {
    vec![
        declared(),
        added("a", START),
        activated("a", START),
        added("b", after(ROTATION - 60)),
        activated("b", after(ROTATION)),
    ]
}

fn kept() -> u64 {
    OVERLAP + LIFETIME + MAX_CLOCK_DIFFERENCE.as_secs()
}

#[test]
fn a_key_is_added_then_activated_then_superseded_then_retired() {
    let events = rotated();
    assert_eq!(
        given(&events[..2]).key("a").unwrap().phase(),
        KeyPhase::Published
    );
    assert_eq!(
        given(&events[..3]).key("a").unwrap().phase(),
        KeyPhase::Active
    );
    assert_eq!(
        given(&events).key("a").unwrap().phase(),
        KeyPhase::Superseded
    );
    assert_eq!(given(&events).active_key().unwrap().kid, "b");
    assert_eq!(given(&events).jwks().keys.len(), 2);
    let at = after(ROTATION + kept());
    assert_eq!(when(&events, retire("a", at)), Ok(vec![retired("a", at)]));
    let mut gone = events;
    gone.push(retired("a", at));
    assert_eq!(given(&gone).jwks().keys.len(), 1);
    assert_eq!(given(&gone).key("a"), None);
}

#[test]
fn commands_that_came_true_already_change_nothing() {
    let mut events = rotated();
    assert_eq!(when(&events, add("a", after(9))), Ok(vec![]));
    assert_eq!(when(&events, activate("b", after(9))), Ok(vec![]));
    events.push(retired("a", after(ROTATION + kept())));
    assert_eq!(when(&events, retire("a", after(9))), Ok(vec![]));
}

#[test]
fn keys_need_an_open_tenant() {
    for events in [vec![], vec![declared(), Event::Closed]] {
        for command in [add("a", START), activate("a", START), retire("a", START)] {
            let refusal = when(&events, command).unwrap_err();
            assert_eq!(refusal.reason, Reason::TenantNotFound);
            assert!(refusal.may_heal);
        }
        assert_eq!(step(&events, START), None);
    }
}

#[test]
fn another_key_of_the_same_id_is_refused() {
    let command = Command::AddKey {
        kid: "a".to_owned(),
        algorithm: Algorithm::Es256,
        public_jwk: Jwk {
            x: Some("other".to_owned()),
            ..jwk("a", Algorithm::Es256)
        },
        at: START,
    };
    assert_eq!(
        reason(&[declared(), added("a", START)], command),
        Reason::KeyExists
    );
}

#[test]
fn a_key_must_be_what_it_is_called() {
    let command = |kid: &str, algorithm, public_jwk| Command::AddKey {
        kid: kid.to_owned(),
        algorithm,
        public_jwk,
        at: START,
    };
    for wrong in [
        command("a", Algorithm::Es256, jwk("b", Algorithm::Es256)),
        command("a", Algorithm::Es256, jwk("a", Algorithm::EdDsa)),
        command("a", Algorithm::Es256, Jwk::default()),
        command("a", Algorithm::EdDsa, jwk("a", Algorithm::EdDsa)),
    ] {
        assert_eq!(reason(&[declared()], wrong), Reason::KeyMismatch);
    }
}

#[test]
fn only_one_key_waits() {
    let events = [
        declared(),
        added("a", START),
        activated("a", START),
        added("b", START),
    ];
    assert_eq!(reason(&events, add("c", START)), Reason::KeyPending);
}

#[test]
fn what_is_unknown_or_over_does_not_sign() {
    assert_eq!(
        reason(&rotated(), activate("z", START)),
        Reason::KeyNotFound
    );
    assert_eq!(reason(&rotated(), retire("z", START)), Reason::KeyNotFound);
    assert_eq!(reason(&rotated(), activate("a", START)), Reason::KeyRetired);
    let mut events = rotated();
    events.push(retired("a", after(ROTATION + kept())));
    assert_eq!(reason(&events, activate("a", START)), Reason::KeyRetired);
    assert_eq!(reason(&events, add("a", START)), Reason::KeyRetired);
}

#[test]
fn a_key_in_use_is_not_retired() {
    let events = rotated();
    for (kid, at) in [
        ("b", after(10 * ROTATION)),
        ("a", after(ROTATION + kept() - 1)),
    ] {
        let refusal = when(&events, retire(kid, at)).unwrap_err();
        assert_eq!(refusal.reason, Reason::KeyInUse);
        assert!(refusal.may_heal);
    }
}

#[test]
fn a_key_that_never_signed_may_go() {
    let events = [
        declared(),
        added("a", START),
        activated("a", START),
        added("b", START),
    ];
    assert_eq!(
        when(&events, retire("b", START)),
        Ok(vec![retired("b", START)])
    );
}

#[test]
fn the_first_key_signs_at_once() {
    assert_eq!(step(&[declared()], START), key_add("2026-11-a"));
    let kid = "2026-11-a";
    assert_eq!(
        step(&[declared(), added(kid, START)], START),
        key_activate(kid)
    );
    assert_eq!(
        step(
            &[declared(), added(kid, START), activated(kid, START)],
            START
        ),
        None
    );
}

#[test]
fn the_next_key_is_published_before_it_is_due() {
    let mut events = vec![declared(), added("a", START), activated("a", START)];
    assert_eq!(step(&events, after(ROTATION - 61)), None);
    let early = after(ROTATION - 60);
    assert_eq!(step(&events, early), key_add("2026-12-a"));
    events.push(added("2026-12-a", early));
    assert_eq!(step(&events, after(ROTATION - 1)), None);
    assert_eq!(step(&events, after(ROTATION)), key_activate("2026-12-a"));
}

#[test]
fn a_superseded_key_goes_when_no_token_of_it_lives() {
    let events = rotated();
    assert_eq!(step(&events, after(ROTATION + kept() - 1)), None);
    assert_eq!(step(&events, after(ROTATION + kept())), key_retire("a"));
}

#[test]
fn a_shorter_lifetime_does_not_shorten_the_life_of_tokens_given_before() {
    let long = with(|spec| {
        spec.tokens.access_token_lifetime_seconds = 43_200;
        spec.tokens.refresh_token_lifetime_seconds = 43_200;
    });
    let short = with(|spec| spec.keys.overlap_seconds = LIFETIME);
    let events = [
        declared(),
        added("a", START),
        activated("a", START),
        Event::Changed { spec: long },
        Event::Changed { spec: short },
        added("b", START),
        activated("b", START),
    ];
    assert_eq!(
        given(&events)
            .key("a")
            .unwrap()
            .longest_token_lifetime_seconds,
        43_200
    );
    let kept = LIFETIME + 43_200 + MAX_CLOCK_DIFFERENCE.as_secs();
    assert_eq!(step(&events, after(kept - 1)), None);
    assert_eq!(step(&events, after(kept)), key_retire("a"));
}

#[test]
fn another_algorithm_asks_for_another_key_at_once() {
    let mut events = vec![
        declared(),
        added("a", START),
        activated("a", START),
        added("b", START),
        Event::Changed {
            spec: with(|spec| spec.tokens.algorithm = Algorithm::EdDsa),
        },
    ];
    // The one that waits has the former algorithm and never signed.
    assert_eq!(step(&events, START), key_retire("b"));
    assert_eq!(reason(&events, activate("b", START)), Reason::KeyMismatch);
    events.push(retired("b", START));
    assert_eq!(
        step(&events, START),
        Some(KeyStep::Add {
            kid: "2026-11-a".to_owned(),
            algorithm: Algorithm::EdDsa,
        })
    );
    events.push(Event::KeyAdded {
        kid: "2026-11-a".to_owned(),
        algorithm: Algorithm::EdDsa,
        public_jwk: jwk("2026-11-a", Algorithm::EdDsa),
        at: START,
    });
    assert_eq!(step(&events, after(59)), None);
    assert_eq!(step(&events, after(60)), key_activate("2026-11-a"));
}

#[test]
fn key_ids_are_never_used_again() {
    let events = [
        declared(),
        added("2026-11-a", START),
        activated("2026-11-a", START),
        Event::Closed,
        Event::Reopened { spec: spec() },
    ];
    assert_eq!(step(&events, START), key_add("2026-11-b"));
}

#[test]
fn a_clock_that_lags_does_not_shorten_the_overlap() {
    let events = [
        declared(),
        added("a", after(1000)),
        activated("a", after(1000)),
        added("b", START),
        activated("b", START),
    ];
    assert_eq!(
        given(&events).key("a").unwrap().superseded_at,
        Some(after(1000))
    );
}
