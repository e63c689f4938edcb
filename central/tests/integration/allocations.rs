//! Who has which ids, asked of a projection.

use serde_json::Value;

use crate::support::{
    Central, Database,
    allocations::{ACME, ALLOCATIONS, current, give, head, ranges},
    central::{BILLING, CHECKOUT},
    clients::range,
    eventually, on_each_store,
};

on_each_store!(
    every_range_is_told_with_who_has_it,
    ranges_are_found_by_what_is_known_of_them,
    the_list_comes_page_by_page_also_while_it_grows,
);

async fn every_range_is_told_with_who_has_it(database: Database) {
    let central = Central::on(&database).await;
    central.furnish().await;
    assert!(ranges(&current(&central, ACME).await).is_empty());
    let given = give(&central, 2).await;
    let bank = central.allocate(BILLING, "bank", 1).await.unwrap();

    let answer = current(&central, ACME).await;

    assert_eq!(ranges(&answer), given);
    let newest = &answer.body["allocations"][0];
    let events = "/api/v1/tenants/acme/events?type=RangeAllocated&direction=backward";
    let event = &central.ask(events).await.body["events"][0];
    for member in ["position", "recorded_at", "tenant"] {
        assert_eq!(newest[member], event[member], "{member}");
    }
    let range_of_event = &event["data"]["range"];
    assert_eq!(newest["epoch"], range_of_event["epoch"]);
    assert_eq!(newest["start"], range_of_event["start"].to_string());
    let told = [
        ("generator", "order-id"),
        ("namespace", "shop"),
        ("owner", "shop/checkout-1"),
        ("count", "1000"),
        ("stride", "1"),
    ];
    for (member, expected) in told {
        assert_eq!(newest[member], expected, "{member}");
    }

    // Each tenant has its own; administrators see all.
    let own = current(&central, "/api/v1/tenants/bank/allocations").await;
    assert_eq!(ranges(&own), [range(bank.into_inner())]);
    assert_eq!(own.all("allocations", "tenant"), ["bank"]);
    let all = current(&central, ALLOCATIONS).await;
    assert_eq!(all.all("allocations", "tenant"), ["bank", "acme", "acme"]);
    let filtered = current(&central, &format!("{ALLOCATIONS}?tenant=acme")).await;
    assert_eq!(filtered.body["allocations"], answer.body["allocations"]);
    eventually("metrics tell how it stands", async || {
        let series = |name: &str, more: &str| {
            format!(
                r#"signet_central_document_projection_{name}{{projection="allocations"{more}}}"#
            )
        };
        let position = central.metric(&series("position", "")).await;
        position == head(&central).await as f64
            && central
                .metric(&series("state", r#",state="running""#))
                .await
                == 1.0
            && central.metric(&series("lag_events", "")).await == 0.0
            && central.metric(&series("lag_seconds", "")).await == 0.0
    })
    .await;
}

async fn ranges_are_found_by_what_is_known_of_them(database: Database) {
    let central = Central::on(&database).await;
    central.furnish().await;
    let given = give(&central, 3).await;
    let all = current(&central, ACME).await;
    let second = all.body["allocations"][1].clone();
    let (at, id) = (second["recorded_at"].as_str().unwrap(), given[1].0 + 999);

    for (query, expected) in [
        (format!("id={id}"), &given[1..2]),
        (format!("id={}", given[2].1), &[]),
        (format!("from={at}"), &given[1..]),
        (format!("until={at}"), &given[..1]),
        (format!("from={at}&id={}", given[0].0), &[]),
        ("generator=order-id&namespace=shop".into(), &given[..]),
        ("generator=other".into(), &[]),
        ("namespace=bank".into(), &[]),
    ] {
        let found = current(&central, &format!("{ACME}?{query}")).await;
        assert_eq!(ranges(&found), expected, "{query}");
    }
    for (query, name) in [
        ("id=9223372036854775808", "id: "),
        ("id=x", "id: "),
        ("from=yesterday", "from: "),
        ("after=x", "after: "),
        ("limit=0", "limit: "),
        ("limit=1001", "limit: "),
        ("tenant=bank", "tenant: "),
        ("generators=order-id", "generators: "),
    ] {
        let answer = central.ask(&format!("{ACME}?{query}")).await;
        let told = (answer.status, answer.code());
        assert_eq!(told, (400, "SIGNET-CENTRAL-0006"), "{query}");
        assert!(
            answer.message().starts_with(name),
            "{query}: {}",
            answer.message()
        );
    }
}

async fn the_list_comes_page_by_page_also_while_it_grows(database: Database) {
    let central = Central::on(&database).await;
    central.furnish().await;
    let given = give(&central, 7).await;

    let mut seen = Vec::new();
    let mut page = current(&central, &format!("{ACME}?limit=3")).await;
    loop {
        let mut ranges = ranges(&page);
        assert!(ranges.len() <= 3);
        ranges.reverse();
        seen.extend(ranges);
        if page.body["end"] == true {
            break;
        }
        give(&central, 1).await;
        let next = page.body["next"].as_str().unwrap();
        page = current(&central, &format!("{ACME}?limit=3&after={next}")).await;
    }

    seen.reverse();
    assert_eq!(seen, given);
    assert_eq!(page.body["next"], Value::Null);
}

#[tokio::test]
async fn a_tenant_sees_its_own_allocations_only() {
    let central = Central::on(&Database::sqlite()).await;
    central.furnish().await;
    give(&central, 1).await;
    central.allocate(BILLING, "bank", 1).await.unwrap();
    current(&central, ALLOCATIONS).await;

    central
        .assert_scoped("signet/allocations", "read", ("GET", ACME), None)
        .await;
    let who = ("acme", "shop", "checkout", CHECKOUT);
    let token = central
        .token_for(who, "signet/allocations", &["read"])
        .await;
    let own = central.call(&token, "GET", ACME, None).await;
    assert_eq!(own.all("allocations", "tenant"), ["acme"]);
    let all = central.call(&token, "GET", ALLOCATIONS, None).await;
    assert_eq!(all.status, 401);
    let foreign = "/api/v1/tenants/bank/allocations";
    let foreign = central.call(&token, "GET", foreign, None).await;
    assert_eq!(foreign.status, 401);
    let none = central.ask("/api/v1/tenants/none/allocations").await;
    assert_eq!((none.status, none.code()), (404, "SIGNET-CENTRAL-0005"));
}
