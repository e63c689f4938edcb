//! Central away, silent, or back: the application does not notice.

use std::collections::HashSet;
use std::time::Duration;

use protocol::v1::Content;
use reqwest::StatusCode;
use serde_json::json;

use super::central::{Central, Script, generators};
use super::sidecar_under_test::Sidecar;
use super::until;

async fn connection(sidecar: &Sidecar) -> String {
    let status = sidecar.get("/v1/status").await.json();
    status["connection"]["state"].as_str().unwrap().to_owned()
}

async fn allowed(sidecar: &Sidecar, token: &str) -> bool {
    let body = json!({ "token": token, "resource": "orders/1", "action": "read" });
    let answer = sidecar.post("/v1/authorize", body).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    answer.json()["allowed"] == true
}

#[tokio::test]
async fn all_goes_on_while_central_is_away_and_after() {
    let script = Script::new();
    script.send(4, generators(&[("order-id", 20_000)]));
    let central = Central::start(&script);
    let sidecar = Sidecar::ready(&central, &["--generators", "order-id"]).await;
    let mut given = HashSet::new();
    given.extend(sidecar.get("/v1/ids/order-id?count=100").await.ids());

    let address = central.kill();
    until("central to be missed", async || {
        (connection(&sidecar).await == "away").then_some(())
    })
    .await;
    let token = sidecar.token("").await.json()["access_token"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(sidecar.verify(&token).await.status, StatusCode::OK);
    assert!(allowed(&sidecar, &token).await);
    for _ in 0..10 {
        given.extend(sidecar.get("/v1/ids/order-id?count=1000").await.ids());
    }
    let ready = sidecar.health("/ready").await;
    assert_eq!(ready.status, StatusCode::OK);
    assert_eq!(ready.json()["mode"], "fail-static");

    let hellos = script.hello_count();
    let _central = Central::start_again(&script, address);
    until("central to be back", async || {
        (connection(&sidecar).await == "connected").then_some(())
    })
    .await;
    let hello = script.hellos.lock().unwrap()[hellos].clone();
    let versions: Vec<_> = hello.wants.iter().map(|held| held.version).collect();
    assert_eq!(versions, [1, 2, 4], "it resumes from what it holds");
    assert!(allowed(&sidecar, &token).await);
    for _ in 0..3 {
        given.extend(sidecar.get("/v1/ids/order-id?count=10000").await.ids());
    }
    assert_eq!(given.len(), 40_100, "an id was given twice");
    assert_eq!(sidecar.health("/ready").await.json()["mode"], "connected");
}

#[tokio::test]
async fn a_stream_that_ends_is_opened_again_and_what_was_missed_is_taken() {
    let central = Central::start(&Script::new());
    let sidecar = Sidecar::ready(&central, &[]).await;
    for version in 10..13 {
        let hellos = central.script.hello_count();
        central.script.hang_up();
        central
            .script
            .send(version, generators(&[(&format!("g-{version}"), 10)]));
        until("another stream", async || {
            (central.script.hello_count() > hellos).then_some(())
        })
        .await;
        until("what was missed", async || {
            let held = sidecar.get("/v1/status").await.json()["content"]["generators"].clone();
            (held["version"] == version).then_some(())
        })
        .await;
    }
    let connections = sidecar
        .metric("signet_sidecar_central_connections_total")
        .await;
    assert!(connections.unwrap() >= 4.0, "{connections:?}");
}

#[tokio::test]
async fn a_central_that_falls_silent_is_left() {
    let script = Script::new();
    *script.silent.lock().unwrap() = true;
    let central = Central::start(&script);
    let sidecar = Sidecar::start(central.address, &["--central-silence", "300ms"]).await;
    until("the silence to be noticed", async || {
        let reason = sidecar.health("/startup").await.json()["reason"]
            .as_str()?
            .to_owned();
        reason.contains("nothing was heard").then_some(())
    })
    .await;
    *script.silent.lock().unwrap() = false;
    sidecar.running.ready().await;
    // Afterwards, too: nothing is said here but at the beginning, so that it ends again and again.
    let hellos = script.hello_count();
    until("another stream", async || {
        (script.hello_count() > hellos).then_some(())
    })
    .await;
    assert_eq!(sidecar.health("/ready").await.status, StatusCode::OK);
}

#[tokio::test]
async fn an_unusable_key_set_is_refused_and_the_old_one_kept() {
    let central = Central::start(&Script::new());
    let sidecar = Sidecar::ready(&central, &[]).await;
    let token = central.script.token(|_| {});
    let protocol::v1::subscribe_response::State::Keys(mut keys) = central.script.keys() else {
        unreachable!()
    };
    keys.jwks = r#"{"keys": [{"kty": "EC", "kid": "x"}]}"#.to_owned();
    central
        .script
        .send(10, protocol::v1::subscribe_response::State::Keys(keys));
    let reason = until("a refusal", async || {
        central.script.acknowledged(Content::Keys, 10)
    })
    .await;
    assert!(reason.contains("key set"), "{reason}");
    assert_eq!(sidecar.verify(&token).await.status, StatusCode::OK);
    let refused = r#"signet_sidecar_content_refused_total{content="keys"}"#;
    assert_eq!(sidecar.metric(refused).await, Some(1.0));
}

#[tokio::test]
async fn after_the_declared_time_without_central_nothing_is_decided_but_ids_go_on() {
    let script = Script::new();
    let central = Central::start(&script);
    let arguments = ["--generators=order-id", "--fail-static=1s"];
    let sidecar = Sidecar::ready(&central, &arguments).await;
    let token = script.token(|_| {});
    let address = central.kill();
    let answer = until("failing closed", async || {
        let answer = sidecar.verify(&token).await;
        (answer.status != StatusCode::OK).then_some(answer)
    })
    .await;
    assert_eq!(answer.error(), (503, "SIGNET-SIDECAR-0011".to_owned()));
    let body = json!({ "token": token, "resource": "orders/1", "action": "read" });
    let decision = sidecar.post("/v1/authorize", body).await;
    assert_eq!(decision.error(), (503, "SIGNET-SIDECAR-0011".to_owned()));
    assert_eq!(sidecar.get("/v1/ids/order-id").await.status, StatusCode::OK);
    assert_eq!(sidecar.token("").await.status, StatusCode::OK);
    let ready = sidecar.health("/ready").await;
    assert_eq!(
        (ready.status, ready.json()["mode"].clone()),
        (StatusCode::OK, "failed-closed".into())
    );
    let status = sidecar.get("/v1/status").await.json();
    assert_eq!(status["content"]["keys"]["standing"], "expired");
    let expired = r#"signet_sidecar_content_expired{content="policy"}"#;
    assert_eq!(sidecar.metric(expired).await, Some(1.0));

    let _central = Central::start_again(&script, address);
    until("decisions again", async || {
        (sidecar.verify(&token).await.status == StatusCode::OK).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_rotated_token_is_read_from_disk_for_every_call() {
    let script = Script::new();
    script.send(4, generators(&[("order-id", 10)]));
    script.step.store(10, std::sync::atomic::Ordering::SeqCst);
    let central = Central::start(&script);
    let sidecar = Sidecar::ready(&central, &["--generators=order-id", "--id-wait=20s"]).await;
    *script.bearer.lock().unwrap() = "rotated".to_owned();
    std::fs::write(&sidecar.token_file, "rotated\n").unwrap();
    assert_eq!(
        sidecar.get("/v1/ids/order-id?count=500").await.ids().len(),
        500
    );
}

#[tokio::test]
async fn requests_under_way_are_finished_at_the_end() {
    let script = Script::new();
    script.set(super::central::Allocating::Waits);
    let central = Central::start(&script);
    let sidecar = Sidecar::ready(&central, &["--id-wait=3s"]).await;
    let waiting =
        super::sidecar_under_test::send(sidecar.request(reqwest::Method::GET, "/v1/ids/order-id"));
    let waiting = tokio::spawn(waiting);
    until("a request that waits", async || {
        sidecar
            .metric(r#"signet_sidecar_ring_waiters{generator="order-id"}"#)
            .await
            .filter(|n| *n > 0.0)
    })
    .await;
    let address = sidecar.running.api_address;
    tokio::time::timeout(Duration::from_secs(20), sidecar.running.stop())
        .await
        .unwrap();
    assert_eq!(
        waiting.await.unwrap().error().0,
        503,
        "answered, not cut off"
    );
    assert!(
        tokio::net::TcpStream::connect(address).await.is_err(),
        "nobody listens any more"
    );
}
