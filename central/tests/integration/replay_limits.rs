//! Replays over many events: they stop when they are told to, and only so many run at once.

use eventstore::{Append, ExpectedVersion, NewEvent, StreamKey};
use serde_json::{Value, json};

use crate::support::{
    Answer, Central, Database, central::ADMINISTRATOR, eventually, on_each_store,
};

on_each_store!(
    a_cancelled_replay_stops_before_its_end,
    only_so_many_replays_run_at_once,
);

const REPLAYS: &str = "/api/v1/replays";
const OF_ACME: &str = "/api/v1/tenants/acme/replays";
const OF_BANK: &str = "/api/v1/tenants/bank/replays";
/// Events of each tenant: a replay over them takes many times as long as a call.
const EVENTS: usize = 8_000;
const AT_ONCE: usize = 500;
/// How often it is tried to be faster than a replay.
const TRIES: usize = 20;

async fn with_many_events(database: &Database) -> Central {
    let central = Central::on(database).await;
    central.furnish().await;
    let options = eventstore::Options::default();
    let store = eventstore::open(&database.url, options).await.unwrap();
    for tenant in ["acme", "bank"] {
        for _ in 0..EVENTS / AT_ONCE {
            let event = || NewEvent::new("Counted", 1, json!({}));
            let events = (0..AT_ONCE).map(|_| event()).collect();
            // A stream that central has no business with.
            let stream = StreamKey::new(tenant, "bulk", "one");
            let append = Append::to(stream, ExpectedVersion::Any, events);
            store.append(append).await.unwrap();
        }
    }
    store.close().await;
    central
}

async fn start(central: &Central, path: &str) -> Answer {
    let body = json!({ "purpose": "count" });
    central.call(ADMINISTRATOR, "POST", path, Some(body)).await
}

async fn cancel(central: &Central, id: &Value) {
    let path = format!("{REPLAYS}/{}", id.as_str().unwrap());
    let answer = central.call(ADMINISTRATOR, "DELETE", &path, None).await;
    assert_eq!(answer.status, 200);
}

/// Those that run, are cancelled, until none does.
async fn cancel_all(central: &Central) {
    for replay in central.ask(REPLAYS).await.body["replays"]
        .as_array()
        .unwrap()
    {
        cancel(central, &replay["id"]).await;
    }
    eventually("all have stopped", async || {
        let states = central.ask(REPLAYS).await.all("replays", "state");
        states.iter().all(|state| state != "running")
    })
    .await;
}

async fn a_cancelled_replay_stops_before_its_end(database: Database) {
    let central = with_many_events(&database).await;

    for _ in 0..TRIES {
        let begun = start(&central, REPLAYS).await;
        assert_eq!(begun.status, 202, "{}", begun.body);
        cancel(&central, &begun.body["id"]).await;
        cancel_all(&central).await;
        let path = format!("{REPLAYS}/{}", begun.body["id"].as_str().unwrap());
        let ended = central.ask(&path).await.body;
        if ended["state"] == "done" {
            continue;
        }
        assert_eq!(ended["state"], "cancelled");
        let counted = ended["result"]["events"].as_u64().unwrap();
        assert!(counted < 2 * EVENTS as u64, "{ended}");
        assert!(ended["ended_at"].is_string());
        // It has stopped, and does not only say so.
        let after = start(&central, OF_BANK).await.body["id"].clone();
        eventually("another one has read everything", async || {
            let path = format!("{REPLAYS}/{}", after.as_str().unwrap());
            central.ask(&path).await.body["state"] == "done"
        })
        .await;
        assert_eq!(central.ask(&path).await.body, ended);
        return;
    }
    panic!("no replay was cancelled before its end, in {TRIES} tries");
}

/// Starts them one after the other until one is refused; how many ran, and the refusal.
async fn until_refused(central: &Central, paths: &[&str]) -> Option<(usize, Answer)> {
    for (running, path) in paths.iter().enumerate() {
        let answer = start(central, path).await;
        if answer.status != 202 {
            return Some((running, answer));
        }
    }
    None
}

/// Tries it until none came to its end before the last was asked for.
async fn refused(central: &Central, paths: &[&str]) -> (usize, Answer) {
    for _ in 0..TRIES {
        let refused = until_refused(central, paths).await;
        if let Some(refused) = refused {
            return refused;
        }
        cancel_all(central).await;
    }
    panic!("none of {paths:?} was refused, in {TRIES} tries");
}

async fn only_so_many_replays_run_at_once(database: Database) {
    let central = with_many_events(&database).await;
    let assert_refusal = |answer: &Answer| {
        let told = (answer.status, answer.code());
        assert_eq!(told, (503, "SIGNET-CENTRAL-0032"), "{}", answer.body);
    };

    // A tenant takes them not from the others…
    let (running, refusal) = refused(&central, &[OF_ACME; 3]).await;
    assert_refusal(&refusal);
    assert_eq!(running, 2);
    let of_bank = start(&central, OF_BANK).await;
    assert_eq!(of_bank.status, 202, "{}", of_bank.body);
    cancel_all(&central).await;

    // …and there is a bound for all.
    let (running, refusal) =
        refused(&central, &[OF_ACME, OF_BANK, REPLAYS, REPLAYS, REPLAYS]).await;
    assert_refusal(&refusal);
    assert_eq!(running, 4);
    cancel_all(&central).await;
    let room = start(&central, REPLAYS).await;
    assert_eq!(room.status, 202, "{}", room.body);
    assert_eq!(start(&central, OF_ACME).await.status, 202);
}
