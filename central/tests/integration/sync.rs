//! The sync stream: the state of the world, again when it changes, and signs of life.

use std::time::Duration;

use protocol::v1::{
    Acknowledgement, Content, DeleteTenantRequest, DeletionPolicy, Held, Hello, SubscribeRequest,
    SubscribeResponse, subscribe_request::Message, subscribe_response::State,
};
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use crate::support::{
    Central, Database, Secrets,
    central::{CHECKOUT, OPERATOR},
    eventually, on_each_store,
    samples::{applied_role, generator, role, tenant},
    with_bearer,
};

const ALL: [Content; 3] = [Content::Keys, Content::Policy, Content::Generators];

on_each_store!(
    everything_is_sent_at_first_and_then_what_changes,
    a_version_that_is_held_is_current,
);

/// A sidecar's end of a stream.
pub(crate) struct Sidecar {
    say: mpsc::Sender<SubscribeRequest>,
    hear: Streaming<SubscribeResponse>,
}

impl Sidecar {
    pub(crate) async fn connect(
        central: &Central,
        held: &[(Content, u64)],
    ) -> Result<Self, Status> {
        let (say, messages) = mpsc::channel(8);
        let wants = held.iter().map(|(content, version)| Held {
            content: (*content).into(),
            version: *version,
            store: String::new(),
        });
        let hello = Hello {
            tenant: "acme".into(),
            wants: wants.collect(),
            instance: "checkout-1".into(),
        };
        say.send(SubscribeRequest {
            message: Some(Message::Hello(hello)),
        })
        .await
        .unwrap();
        let request = with_bearer(CHECKOUT, ReceiverStream::new(messages));
        let hear = central.sync().await.subscribe(request).await?.into_inner();
        Ok(Self { say, hear })
    }

    pub(crate) async fn next(&mut self) -> Result<Option<SubscribeResponse>, Status> {
        timeout(Duration::from_secs(30), self.hear.message())
            .await
            .expect("nothing was heard")
    }

    /// The next message of a content, with its version.
    async fn state(&mut self, content: Content) -> (u64, State) {
        loop {
            let message = self.next().await.unwrap().expect("the stream ended");
            if message.content == i32::from(content) {
                return (message.version, message.state.unwrap());
            }
        }
    }

    /// The next message of a content that is news.
    async fn news(&mut self, content: Content) -> (u64, State) {
        loop {
            let (version, state) = self.state(content).await;
            if !matches!(state, State::Current(_)) {
                return (version, state);
            }
        }
    }

    async fn acknowledge(&self, content: Content, version: u64, refused_because: &str) {
        let acknowledgement = Acknowledgement {
            content: content.into(),
            version,
            refused_because: refused_because.into(),
        };
        let message = Some(Message::Acknowledgement(acknowledgement));
        self.say.send(SubscribeRequest { message }).await.unwrap();
    }
}

fn role_names(state: State) -> Vec<String> {
    let State::Policy(policy) = state else {
        panic!("{state:?}")
    };
    policy.roles.into_iter().map(|role| role.name).collect()
}

