//! `GET /v1/ids/{generator}`: each id once, whatever happens.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use reqwest::StatusCode;

use super::central::{Allocating, Central, Script, generators};
use super::sidecar_under_test::Sidecar;
use super::until;

const EXHAUSTED: &str = "IDGEN-SEG-1001";
const UNREACHABLE: &str = "IDGEN-SEG-1003";

#[tokio::test]
async fn ids_come_as_text_as_json_and_as_ranges() {
    let central = Central::start(&Script::new());
    let sidecar = Sidecar::ready(&central, &["--generators", "order-id"]).await;
    let one = sidecar.get("/v1/ids/order-id").await;
    assert!(
        one.headers["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/plain")
    );
    assert_eq!((one.text.as_str(), one.ids().len()), ("1", 1));
    assert_eq!(
        sidecar.get("/v1/ids/order-id?count=3").await.text,
        "2\n3\n4"
    );
    assert_eq!(
        sidecar.get_json("/v1/ids/order-id").await.text,
        r#"{"id":"5"}"#
    );
    let several = sidecar.get_json("/v1/ids/order-id?count=2").await;
    assert_eq!(several.text, r#"{"ids":["6","7"]}"#);
    let ranges = sidecar.get("/v1/ids/order-id?count=100&as=ranges").await;
    assert_eq!(
        ranges.text,
        r#"{"ranges":[{"count":100,"start":"8","stride":1}]}"#
    );
}

#[tokio::test]
async fn a_wrong_parameter_is_400_and_an_unknown_generator_404() {
    let central = Central::start(&Script::new());
    let sidecar = Sidecar::ready(&central, &[]).await;
    for query in [
        "count=0",
        "count=10001",
        "count=x",
        "as=xml",
        "cont=3",
        "count=1&count=1",
    ] {
        let answer = sidecar.get(&format!("/v1/ids/order-id?{query}")).await;
        assert_eq!(
            answer.error(),
            (400, "IDGEN-COMMON-0001".to_owned()),
            "{query}"
        );
    }
    for name in ["nothing", "order-id2", "%FF", "a%2Fb"] {
        let answer = sidecar.get(&format!("/v1/ids/{name}")).await;
        assert_eq!(
            answer.error(),
            (404, "IDGEN-COMMON-0006".to_owned()),
            "{name}"
        );
    }
}

#[tokio::test]
async fn ten_thousand_ids_one_by_one_and_in_batches_are_unique_across_two_sidecars() {
    let script = Script::new();
    let central = Central::start(&script);
    let first = Arc::new(Sidecar::ready(&central, &["--generators", "order-id"]).await);
    let second = Arc::new(Sidecar::ready(&central, &["--generators", "order-id"]).await);
    let mut asking = Vec::new();
    for sidecar in [&first, &second] {
        for _ in 0..8 {
            let sidecar = Arc::clone(sidecar);
            asking.push(tokio::spawn(async move {
                let mut given = Vec::new();
                for _ in 0..625 {
                    given.extend(sidecar.get("/v1/ids/order-id").await.ids());
                }
                given
            }));
        }
        let sidecar = Arc::clone(sidecar);
        asking.push(tokio::spawn(async move {
            let mut given = Vec::new();
            for count in [1, 10, 89, 900, 4_000, 5_000] {
                let answer = sidecar
                    .get(&format!("/v1/ids/order-id?count={count}"))
                    .await;
                let ids = answer.ids();
                assert_eq!(ids.len(), count);
                given.extend(ids);
            }
            given
        }));
    }
    let mut all = HashSet::new();
    for given in asking {
        for id in given.await.unwrap() {
            assert!(all.insert(id), "{id} was given twice");
        }
    }
    assert_eq!(all.len(), 30_000);
    let served = r#"signet_sidecar_ids_served_total{generator="order-id"}"#;
    assert_eq!(first.metric(served).await, Some(15_000.0));
}

#[tokio::test]
async fn rings_are_filled_ahead_of_demand_and_no_more_than_asked() {
    let central = Central::start(&Script::new());
    let sidecar = Sidecar::ready(&central, &["--generators", "order-id"]).await;
    let asked = || central.script.allocations.lock().unwrap().clone();
    assert_eq!(asked().len(), 1);
    let first = asked()[0].clone();
    assert_eq!(
        (first.tenant.as_str(), first.generator.as_str()),
        ("acme", "order-id")
    );
    assert_eq!(
        (first.count, first.instance.as_str()),
        (5_000, "checkout-1")
    );
    // One tenth is left: the next range comes before anybody waits.
    sidecar.get("/v1/ids/order-id?count=4500").await.ids();
    until("a second range", async || {
        (asked().len() == 2).then_some(())
    })
    .await;
    let level = until("a full ring", async || {
        sidecar
            .metric(r#"signet_sidecar_ring_level{generator="order-id"}"#)
            .await
            .filter(|level| *level >= 5_000.0)
    })
    .await;
    assert!(level < 6_001.0, "{level}");
}

#[tokio::test]
async fn a_generator_that_was_not_warmed_is_opened_when_it_is_asked_for() {
    let central = Central::start(&Script::new());
    central
        .script
        .send(4, generators(&[("order-id", 5_000), ("invoice-id", 100)]));
    let sidecar = Sidecar::ready(&central, &[]).await;
    assert!(
        central.script.allocations.lock().unwrap().is_empty(),
        "nobody asked"
    );
    assert_eq!(
        sidecar.get("/v1/ids/invoice-id?count=5").await.ids().len(),
        5
    );
    let all = central.script.allocations.lock().unwrap().clone();
    assert!(
        all.iter().all(|one| one.generator == "invoice-id"),
        "{all:?}"
    );
}

#[tokio::test]
async fn a_batch_larger_than_the_buffer_is_served() {
    let script = Script::new();
    script.step.store(10, Ordering::SeqCst);
    script.send(4, generators(&[("order-id", 1_000)]));
    let central = Central::start(&script);
    let sidecar = Sidecar::ready(&central, &["--id-wait", "30s"]).await;
    let ids: HashSet<_> = sidecar
        .get("/v1/ids/order-id?count=10000")
        .await
        .ids()
        .into_iter()
        .collect();
    assert_eq!(ids.len(), 10_000);
}

#[tokio::test]
async fn ids_asked_for_faster_than_they_arrive_are_waited_for_then_503_never_twice() {
    let script = Script::new();
    script.send(4, generators(&[("order-id", 100)]));
    script.step.store(100, Ordering::SeqCst);
    let central = Central::start(&script);
    let sidecar = Sidecar::ready(&central, &["--generators=order-id", "--id-wait=200ms"]).await;
    script.set(Allocating::Waits);
    let mut given = HashSet::new();
    let late = loop {
        let answer = sidecar.get("/v1/ids/order-id").await;
        if answer.status != StatusCode::OK {
            break answer;
        }
        assert!(
            given.insert(answer.text.clone()),
            "{} was given twice",
            answer.text
        );
        assert!(given.len() <= 10_000, "central gives nothing any more");
    };
    assert_eq!(late.error(), (503, EXHAUSTED.to_owned()));
    assert!(late.text.contains("faster than they arrive"), "{late:?}");

    let address = central.kill();
    script.set(Allocating::Gives);
    let _central = Central::start_again(&script, address);
    let again = until("ids again", async || {
        let answer = sidecar.get("/v1/ids/order-id").await;
        (answer.status == StatusCode::OK).then_some(answer.text)
    })
    .await;
    assert!(given.insert(again), "given twice");
}

#[tokio::test]
async fn what_central_says_is_what_the_application_hears() {
    let script = Script::new();
    script.send(4, generators(&[("a", 10), ("b", 10), ("c", 10)]));
    let central = Central::start(&script);
    let sidecar = Sidecar::ready(&central, &["--id-wait=300ms"]).await;
    script.set(Allocating::IsExhausted);
    assert_eq!(
        sidecar.get("/v1/ids/a").await.error(),
        (503, EXHAUSTED.to_owned())
    );
    script.set(Allocating::Fails);
    let failing = sidecar.get("/v1/ids/b").await;
    assert_eq!(failing.error(), (503, UNREACHABLE.to_owned()));
    assert!(failing.text.contains("the store is away"), "{failing:?}");
    script.set(Allocating::KnowsNoSuchGenerator);
    assert_eq!(
        sidecar.get("/v1/ids/c").await.error(),
        (404, "IDGEN-COMMON-0006".to_owned())
    );
    // It heals by itself; a longer segment is noticed when it is declared.
    script.set(Allocating::Gives);
    script.send(5, generators(&[("a", 10), ("b", 10), ("c", 10)]));
    for name in ["a", "b", "c"] {
        until("ids", async || {
            (sidecar.get(&format!("/v1/ids/{name}")).await.status == StatusCode::OK).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_range_that_was_held_before_is_dropped() {
    let script = Script::new();
    script.send(4, generators(&[("order-id", 1_000)]));
    script.set(Allocating::Repeats);
    let central = Central::start(&script);
    let sidecar = Sidecar::ready(&central, &["--generators=order-id", "--id-wait=300ms"]).await;
    let given: HashSet<_> = sidecar
        .get("/v1/ids/order-id?count=1000")
        .await
        .ids()
        .into_iter()
        .collect();
    assert_eq!(given.len(), 1_000);
    assert_eq!(
        sidecar.get("/v1/ids/order-id").await.error(),
        (503, EXHAUSTED.to_owned())
    );
    let dropped = r#"signet_sidecar_ranges_dropped_total{generator="order-id"}"#;
    assert!(sidecar.metric(dropped).await.unwrap() >= 1.0);
}

#[tokio::test]
async fn a_generator_that_is_withdrawn_is_404_and_goes_on_when_it_returns() {
    let central = Central::start(&Script::new());
    let sidecar = Sidecar::ready(&central, &["--generators", "order-id"]).await;
    assert_eq!(sidecar.get("/v1/ids/order-id").await.text, "1");
    central.script.send(4, generators(&[]));
    until("404", async || {
        (sidecar.get("/v1/ids/order-id").await.status == StatusCode::NOT_FOUND).then_some(())
    })
    .await;
    central.script.send(5, generators(&[("order-id", 5_000)]));
    let next = until("ids again", async || {
        let answer = sidecar.get("/v1/ids/order-id").await;
        (answer.status == StatusCode::OK).then(|| answer.ids()[0])
    })
    .await;
    assert!((2..=5_000).contains(&next), "the ring was kept: {next}");
}

#[tokio::test]
async fn a_buffer_that_is_declared_anew_keeps_the_ids() {
    let central = Central::start(&Script::new());
    let sidecar = Sidecar::ready(&central, &["--generators", "order-id"]).await;
    assert_eq!(sidecar.get("/v1/ids/order-id").await.text, "1");
    central.script.send(4, generators(&[("order-id", 50_000)]));
    until("the new capacity", async || {
        let capacity = r#"signet_sidecar_ring_capacity{generator="order-id"}"#;
        (sidecar.metric(capacity).await == Some(50_000.0)).then_some(())
    })
    .await;
    assert_eq!(sidecar.get("/v1/ids/order-id").await.text, "2");
}
