//! What a request changed is found by the request's id, whatever the caller called it.

use protocol::v1::{AllocateRangeRequest, DeleteTenantRequest, DeletionPolicy};
use serde_json::Value;
use tonic::Request;
use uuid::Uuid;

use crate::support::{
    Central, Database,
    central::{CHECKOUT, OPERATOR},
    on_each_store, samples, with_bearer,
};

on_each_store!(
    every_change_is_found_by_the_id_of_its_request,
    a_change_tells_its_trace_and_where_it_came_from,
);

fn with_id<T>(id: &str, mut request: Request<T>) -> Request<T> {
    request
        .metadata_mut()
        .insert("x-request-id", id.parse().unwrap());
    request
}

/// The types of the events that a request caused.
async fn caused(central: &Central, id: &str) -> Vec<Value> {
    let path = format!("/api/v1/events?correlation_id={id}");
    central.ask(&path).await.all("events", "event_type")
}

async fn every_change_is_found_by_the_id_of_its_request(database: Database) {
    let central = Central::on(&database).await;
    central.furnish().await;
    let (mut provision, mut sync) = (central.provision().await, central.sync().await);

    let mut tenant = samples::tenant("acme", &["shop"]);
    tenant.spec.as_mut().unwrap().display_name = "Another".into();
    let tenant = with_id("t:1", with_bearer(OPERATOR, tenant));
    provision.apply_tenant(tenant).await.unwrap();
    let role = samples::role("acme", "shop", "writer", "checkout");
    let role = with_id("r_2", with_bearer(OPERATOR, role));
    provision.apply_role(role).await.unwrap();
    let generator = samples::generator("acme", "shop", "bill-id", 1, 1_000_000, 10);
    let generator = with_id("g.3", with_bearer(OPERATOR, generator));
    provision.apply_id_generator(generator).await.unwrap();
    let uuid = Uuid::from_u128(4).to_string();
    let range = AllocateRangeRequest {
        tenant: "acme".into(),
        generator: "bill-id".into(),
        count: 1,
        instance: String::new(),
    };
    let range = with_id(&uuid, with_bearer(CHECKOUT, range));
    sync.allocate_range(range).await.unwrap();
    let close = DeleteTenantRequest {
        name: "acme".into(),
        deletion_policy: DeletionPolicy::Delete.into(),
    };
    let close = with_id("c-5", with_bearer(OPERATOR, close));
    provision.delete_tenant(close).await.unwrap();

    for (id, expected) in [
        ("t:1", "TenantChanged"),
        ("r_2", "RoleDeclared"),
        ("g.3", "Declared"),
        (uuid.as_str(), "RangeAllocated"),
        ("c-5", "TenantClosed"),
    ] {
        assert_eq!(caused(&central, id).await, [expected], "{id}");
    }
    assert!(caused(&central, "another").await.is_empty());
    // Also those whose caller gave no id have one.
    let all = central.ask("/api/v1/events?limit=1000").await;
    assert_eq!(all.body["end"], true);
    for event in all.body["events"].as_array().unwrap() {
        let id = event["metadata"]["correlation_id"].as_str();
        assert!(id.is_some_and(|id| Uuid::try_parse(id).is_ok()), "{event}");
    }
}

async fn a_change_tells_its_trace_and_where_it_came_from(database: Database) {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    let central = Central::on(&database).await;
    central.furnish().await;
    let declared = async |id: &str, traceparent: Option<String>| {
        let role = samples::role("acme", "shop", id, "checkout");
        let mut role = with_id(id, with_bearer(OPERATOR, role));
        if let Some(traceparent) = traceparent {
            let traceparent = traceparent.parse().unwrap();
            role.metadata_mut().insert("traceparent", traceparent);
        }
        let mut provision = central.provision().await;
        provision.apply_role(role).await.unwrap();
        let path = format!("/api/v1/events?correlation_id={id}");
        central.ask(&path).await.body["events"][0]["metadata"].clone()
    };

    let traced = declared("traced", Some(format!("00-{TRACE}-00f067aa0ba902b7-01"))).await;
    assert_eq!(traced["trace_id"], TRACE, "{traced}");
    assert_eq!(traced["source_ip"], "127.0.0.1");
    for (id, traceparent) in [("untraced", None), ("wrong", Some(TRACE.to_owned()))] {
        let metadata = declared(id, traceparent).await;
        assert!(metadata.get("trace_id").is_none(), "{metadata}");
        assert_eq!(metadata["source_ip"], "127.0.0.1");
    }
}