async fn everything_is_sent_at_first_and_then_what_changes(database: Database) {
    let central = Central::on(&database).await;
    central.furnish().await;
    let mut sidecar = Sidecar::connect(&central, &ALL.map(|content| (content, 0)))
        .await
        .unwrap();

    let (_, State::Keys(keys)) = sidecar.state(Content::Keys).await else {
        panic!()
    };
    assert_eq!(keys.issuer, "https://signet.test/t/acme");
    assert_eq!(keys.audiences, ["acme", "acme-web"]);
    assert!(keys.jwks.contains("\"ES256\"") && !keys.closed);
    let (policy, state) = sidecar.state(Content::Policy).await;
    assert_eq!(role_names(state), ["reader"]);
    let (_, State::Generators(generators)) = sidecar.state(Content::Generators).await else {
        panic!()
    };
    assert_eq!(generators.generators.len(), 1);
    assert_eq!(generators.generators[0].name, "order-id");

    // A new role arrives, with the position of its event as version.
    let mut provision = central.provision().await;
    let request = role("acme", "shop", "writer", "checkout");
    let applied = applied_role(
        provision
            .apply_role(with_bearer(OPERATOR, request))
            .await
            .unwrap(),
    );
    let (version, state) = sidecar.news(Content::Policy).await;
    assert_eq!(version, applied.position);
    assert!(version > policy);
    assert_eq!(role_names(state), ["reader", "writer"]);

    // So does a new generator.
    let request = generator("acme", "shop", "invoice-id", 1, 1000, 10);
    provision
        .apply_id_generator(with_bearer(OPERATOR, request))
        .await
        .unwrap();
    let (_, State::Generators(generators)) = sidecar.news(Content::Generators).await else {
        panic!()
    };
    assert_eq!(generators.generators.len(), 2);

    // And the end of the tenant.
    let request = DeleteTenantRequest {
        name: "acme".into(),
        deletion_policy: DeletionPolicy::Delete.into(),
    };
    provision
        .delete_tenant(with_bearer(OPERATOR, request))
        .await
        .unwrap();
    let (_, State::Keys(keys)) = sidecar.news(Content::Keys).await else {
        panic!()
    };
    assert!(keys.closed);
    assert_eq!(keys.jwks, r#"{"keys":[]}"#);
}

async fn a_version_that_is_held_is_current(database: Database) {
    let central = Central::on(&database).await;
    central.furnish().await;
    let mut first = Sidecar::connect(&central, &ALL.map(|content| (content, 0)))
        .await
        .unwrap();
    let mut held = Vec::new();
    for content in ALL {
        held.push((content, first.news(content).await.0));
    }
    // Ranges that are given out change nothing of it.
    central.allocate(CHECKOUT, "acme", 1).await.unwrap();

    let mut again = Sidecar::connect(&central, &held).await.unwrap();

    for (content, version) in held {
        let (current, state) = again.state(content).await;
        assert_eq!(current, version);
        assert!(matches!(state, State::Current(_)), "{content:?} {state:?}");
    }
}

#[tokio::test]
async fn an_allocation_is_no_news_but_life_goes_on() {
    let secrets = Secrets::new();
    let central = Central::start(
        &secrets,
        &Database::sqlite(),
        &["--stream-keepalive", "50ms"],
    )
    .await;
    central.furnish().await;
    let mut sidecar = Sidecar::connect(&central, &[(Content::Generators, 0)])
        .await
        .unwrap();
    let (version, _) = sidecar.news(Content::Generators).await;

    central.allocate(CHECKOUT, "acme", 1).await.unwrap();

    for _ in 0..3 {
        let (current, state) = sidecar.state(Content::Generators).await;
        assert_eq!(current, version);
        assert!(matches!(state, State::Current(_)));
    }
}

#[tokio::test]
async fn acknowledgements_and_streams_are_counted() {
    let central = Central::on(&Database::sqlite()).await;
    central.furnish().await;
    let series = r#"signet_central_sync_streams_current{content="policy"}"#;
    let mut sidecar = Sidecar::connect(&central, &[(Content::Policy, 0)])
        .await
        .unwrap();
    let (version, _) = sidecar.news(Content::Policy).await;
    assert_eq!(central.metric("signet_central_sync_streams").await, 1.0);

    sidecar.acknowledge(Content::Policy, version, "").await;
    eventually("the sidecar counts as current", async || {
        central.metric(series).await == 1.0
    })
    .await;

    sidecar
        .acknowledge(Content::Policy, version, "I cannot read it")
        .await;
    eventually("the sidecar counts no more", async || {
        central.metric(series).await == 0.0
    })
    .await;
    let refused =
        r#"signet_central_sync_acknowledgements_total{content="policy",outcome="refused"}"#;
    assert_eq!(central.metric(refused).await, 1.0);

    drop(sidecar);
    eventually("the stream is gone", async || {
        central.metric("signet_central_sync_streams").await == 0.0
    })
    .await;
}

#[tokio::test]
async fn a_stream_ends_so_that_its_sidecar_proves_itself_anew() {
    let secrets = Secrets::new();
    let central = Central::start(
        &secrets,
        &Database::sqlite(),
        &["--stream-max-age", "200ms"],
    )
    .await;
    central.furnish().await;
    let mut sidecar = Sidecar::connect(&central, &[(Content::Policy, 0)])
        .await
        .unwrap();
    let (version, _) = sidecar.news(Content::Policy).await;

    assert!(
        sidecar.next().await.unwrap().is_none(),
        "the stream goes on"
    );

    // Who is still good comes back without being told anything twice.
    let mut again = Sidecar::connect(&central, &[(Content::Policy, version)])
        .await
        .unwrap();
    assert!(matches!(
        again.state(Content::Policy).await.1,
        State::Current(_)
    ));
    // Whose pod is gone does not.
    central.callers.remove(CHECKOUT);
    let refused = Sidecar::connect(&central, &[(Content::Policy, version)]).await;
    assert_eq!(refused.err().unwrap().code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_namespace_that_leaves_the_tenant_loses_its_stream() {
    let central = Central::on(&Database::sqlite()).await;
    central.furnish().await;
    let mut sidecar = Sidecar::connect(&central, &[(Content::Policy, 0)])
        .await
        .unwrap();
    sidecar.news(Content::Policy).await;

    let mut provision = central.provision().await;
    provision
        .apply_tenant(with_bearer(OPERATOR, tenant("acme", &["other"])))
        .await
        .unwrap();

    let ended = loop {
        match sidecar.next().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the stream ended without a reason"),
            Err(status) => break status,
        }
    };
    assert_eq!(ended.code(), Code::PermissionDenied);
}

#[tokio::test]
async fn a_stream_without_a_greeting_is_refused() {
    let central = Central::on(&Database::sqlite()).await;
    central.furnish().await;

    for message in [
        Message::Acknowledgement(Acknowledgement::default()),
        Message::Hello(Hello {
            tenant: "acme".into(),
            ..Hello::default()
        }),
    ] {
        let stream = tokio_stream::iter([SubscribeRequest {
            message: Some(message),
        }]);
        let status = central
            .sync()
            .await
            .subscribe(with_bearer(CHECKOUT, stream))
            .await
            .unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
    }
}
