use std::{sync::Arc, time::Duration};

use eventstore::{Append, ExpectedVersion, NewEvent, Options, Position, StreamKey, StreamWrite};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{Content, Directory, ProjectionError};
use crate::{
    aggregates::{Generator, Role, Tenant},
    metrics::Metrics,
};

struct Fixture {
    store: Arc<dyn eventstore::EventStore>,
    directory: Arc<Directory>,
}

impl Fixture {
    async fn new() -> Self {
        let store = eventstore::open("sqlite::memory:", Options::default())
            .await
            .unwrap();
        let metrics = Arc::new(Metrics::new().unwrap());
        let directory = Arc::new(Directory::new(Arc::clone(&store), metrics));
        Self { store, directory }
    }

    fn follow(&self) -> tokio::task::JoinHandle<Result<(), ProjectionError>> {
        let directory = Arc::clone(&self.directory);
        tokio::spawn(async move { directory.run(CancellationToken::new()).await })
    }

    /// Appends one event and waits until the read models have it.
    async fn happened(
        &self,
        stream: StreamKey,
        event_type: &str,
        data: serde_json::Value,
    ) -> Position {
        let position = self.append(stream, event_type, data).await;
        self.directory.reached_soon(position).await.unwrap();
        position
    }

    async fn append(
        &self,
        stream: StreamKey,
        event_type: &str,
        data: serde_json::Value,
    ) -> Position {
        let events = vec![NewEvent::new(event_type, 1, data)];
        let write = StreamWrite {
            stream,
            expected: ExpectedVersion::Any,
            events,
        };
        self.store
            .append(Append::new(vec![write]))
            .await
            .unwrap()
            .last
    }

    async fn declare(&self, namespaces: &[&str], audience: &str) -> Position {
        let spec = json!({
            "name": "acme",
            "displayName": "Acme",
            "namespaces": namespaces,
            "tokens": {
                "algorithm": "ES256",
                "accessTokenLifetimeSeconds": 900,
                "refreshTokenLifetimeSeconds": 604_800,
                "audiences": [audience],
            },
            "keys": { "rotateEverySeconds": 2_592_000, "overlapSeconds": 86_400 },
        });
        let data = json!({ "type": "Changed", "spec": spec });
        self.happened(Tenant::stream("acme"), "TenantChanged", data)
            .await
    }

    async fn role(&self, namespace: &str, name: &str) -> Position {
        let role = json!({
            "namespace": namespace,
            "name": name,
            "rules": [{ "effect": "Allow", "resources": ["a"], "actions": ["b"] }],
        });
        let stream = Role::stream("acme", namespace, name);
        self.happened(
            stream,
            "RoleDeclared",
            json!({ "type": "Declared", "role": role }),
        )
        .await
    }

    fn version(&self, content: Content) -> Position {
        self.directory
            .realm("acme")
            .unwrap()
            .version(content, "shop")
    }
}

#[tokio::test]
async fn a_version_moves_only_with_its_content() {
    let fixture = Fixture::new().await;
    let _following = fixture.follow();
    let founded = fixture.declare(&["shop"], "acme").await;
    assert_eq!(fixture.version(Content::Keys), founded);
    assert_eq!(fixture.version(Content::Generators), founded);

    let role = fixture.role("shop", "reader").await;
    assert_eq!(fixture.version(Content::Policy), role);
    assert_eq!(fixture.version(Content::Keys), founded);

    let audiences = fixture.declare(&["shop"], "other").await;
    assert_eq!(fixture.version(Content::Keys), audiences);
    assert_eq!(fixture.version(Content::Policy), role);

    let namespaces = fixture.declare(&["shop", "more"], "other").await;
    assert_eq!(fixture.version(Content::Keys), audiences);
    assert_eq!(fixture.version(Content::Policy), namespaces);
}

#[tokio::test]
async fn a_range_that_is_given_out_is_no_change_of_its_generator() {
    let fixture = Fixture::new().await;
    let _following = fixture.follow();
    fixture.declare(&["shop"], "acme").await;
    let spec = json!({
        "algorithm": { "segment": { "start": 1, "max": 1000, "step": 10 } },
        "buffer": { "capacity": 10, "refillAtPercent": 10, "outageBudgetSeconds": 1 },
    });
    let data = json!({ "type": "Declared", "namespace": "shop", "spec": spec });
    let stream = Generator::stream("acme", "order-id");
    let declared = fixture.happened(stream.clone(), "Declared", data).await;
    assert_eq!(fixture.version(Content::Generators), declared);

    let range = json!({ "start": 1, "end": 11, "stride": 1, "epoch": 1 });
    let data =
        json!({ "type": "RangeAllocated", "namespace": "shop", "range": range, "owner": "o" });
    fixture
        .happened(stream.clone(), "RangeAllocated", data)
        .await;
    assert_eq!(fixture.version(Content::Generators), declared);
    let realm = fixture.directory.realm("acme").unwrap();
    assert_eq!(realm.generators_of("shop").next().unwrap().1.next, 11);

    let data = json!({ "type": "Removed", "namespace": "shop" });
    let removed = fixture.happened(stream, "Removed", data).await;
    assert_eq!(fixture.version(Content::Generators), removed);
    assert_eq!(
        fixture
            .directory
            .realm("acme")
            .unwrap()
            .all_generators()
            .count(),
        0
    );
}

#[tokio::test]
async fn a_role_counts_only_while_its_namespace_is_the_tenant_s() {
    let fixture = Fixture::new().await;
    let _following = fixture.follow();
    fixture.declare(&["shop"], "acme").await;
    fixture.role("shop", "reader").await;
    fixture.role("foreign", "writer").await;

    let realm = fixture.directory.realm("acme").unwrap();
    assert_eq!(realm.roles().count(), 1);
    assert_eq!(realm.all_roles().count(), 2);
    assert_eq!(realm.policy().len(), 1);

    fixture.declare(&["shop", "foreign"], "acme").await;
    assert_eq!(fixture.directory.realm("acme").unwrap().policy().len(), 2);
    // The snapshot taken before is as it was.
    assert_eq!(realm.policy().len(), 1);
}

#[tokio::test]
async fn an_event_that_is_not_understood_stops_the_read_models() {
    let fixture = Fixture::new().await;
    let following = fixture.follow();
    let data = json!({ "type": "Transmogrified" });

    fixture
        .append(Tenant::stream("acme"), "TenantTransmogrified", data)
        .await;

    let error = following.await.unwrap().unwrap_err();
    assert!(
        error.to_string().contains("TenantTransmogrified"),
        "{error}"
    );
}

#[tokio::test]
async fn a_stream_of_another_part_is_passed_over() {
    let fixture = Fixture::new().await;
    let _following = fixture.follow();

    let stream = StreamKey::new("acme", "invoice", "1");
    fixture.happened(stream, "InvoiceSent", json!({})).await;

    assert!(!fixture.directory.realm("acme").unwrap().exists());
}

#[tokio::test]
async fn a_position_that_does_not_come_is_not_waited_for_for_ever() {
    let fixture = Fixture::new().await;
    tokio::time::pause();

    let waited = fixture.directory.reached_soon(Position(7));
    let waited = tokio::time::timeout(Duration::from_secs(60), waited).await;

    assert_eq!(waited.unwrap().unwrap_err().code(), "SIGNET-CENTRAL-0012");
}
