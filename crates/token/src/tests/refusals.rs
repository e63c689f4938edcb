//! Every reason to refuse, each with a token that is sound but for that reason.

use serde_json::json;

use super::{ISSUER, NOW, all_keys, claims, key, signed, verifier, with_claims, with_header};
use crate::{Algorithm, Claims, Jwks, KeyError, PrivateKey, Rejection, Verifier, sign};

fn refusal(token: &str) -> Rejection {
    verifier().verify(token, None, NOW).expect_err(token)
}

fn missing(claim: &'static str) -> Rejection {
    Rejection::MissingClaim { claim }
}

#[test]
fn the_untouched_token_holds() {
    assert_eq!(
        verifier().verify(&with_header(json!({})), None, NOW),
        Ok(claims())
    );
    assert_eq!(
        verifier().verify(&with_claims(json!({})), None, NOW),
        Ok(claims())
    );
}

#[test]
fn unsigned_tokens_are_refused_in_every_disguise() {
    for name in ["none", "None", "NONE", "nOnE"] {
        assert_eq!(
            refusal(&with_header(json!({ "alg": name }))),
            Rejection::Unsigned
        );
    }
    let token = with_header(json!({}));
    let (message, _) = token.rsplit_once('.').unwrap();
    assert_eq!(refusal(&format!("{message}.")), Rejection::Unsigned);
}

#[test]
fn an_algorithm_that_is_not_the_keys_is_refused() {
    for name in [
        "HS256", "HS512", "ES384", "PS256", "RS256", "EdDSA", "es256", "", "ES256 ",
    ] {
        let token = with_header(json!({ "alg": name }));
        assert_eq!(refusal(&token), Rejection::AlgorithmNotAllowed, "{name:?}");
    }
    assert_eq!(
        refusal(&with_header(json!({ "alg": 7 }))),
        Rejection::Malformed
    );
    assert_eq!(
        refusal(&with_header(json!({ "alg": null }))),
        Rejection::Malformed
    );
}

#[test]
fn a_key_that_is_not_named_or_not_known_is_refused() {
    assert_eq!(
        refusal(&with_header(json!({ "kid": null }))),
        Rejection::UnknownKey
    );
    assert_eq!(
        refusal(&with_header(json!({ "kid": "2026-11-z" }))),
        Rejection::UnknownKey
    );
    assert_eq!(
        refusal(&with_header(json!({ "kid": 7 }))),
        Rejection::Malformed
    );
}

#[test]
fn a_stranger_with_the_same_key_id_is_refused() {
    for algorithm in [Algorithm::Es256, Algorithm::EdDsa] {
        let stranger = PrivateKey::generate(key(algorithm).kid(), algorithm).unwrap();
        let token = sign(&stranger, &claims()).unwrap();
        assert_eq!(refusal(&token), Rejection::BadSignature, "{algorithm}");
    }
}

#[test]
fn headers_that_change_the_meaning_are_refused() {
    assert_eq!(
        refusal(&with_header(json!({ "crit": ["exp"] }))),
        Rejection::Malformed
    );
    assert_eq!(
        refusal(&with_header(json!({ "crit": [] }))),
        Rejection::Malformed
    );
    for kind in ["dpop+jwt", "logout+jwt", "secevent+jwt", "JWE"] {
        assert_eq!(
            refusal(&with_header(json!({ "typ": kind }))),
            Rejection::Malformed,
            "{kind}"
        );
    }
    for kind in ["JWT", "jwt", "at+jwt", "application/at+jwt", "JOSE"] {
        let token = with_header(json!({ "typ": kind }));
        assert_eq!(verifier().verify(&token, None, NOW), Ok(claims()), "{kind}");
    }
    let untyped = with_header(json!({ "typ": null }));
    assert_eq!(verifier().verify(&untyped, None, NOW), Ok(claims()));
}

#[test]
fn keys_that_a_header_brings_along_are_not_used() {
    let stranger = PrivateKey::generate("stranger", Algorithm::Es256).unwrap();
    let header =
        json!({ "alg": "ES256", "jwk": stranger.public_jwk(), "jku": "https://evil.example" });
    let token = signed(&stranger, &header.to_string(), &json!(claims()).to_string());
    assert_eq!(refusal(&token), Rejection::UnknownKey);
}

#[test]
fn times_are_exact_to_the_second_of_the_leeway() {
    let verifier = verifier().with_leeway(30);
    let at = |token: &str, now: i64| verifier.verify(token, None, now).map(|_| ());
    let token = with_claims(json!({ "exp": 1000, "iat": 500, "nbf": 600 }));
    assert_eq!(at(&token, 569), Err(Rejection::NotYetValid));
    assert_eq!(at(&token, 570), Ok(()));
    assert_eq!(at(&token, 1029), Ok(()));
    assert_eq!(at(&token, 1030), Err(Rejection::Expired));
    let token = with_claims(json!({ "exp": 1000, "iat": 500 }));
    assert_eq!(at(&token, 469), Err(Rejection::IssuedInFuture));
    assert_eq!(at(&token, 470), Ok(()));
}

