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
    metrics: Arc<Metrics>,
    directory: Arc<Directory>,
}

impl Fixture {
    async fn new() -> Self {
        let store = eventstore::open("sqlite::memory:", Options::default())
            .await
            .unwrap();
        Self::over(store)
    }

    /// Read models that start over on a store.
    fn over(store: Arc<dyn eventstore::EventStore>) -> Self {
        let metrics = Arc::new(Metrics::new().unwrap());
        let directory = Directory::new(Arc::clone(&store), Arc::clone(&metrics));
        Self {
            store,
            metrics,
            directory: Arc::new(directory),
        }
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
        self.append_version(stream, event_type, 1, data).await
    }

    async fn append_version(
        &self,
        stream: StreamKey,
        event_type: &str,
        schema_version: u32,
        data: serde_json::Value,
    ) -> Position {
        let events = vec![NewEvent::new(event_type, schema_version, data)];
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
        self.role_of("acme", namespace, name).await
    }

    async fn role_of(&self, tenant: &str, namespace: &str, name: &str) -> Position {
        let stream = Role::stream(tenant, namespace, name);
        self.happened(stream, "RoleDeclared", role(namespace, name))
            .await
    }

    fn roles(&self, tenant: &str) -> Vec<String> {
        let realm = self.directory.realm(tenant).unwrap();
        realm.all_roles().map(|role| role.name.clone()).collect()
    }

    fn version(&self, content: Content) -> Position {
        self.directory
            .realm("acme")
            .unwrap()
            .version(content, "shop")
    }
}

/// An event that declares a role.
fn role(namespace: &str, name: &str) -> serde_json::Value {
    let role = json!({
        "namespace": namespace,
        "name": name,
        "rules": [{ "effect": "Allow", "resources": ["a"], "actions": ["b"] }],
    });
    json!({ "type": "Declared", "role": role })
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

/// A tenant acme with the role `reader` that has met an event of a newer release.
async fn frozen() -> (Fixture, Position) {
    let fixture = Fixture::new().await;
    fixture.follow();
    fixture.declare(&["shop"], "acme").await;
    fixture.role("shop", "reader").await;
    let newer = Role::stream("acme", "shop", "newer");
    let newer = fixture.append_version(newer, "RoleDeclared", 99, role("shop", "newer"));
    let at = newer.await;
    fixture.directory.reached_soon(at).await.unwrap();
    (fixture, at)
}

#[tokio::test]
async fn an_event_that_is_not_understood_freezes_its_tenant_and_nobody_else() {
    let (fixture, at) = frozen().await;
    let policy = fixture.version(Content::Policy);

    let last = fixture.role("shop", "later").await;
    let of_another = fixture.role_of("bank", "bank", "reader").await;

    assert_eq!(fixture.directory.position(), of_another);
    assert!(fixture.directory.following("bank").unwrap().is_some());
    assert_eq!(fixture.roles("bank"), ["reader"]);
    assert!(fixture.directory.following("none").unwrap().is_none());
    // What came behind the event that is missing is left out as well.
    assert!(last > at);
    assert_eq!(fixture.roles("acme"), ["reader"]);
    assert_eq!(fixture.version(Content::Policy), policy);
    assert_eq!(fixture.metrics.tenants_frozen.get(), 1);
    assert_eq!(fixture.metrics.tenants.get(), 1);
}

#[tokio::test]
async fn whoever_decides_by_a_frozen_tenant_is_refused() {
    let (fixture, at) = frozen().await;
    let directory = &fixture.directory;

    for refused in [
        directory.following("acme").err(),
        directory.realm_for("acme", "shop").await.err(),
        directory.open_realm_for("acme", "shop").await.err(),
    ] {
        let refused = refused.unwrap();
        assert_eq!(refused.code(), "SIGNET-CENTRAL-0023");
        assert_eq!(refused.details().unwrap()["position"], at.0);
        let text = refused.to_string();
        let named = format!("position {at}");
        for part in [
            "\"acme\"",
            &named,
            "RoleDeclared (schema 99)",
            "signet events verify",
        ] {
            assert!(text.contains(part), "{part} is not in: {text}");
        }
    }
    // Strangers do not even learn that there is such a tenant.
    let stranger = directory.realm_for("acme", "bank").await.err().unwrap();
    assert_eq!(stranger.code(), "SIGNET-CENTRAL-0003");
}

#[tokio::test]
async fn who_follows_a_tenant_is_woken_when_it_freezes() {
    let fixture = Fixture::new().await;
    fixture.follow();
    fixture.declare(&["shop"], "acme").await;
    let mut changed = fixture.directory.watch("acme").unwrap();
    changed.borrow_and_update();

    let data = json!({ "type": "Transmogrified" });
    let stream = Tenant::stream("acme");
    let at = fixture.append(stream, "TenantTransmogrified", data).await;

    changed.changed().await.unwrap();
    let realm = fixture.directory.realm("acme").unwrap();
    assert_eq!(realm.frozen().unwrap().position, at);
}

#[tokio::test]
async fn read_models_that_start_over_take_in_every_event_again() {
    let (fixture, at) = frozen().await;
    let last = fixture.role("shop", "later").await;

    let again = Fixture::over(Arc::clone(&fixture.store));
    assert!(again.directory.realm("acme").is_none());
    again.follow();
    again.directory.reached_soon(last).await.unwrap();

    assert_eq!(again.roles("acme"), ["reader"]);
    let realm = again.directory.realm("acme").unwrap();
    assert_eq!(realm.frozen().unwrap().position, at);
    assert_eq!(again.metrics.tenants_frozen.get(), 1);
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
