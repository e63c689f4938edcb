//! The database goes away and comes back: what needs it says so, what does not goes on.

use std::sync::Arc;

use protocol::v1::Content;
use serde_json::Value;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tonic::Code;

use crate::support::{
    Central, Database, Secrets,
    central::{ADMINISTRATOR, CHECKOUT, OPERATOR},
    clients::range,
    eventually,
    samples::tenant,
    with_bearer,
};
use crate::sync::Sidecar;

/// A wire to the database that can be cut.
struct Wire {
    port: u16,
    whole: Arc<watch::Sender<bool>>,
}

impl Wire {
    async fn to(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let whole = Arc::new(watch::Sender::new(true));
        let state = Arc::clone(&whole);
        tokio::spawn(async move {
            loop {
                let (mut near, _) = listener.accept().await.unwrap();
                let (mut state, target) = (state.subscribe(), target.clone());
                tokio::spawn(async move {
                    if *state.borrow() {
                        let mut far = TcpStream::connect(target).await.unwrap();
                        tokio::select! {
                            _ = copy_bidirectional(&mut near, &mut far) => {}
                            _ = state.wait_for(|whole| !whole) => {}
                        }
                    }
                });
            }
        });
        Self { port, whole }
    }
}

/// How the stream ends.
async fn ended(sidecar: &mut Sidecar) -> Code {
    loop {
        match sidecar.next().await {
            Ok(Some(_)) => {}
            Ok(None) => return Code::Ok,
            Err(status) => return status.code(),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_database_central_serves_what_it_knows() {
    let Some(database) = Database::postgres().await else {
        return;
    };
    let (user, rest) = database.url.rsplit_once('@').unwrap();
    let (host, name) = rest.split_once('/').unwrap();
    let wire = Wire::to(host.to_owned()).await;
    let mut through_wire = database.clone();
    through_wire.url = format!("{user}@127.0.0.1:{}/{name}", wire.port);
    let quick = ["--stream-keepalive", "50ms"];
    let central = Central::start(&Secrets::new(), &through_wire, &quick).await;
    central.furnish().await;
    let mut sidecar = Sidecar::connect(&central, &[(Content::Policy, 0)])
        .await
        .unwrap();
    sidecar.next().await.unwrap();
    let first = range(
        central
            .allocate(CHECKOUT, "acme", 1)
            .await
            .unwrap()
            .into_inner(),
    );
    central.exchange(CHECKOUT, "acme", "").await.unwrap();

    wire.whole.send_replace(false);

    // Nothing is written, and the refusal says that trying again is right.
    let status = central.allocate(CHECKOUT, "acme", 1).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(
        status.metadata().get("signet-code").unwrap(),
        "SIGNET-CENTRAL-0009"
    );
    let mut provision = central.provision().await;
    let request = with_bearer(OPERATOR, tenant("other", &["elsewhere"]));
    assert_eq!(
        provision.apply_tenant(request).await.unwrap_err().code(),
        Code::Unavailable
    );
    let path = central.url("/api/v1/tenants/acme/events");
    let answer = central
        .http
        .get(path)
        .bearer_auth(ADMINISTRATOR)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.headers()["retry-after"], "1");
    assert_eq!(
        answer.json::<Value>().await.unwrap()["error"]["code"],
        "SIGNET-CENTRAL-0009"
    );
    // Keys, discovery and tokens come from memory.
    assert_eq!(central.public("/t/acme/jwks").await.status(), 200);
    assert_eq!(
        central
            .public("/t/acme/.well-known/openid-configuration")
            .await
            .status(),
        200
    );
    assert!(central.exchange(CHECKOUT, "acme", "").await.is_ok());
    eventually("it says that it is not healthy", async || {
        central.public("/health").await.status() == 503
    })
    .await;
    // It does not vouch for what may have been revoked elsewhere, neither to those who listen nor to
    // those who come.
    assert_eq!(ended(&mut sidecar).await, Code::Unavailable);
    let mut another = Sidecar::connect(&central, &[(Content::Policy, 0)])
        .await
        .unwrap();
    assert_eq!(another.next().await.unwrap_err().code(), Code::Unavailable);
    // With no replica ready nobody could reach what is served from memory.
    assert_eq!(central.public("/ready").await.status(), 200);
    let health: Value = central.public("/health").await.json().await.unwrap();
    assert_eq!(health["status"], "degraded");
    assert_eq!(health["components"]["event_store"]["status"], "down");
    assert_eq!(central.public("/live").await.status(), 200);

    wire.whole.send_replace(true);

    eventually("it is healthy again", async || {
        central.public("/health").await.status() == 200
    })
    .await;
    let mut again = Sidecar::connect(&central, &[(Content::Policy, 0)])
        .await
        .unwrap();
    assert!(again.next().await.unwrap().is_some());
    let second = range(
        central
            .allocate(CHECKOUT, "acme", 1)
            .await
            .unwrap()
            .into_inner(),
    );
    assert!(second.0 >= first.1, "{first:?} {second:?}");
    let request = with_bearer(OPERATOR, tenant("other", &["elsewhere"]));
    assert!(provision.apply_tenant(request).await.is_ok());
    central.running.stop().await.unwrap();
    database.drop().await;
}
