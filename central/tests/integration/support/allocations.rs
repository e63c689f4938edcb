//! Ranges that are given, and what central tells of them.

use serde_json::Value;

use super::{Answer, Central, central::CHECKOUT, clients::range};

pub(crate) const ALLOCATIONS: &str = "/api/v1/allocations";
pub(crate) const ACME: &str = "/api/v1/tenants/acme/allocations";

/// Gives acme so many ranges; which ones.
pub(crate) async fn give(central: &Central, times: usize) -> Vec<(u64, u64)> {
    let mut given = Vec::new();
    for _ in 0..times {
        let answer = central.allocate(CHECKOUT, "acme", 1).await.unwrap();
        given.push(range(answer.into_inner()));
    }
    given
}

/// Where the store ends.
pub(crate) async fn head(central: &Central) -> u64 {
    let last = central
        .ask("/api/v1/events?direction=backward&limit=1")
        .await;
    last.body["events"][0]["position"].as_u64().unwrap()
}

/// What is answered when everything stored has to be in it.
pub(crate) async fn current(central: &Central, path: &str) -> Answer {
    let sign = if path.contains('?') { '&' } else { '?' };
    let head = head(central).await;
    let answer = central
        .ask(&format!("{path}{sign}min_position={head}"))
        .await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    assert!(answer.body["as_of"].as_u64().unwrap() >= head);
    answer
}

/// The ranges of an answer, the oldest first.
pub(crate) fn ranges(answer: &Answer) -> Vec<(u64, u64)> {
    let number = |value: &Value| value.as_str().unwrap().parse().unwrap();
    let starts = answer.all("allocations", "start");
    let ends = answer.all("allocations", "end");
    let mut ranges: Vec<_> = starts
        .iter()
        .zip(&ends)
        .map(|(start, end)| (number(start), number(end)))
        .collect();
    ranges.reverse();
    ranges
}
