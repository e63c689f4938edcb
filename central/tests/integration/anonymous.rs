//! Who did not prove itself reaches discovery, JWKS and health, and nothing else: every route is
//! tried.

use protocol::v1::{
    AllocateRangeRequest, ExchangeTokenRequest, SubscribeRequest, sync_client::SyncClient,
};
use serde_json::Value;
use tonic::Code;

use crate::support::{
    Central, Database,
    central::{CHECKOUT, OPERATOR},
};

const OPEN: [&str; 5] = [
    "/live",
    "/ready",
    "/health",
    "/t/acme/.well-known/openid-configuration",
    "/t/acme/jwks",
];
/// It wants its proof in the request.
const TOKEN_ENDPOINT: &str = "/t/acme/oauth2/token";

/// Routes as they are written in the sources, so that a new one cannot be forgotten here.
fn declared_routes() -> Vec<String> {
    let source = include_str!("../../src/edge/http/mod.rs");
    let quoted = source.split('"').skip(1).step_by(2);
    quoted
        .filter(|text| text.starts_with('/'))
        .map(|path| {
            path.replace("{tenant}", "acme")
                .replace("{type}", "role")
                .replace("{*id}", "shop/order-reader")
                .replace("{position}", "1")
                .replace("{name}", "some")
                .replace("{id}", "1")
        })
        .collect()
}

fn closed_routes() -> Vec<String> {
    let declared = declared_routes();
    for open in OPEN.iter().chain(&[TOKEN_ENDPOINT]) {
        assert!(declared.iter().any(|path| path == open), "{open} is gone");
    }
    let closed = declared
        .into_iter()
        .filter(|path| !OPEN.contains(&path.as_str()) && path != TOKEN_ENDPOINT);
    closed.collect()
}

#[tokio::test]
async fn http_opens_only_what_it_must() {
    let central = Central::on(&Database::sqlite()).await;
    central.furnish().await;

    for path in OPEN {
        assert_eq!(central.public(path).await.status(), 200, "{path}");
    }
    for path in closed_routes() {
        let callers = [None, Some("nonsense"), Some(OPERATOR), Some(CHECKOUT)];
        let mut refused = 0;
        for (method, bearer) in ["GET", "POST", "DELETE"]
            .into_iter()
            .flat_map(|method| callers.map(|bearer| (method, bearer)))
        {
            let named = method.parse().unwrap();
            let mut request = central.http.request(named, central.url(&path));
            if let Some(bearer) = bearer {
                request = request.bearer_auth(bearer);
            }
            let answer = request.send().await.unwrap();
            if answer.status() == 405 {
                continue;
            }
            refused += 1;
            assert_eq!(answer.status(), 401, "{method} {path} {bearer:?}");
            assert!(answer.headers().contains_key("www-authenticate"));
            let id = answer.headers()["x-request-id"]
                .to_str()
                .unwrap()
                .to_owned();
            let body: Value = answer.json().await.unwrap();
            assert_eq!(body["error"]["code"], "SIGNET-CENTRAL-0001", "{path}");
            assert_eq!(body["error"]["request_id"], id);
        }
        assert!(refused >= callers.len(), "no method of {path} was tried");
        // A token in a query is no token.
        let path = format!("{path}?access_token=administrator-0123456789abcdef0123");
        let status = central.public(&path).await.status();
        assert!(status == 401 || status == 405, "{path} {status}");
    }
    // The token endpoint wants its proof in the request.
    let answer = central
        .http
        .post(central.url(TOKEN_ENDPOINT))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 400);
}

#[tokio::test]
async fn errors_have_one_shape_and_echo_the_request_id() {
    let central = Central::on(&Database::sqlite()).await;

    for (method, path, status, code) in [
        ("GET", "/nothing/here", 404, "SIGNET-CENTRAL-0007"),
        ("POST", "/live", 405, "SIGNET-CENTRAL-0008"),
        ("GET", "/t/none/jwks", 404, "SIGNET-CENTRAL-0005"),
        ("DELETE", "/t/none/oauth2/token", 405, "SIGNET-CENTRAL-0008"),
    ] {
        let method = method.parse().unwrap();
        let request = central
            .http
            .request(method, central.url(path))
            .header("x-request-id", "r-7");
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), status, "{path}");
        assert_eq!(answer.headers()["x-request-id"], "r-7");
        assert_eq!(answer.headers().contains_key("allow"), status == 405);
        let body: Value = answer.json().await.unwrap();
        let error = body["error"].as_object().unwrap();
        let members: Vec<_> = error.keys().map(String::as_str).collect();
        assert_eq!(
            members,
            ["code", "details", "message", "request_id", "timestamp"]
        );
        assert_eq!(error["code"], code, "{path}");
        assert_eq!(error["request_id"], "r-7");
    }
}

#[tokio::test]
async fn grpc_opens_health_and_nothing_else() {
    let central = Central::on(&Database::sqlite()).await;
    let channel = central.channel().await;

    use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
    let health = HealthClient::new(channel.clone())
        .check(HealthCheckRequest::default())
        .await;
    assert_eq!(health.unwrap().into_inner().status, 1);

    let mut sync = SyncClient::new(channel.clone());
    let codes = [
        sync.allocate_range(AllocateRangeRequest::default())
            .await
            .unwrap_err()
            .code(),
        sync.exchange_token(ExchangeTokenRequest::default())
            .await
            .unwrap_err()
            .code(),
        sync.subscribe(tokio_stream::iter([SubscribeRequest::default()]))
            .await
            .unwrap_err()
            .code(),
        reflection(channel.clone(), None).await.unwrap_err().code(),
    ];
    assert_eq!(codes, [Code::Unauthenticated; 4]);
    // Who has proven itself may read the contracts.
    let services = reflection(channel, Some(OPERATOR)).await.unwrap();
    assert!(
        services.contains(&"signet.v1.Sync".to_owned()),
        "{services:?}"
    );
}

async fn reflection(
    channel: tonic::transport::Channel,
    bearer: Option<&str>,
) -> Result<Vec<String>, tonic::Status> {
    use tonic_reflection::pb::v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    let ask = ServerReflectionRequest {
        message_request: Some(MessageRequest::ListServices(String::new())),
        ..ServerReflectionRequest::default()
    };
    let stream = tokio_stream::iter([ask]);
    let mut client = ServerReflectionClient::new(channel);
    let mut answers = match bearer {
        Some(bearer) => {
            client
                .server_reflection_info(crate::support::with_bearer(bearer, stream))
                .await?
        }
        None => client.server_reflection_info(stream).await?,
    }
    .into_inner();
    match answers
        .message()
        .await?
        .and_then(|answer| answer.message_response)
    {
        Some(MessageResponse::ListServicesResponse(list)) => Ok(list
            .service
            .into_iter()
            .map(|service| service.name)
            .collect()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_unknown_grpc_method_is_unimplemented() {
    let central = Central::on(&Database::sqlite()).await;

    let answer = central
        .http
        .post(central.url("/signet.v2.Other/Call"))
        .header("content-type", "application/grpc")
        .send()
        .await
        .unwrap();

    assert_eq!(answer.headers()["grpc-status"], "12");
}
