//! What every request meets before it is looked at: hosts, origins, queries, bodies, methods, ids.

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::central::{Central, Script};
use super::sidecar_under_test::{Sidecar, send};

#[tokio::test]
async fn requests_addressed_to_another_host_are_403() {
    let central = Central::start(&Script::new());
    let sidecar = Sidecar::ready(&central, &["--url", "http://signet.internal:7740"]).await;
    let with = |name: &'static str, value: &'static str| {
        send(
            sidecar
                .request(Method::GET, "/v1/ids/order-id")
                .header(name, value),
        )
    };
    for host in [
        "localhost",
        "localhost:7740",
        "127.0.0.1:1",
        "[::1]:7740",
        "signet.internal",
    ] {
        assert_eq!(with("host", host).await.status, StatusCode::OK, "{host}");
    }
    for host in [
        "evil.example",
        "localhost.evil.example:7740",
        "10.0.0.7:7740",
    ] {
        let code = "SIGNET-SIDECAR-0003".to_owned();
        assert_eq!(with("host", host).await.error(), (403, code), "{host}");
    }
    for origin in ["https://evil.example", "null"] {
        let code = "SIGNET-SIDECAR-0004".to_owned();
        assert_eq!(
            with("origin", origin).await.error(),
            (403, code),
            "{origin}"
        );
    }
    assert_eq!(
        with("origin", "http://localhost:3000").await.status,
        StatusCode::OK
    );
    // Nor does what is said in general give anything away.
    let status = sidecar
        .request(Method::GET, "/v1/status")
        .header("host", "evil.example");
    assert_eq!(send(status).await.error().0, 403);
}

#[tokio::test]
async fn a_token_in_a_query_is_400_whatever_is_asked() {
    let central = Central::start(&Script::new());
    let sidecar = Sidecar::ready(&central, &[]).await;
    let token = central.script.token(|_| {});
    for path in [
        format!("/v1/token/verify?token={token}"),
        format!("/v1/status?q={token}"),
        "/v1/ids/order-id?access_token=x".to_owned(),
        format!("/nowhere?{token}&id_token=x"),
    ] {
        let answer = sidecar.get(&path).await;
        assert_eq!(
            answer.error(),
            (400, "SIGNET-SIDECAR-0002".to_owned()),
            "{path}"
        );
        assert!(!answer.text.contains(&token), "the token is repeated");
    }
}

#[tokio::test]
async fn paths_methods_and_bodies_that_are_wrong_are_said_to_be_in_one_shape() {
    let central = Central::start(&Script::new());
    let sidecar = Sidecar::ready(&central, &[]).await;
    for path in [
        "/",
        "/v1",
        "/v1/ids",
        "/v1/ids/a/b",
        "/metrics",
        "/v2/token",
    ] {
        let answer = sidecar.get(path).await;
        assert_eq!(
            answer.error(),
            (404, "SIGNET-SIDECAR-0006".to_owned()),
            "{path}"
        );
    }
    let wrong_method = [
        (Method::POST, "/v1/ids/order-id", "GET,HEAD"),
        (Method::DELETE, "/v1/status", "GET,HEAD"),
        (Method::GET, "/v1/token/verify", "POST"),
        (Method::PUT, "/v1/authorize", "POST"),
    ];
    for (method, path, allow) in wrong_method {
        let answer = send(sidecar.request(method, path)).await;
        assert_eq!(
            answer.error(),
            (405, "SIGNET-SIDECAR-0007".to_owned()),
            "{path}"
        );
        assert_eq!(answer.headers["allow"], allow, "{path}");
    }
    let post = || sidecar.request(Method::POST, "/v1/token/verify");
    let form = post()
        .header("content-type", "application/x-www-form-urlencoded")
        .body("token=x");
    assert_eq!(
        send(form).await.error(),
        (415, "SIGNET-SIDECAR-0009".to_owned())
    );
    assert_eq!(send(post().body("{}")).await.error().0, 415, "not declared");
    for body in ["", "{", "nonsense", "{\"token\": \"a\", \"token\": \"b\"}"] {
        let broken = post().header("content-type", "application/json").body(body);
        assert_eq!(
            send(broken).await.error(),
            (400, "SIGNET-SIDECAR-0001".to_owned()),
            "{body}"
        );
    }
    let large = post().json(&json!({ "token": "x".repeat(2 * 1024 * 1024) }));
    assert_eq!(
        send(large).await.error(),
        (413, "SIGNET-SIDECAR-0008".to_owned())
    );
}

#[tokio::test]
async fn every_answer_has_a_request_id() {
    let central = Central::start(&Script::new());
    let sidecar = Sidecar::ready(&central, &[]).await;
    let with = |id: &'static str| {
        send(
            sidecar
                .request(Method::GET, "/v1/ids/order-id")
                .header("x-request-id", id),
        )
    };
    assert_eq!(with("abc-123").await.headers["x-request-id"], "abc-123");
    let replaced = with("not sane; at all").await;
    let id = replaced.headers["x-request-id"].to_str().unwrap();
    assert!(uuid::Uuid::parse_str(id).is_ok(), "{id}");
    let refused = send(
        sidecar
            .request(Method::GET, "/v1/ids/nothing")
            .header("x-request-id", "abc-124"),
    );
    assert_eq!(refused.await.json()["error"]["request_id"], "abc-124");
}

#[tokio::test]
async fn what_the_application_sends_is_answered_over_one_connection() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let central = Central::start(&Script::new());
    let sidecar = Sidecar::ready(&central, &[]).await;
    let mut stream = tokio::net::TcpStream::connect(sidecar.running.api_address)
        .await
        .unwrap();
    let request = "GET /v1/status HTTP/1.1\r\nHost: localhost\r\n";
    let both = format!("{request}\r\n{request}Connection: close\r\n\r\n");
    stream.write_all(both.as_bytes()).await.unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).await.unwrap();
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 2, "{answers}");

    // Without a host, as an HTTP/1.0 client asks, nobody can say whom it was meant for.
    let mut stream = tokio::net::TcpStream::connect(sidecar.running.api_address)
        .await
        .unwrap();
    stream
        .write_all(b"GET /v1/status HTTP/1.0\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.0 403"), "{answer}");
}

#[tokio::test]
async fn asking_for_the_head_of_an_id_takes_none() {
    let central = Central::start(&Script::new());
    let sidecar = Sidecar::ready(&central, &["--generators", "order-id"]).await;
    let first = sidecar.get("/v1/ids/order-id").await.ids()[0];

    let head = send(sidecar.request(Method::HEAD, "/v1/ids/order-id")).await;

    assert_eq!(head.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(head.headers["allow"], "GET");
    assert_eq!(sidecar.get("/v1/ids/order-id").await.ids(), [first + 1]);
}

#[tokio::test]
async fn a_secret_in_place_of_a_name_is_not_repeated() {
    let central = Central::start(&Script::new());
    let sidecar = Sidecar::ready(&central, &[]).await;
    let token = central.script.token(|_| {});

    let answer = sidecar.get(&format!("/v1/ids/{token}")).await;

    let expected = (404, "IDGEN-COMMON-0006".to_owned());
    assert_eq!(answer.error(), expected);
    assert!(!answer.text.contains("eyJ"), "{}", answer.text);
}
