//! A workload's proof becomes a token of its tenant, over OAuth and over gRPC.

use ::central::{Caller, Workload};
use serde_json::Value;
use time::OffsetDateTime;
use token::{Claims, Jwks, Rejection, Verifier};
use tonic::Code;

use crate::support::{
    Central, Database,
    central::{ADMINISTRATOR, BASE_URL, BILLING, CHECKOUT, OPERATOR, STRANGER},
    on_each_store,
};

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

on_each_store!(a_workload_gets_a_token_that_the_published_keys_verify);

async fn verify(central: &Central, tenant: &str, token: &str) -> Result<Claims, Rejection> {
    let jwks = central
        .public(&format!("/t/{tenant}/jwks"))
        .await
        .text()
        .await
        .unwrap();
    let audiences = vec![tenant.to_owned(), format!("{tenant}-web")];
    let keys = Jwks::parse(&jwks).unwrap();
    let verifier = Verifier::new(format!("{BASE_URL}/t/{tenant}"), audiences, &keys).unwrap();
    verifier.verify(token, None, OffsetDateTime::now_utc().unix_timestamp())
}

async fn post(central: &Central, tenant: &str, form: &[(&str, &str)]) -> (u16, Value) {
    let url = central.url(&format!("/t/{tenant}/oauth2/token"));
    let answer = central.http.post(url).form(form).send().await.unwrap();
    assert_eq!(answer.headers()["x-request-id"].len(), 36);
    if answer.status() != 404 {
        assert_eq!(answer.headers()["cache-control"], "no-store");
    }
    (answer.status().as_u16(), answer.json().await.unwrap())
}

fn form<'a>(subject_token: &'a str, extra: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut form = vec![
        ("grant_type", EXCHANGE),
        ("subject_token", subject_token),
        ("subject_token_type", JWT),
    ];
    form.retain(|(name, _)| !extra.iter().any(|(other, _)| other == name));
    form.extend(extra);
    form
}

async fn a_workload_gets_a_token_that_the_published_keys_verify(database: Database) {
    let central = Central::on(&database).await;
    central.furnish().await;

    let (status, answer) = post(&central, "acme", &form(CHECKOUT, &[])).await;

    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["token_type"], "Bearer");
    assert_eq!(answer["expires_in"], 900);
    assert_eq!(
        answer["issued_token_type"],
        "urn:ietf:params:oauth:token-type:access_token"
    );
    let claims = verify(&central, "acme", answer["access_token"].as_str().unwrap())
        .await
        .unwrap();
    assert_eq!(
        claims.sub,
        "spiffe://acme.cluster.local/ns/shop/sa/checkout"
    );
    assert_eq!(claims.aud, ["acme"]);
    assert_eq!(claims.tenant_id.as_deref(), Some("acme"));
    assert_eq!(claims.roles, ["shop/reader"]);
    assert_eq!(claims.exp - claims.iat, 900);
    assert_eq!(claims.extra["kubernetes.io"]["pod"]["name"], "checkout-1");
    assert!(claims.jti.is_some());

    let other = central
        .exchange(CHECKOUT, "acme", "acme-web")
        .await
        .unwrap();
    let other = verify(&central, "acme", &other.access_token).await.unwrap();
    assert_eq!(other.aud, ["acme-web"]);
    assert_ne!(other.jti, claims.jti);
}

#[tokio::test]
async fn discovery_tells_the_truth() {
    let central = Central::on(&Database::sqlite()).await;
    central.furnish().await;

    let answer = central
        .public("/t/acme/.well-known/openid-configuration")
        .await;
    assert!(
        answer.headers()["cache-control"]
            .to_str()
            .unwrap()
            .starts_with("public, max-age=")
    );
    let metadata: Value = answer.json().await.unwrap();

    assert_eq!(metadata["issuer"], format!("{BASE_URL}/t/acme"));
    assert_eq!(
        metadata["grant_types_supported"],
        serde_json::json!([EXCHANGE])
    );
    assert_eq!(
        metadata["id_token_signing_alg_values_supported"],
        serde_json::json!(["ES256"])
    );
    // What it names is there.
    for endpoint in ["jwks_uri", "token_endpoint"] {
        let path = metadata[endpoint]
            .as_str()
            .unwrap()
            .strip_prefix(BASE_URL)
            .unwrap()
            .to_owned();
        assert_ne!(central.public(&path).await.status(), 404, "{path}");
    }
}

