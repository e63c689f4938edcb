//! Reviews as the API server sends them, through the router and over TLS.

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use kube::core::Resource;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use time::OffsetDateTime;
use tower::ServiceExt;

use super::*;
use crate::certificates::{self, webhook_names};
use crate::injection::{Resources, SidecarSettings};
use crate::metrics::Metrics;
use crate::watch::{Watch, Watched};

fn filled<K>(objects: Vec<Value>) -> Watch<K>
where
    K: Watched + Resource + Clone + std::fmt::Debug + DeserializeOwned + Send + Sync + 'static,
{
    Watch::filled(
        objects
            .into_iter()
            .map(|o| serde_json::from_value(o).unwrap())
            .collect(),
    )
}

fn namespace(name: &str, labels: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
}

fn tenant(name: &str) -> Value {
    json!({
        "apiVersion": "signet.dev/v1alpha1", "kind": "Tenant", "metadata": {"name": name},
        "spec": {
            "namespaces": {"matchLabels": {format!("tenant/{name}"): "yes"}},
            "tokens": {"audiences": [name]},
        },
    })
}

fn injector() -> Arc<Injector> {
    let settings = SidecarSettings {
        image: "signet/sidecar:1".into(),
        image_pull_policy: "IfNotPresent".into(),
        resources: Resources {
            cpu_request: "10m".parse().unwrap(),
            cpu_limit: "1".parse().unwrap(),
            memory_request: "32Mi".parse().unwrap(),
            memory_limit: "128Mi".parse().unwrap(),
        },
        central_url: "https://signet-central.signet-system.svc:7750".into(),
        central_ca: "PEM".into(),
        token_audience: "signet-central".into(),
        token_expiration_seconds: 3600,
        log: "info".into(),
    };
    let enabled = "signet.dev/injection";
    Arc::new(Injector {
        own_namespace: "signet-system".into(),
        settings: Arc::new(move || settings.clone()),
        tenants: filled(vec![tenant("acme"), tenant("globex")]),
        namespaces: filled(vec![
            namespace("shop", json!({enabled: "enabled", "tenant/acme": "yes"})),
            namespace("plain", json!({"tenant/acme": "yes"})),
            namespace("lonely", json!({enabled: "enabled"})),
            namespace(
                "shared",
                json!({enabled: "enabled", "tenant/acme": "yes", "tenant/globex": "yes"}),
            ),
            namespace(
                "signet-system",
                json!({enabled: "enabled", "tenant/acme": "yes"}),
            ),
        ]),
        client: None,
        metrics: Metrics::new().unwrap(),
    })
}

fn review(namespace: &str, change: impl FnOnce(&mut Value)) -> Value {
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"generateName": "checkout-", "creationTimestamp": null, "labels": {}},
        "spec": {"containers": [{"name": "app", "image": "example/app:1", "resources": {}}]},
        "status": {},
    });
    change(&mut pod);
    json!({
        "kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": "0c9a8d74-9cb7-44dd-b98e-09fd62def2f4",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "requestKind": {"group": "", "version": "v1", "kind": "Pod"},
            "requestResource": {"group": "", "version": "v1", "resource": "pods"},
            "namespace": namespace, "operation": "CREATE",
            "userInfo": {
                "username": "system:serviceaccount:kube-system:replicaset-controller",
                "groups": ["system:serviceaccounts", "system:authenticated"],
            },
            "object": pod, "oldObject": null, "dryRun": false,
            "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
        },
    })
}

async fn answered(review: &Value) -> Value {
    let injector = injector();
    let request = Request::post("/mutate-pods")
        .header("content-type", "application/json")
        .body(Body::from(review.to_string()))
        .unwrap();
    let response = injector.router().oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    let review: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(review["kind"], "AdmissionReview");
    assert_eq!(review["apiVersion"], "admission.k8s.io/v1");
    assert_eq!(
        review["response"]["uid"],
        "0c9a8d74-9cb7-44dd-b98e-09fd62def2f4"
    );
    review["response"].clone()
}

/// The pod after the answer's patch, whose bytes kube writes as numbers (Go reads that as it reads
/// base64).
fn patched(review: &Value, answer: &Value) -> Value {
    let patch: Vec<u8> = serde_json::from_value(answer["patch"].clone()).unwrap();
    let patch: json_patch::Patch = serde_json::from_slice(&patch).unwrap();
    let mut pod = review["request"]["object"].clone();
    json_patch::patch(&mut pod, &patch).unwrap();
    pod
}

#[tokio::test]
async fn a_pod_of_a_labelled_namespace_gets_its_sidecar() {
    let review = review("shop", |_| ());
    let answer = answered(&review).await;
    assert_eq!(
        (&answer["allowed"], &answer["patchType"]),
        (&json!(true), &json!("JSONPatch"))
    );
    let pod = patched(&review, &answer);
    assert_eq!(pod["spec"]["initContainers"][0]["name"], "signet");
    assert_eq!(
        pod["metadata"]["annotations"]["signet.dev/injected"],
        "acme"
    );
}