#[test]
fn a_negative_leeway_is_none() {
    let verifier = verifier().with_leeway(-100);
    let token = with_claims(json!({ "exp": 1000, "iat": 500 }));
    assert_eq!(
        verifier.verify(&token, None, 999).map(|claims| claims.exp),
        Ok(1000)
    );
    assert_eq!(verifier.verify(&token, None, 1000), Err(Rejection::Expired));
}

#[test]
fn times_may_have_fractions_and_never_overflow() {
    let token =
        with_claims(json!({ "exp": NOW as f64 + 99.9, "iat": NOW as f64 - 0.5, "nbf": 1e9 }));
    let read = verifier().verify(&token, None, NOW).unwrap();
    assert_eq!(
        (read.exp, read.iat, read.nbf),
        (NOW + 99, NOW, Some(1_000_000_000))
    );
    for bad in [
        json!("1900000000"),
        json!(true),
        json!([1]),
        json!(1e300),
        json!(u64::MAX),
    ] {
        assert_eq!(
            refusal(&with_claims(json!({ "exp": bad }))),
            Rejection::Malformed,
            "{bad}"
        );
    }
    let extreme = with_claims(json!({ "exp": i64::MAX, "iat": i64::MIN, "nbf": i64::MIN }));
    for now in [i64::MIN, 0, i64::MAX - 1] {
        assert!(verifier().verify(&extreme, None, now).is_ok(), "{now}");
    }
    let past = with_claims(json!({ "exp": i64::MIN }));
    assert_eq!(
        verifier().verify(&past, None, i64::MAX),
        Err(Rejection::Expired)
    );
}

#[test]
fn a_claim_that_must_be_there_is_missed() {
    for claim in ["iss", "sub", "aud", "exp", "iat"] {
        assert_eq!(
            refusal(&with_claims(json!({ claim: null }))),
            missing(claim)
        );
    }
}

#[test]
fn a_claim_of_the_wrong_type_is_malformed() {
    for changes in [
        json!({ "iss": 1 }),
        json!({ "sub": ["a"] }),
        json!({ "aud": { "a": 1 } }),
        json!({ "aud": ["acme", 1] }),
        json!({ "jti": 1 }),
        json!({ "tenant_id": ["acme"] }),
        json!({ "roles": "shop/order-writer" }),
        json!({ "nbf": "yesterday" }),
    ] {
        assert_eq!(
            refusal(&with_claims(changes.clone())),
            Rejection::Malformed,
            "{changes}"
        );
    }
}

#[test]
fn issuer_and_audience_are_compared_exactly() {
    for issuer in [
        "https://signet.example/t/acme/",
        "https://signet.example/t/other",
        "",
    ] {
        assert_eq!(
            refusal(&with_claims(json!({ "iss": issuer }))),
            Rejection::WrongIssuer
        );
    }
    let audience = |aud: serde_json::Value, wanted: Option<&str>| {
        verifier()
            .verify(&with_claims(json!({ "aud": aud })), wanted, NOW)
            .map(|claims| claims.aud)
    };
    let wrong = Err(Rejection::WrongAudience);
    assert_eq!(audience(json!("acme"), None), Ok(vec!["acme".into()]));
    assert_eq!(
        audience(json!(["x", "billing"]), None),
        Ok(vec!["x".into(), "billing".into()])
    );
    assert_eq!(audience(json!(["x"]), None), wrong);
    assert_eq!(audience(json!([]), None), wrong);
    assert_eq!(audience(json!("Acme"), None), wrong);
    assert_eq!(
        audience(json!("acme"), Some("acme")).map(|aud| aud.len()),
        Ok(1)
    );
    assert_eq!(audience(json!("acme"), Some("billing")), wrong);
    // In the token, but none of ours.
    assert_eq!(audience(json!(["acme", "x"]), Some("x")), wrong);
}

#[test]
fn doubled_members_are_refused_at_any_depth() {
    let key = key(Algorithm::Es256);
    let header = json!({ "alg": "ES256", "kid": key.kid() }).to_string();
    let sound = json!(claims()).to_string();
    let body = &sound[1..sound.len() - 1];
    for payload in [
        format!("{{{body},\"sub\":\"admin\"}}"),
        format!("{{{body},\"x\":1,\"x\":1}}"),
        format!("{{{body},\"x\":{{\"a\":[{{\"b\":1,\"b\":2}}]}}}}"),
        // The same name, written with an escape.
        format!("{{{body},\"s\\u0075b\":\"admin\"}}"),
    ] {
        assert_eq!(
            refusal(&signed(key, &header, &payload)),
            Rejection::Malformed,
            "{payload}"
        );
    }
    let header = format!(
        "{{\"alg\":\"ES256\",\"kid\":\"{}\",\"alg\":\"ES256\"}}",
        key.kid()
    );
    assert_eq!(refusal(&signed(key, &header, &sound)), Rejection::Malformed);
}

