//! Central is killed, as by `kill -9`, while clients allocate: nothing is given twice, and nothing
//! that was given is missing from the record.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::support::{
    Central, Database, Process, Secrets,
    central::CHECKOUT,
    clients::{assert_disjoint, range},
    on_each_store, with_bearer,
};
use protocol::v1::{AllocateRangeRequest, sync_client::SyncClient};

const KILLS: u64 = 6;
const CLIENTS: usize = 4;

on_each_store!(nothing_is_given_twice_whenever_it_is_killed);

/// Allocates until it is told to stop or central is gone.
async fn allocate(url: String, given: Arc<Mutex<Vec<(u64, u64)>>>, stop: Arc<AtomicBool>) {
    let Ok(mut client) = SyncClient::connect(url).await else {
        return;
    };
    while !stop.load(Ordering::Relaxed) {
        let request = AllocateRangeRequest {
            tenant: "acme".into(),
            generator: "order-id".into(),
            count: 1,
            instance: String::new(),
        };
        match client.allocate_range(with_bearer(CHECKOUT, request)).await {
            Ok(answer) => given.lock().unwrap().push(range(answer.into_inner())),
            Err(_) => return,
        }
    }
}

async fn nothing_is_given_twice_whenever_it_is_killed(database: Database) {
    let secrets = Secrets::new();
    let first = Central::start(&secrets, &database, &[]).await;
    first.furnish().await;
    first.running.stop().await.unwrap();
    let given = Arc::new(Mutex::new(Vec::new()));

    for round in 0..KILLS {
        let process = Process::start(&secrets, &database);
        let stop = Arc::new(AtomicBool::new(false));
        let before = given.lock().unwrap().len();
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let (url, given, stop) = (process.url.clone(), given.clone(), stop.clone());
                tokio::spawn(allocate(url, given, stop))
            })
            .collect();
        // Into the middle of it, at another moment each time.
        crate::support::eventually("ids are given", async || {
            given.lock().unwrap().len() > before + 5
        })
        .await;
        tokio::time::sleep(Duration::from_millis(round * 7)).await;
        process.kill();
        stop.store(true, Ordering::Relaxed);
        for client in clients {
            client.await.unwrap();
        }
    }

    let given = given.lock().unwrap().clone();
    let last = Central::start(&secrets, &database, &[]).await;
    let after = range(
        last.allocate(CHECKOUT, "acme", 1)
            .await
            .unwrap()
            .into_inner(),
    );
    assert!(
        given.iter().all(|(_, end)| *end <= after.0),
        "an id comes again: {after:?}"
    );
    assert_disjoint(given.clone());
    let recorded = recorded(&last).await;
    assert_disjoint(recorded.clone());
    for range in given {
        assert!(
            recorded.contains(&range),
            "{range:?} was given but is not on record"
        );
    }
}

async fn recorded(central: &Central) -> Vec<(u64, u64)> {
    let mut ranges = Vec::new();
    let mut after = 0;
    loop {
        let path = format!("/api/v1/tenants/acme/events?after={after}&limit=1000");
        let page = central.look(&path).await;
        for event in page["events"].as_array().unwrap() {
            if event["event_type"] == "RangeAllocated" {
                let range = &event["data"]["range"];
                ranges.push((
                    range["start"].as_u64().unwrap(),
                    range["end"].as_u64().unwrap(),
                ));
            }
        }
        after = page["next"].as_u64().unwrap();
        if page["end"] == true {
            return ranges;
        }
    }
}
