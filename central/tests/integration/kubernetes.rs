//! How central asks the API server, and what it makes of its answers. The tests on a real cluster
//! prove the rest.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use ::central::{
    AuthenticationError, Authenticator as _, Caller, KubernetesAuthenticator, ServiceAccount,
};
use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use time::OffsetDateTime;

/// The two calls of the API server that central makes.
#[derive(Default)]
struct ApiServer {
    reviews: AtomicUsize,
    /// The user a token is reviewed as; none: the API server fails.
    user: Mutex<Option<&'static str>>,
    pod_uid: Mutex<Option<&'static str>>,
}

impl ApiServer {
    async fn start(self: &Arc<Self>) -> KubernetesAuthenticator {
        let router = Router::new()
            .route("/apis/authentication.k8s.io/v1/tokenreviews", post(review))
            .route("/api/v1/namespaces/{namespace}/pods/{name}", get(pod))
            .with_state(Arc::clone(self));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        authenticator(&format!("http://{address}"))
    }
}

async fn review(State(server): State<Arc<ApiServer>>, Json(review): Json<Value>) -> Response {
    server.reviews.fetch_add(1, Ordering::Relaxed);
    assert_eq!(review["spec"]["audiences"], json!(["signet-central"]));
    assert!(review["spec"]["token"].is_string());
    let Some(user) = *server.user.lock().unwrap() else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let mut answer = review.clone();
    answer["spec"]["token"] = json!("");
    answer["status"] = json!({
        "authenticated": user != "nobody",
        "audiences": ["signet-central"],
        "user": {
            "username": user,
            "extra": {
                "authentication.kubernetes.io/pod-name": ["pod-1"],
                "authentication.kubernetes.io/pod-uid": ["uid-1"],
            },
        },
    });
    (StatusCode::CREATED, Json(answer)).into_response()
}

async fn pod(
    State(server): State<Arc<ApiServer>>,
    Path((namespace, name)): Path<(String, String)>,
) -> Response {
    match *server.pod_uid.lock().unwrap() {
        Some(uid) => Json(json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": { "name": name, "namespace": namespace, "uid": uid },
            "spec": { "containers": [], "serviceAccountName": "checkout" },
        }))
        .into_response(),
        None => {
            let status = json!({
                "apiVersion": "v1", "kind": "Status", "status": "Failure",
                "reason": "NotFound", "code": 404, "message": "not found"
            });
            (StatusCode::NOT_FOUND, Json(status)).into_response()
        }
    }
}

fn authenticator(url: &str) -> KubernetesAuthenticator {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let client = kube::Client::try_from(kube::Config::new(url.parse().unwrap())).unwrap();
    let operator: ServiceAccount = "signet-system/checkout".parse().unwrap();
    KubernetesAuthenticator::new(client, "signet-central".into(), operator)
}

fn token(name: &str) -> String {
    let exp = OffsetDateTime::now_utc().unix_timestamp() + 600;
    let payload = json!({ "aud": ["signet-central"], "exp": exp, "name": name }).to_string();
    format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(payload))
}

const CHECKOUT: &str = "system:serviceaccount:shop:checkout";
const OPERATOR: &str = "system:serviceaccount:signet-system:checkout";

#[tokio::test]
async fn a_bound_token_of_a_living_pod_is_its_workload_and_is_asked_for_once() {
    let server = Arc::new(ApiServer::default());
    let authenticator = server.start().await;
    *server.user.lock().unwrap() = Some(CHECKOUT);
    *server.pod_uid.lock().unwrap() = Some("uid-1");
    let token = token("a");

    for _ in 0..3 {
        let Ok(Caller::Workload(workload)) = authenticator.authenticate(&token).await else {
            panic!("not a workload");
        };
        assert_eq!(
            (
                workload.namespace.as_str(),
                workload.service_account.as_str()
            ),
            ("shop", "checkout")
        );
        assert_eq!(workload.pod.as_deref(), Some("pod-1"));
        assert_eq!(workload.pod_uid.as_deref(), Some("uid-1"));
    }

    assert_eq!(server.reviews.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn the_configured_service_account_is_the_operator() {
    let server = Arc::new(ApiServer::default());
    let authenticator = server.start().await;
    *server.user.lock().unwrap() = Some(OPERATOR);
    *server.pod_uid.lock().unwrap() = Some("uid-1");

    assert_eq!(
        authenticator.authenticate(&token("a")).await,
        Ok(Caller::Operator)
    );
}

#[tokio::test]
async fn what_the_api_server_denies_is_refused_and_asked_again() {
    let server = Arc::new(ApiServer::default());
    let authenticator = server.start().await;
    let token = token("a");

    for (user, pod_uid) in [
        (CHECKOUT, None),
        (CHECKOUT, Some("uid-2")),
        ("nobody", Some("uid-1")),
    ] {
        *server.user.lock().unwrap() = Some(user);
        *server.pod_uid.lock().unwrap() = pod_uid;
        let refused = authenticator.authenticate(&token).await.unwrap_err();
        assert!(
            matches!(refused, AuthenticationError::Refused(_)),
            "{refused:?}"
        );
    }

    // A refusal is not remembered: the pod may only just have been seen.
    *server.user.lock().unwrap() = Some(CHECKOUT);
    *server.pod_uid.lock().unwrap() = Some("uid-1");
    assert!(authenticator.authenticate(&token).await.is_ok());
}

#[tokio::test]
async fn garbage_never_reaches_the_api_server() {
    let server = Arc::new(ApiServer::default());
    let authenticator = server.start().await;

    for garbage in ["x", "a.b.c", "e30.e30.c2ln"] {
        let refused = authenticator.authenticate(garbage).await.unwrap_err();
        assert!(
            matches!(refused, AuthenticationError::Refused(_)),
            "{refused:?}"
        );
    }

    assert_eq!(server.reviews.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn an_api_server_that_fails_or_is_away_proves_nothing_against_a_token() {
    let server = Arc::new(ApiServer::default());
    let failing = server.start().await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);

    for authenticator in [failing, authenticator(&nobody)] {
        let error = authenticator.authenticate(&token("a")).await.unwrap_err();
        assert!(
            matches!(error, AuthenticationError::Unavailable(_)),
            "{error:?}"
        );
        assert!(!error.to_string().contains("c2ln"), "a token was repeated");
    }
}
