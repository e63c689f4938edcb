use super::*;
use crate::tenant::{SCHEMA_VERSION, Standing};

#[test]
fn a_tenant_is_declared() {
    assert_eq!(when(&[], Command::Declare(spec())), Ok(vec![declared()]));
    let state = given(&[declared()]);
    assert!(state.is_open());
    assert!(state.admits("shop"));
    assert!(!state.admits("other"));
}

#[test]
fn the_same_declaration_changes_nothing() {
    assert_eq!(when(&[declared()], Command::Declare(spec())), Ok(vec![]));
}

#[test]
fn another_declaration_changes_it() {
    let other = with(|spec| spec.display_name = "Acme Ltd".to_owned());
    let expected = Event::Changed {
        spec: other.clone(),
    };
    assert_eq!(
        when(&[declared()], Command::Declare(other)),
        Ok(vec![expected])
    );
}

#[test]
fn a_released_tenant_stays_open_and_is_adopted() {
    assert_eq!(
        when(&[declared()], Command::Release),
        Ok(vec![Event::Released])
    );
    let events = [
        declared(),
        added("k", START),
        activated("k", START),
        Event::Released,
    ];
    let state = given(&events);
    assert!(state.is_open());
    assert_eq!(state.active_key().map(|key| key.kid.as_str()), Some("k"));
    assert_eq!(
        when(&events, Command::Declare(spec())),
        Ok(vec![Event::Adopted { spec: spec() }])
    );
    assert_eq!(
        when(
            &[declared(), Event::Released, Event::Adopted { spec: spec() }],
            Command::Declare(spec())
        ),
        Ok(vec![])
    );
}

#[test]
fn a_closed_tenant_has_no_keys_and_opens_again_with_new_ones() {
    let events = [
        declared(),
        added("k", START),
        activated("k", START),
        Event::Closed,
    ];
    assert_eq!(when(&events[..3], Command::Close), Ok(vec![Event::Closed]));
    let state = given(&events);
    assert!(!state.is_open());
    assert!(!state.admits("shop"));
    assert!(state.jwks().keys.is_empty());
    assert_eq!(
        when(&events, Command::Declare(spec())),
        Ok(vec![Event::Reopened { spec: spec() }])
    );
    let mut again = events.to_vec();
    again.push(Event::Reopened { spec: spec() });
    assert!(given(&again).is_open());
    assert_eq!(reason(&again, add("k", START)), Reason::KeyRetired);
    assert_eq!(when(&again, add("l", START)), Ok(vec![added("l", START)]));
}

#[test]
fn a_released_tenant_may_be_closed() {
    assert_eq!(
        when(&[declared(), Event::Released], Command::Close),
        Ok(vec![Event::Closed])
    );
}

#[test]
fn taking_away_what_is_not_there_changes_nothing() {
    for events in [vec![], vec![declared(), Event::Closed]] {
        assert_eq!(when(&events, Command::Release), Ok(vec![]));
        assert_eq!(when(&events, Command::Close), Ok(vec![]));
    }
    assert_eq!(
        when(&[declared(), Event::Released], Command::Release),
        Ok(vec![])
    );
}