#[tokio::test]
async fn who_did_not_ask_is_left_alone() {
    let opted_out = |pod: &mut Value| {
        pod["metadata"]["labels"] = json!({"signet.dev/injection": "disabled"});
    };
    for review in [
        review("shop", opted_out),
        review("plain", |_| ()),
        review("signet-system", |_| ()),
    ] {
        let answer = answered(&review).await;
        assert_eq!(answer["allowed"], true);
        assert!(answer.get("patch").is_none(), "{answer}");
    }
}

#[tokio::test]
async fn a_pod_label_asks_where_the_namespace_does_not() {
    let asks = |pod: &mut Value| {
        pod["metadata"]["labels"] = json!({"signet.dev/injection": "enabled"});
    };
    assert!(answered(&review("plain", asks)).await["patch"].is_array());
}

#[tokio::test]
async fn what_cannot_be_is_denied_with_code_and_advice() {
    let annotated = |key: &'static str, value: &'static str| {
        move |pod: &mut Value| pod["metadata"]["annotations"] = json!({key: value})
    };
    for (review, code, advice) in [
        (review("lonely", |_| ()), "SIGNET-OPERATOR-0103", "label it"),
        (
            review("shared", |_| ()),
            "SIGNET-OPERATOR-0104",
            "acme, globex",
        ),
        (
            review("shop", annotated("signet.dev/tenant", "globex")),
            "SIGNET-OPERATOR-0106",
            "does not admit",
        ),
        (
            review("shop", annotated("signet.dev/cpu-limit", "much")),
            "SIGNET-OPERATOR-0100",
            "signet.dev/cpu-limit",
        ),
        (
            review("shop", |pod| pod["spec"]["hostNetwork"] = json!(true)),
            "SIGNET-OPERATOR-0102",
            "hostNetwork",
        ),
    ] {
        let answer = answered(&review).await;
        assert_eq!(
            (&answer["allowed"], &answer["status"]["code"]),
            (&json!(false), &json!(403))
        );
        let message = answer["status"]["message"].as_str().unwrap();
        assert!(
            message.starts_with(code) && message.contains(advice),
            "{message}"
        );
    }
}

#[tokio::test]
async fn an_annotation_chooses_among_several_tenants() {
    let review = review("shared", |pod| {
        pod["metadata"]["annotations"] = json!({"signet.dev/tenant": "globex"});
    });
    let pod = patched(&review, &answered(&review).await);
    assert_eq!(
        pod["metadata"]["annotations"]["signet.dev/injected"],
        "globex"
    );
}

#[tokio::test]
async fn a_second_call_for_the_same_pod_changes_nothing() {
    let mut review = review("shop", |_| ());
    let pod = patched(&review, &answered(&review).await);
    review["request"]["object"] = pod;
    let answer = answered(&review).await;
    assert_eq!(answer["allowed"], true);
    assert!(answer.get("patch").is_none(), "{answer}");
}

#[tokio::test]
async fn what_is_no_review_is_a_bad_request() {
    for body in [
        "",
        "{}",
        r#"{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1"}"#,
    ] {
        let request = Request::post("/mutate-pods")
            .body(Body::from(body))
            .unwrap();
        let response = injector().router().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{body}");
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["error"]["code"], "SIGNET-OPERATOR-0062");
        assert!(body["error"]["request_id"].is_string());
    }
}

#[tokio::test]
async fn a_renewed_certificate_is_served_without_a_restart() {
    let now = OffsetDateTime::now_utc();
    let authority = certificates::authority(now).unwrap();
    let trust = || Trust {
        authority: authority.certificate.clone(),
        webhook: certificates::leaf(&authority, &webhook_names("signet-system"), now).unwrap(),
    };
    let (first, second) = (trust(), trust());
    let address: SocketAddr = {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap()
    };
    let (sender, receiver) = watch::channel(first.clone());
    let shutdown = CancellationToken::new();
    let grace = Duration::from_secs(1);
    let server = tokio::spawn(serve(
        address,
        injector(),
        receiver,
        grace,
        shutdown.clone(),
    ));
    presents(address, &authority, &first.webhook).await;
    sender.send(second.clone()).unwrap();
    presents(address, &authority, &second.webhook).await;
    shutdown.cancel();
    server.await.unwrap().unwrap();
}

/// Waits until the server at `address` presents `pair`, under a chain that verifies.
async fn presents(address: SocketAddr, authority: &Pair, pair: &Pair) {
    let expected = CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(authority.certificate.as_bytes()).unwrap())
        .unwrap();
    let config =
        rustls::ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
    let config = Arc::new(config);
    let attempt = || {
        let config = Arc::clone(&config);
        move || -> std::io::Result<CertificateDer<'static>> {
            let name = "signet-operator.signet-system.svc".try_into().unwrap();
            let mut connection = rustls::ClientConnection::new(config, name).unwrap();
            let mut socket = std::net::TcpStream::connect(address)?;
            while connection.is_handshaking() {
                connection.complete_io(&mut socket)?;
            }
            Ok(connection.peer_certificates().unwrap()[0]
                .clone()
                .into_owned())
        }
    };
    let presented = async {
        loop {
            let presented = tokio::task::spawn_blocking(attempt()).await.unwrap();
            if presented.is_ok_and(|presented| presented == expected) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), presented)
        .await
        .unwrap();
}
