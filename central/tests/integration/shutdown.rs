//! Central says that it goes, lets go of its streams, and goes.

use protocol::v1::{Content, Held, Hello, SubscribeRequest, subscribe_request::Message};
use tokio_util::sync::CancellationToken;

use crate::support::{Central, Database, Secrets, central::CHECKOUT, eventually, with_bearer};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readiness_goes_first_then_streams_then_the_process() {
    let secrets = Secrets::new();
    let central = Central::start(&secrets, &Database::sqlite(), &["--shutdown-grace", "8s"]).await;
    central.furnish().await;
    let hello = Hello {
        tenant: "acme".into(),
        wants: vec![Held {
            content: Content::Keys.into(),
            version: 0,
            store: String::new(),
        }],
        instance: "i".into(),
    };
    let (say, messages) = tokio::sync::mpsc::channel(1);
    say.send(SubscribeRequest {
        message: Some(Message::Hello(hello)),
    })
    .await
    .unwrap();
    let messages = tokio_stream::wrappers::ReceiverStream::new(messages);
    let mut stream = central
        .sync()
        .await
        .subscribe(with_bearer(CHECKOUT, messages))
        .await
        .unwrap()
        .into_inner();
    stream.message().await.unwrap().unwrap();

    let (ready, http) = (central.url("/ready"), central.http.clone());
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(central.running.run_until(shutdown.clone()));
    assert_eq!(http.get(&ready).send().await.unwrap().status(), 200);
    shutdown.cancel();

    // For a while it still answers, so that nobody is turned away who was sent here.
    eventually(
        "it says that it is not ready",
        async || matches!(http.get(&ready).send().await, Ok(answer) if answer.status() == 503),
    )
    .await;
    // The stream ends without an error, although the sidecar would go on.
    while stream.message().await.unwrap().is_some() {}
    running.await.unwrap().unwrap();
    assert!(http.get(&ready).send().await.is_err());
}
