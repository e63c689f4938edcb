//! `GET /v1/token`: the workload's own token.

use std::sync::atomic::Ordering;

use protocol::v1::{Content, subscribe_response::State};
use reqwest::{Method, StatusCode};
use token::{Algorithm, Jwks, PrivateKey};

use super::central::{Central, Script};
use super::sidecar_under_test::{Sidecar, send};
use super::until;

#[tokio::test]
async fn a_workload_gets_its_token_which_its_own_sidecar_verifies() {
    let central = Central::start(&Script::new());
    let sidecar = Sidecar::ready(&central, &[]).await;
    let answer = sidecar.token("").await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert_eq!(answer.headers["cache-control"], "no-store");
    let body = answer.json();
    assert_eq!(body["token_type"], "Bearer");
    let expires_in = body["expires_in"].as_u64().unwrap();
    assert!((800..=900).contains(&expires_in), "{expires_in}");
    let token = body["access_token"].as_str().unwrap();
    assert_eq!(sidecar.verify(token).await.json()["aud"], "acme");

    let billing = sidecar.token("?audience=billing").await.json();
    let billing = billing["access_token"].as_str().unwrap();
    assert_eq!(sidecar.verify(billing).await.json()["aud"], "billing");
}

#[tokio::test]
async fn a_forged_request_does_not_get_it() {
    let central = Central::start(&Script::new());
    let sidecar = Sidecar::ready(&central, &[]).await;
    let without = sidecar.get("/v1/token").await;
    assert_eq!(without.error(), (403, "SIGNET-SIDECAR-0005".to_owned()));
    let wrong = sidecar
        .request(Method::GET, "/v1/token")
        .header("signet-request", "1");
    assert_eq!(send(wrong).await.error().0, 403);
}

#[tokio::test]
async fn an_audience_the_tenant_does_not_have_is_400_and_not_asked_for() {
    let central = Central::start(&Script::new());
    let sidecar = Sidecar::ready(&central, &[]).await;
    let asked = central.script.exchanges.lock().unwrap().len();
    let answer = sidecar.token("?audience=other").await;
    assert_eq!(answer.error(), (400, "SIGNET-SIDECAR-0016".to_owned()));
    assert_eq!(answer.json()["error"]["details"]["audiences"][1], "billing");
    assert_eq!(central.script.exchanges.lock().unwrap().len(), asked);
    for query in ["?audience=acme&audience=billing", "?audiance=acme"] {
        assert_eq!(sidecar.token(query).await.error().0, 400, "{query}");
    }
}

#[tokio::test]
async fn it_is_asked_for_once_and_kept() {
    let central = Central::start(&Script::new());
    let sidecar = Sidecar::ready(&central, &[]).await;
    let before = central.script.exchanges.lock().unwrap().len();
    let requests = (0..20).map(|_| sidecar.token("?audience=billing"));
    let answers = futures::future::join_all(requests).await;
    let tokens: std::collections::BTreeSet<_> = answers
        .iter()
        .map(|answer| answer.json()["access_token"].to_string())
        .collect();
    assert_eq!(tokens.len(), 1);
    assert_eq!(central.script.exchanges.lock().unwrap().len(), before + 1);
}

#[tokio::test]
async fn it_is_renewed_ahead_and_kept_while_central_is_away_until_it_expires() {
    let script = Script::new();
    script.token_lifetime_seconds.store(3, Ordering::SeqCst);
    let central = Central::start(&script);
    let sidecar = Sidecar::ready(&central, &[]).await;
    let first = sidecar.token("").await.json()["access_token"].clone();
    until("a new token, unasked", async || {
        let now = sidecar.token("").await;
        assert_eq!(now.status, StatusCode::OK);
        (now.json()["access_token"] != first).then_some(())
    })
    .await;

    script.token_lifetime_seconds.store(8, Ordering::SeqCst);
    until("a token that lives longer", async || {
        (sidecar.token("").await.json()["expires_in"].as_u64()? > 4).then_some(())
    })
    .await;
    let address = central.kill();
    until("central to be missed", async || {
        let status = sidecar.get("/v1/status").await.json();
        (status["connection"]["state"] == "away").then_some(())
    })
    .await;
    assert_eq!(sidecar.token("").await.status, StatusCode::OK, "still held");
    let other = sidecar.token("?audience=billing").await;
    assert_eq!(
        other.error(),
        (503, "SIGNET-SIDECAR-0014".to_owned()),
        "never held"
    );
    until("the token to expire", async || {
        let answer = sidecar.token("").await;
        (answer.status == StatusCode::SERVICE_UNAVAILABLE).then(|| {
            assert_eq!(answer.error().1, "SIGNET-SIDECAR-0014");
        })
    })
    .await;
    assert_eq!(sidecar.health("/ready").await.status, StatusCode::OK);

    let _central = Central::start_again(&script, address);
    until("a token again", async || {
        (sidecar.token("").await.status == StatusCode::OK).then_some(())
    })
    .await;
}

/// A tenant that is closed loses its keys for good, and may open again with others.
#[tokio::test]
async fn a_token_whose_key_was_withdrawn_is_not_served() {
    let script = Script::new();
    let central = Central::start(&script);
    let sidecar = Sidecar::ready(&central, &[]).await;
    let first = sidecar.token("").await.json()["access_token"].clone();
    let exchanges = || script.exchanges.lock().unwrap().len();
    let before = exchanges();

    script.send(10, script.keys());
    until("keys that still have its own", async || {
        script.acknowledged(Content::Keys, 10)
    })
    .await;
    assert_eq!(sidecar.token("").await.json()["access_token"], first);
    assert_eq!(exchanges(), before);

    let State::Keys(mut state) = script.keys() else {
        panic!("not keys")
    };
    let other = PrivateKey::generate("2026-11-b", Algorithm::Es256).unwrap();
    let keys = Jwks {
        keys: vec![other.public_jwk()],
    };
    state.jwks = serde_json::to_string(&keys).unwrap();
    script.send(11, State::Keys(state));
    until("keys without its own", async || {
        script.acknowledged(Content::Keys, 11)
    })
    .await;
    let second = sidecar.token("").await.json()["access_token"].clone();
    assert_ne!(second, first);
    // Central may be ahead of the keys that are held: what it gave under them is not doubted.
    assert_eq!(sidecar.token("").await.json()["access_token"], second);
    assert_eq!(exchanges(), before + 1);
}

#[tokio::test]
async fn a_refusal_of_central_is_403_and_says_why() {
    let central = Central::start(&Script::new());
    let sidecar = Sidecar::ready(&central, &[]).await;
    let refused = tonic::Status::permission_denied("tenant acme does not take namespace shop");
    *central.script.exchange_refused.lock().unwrap() = Some(refused);
    let answer = sidecar.token("?audience=billing").await;
    assert_eq!(answer.error(), (403, "SIGNET-SIDECAR-0015".to_owned()));
    assert!(answer.text.contains("does not take namespace shop"));
}