#[test]
fn what_is_no_token_at_all_is_malformed() {
    let sound = with_header(json!({}));
    let parts: Vec<&str> = sound.split('.').collect();
    for text in [
        String::new(),
        ".".into(),
        "..".into(),
        "...".into(),
        "a.b.c".into(),
        parts[..2].join("."),
        format!("{sound}.{}", parts[2]),
        format!("{}.{}.{}=", parts[0], parts[1], parts[2]),
        format!("{} .{}.{}", parts[0], parts[1], parts[2]),
        format!(" {sound}"),
        format!("{sound}\n"),
        format!("Bearer {sound}"),
    ] {
        assert_eq!(refusal(&text), Rejection::Malformed, "{text:?}");
    }
    let key = key(Algorithm::Es256);
    let header = json!({ "alg": "ES256", "kid": key.kid() }).to_string();
    for payload in ["", "null", "[]", "7", "\"text\"", "{", "{}{}", "\u{feff}{}"] {
        assert_eq!(
            refusal(&signed(key, &header, payload)),
            Rejection::Malformed,
            "{payload:?}"
        );
    }
    let deep = format!("{{\"x\":{}1{}}}", "[".repeat(4000), "]".repeat(4000));
    assert_eq!(refusal(&signed(key, &header, &deep)), Rejection::Malformed);
}

#[test]
fn a_large_token_is_refused_before_it_is_read() {
    assert_eq!(refusal(&"a".repeat(16 * 1024 + 1)), Rejection::TooLarge);
    assert_eq!(refusal(&"a".repeat(16 * 1024)), Rejection::Malformed);
    let mut claims = claims();
    claims
        .extra
        .insert("filler".into(), "x".repeat(13_000).into());
    assert!(matches!(
        sign(key(Algorithm::Es256), &claims),
        Err(KeyError::InvalidClaims(_))
    ));
}

#[test]
fn a_verifier_that_would_take_anything_is_not_made() {
    let keys = all_keys();
    for (issuer, audiences) in [("", vec!["a"]), ("i", vec![]), ("i", vec!["a", ""])] {
        let audiences = audiences.into_iter().map(String::from).collect();
        assert_eq!(
            Verifier::new(issuer, audiences, &keys).err(),
            Some(KeyError::InvalidVerifier)
        );
    }
    let twice = Jwks {
        keys: [all_keys().keys, all_keys().keys].concat(),
    };
    let made = Verifier::new(ISSUER, vec!["acme".into()], &twice);
    assert!(matches!(made, Err(KeyError::DuplicateKeyId(_))));
    let none = Verifier::new(ISSUER, vec!["acme".into()], &Jwks::default()).unwrap();
    assert_eq!(
        none.verify(&with_header(json!({})), None, NOW),
        Err(Rejection::UnknownKey)
    );
}

#[test]
fn claims_that_would_contradict_themselves_are_not_signed() {
    let key = key(Algorithm::Es256);
    let mut doubled = claims();
    doubled.extra.insert("sub".into(), "admin".into());
    assert!(matches!(
        sign(key, &doubled),
        Err(KeyError::InvalidClaims(_))
    ));
    let nobody = Claims {
        aud: vec![],
        ..claims()
    };
    assert!(matches!(
        sign(key, &nobody),
        Err(KeyError::InvalidClaims(_))
    ));
}

#[test]
fn codes_and_reasons_are_each_their_own() {
    let all = [
        Rejection::Malformed,
        Rejection::Unsigned,
        Rejection::AlgorithmNotAllowed,
        Rejection::UnknownKey,
        Rejection::BadSignature,
        Rejection::Expired,
        Rejection::NotYetValid,
        Rejection::IssuedInFuture,
        Rejection::WrongIssuer,
        Rejection::WrongAudience,
        missing("exp"),
        Rejection::TooLarge,
    ];
    let codes: std::collections::BTreeSet<_> = all.iter().map(Rejection::code).collect();
    let reasons: std::collections::BTreeSet<_> = all.iter().map(Rejection::reason).collect();
    assert_eq!((codes.len(), reasons.len()), (all.len(), all.len()));
    assert_eq!(missing("exp").to_string(), "the token has no claim \"exp\"");
}
