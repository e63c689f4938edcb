use crds::Tenant;
use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::*;

const PATIENCE: Duration = Duration::from_secs(10);

/// The webhook's readiness and the leader wait for the same cache. The store's own signal wakes
/// one of them only.
#[tokio::test]
async fn everybody_who_waits_for_a_cache_hears_that_it_is_filled() {
    let (watch, watcher) = Watch::<Tenant>::new(Arc::default(), Metrics::new().unwrap());
    let first = tokio::spawn({
        let watch = watch.clone();
        async move { watch.ready().await }
    });
    let second = tokio::spawn(async move { watch.ready().await });
    tokio::task::yield_now().await;
    assert!(!first.is_finished() && !second.is_finished());

    watcher.filled.send_replace(true);

    let both = async { tokio::join!(first, second) };
    let (first, second) = tokio::time::timeout(PATIENCE, both).await.unwrap();
    first.unwrap();
    second.unwrap();
}

/// An API server that lists these tenants and then has no news, and the queries it was asked.
fn server(tenants: Value) -> (Client, mpsc::UnboundedReceiver<String>) {
    let (asked, queries) = mpsc::unbounded_channel();
    let list = json!({
        "apiVersion": "signet.dev/v1alpha1", "kind": "TenantList",
        "metadata": { "resourceVersion": "7" }, "items": tenants,
    })
    .to_string();
    let service = tower::service_fn(move |request: Request<Body>| {
        let query = request.uri().query().unwrap_or_default().to_owned();
        let watching = query.contains("watch=true");
        let _ = asked.send(query);
        let list = list.clone();
        async move {
            if watching {
                std::future::pending::<()>().await;
            }
            Ok::<_, std::convert::Infallible>(Response::new(Body::from(list.into_bytes())))
        }
    });
    (Client::new(service, "default"), queries)
}

fn tenant(name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "signet.dev/v1alpha1", "kind": "Tenant",
        "metadata": { "name": name, "uid": name, "resourceVersion": "7" }, "spec": spec,
    })
}

#[tokio::test]
async fn one_undecodable_object_does_not_stop_the_rest_and_no_watch_outlasts_a_load_balancer() {
    let whole =
        json!({ "namespaces": { "matchLabels": { "a": "b" } }, "tokens": { "audiences": ["x"] } });
    let (client, mut queries) = server(json!([
        tenant("broken", json!({ "tokens": "none" })),
        tenant("whole", whole),
    ]));
    let (watch, watcher) = Watch::<Tenant>::new(Arc::default(), Metrics::new().unwrap());
    let stop = CancellationToken::new();
    let running = tokio::spawn(watcher.run(Api::all(client), stop.clone()));

    tokio::time::timeout(PATIENCE, watch.ready()).await.unwrap();

    assert!(watch.get("whole", None).is_some());
    assert!(watch.get("broken", None).is_none());
    assert_eq!(watch.all().len(), 1);
    // It is still known, so that its reconciler can say what is wrong with it.
    let mut known: Vec<_> = watch.references().into_iter().map(|one| one.name).collect();
    known.sort();
    assert_eq!(known, ["broken", "whole"]);
    let seconds = loop {
        let query = tokio::time::timeout(PATIENCE, queries.recv())
            .await
            .unwrap()
            .unwrap();
        if query.contains("watch=true") {
            let seconds = query
                .split('&')
                .find_map(|one| one.strip_prefix("timeoutSeconds="));
            break seconds.unwrap().parse::<u32>().unwrap();
        }
    };
    assert!(seconds < 240, "{seconds} s");
    stop.cancel();
    tokio::time::timeout(PATIENCE, running)
        .await
        .unwrap()
        .unwrap();
}
