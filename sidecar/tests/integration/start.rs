//! Starting in order, whatever central does meanwhile.

use protocol::v1::Content;
use reqwest::StatusCode;

use super::central::{Allocating, BEARER, Central, Script, generators};
use super::sidecar_under_test::Sidecar;
use super::until;

/// Waits until `/startup` says that this is waited for, and why; gives the reason.
async fn waits_for(sidecar: &Sidecar, what: &str, reason: &str) -> String {
    until(
        &format!("waiting for {what}, because {reason}"),
        async || {
            let answer = sidecar.health("/startup").await;
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
            let body = answer.json();
            let said = body["reason"].as_str().unwrap().to_owned();
            (body["waiting_for"] == what && said.contains(reason)).then_some(said)
        },
    )
    .await
}

#[tokio::test]
async fn a_started_sidecar_holds_everything_and_says_so() {
    let central = Central::start(&Script::new());
    let sidecar = Sidecar::ready(&central, &["--generators", "order-id"]).await;

    for path in ["/startup", "/ready", "/live"] {
        assert_eq!(sidecar.health(path).await.status, StatusCode::OK, "{path}");
    }
    let hello = central.script.hellos.lock().unwrap()[0].clone();
    assert_eq!(
        (hello.tenant.as_str(), hello.instance.as_str()),
        ("acme", "checkout-1")
    );
    assert!(hello.wants.len() == 3 && hello.wants.iter().all(|held| held.version == 0));
    until("all acknowledged", async || {
        let taken = |content, version| {
            central
                .script
                .acknowledged(content, version)
                .is_some_and(|reason| reason.is_empty())
        };
        (taken(Content::Keys, 1) && taken(Content::Policy, 2) && taken(Content::Generators, 3))
            .then_some(())
    })
    .await;

    let status = sidecar.get("/v1/status").await.json();
    assert_eq!(status["started"], true);
    assert_eq!(status["connection"]["state"], "connected");
    assert_eq!(status["content"]["keys"]["version"], 1);
    assert_eq!(status["content"]["keys"]["held"]["kids"][0], "2026-11-a");
    assert_eq!(status["content"]["policy"]["held"]["roles"], 4);
    assert_eq!(
        status["content"]["generators"]["held"]["names"][0],
        "order-id"
    );
    assert_eq!(status["generators"][0]["name"], "order-id");
    assert!(status["generators"][0]["level"].as_u64().unwrap() >= 5_000);
    assert_eq!(status["tokens"][0]["audience"], "acme");
}

#[tokio::test]
async fn central_away_at_the_start_is_waited_for() {
    let script = Script::new();
    let address = Central::start(&script).kill();
    let sidecar = Sidecar::start(address, &["--generators", "order-id"]).await;

    waits_for(&sidecar, "content", "central cannot be reached").await;
    assert_eq!(
        sidecar.health("/ready").await.status,
        StatusCode::SERVICE_UNAVAILABLE
    );
    assert_eq!(sidecar.health("/live").await.status, StatusCode::OK);
    for path in ["/v1/ids/order-id", "/v1/token"] {
        let answer = sidecar.get(path).await;
        assert_eq!(
            answer.error(),
            (503, "SIGNET-SIDECAR-0010".to_owned()),
            "{path}"
        );
    }
    let status = sidecar.get("/v1/status").await.json();
    assert_eq!(status["started"], false);
    assert_eq!(status["connection"]["state"], "away");

    let _central = Central::start_again(&script, address);
    sidecar.running.ready().await;
    assert_eq!(sidecar.get("/v1/ids/order-id").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_workload_that_is_not_known_is_told_why_and_its_new_token_is_read() {
    let central = Central::start(&Script::new());
    *central.script.bearer.lock().unwrap() = "another".to_owned();
    let sidecar = Sidecar::start(central.address, &[]).await;
    let reason = waits_for(&sidecar, "content", "central does not know this workload").await;
    assert!(!reason.contains(BEARER), "{reason}");

    std::fs::write(&sidecar.token_file, "another").unwrap();
    sidecar.running.ready().await;
}

#[tokio::test]
async fn a_token_file_that_is_missing_is_named() {
    let central = Central::start(&Script::new());
    let missing = "/nonexistent/signet/token";
    let sidecar = Sidecar::start(central.address, &["--token-file", missing]).await;
    waits_for(&sidecar, "content", missing).await;
}

#[tokio::test]
async fn a_generator_to_be_warmed_is_waited_for_until_it_is_declared_and_has_ids() {
    let central = Central::start(&Script::new());
    central.script.set(Allocating::IsExhausted);
    let sidecar = Sidecar::start(central.address, &["--generators", "order-id,invoice-id"]).await;
    // Both are looked at side by side; either may be named.
    waits_for(&sidecar, "generators", "invoice-id").await;
    central
        .script
        .send(4, generators(&[("order-id", 5_000), ("invoice-id", 5_000)]));
    waits_for(&sidecar, "generators", "no ids left").await;

    central.script.set(Allocating::Gives);
    central
        .script
        .send(5, generators(&[("order-id", 6_000), ("invoice-id", 6_000)]));
    sidecar.running.ready().await;
    assert_eq!(
        sidecar.get("/v1/ids/invoice-id").await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn a_workload_that_gets_no_token_does_not_start() {
    let central = Central::start(&Script::new());
    let refused = tonic::Status::permission_denied("tenant acme does not take namespace shop");
    *central.script.exchange_refused.lock().unwrap() = Some(refused);
    let sidecar = Sidecar::start(central.address, &[]).await;
    waits_for(&sidecar, "token", "does not take namespace shop").await;
    *central.script.exchange_refused.lock().unwrap() = None;
    sidecar.running.ready().await;
}

#[tokio::test]
async fn central_is_reached_by_tls_and_only_when_its_certificate_holds() {
    let (ca, ca_key) = authority("the right one");
    let (other, other_key) = authority("another");
    let leaf_key = rcgen::KeyPair::generate().unwrap();
    let parameters = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let issuer = rcgen::Issuer::from_params(&ca, &ca_key);
    let leaf = parameters.signed_by(&leaf_key, &issuer).unwrap();
    let identity = tonic::transport::Identity::from_pem(leaf.pem(), leaf_key.serialize_pem());
    let listening = "127.0.0.1:0".parse().unwrap();
    let central = Central::start_at(&Script::new(), listening, Some(identity));
    let url = format!("https://localhost:{}", central.address.port());

    let trusted = ca.self_signed(&ca_key).unwrap().pem();
    let arguments = ["--central-url", &url, "--central-ca", &trusted];
    let sidecar = Sidecar::start_with(&arguments).await;
    sidecar.running.ready().await;

    let untrusted = other.self_signed(&other_key).unwrap().pem();
    let arguments = ["--central-url", &url, "--central-ca", &untrusted];
    let sidecar = Sidecar::start_with(&arguments).await;
    waits_for(&sidecar, "content", "certificate").await;
}

fn authority(name: &str) -> (rcgen::CertificateParams, rcgen::KeyPair) {
    let mut parameters = rcgen::CertificateParams::default();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    parameters
        .distinguished_name
        .push(rcgen::DnType::CommonName, name);
    (parameters, rcgen::KeyPair::generate().unwrap())
}