#[test]
fn a_wrong_declaration_is_refused() {
    let day = 86_400;
    let cases: Vec<(Spec, Reason, &str)> = vec![
        (
            with(|spec| spec.name = "Acme".to_owned()),
            Reason::InvalidName,
            "metadata.name",
        ),
        (
            with(|spec| spec.name = "a".repeat(64)),
            Reason::InvalidName,
            "metadata.name",
        ),
        (
            with(|spec| spec.name = "a.b".to_owned()),
            Reason::InvalidName,
            "metadata.name",
        ),
        (
            with(|spec| spec.display_name = "a\nb".to_owned()),
            Reason::InvalidDisplayName,
            "spec.displayName",
        ),
        (
            with(|spec| spec.display_name = "a".repeat(129)),
            Reason::InvalidDisplayName,
            "spec.displayName",
        ),
        (
            with(|spec| spec.namespaces = BTreeSet::from(["Shop".to_owned()])),
            Reason::InvalidNamespace,
            "spec.namespaces",
        ),
        (
            with(|spec| spec.tokens.access_token_lifetime_seconds = 59),
            Reason::InvalidLifetime,
            "spec.tokens.accessTokenLifetime",
        ),
        (
            with(|spec| spec.tokens.access_token_lifetime_seconds = day + 1),
            Reason::InvalidLifetime,
            "spec.tokens.accessTokenLifetime",
        ),
        (
            with(|spec| spec.tokens.refresh_token_lifetime_seconds = LIFETIME - 1),
            Reason::InvalidLifetime,
            "spec.tokens.refreshTokenLifetime",
        ),
        (
            with(|spec| spec.tokens.refresh_token_lifetime_seconds = u64::MAX),
            Reason::InvalidLifetime,
            "spec.tokens.refreshTokenLifetime",
        ),
        (
            with(|spec| spec.tokens.audiences.clear()),
            Reason::InvalidAudience,
            "spec.tokens.audiences",
        ),
        (
            with(|spec| spec.tokens.audiences.push(String::new())),
            Reason::InvalidAudience,
            "spec.tokens.audiences[1]",
        ),
        (
            with(|spec| spec.tokens.audiences.push("a b".to_owned())),
            Reason::InvalidAudience,
            "spec.tokens.audiences[1]",
        ),
        (
            with(|spec| spec.tokens.audiences.push("acme".to_owned())),
            Reason::InvalidAudience,
            "spec.tokens.audiences[1]",
        ),
        (
            with(|spec| spec.keys.overlap_seconds = LIFETIME - 1),
            Reason::InvalidRotation,
            "spec.keys.overlap",
        ),
        (
            with(|spec| spec.keys.rotate_every_seconds = OVERLAP),
            Reason::InvalidRotation,
            "spec.keys.rotateEvery",
        ),
        (
            with(|spec| spec.keys.rotate_every_seconds = u64::MAX),
            Reason::InvalidRotation,
            "spec.keys.rotateEvery",
        ),
    ];
    for (wrong, expected, field) in cases {
        let refusal = when(&[], Command::Declare(wrong)).unwrap_err();
        assert_eq!(
            (refusal.reason, refusal.field.as_deref()),
            (expected, Some(field))
        );
        assert!(!refusal.may_heal);
        assert!(!refusal.message.is_empty());
    }
}

#[test]
fn a_tenant_keeps_its_name() {
    let other = with(|spec| spec.name = "other".to_owned());
    assert_eq!(
        reason(&[declared()], Command::Declare(other)),
        Reason::InvalidName
    );
}

#[test]
fn standing_follows_events() {
    assert_eq!(State::default().standing, Standing::Unknown);
    assert_eq!(given(&[declared()]).standing, Standing::Open);
    assert_eq!(
        given(&[declared(), Event::Released]).standing,
        Standing::Released
    );
    assert_eq!(
        given(&[declared(), Event::Closed]).standing,
        Standing::Closed
    );
}

#[test]
fn events_are_read_as_they_were_written() {
    let events = [
        declared(),
        Event::Changed { spec: spec() },
        Event::Released,
        Event::Adopted { spec: spec() },
        Event::Closed,
        Event::Reopened { spec: spec() },
        added("2026-11-a", START),
        activated("2026-11-a", START),
        retired("2026-11-a", START),
    ];
    let mut types = BTreeSet::new();
    for event in events {
        let stored = serde_json::to_value(&event).unwrap();
        assert!(stored["type"].is_string());
        assert!(types.insert(event.event_type()));
        assert!(event.event_type().starts_with("Tenant"));
        assert_eq!(
            Event::read(event.event_type(), SCHEMA_VERSION, stored.clone()).unwrap(),
            event
        );
        let newer = Event::read(event.event_type(), SCHEMA_VERSION + 1, stored).unwrap_err();
        assert_eq!(newer.code(), "SIGNET-IAM-0020");
    }
    let damaged = Event::read("TenantDeclared", 1, serde_json::json!({"type": "Declared"}));
    assert_eq!(damaged.unwrap_err().code(), "SIGNET-IAM-0021");
}

/// What is written today must be readable for ever.
#[test]
fn the_shape_of_stored_events_stays() {
    let stored = serde_json::json!({
        "type": "Declared",
        "spec": {
            "name": "acme",
            "displayName": "Acme",
            "namespaces": ["shop"],
            "tokens": {
                "algorithm": "ES256",
                "accessTokenLifetimeSeconds": 900,
                "refreshTokenLifetimeSeconds": 604_800,
                "audiences": ["acme"],
            },
            "keys": {"rotateEverySeconds": 2_592_000, "overlapSeconds": 86_400},
        },
    });
    assert_eq!(serde_json::to_value(declared()).unwrap(), stored);
    assert_eq!(
        serde_json::to_value(added("k", START)).unwrap(),
        serde_json::json!({
            "type": "KeyAdded",
            "kid": "k",
            "algorithm": "ES256",
            "publicJwk": {"kty": "EC", "kid": "k", "alg": "ES256", "x": "x-of-k"},
            "at": "2026-11-21T10:00:00Z",
        })
    );
}
