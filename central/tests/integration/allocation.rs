//! Ranges of ids: each given once, whoever asks, however many at a time.

use protocol::v1::{AllocateRangeRequest, allocate_range_response::Outcome};
use tonic::Code;

use crate::support::{
    Central, Database,
    central::{CHECKOUT, OPERATOR},
    clients::{assert_disjoint, range},
    eventually, on_each_store,
    samples::{applied_generator, generator},
    with_bearer,
};

on_each_store!(
    concurrent_callers_get_disjoint_ranges,
    the_count_is_rounded_up_to_steps
);

async fn concurrent_callers_get_disjoint_ranges(database: Database) {
    let central = Central::on(&database).await;
    central.furnish().await;
    let client = central.sync().await;

    let calls = (0..8).map(|caller| {
        let mut client = client.clone();
        tokio::spawn(async move {
            let mut ranges = Vec::new();
            for _ in 0..10 {
                let request = AllocateRangeRequest {
                    tenant: "acme".into(),
                    generator: "order-id".into(),
                    count: 1 + caller * 700,
                    instance: format!("caller-{caller}"),
                };
                let answer = client
                    .allocate_range(with_bearer(CHECKOUT, request))
                    .await
                    .unwrap();
                ranges.push(range(answer.into_inner()));
            }
            ranges
        })
    });
    let mut ranges = Vec::new();
    for call in calls.collect::<Vec<_>>() {
        ranges.extend(call.await.unwrap());
    }

    assert_eq!(ranges.len(), 80);
    let given: u64 = ranges.iter().map(|(start, end)| end - start).sum();
    assert_disjoint(ranges);
    assert_eq!(
        central.metric("signet_central_ids_allocated_total").await,
        given as f64
    );
    let next = (given + 1).to_string();
    // The read models follow.
    eventually("the generator is shown as it is", async || {
        let generators = central.look("/api/v1/tenants/acme/generators").await;
        generators["generators"][0]["next"] == next
    })
    .await;
}

async fn the_count_is_rounded_up_to_steps(database: Database) {
    let central = Central::on(&database).await;
    central.furnish().await;

    let first = range(
        central
            .allocate(CHECKOUT, "acme", 1)
            .await
            .unwrap()
            .into_inner(),
    );
    let second = range(
        central
            .allocate(CHECKOUT, "acme", 1500)
            .await
            .unwrap()
            .into_inner(),
    );

    assert_eq!(first, (1, 1001));
    assert_eq!(second, (1001, 3001));
    // Who has them is on record.
    let events = central.look("/api/v1/tenants/acme/events?limit=1000").await;
    let owners: Vec<_> = events["events"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|event| event["event_type"] == "RangeAllocated")
        .map(|event| event["data"]["owner"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(owners, ["shop/checkout-1", "shop/checkout-1"]);
}

#[tokio::test]
async fn a_small_segment_is_given_out_to_its_last_id_and_then_no_more() {
    let central = Central::on(&Database::sqlite()).await;
    central.furnish().await;
    let request = generator("acme", "shop", "tiny", 1, 25, 10);
    let mut provision = central.provision().await;
    applied_generator(
        provision
            .apply_id_generator(with_bearer(OPERATOR, request))
            .await
            .unwrap(),
    );

    let mut client = central.sync().await;
    let mut ranges = Vec::new();
    loop {
        let request = AllocateRangeRequest {
            tenant: "acme".into(),
            generator: "tiny".into(),
            count: 10,
            instance: String::new(),
        };
        let answer = client
            .allocate_range(with_bearer(CHECKOUT, request))
            .await
            .unwrap();
        match answer.into_inner().outcome {
            Some(Outcome::Range(range)) => ranges.push((range.start, range.end)),
            Some(Outcome::Exhausted(_)) => break,
            other => panic!("{other:?}"),
        }
    }

    assert_eq!(ranges, [(1, 11), (11, 21), (21, 26)]);
}

#[tokio::test]
async fn a_count_out_of_bounds_is_refused() {
    let central = Central::on(&Database::sqlite()).await;
    central.furnish().await;

    for count in [0, u64::MAX] {
        let status = central.allocate(CHECKOUT, "acme", count).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{count}");
    }
}
