//! What is answered beyond the pod, and what is not.

use std::time::Duration;

use reqwest::StatusCode;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::central::{Central, Script};
use super::sidecar_under_test::Sidecar;

#[tokio::test]
async fn nothing_but_health_and_metrics_is_answered_beyond_the_pod() {
    let central = Central::start(&Script::new());
    let sidecar = Sidecar::ready(&central, &[]).await;
    assert!(sidecar.running.api_address.ip().is_loopback());
    for path in [
        "/v1/status",
        "/v1/ids/order-id",
        "/v1/token",
        "/",
        "/health",
    ] {
        assert_eq!(
            sidecar.health(path).await.status,
            StatusCode::NOT_FOUND,
            "{path}"
        );
    }
}

#[tokio::test]
async fn metrics_tell_what_is_held_and_done() {
    let central = Central::start(&Script::new());
    let sidecar = Sidecar::ready(&central, &["--generators", "order-id"]).await;
    let token = central.script.token(|_| {});
    sidecar.verify(&token).await;
    sidecar.get("/v1/ids/order-id?count=7").await;
    let metrics = sidecar.health("/metrics").await;
    assert!(
        metrics.headers["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/plain")
    );
    for (name, value) in [
        (r#"ids_served_total{generator="order-id"}"#, 7.0),
        (r#"ring_capacity{generator="order-id"}"#, 5_000.0),
        (
            r#"allocations_total{generator="order-id",outcome="given"}"#,
            1.0,
        ),
        (r#"token_verifications_total{result="valid"}"#, 1.0),
        (r#"token_exchanges_total{result="given"}"#, 1.0),
        (r#"content_version{content="keys"}"#, 1.0),
        (r#"content_version{content="generators"}"#, 3.0),
        (r#"content_expired{content="keys"}"#, 0.0),
        (
            r#"http_requests_total{route="/v1/ids/{generator}",status="200"}"#,
            1.0,
        ),
        ("central_connected", 1.0),
        ("central_connections_total", 1.0),
        ("defective_roles", 0.0),
        ("started", 1.0),
    ] {
        let name = format!("signet_sidecar_{name}");
        assert_eq!(sidecar.metric(&name).await, Some(value), "{name}");
    }
    let remaining = r#"signet_sidecar_own_token_remaining_seconds{audience="acme"}"#;
    assert!(sidecar.metric(remaining).await.unwrap() > 800.0);
    assert!(!metrics.text.contains(&token), "no token in a metric");
    assert!(
        metrics.text.contains("process_resident_memory_bytes"),
        "{}",
        metrics.text
    );
}

#[tokio::test]
async fn silent_connections_keep_no_probe_from_its_answer_and_are_ended() {
    let central = Central::start(&Script::new());
    let sidecar = Sidecar::ready(&central, &[]).await;
    let mut silent = Vec::new();
    for _ in 0..100 {
        let stream = TcpStream::connect(sidecar.running.health_address).await;
        silent.push(stream.unwrap());
    }

    assert_eq!(sidecar.health("/ready").await.status, StatusCode::OK);

    for mut stream in silent {
        let ended = stream.read_u8();
        let ended = tokio::time::timeout(Duration::from_secs(60), ended).await;
        assert!(ended.unwrap().is_err(), "it was sent something");
    }
}
