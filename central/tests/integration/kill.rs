//! Central is killed, as by `kill -9`, while clients allocate: nothing is given twice, and nothing
//! that was given is missing from the record.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use protocol::v1::{AllocateRangeRequest, sync_client::SyncClient};
use serde_json::{Value, json};

use crate::support::{
    Central, Database, Secrets,
    central::{CHECKOUT, OPERATOR},
    clients::{assert_disjoint, range},
    on_each_store, with_bearer,
};

const KILLS: u64 = 6;
const CLIENTS: usize = 4;

on_each_store!(nothing_is_given_twice_whenever_it_is_killed);

/// The real program.
struct Process {
    child: Child,
    url: String,
}

impl Process {
    fn start(secrets: &Secrets, database: &Database) -> Self {
        let callers = secrets.path("callers.json");
        let checkout = json!({ "workload": {
            "namespace": "shop", "serviceAccount": "checkout", "pod": "checkout-1", "podUid": "u"
        } });
        fs::write(
            &callers,
            json!({ (OPERATOR): "operator", (CHECKOUT): checkout }).to_string(),
        )
        .unwrap();
        let flags = secrets.flags(database, &["--static-callers", &callers]);
        let mut child = Command::new(env!("CARGO_BIN_EXE_signet-central"))
            .args(&flags[1..])
            .env_remove("SIGNET_LOG")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = loop {
            let line = lines.next().expect("it ended at its start").unwrap();
            let line: Value = serde_json::from_str(&line).expect("a log line is JSON");
            if line["message"] == "listening" {
                break line["address"].as_str().unwrap().to_owned();
            }
        };
        // What it says later must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            child,
            url: format!("http://{address}"),
        }
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

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