#[tokio::test]
async fn keys_that_did_not_change_are_not_sent_again() {
    let central = Central::on(&Database::sqlite()).await;
    central.furnish().await;
    let first = central.public("/t/acme/jwks").await;
    let etag = first.headers()["etag"].clone();

    let request = central
        .http
        .get(central.url("/t/acme/jwks"))
        .header("if-none-match", etag);

    assert_eq!(request.send().await.unwrap().status(), 304);
}

#[tokio::test]
async fn every_wrong_request_has_its_oauth_error() {
    let central = Central::on(&Database::sqlite()).await;
    central.furnish().await;

    for (form, error) in [
        (
            form(CHECKOUT, &[("grant_type", "password")]),
            "unsupported_grant_type",
        ),
        (form(CHECKOUT, &[("subject_token", "")]), "invalid_request"),
        (
            form(CHECKOUT, &[("subject_token_type", "urn:x")]),
            "invalid_request",
        ),
        (form(CHECKOUT, &[("audience", "nobody")]), "invalid_target"),
        (form(CHECKOUT, &[("scope", "admin")]), "invalid_scope"),
        (form("not-a-token", &[]), "invalid_request"),
        (form(OPERATOR, &[]), "invalid_request"),
        (form(ADMINISTRATOR, &[]), "invalid_request"),
        (form(STRANGER, &[]), "invalid_request"),
        (form(BILLING, &[]), "invalid_request"),
        (vec![], "invalid_request"),
    ] {
        let (status, answer) = post(&central, "acme", &form).await;
        assert_eq!(
            (status, answer["error"].as_str()),
            (400, Some(error)),
            "{form:?} {answer}"
        );
        assert!(answer["error_description"].is_string());
        assert!(
            !answer.to_string().contains(CHECKOUT),
            "a token was repeated"
        );
    }
}

#[tokio::test]
async fn a_body_that_is_no_form_is_refused_in_oauths_shape() {
    let central = Central::on(&Database::sqlite()).await;
    central.furnish().await;
    let url = central.url("/t/acme/oauth2/token");

    let json = central
        .http
        .post(&url)
        .json(&serde_json::json!({}))
        .send()
        .await
        .unwrap();
    assert_eq!(json.status(), 400);
    assert_eq!(
        json.json::<Value>().await.unwrap()["error"],
        "invalid_request"
    );

    let large = [("subject_token", "x".repeat(100_000))];
    let large = central.http.post(&url).form(&large).send().await.unwrap();
    assert_eq!(large.status(), 413);
    assert_eq!(
        large.json::<Value>().await.unwrap()["error"],
        "invalid_request"
    );
}

#[tokio::test]
async fn an_unknown_tenant_is_not_found() {
    let central = Central::on(&Database::sqlite()).await;
    central.furnish().await;

    let (status, answer) = post(&central, "nobody", &form(CHECKOUT, &[])).await;

    assert_eq!(
        (status, answer["error"]["code"].as_str()),
        (404, Some("SIGNET-CENTRAL-0005"))
    );
}

#[tokio::test]
async fn over_grpc_each_refusal_has_its_status() {
    let central = Central::on(&Database::sqlite()).await;
    central.furnish().await;

    for (bearer, tenant, audience, code) in [
        (CHECKOUT, "acme", "nobody", Code::InvalidArgument),
        (STRANGER, "acme", "", Code::PermissionDenied),
        (CHECKOUT, "nobody", "", Code::PermissionDenied),
        (OPERATOR, "acme", "", Code::PermissionDenied),
        ("nonsense", "acme", "", Code::Unauthenticated),
    ] {
        let status = central
            .exchange(bearer, tenant, audience)
            .await
            .unwrap_err();
        assert_eq!(status.code(), code, "{bearer} {tenant} {audience}");
    }
}

#[tokio::test]
async fn a_pod_that_is_gone_gets_nothing_more() {
    let central = Central::on(&Database::sqlite()).await;
    central.furnish().await;
    assert!(central.exchange(CHECKOUT, "acme", "").await.is_ok());

    central.callers.remove(CHECKOUT);

    let status = central.exchange(CHECKOUT, "acme", "").await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn an_unproven_pod_is_left_out_of_the_token() {
    let central = Central::on(&Database::sqlite()).await;
    central.furnish().await;
    let caller = Caller::Workload(Workload {
        namespace: "shop".into(),
        service_account: "other".into(),
        pod: None,
        pod_uid: None,
    });
    central.callers.insert("token-without-pod", caller);

    let issued = central
        .exchange("token-without-pod", "acme", "")
        .await
        .unwrap();

    let claims = verify(&central, "acme", &issued.access_token)
        .await
        .unwrap();
    assert!(claims.extra["kubernetes.io"].get("pod").is_none());
    assert!(claims.roles.is_empty());
}
