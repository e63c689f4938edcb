//! Aggregates as they were at a version or a time.

use serde_json::{Value, json};

use crate::support::{
    Answer, Central, Database,
    central::{CHECKOUT, OPERATOR},
    on_each_store, samples, with_bearer,
};

on_each_store!(
    an_aggregate_is_shown_as_it_was,
    a_long_stream_is_shown_as_it_was,
);

const STATES: &str = "/api/v1/tenants/acme/states";

async fn state(central: &Central, path: &str) -> Value {
    let answer = central.ask(&format!("{STATES}/{path}")).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    answer.body
}

/// When the events of a stream were recorded.
async fn times(central: &Central, stream: &str) -> Vec<String> {
    let path = format!("/api/v1/tenants/acme/streams/{stream}?limit=1000");
    let times = central.ask(&path).await.all("events", "recorded_at");
    times
        .iter()
        .map(|at| at.as_str().unwrap().to_owned())
        .collect()
}

async fn an_aggregate_is_shown_as_it_was(database: Database) {
    let central = Central::on(&database).await;
    central.furnish().await;
    let mut provision = central.provision().await;
    let mut changed = samples::role("acme", "shop", "reader", "checkout");
    changed.spec.as_mut().unwrap().rules[0].actions = vec!["write".into()];
    let changed = with_bearer(OPERATOR, changed);
    samples::applied_role(provision.apply_role(changed).await.unwrap());
    let actions = |answer: &Value| answer["state"]["role"]["rules"][0]["actions"].clone();

    let now = state(&central, "role/shop/reader").await;
    assert_eq!(
        (&now["version"], actions(&now)),
        (&json!(2), json!(["write"]))
    );
    let stream = json!({ "tenant": "acme", "stream_type": "role", "stream_id": "shop/reader" });
    assert_eq!(now["stream"], stream);
    let before = state(&central, "role/shop/reader?version=1").await;
    assert_eq!(
        (&before["version"], actions(&before)),
        (&json!(1), json!(["read"]))
    );
    let event = format!("/api/v1/events/{}", before["position"]);
    assert_eq!(central.ask(&event).await.body["event_type"], "RoleDeclared");

    // By the times of its events, and by what lies before them.
    let times = times(&central, "role/shop/reader").await;
    for (at, expected) in times.iter().zip([&before, &now]) {
        let then = state(&central, &format!("role/shop/reader?time={at}")).await;
        assert_eq!(&then, expected, "{at}");
    }
    for query in ["time=2001-01-01T00:00:00Z", "version=0"] {
        let none = state(&central, &format!("role/shop/reader?{query}")).await;
        assert_eq!(
            (&none["version"], &none["state"]),
            (&json!(0), &Value::Null)
        );
    }
    for query in ["version=7", "time=2200-01-01T00:00:00Z"] {
        let last = state(&central, &format!("role/shop/reader?{query}")).await;
        assert_eq!(last, now, "{query}");
    }
    let both = format!("role/shop/reader?version=2&time={}", times[0]);
    assert_eq!(state(&central, &both).await, before);

    // A tenant's keys are public ones.
    let tenant = state(&central, "tenant/acme").await;
    assert_eq!(tenant["state"]["keys"].as_array().unwrap().len(), 1);
    let text = tenant.to_string();
    assert!(
        text.contains("\"crv\"") && !text.contains("\"d\""),
        "{text}"
    );
    for (path, status) in [
        ("role/shop/none", 404),
        ("bulk/one", 404),
        ("role/shop/reader?time=yesterday", 400),
        ("role/shop/reader?version=x", 400),
        ("role/shop/reader?at=1", 400),
    ] {
        let Answer { status: got, body } = central.ask(&format!("{STATES}/{path}")).await;
        assert_eq!(got, status, "{path}: {body}");
    }
}

async fn a_long_stream_is_shown_as_it_was(database: Database) {
    let central = Central::on(&database).await;
    central.furnish().await;
    // Enough that there are snapshots in between.
    for _ in 0..25 {
        central.allocate(CHECKOUT, "acme", 1).await.unwrap();
    }
    let times = times(&central, "generator/order-id").await;
    assert_eq!(times.len(), 26);

    for version in 1..=26_u64 {
        let path = format!("generator/order-id?version={version}");
        let then = state(&central, &path).await;
        assert_eq!(then["version"], version);
        assert_eq!(then["state"]["allocations"], version - 1);
        assert_eq!(
            then["state"]["members"]["shop"]["next"],
            (version - 1) * 1000 + 1
        );
        // Several events may be of one moment.
        let at = &times[usize::try_from(version).unwrap() - 1];
        let last = times.iter().rposition(|time| time == at).unwrap() as u64 + 1;
        let by_time = state(&central, &format!("generator/order-id?time={at}")).await;
        assert_eq!(by_time["version"], last, "{at}");
    }
}

#[tokio::test]
async fn a_tenant_sees_states_of_its_own_only() {
    let central = Central::on(&Database::sqlite()).await;
    central.furnish().await;

    let path = format!("{STATES}/role/shop/reader");
    central
        .assert_scoped("signet/events", "read", ("GET", &path), None)
        .await;
    let foreign = central.ask(&format!("{STATES}/tenant/bank")).await;
    assert_eq!(
        (foreign.status, foreign.code()),
        (404, "SIGNET-CENTRAL-0030")
    );
}
