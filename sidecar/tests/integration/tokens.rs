//! `POST /v1/token/verify`: a token that holds gives its claims; every other one 401 with the reason.

use base64_url::encode;
use protocol::v1::{KeyState, subscribe_response::State};
use reqwest::StatusCode;
use serde_json::{Value, json};
use token::{Algorithm, Jwks, PrivateKey};

use super::central::{Central, ISSUER, Script, WORKLOAD};
use super::sidecar_under_test::{Answer, Sidecar};
use super::until;

/// Base64url without padding, enough to forge with.
mod base64_url {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

    pub(super) fn encode(bytes: &[u8]) -> String {
        let mut text = String::new();
        for chunk in bytes.chunks(3) {
            let mut word = [0; 4];
            word[1..=chunk.len()].copy_from_slice(chunk);
            let word = u32::from_be_bytes(word);
            for place in 0..=chunk.len() {
                let index = (word >> (18 - 6 * place)) & 63;
                text.push(char::from(ALPHABET[index as usize]));
            }
        }
        text
    }
}

#[tokio::test]
async fn a_token_that_holds_gives_its_claims() {
    let central = Central::start(&Script::new());
    let sidecar = Sidecar::ready(&central, &[]).await;
    let token = central.script.token(|claims| {
        claims.extra.insert("department".to_owned(), json!("sales"));
    });
    // Twice: the second time from the cache.
    for _ in 0..2 {
        let answer = sidecar.verify(&token).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        let claims = answer.json();
        assert_eq!(claims["sub"], WORKLOAD);
        assert_eq!(claims["iss"], ISSUER);
        assert_eq!(claims["department"], "sales");
    }
    let hits = "signet_sidecar_token_verification_cache_hits_total";
    assert_eq!(sidecar.metric(hits).await, Some(1.0));
    let body = json!({ "token": token, "audience": "acme" });
    assert_eq!(
        sidecar.post("/v1/token/verify", body).await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn every_other_token_is_401_with_the_reason() {
    let central = Central::start(&Script::new());
    let sidecar = Sidecar::ready(&central, &[]).await;
    let script = &central.script;
    let now = sidecar::clock::unix_now();
    let good = script.token(|_| {});
    let [header, payload, signature] = good
        .split('.')
        .collect::<Vec<_>>()
        .try_into()
        .expect("three parts");
    let stranger = PrivateKey::generate("2026-11-a", Algorithm::Es256).unwrap();
    let claims = |change: fn(&mut token::Claims)| {
        let mut claims = token::Claims {
            iss: ISSUER.to_owned(),
            sub: WORKLOAD.to_owned(),
            aud: vec!["acme".to_owned()],
            exp: sidecar::clock::unix_now() + 900,
            iat: sidecar::clock::unix_now(),
            ..token::Claims::default()
        };
        change(&mut claims);
        claims
    };
    let unsigned = encode(br#"{"alg":"none","typ":"JWT"}"#);
    let symmetric = encode(br#"{"alg":"HS256","typ":"JWT","kid":"2026-11-a"}"#);
    let without_exp =
        format!("{{\"iss\":\"{ISSUER}\",\"sub\":\"x\",\"aud\":\"acme\",\"iat\":{now}}}");
    let unknown = PrivateKey::generate("2020-01-a", Algorithm::Es256).unwrap();

    let cases: Vec<(&str, String)> = vec![
        ("expired", script.token(|claims| claims.exp = now - 60)),
        (
            "not_yet_valid",
            script.token(|claims| claims.nbf = Some(now + 600)),
        ),
        (
            "issued_in_future",
            script.token(|claims| claims.iat = now + 600),
        ),
        (
            "wrong_issuer",
            script.token(|claims| claims.iss = "https://evil.test/t/acme".into()),
        ),
        (
            "wrong_issuer",
            script.token(|claims| claims.iss = "https://signet.test/t/other".into()),
        ),
        (
            "wrong_audience",
            script.token(|claims| claims.aud = vec!["other".into()]),
        ),
        (
            "wrong_tenant",
            script.token(|claims| claims.tenant_id = Some("other".into())),
        ),
        (
            "bad_signature",
            token::sign(&stranger, &claims(|_| {})).unwrap(),
        ),
        (
            "unknown_key",
            token::sign(&unknown, &claims(|_| {})).unwrap(),
        ),
        ("unsigned", format!("{unsigned}.{payload}.")),
        ("unsigned", format!("{header}.{payload}.")),
        (
            "algorithm_not_allowed",
            format!("{symmetric}.{payload}.{signature}"),
        ),
        (
            "bad_signature",
            format!("{header}.{}.{signature}", encode(without_exp.as_bytes())),
        ),
        ("malformed", String::new()),
        ("malformed", "not a token".to_owned()),
        ("malformed", format!("Bearer {good}")),
        ("malformed", format!("{header}.{payload}")),
        ("malformed", format!("{good}.{signature}")),
        ("malformed", "..".to_owned()),
        ("malformed", "\u{0}\u{fffd}.💥.é".to_owned()),
        (
            "too_large",
            format!("{header}.{}.{signature}", "A".repeat(100_000)),
        ),
    ];
    for (reason, token) in cases {
        for path in ["/v1/token/verify", "/v1/authorize", "/v1/authorize/batch"] {
            let mut body = json!({ "token": token });
            match path {
                "/v1/authorize" => {
                    body["resource"] = "orders/1".into();
                    body["action"] = "read".into();
                }
                "/v1/authorize/batch" => {
                    body["requests"] = json!([{"resource": "orders/1", "action": "read"}]);
                }
                _ => {}
            }
            let answer = sidecar.post(path, body).await;
            assert_refused(&answer, reason, &token);
        }
    }
    let asked_for_another = json!({ "token": good, "audience": "billing" });
    let answer = sidecar.post("/v1/token/verify", asked_for_another).await;
    assert_refused(&answer, "wrong_audience", &good);
    let metric = r#"signet_sidecar_token_verifications_total{result="expired"}"#;
    assert_eq!(sidecar.metric(metric).await, Some(3.0));
}

fn assert_refused(answer: &Answer, reason: &str, token: &str) {
    let (status, code) = answer.error();
    assert_eq!(status, 401, "{reason}: {answer:?}");
    assert!(code.starts_with("SIGNET-"), "{answer:?}");
    assert_eq!(
        answer.json()["error"]["details"]["reason"],
        reason,
        "{token}: {answer:?}"
    );
    assert!(
        answer.headers["www-authenticate"]
            .to_str()
            .unwrap()
            .starts_with("Bearer")
    );
    assert!(
        token.len() < 20 || !answer.text.contains(token),
        "the token is repeated"
    );
}

#[tokio::test]
async fn new_keys_are_used_and_withdrawn_ones_are_not() {
    let central = Central::start(&Script::new());
    let sidecar = Sidecar::ready(&central, &[]).await;
    let old = central.script.token(|_| {});
    assert_eq!(sidecar.verify(&old).await.status, StatusCode::OK);

    let next = PrivateKey::generate("2026-12-a", Algorithm::EdDsa).unwrap();
    let State::Keys(keys) = central.script.keys() else {
        unreachable!()
    };
    let jwks = serde_json::to_string(&Jwks {
        keys: vec![next.public_jwk()],
    })
    .unwrap();
    central
        .script
        .send(10, State::Keys(KeyState { jwks, ..keys }));

    // The old one was in the cache: it must not answer for it any more.
    until("the withdrawn key to be unknown", async || {
        let answer = sidecar.verify(&old).await;
        (answer.status == StatusCode::UNAUTHORIZED).then(|| {
            assert_eq!(answer.json()["error"]["details"]["reason"], "unknown_key");
        })
    })
    .await;
    let claims: Value = sidecar
        .verify(&token::sign(&next, &sample_claims()).unwrap())
        .await
        .json();
    assert_eq!(claims["sub"], "ada");
}

#[tokio::test]
async fn a_closed_tenant_is_refused_everything() {
    let central = Central::start(&Script::new());
    let sidecar = Sidecar::ready(&central, &["--generators", "order-id"]).await;
    let token = central.script.token(|_| {});
    assert_eq!(sidecar.verify(&token).await.status, StatusCode::OK);
    central.script.send(
        10,
        State::Keys(KeyState {
            closed: true,
            ..KeyState::default()
        }),
    );

    until("the tenant to be closed", async || {
        let answer = sidecar.verify(&token).await;
        (answer.status == StatusCode::UNAUTHORIZED).then(|| {
            assert_eq!(answer.error().1, "SIGNET-SIDECAR-0012");
        })
    })
    .await;
    let question = json!({ "token": token, "resource": "orders/1", "action": "read" });
    let answer = sidecar.post("/v1/authorize", question).await;
    assert_eq!(answer.error(), (401, "SIGNET-SIDECAR-0012".to_owned()));
    let closed = (403, "SIGNET-SIDECAR-0017".to_owned());
    assert_eq!(sidecar.get("/v1/ids/order-id").await.error(), closed);
    assert_eq!(sidecar.token("").await.error(), closed);
}

fn sample_claims() -> token::Claims {
    let now = sidecar::clock::unix_now();
    token::Claims {
        iss: ISSUER.to_owned(),
        sub: "ada".to_owned(),
        aud: vec!["acme".to_owned()],
        exp: now + 900,
        iat: now,
        ..token::Claims::default()
    }
}
