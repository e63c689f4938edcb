//! Who has which ids, asked of a projection that is built, built anew and taken over by another replica.

use serde_json::Value;

use crate::support::{
    Answer, Central, Database, Process, Secrets,
    central::{ADMINISTRATOR, BILLING, CHECKOUT},
    clients::range,
    eventually, on_each_store, on_postgres,
};

on_each_store!(
    every_range_is_told_with_who_has_it,
    ranges_are_found_by_what_is_known_of_them,
    the_list_comes_page_by_page_also_while_it_grows,
    a_rebuild_takes_nothing_away_meanwhile,
    what_is_cleared_comes_again,
    damaged_documents_are_named_and_made_again,
    a_rebuild_that_cannot_go_on_is_given_up,
    what_is_paused_answers_as_of_then,
    an_event_that_cannot_be_read_stops_it_until_it_is_mended,
);
on_postgres!(
    another_replica_goes_on_when_one_is_killed,
    another_replica_goes_on_when_one_stops,
);

const ALLOCATIONS: &str = "/api/v1/allocations";
const ACME: &str = "/api/v1/tenants/acme/allocations";
const PROJECTION: &str = "/api/v1/projections/allocations";

/// Gives acme so many ranges; which ones.
async fn give(central: &Central, times: usize) -> Vec<(u64, u64)> {
    let mut given = Vec::new();
    for _ in 0..times {
        let answer = central.allocate(CHECKOUT, "acme", 1).await.unwrap();
        given.push(range(answer.into_inner()));
    }
    given
}

/// Where the store ends.
async fn head(central: &Central) -> u64 {
    let last = central
        .ask("/api/v1/events?direction=backward&limit=1")
        .await;
    last.body["events"][0]["position"].as_u64().unwrap()
}

/// What is answered when everything stored has to be in it.
async fn current(central: &Central, path: &str) -> Answer {
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
fn ranges(answer: &Answer) -> Vec<(u64, u64)> {
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

async fn post(central: &Central, deed: &str) {
    let path = format!("{PROJECTION}/{deed}");
    let answer = central.call(ADMINISTRATOR, "POST", &path, None).await;
    assert_eq!(answer.status, 200, "{deed}: {}", answer.body);
}

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

async fn a_rebuild_takes_nothing_away_meanwhile(database: Database) {
    let central = Central::on(&database).await;
    central.furnish().await;
    let mut given = give(&central, 5).await;
    let before = current(&central, ACME).await;
    let former = central.ask(PROJECTION).await.body["active"]["generation"].clone();

    post(&central, "rebuild").await;

    // Whenever it is asked, everything is there, from the old documents or from the new ones.
    eventually("the new documents are asked", async || {
        let answer = central.ask(ACME).await;
        assert_eq!(answer.body["allocations"], before.body["allocations"]);
        let status = central.ask(PROJECTION).await.body;
        status["active"]["generation"] != former && status["building"].is_null()
    })
    .await;
    given.extend(give(&central, 1).await);
    assert_eq!(ranges(&current(&central, ACME).await), given);
}

async fn what_is_cleared_comes_again(database: Database) {
    let central = Central::on(&database).await;
    central.furnish().await;
    let given = give(&central, 3).await;
    let before = current(&central, ACME).await;
    post(&central, "pause").await;

    post(&central, "clear").await;

    assert!(ranges(&central.ask(ACME).await).is_empty());
    post(&central, "resume").await;
    let after = current(&central, ACME).await;
    assert_eq!(after.body["allocations"], before.body["allocations"]);
    assert_eq!(ranges(&after), given);
}

async fn damaged_documents_are_named_and_made_again(database: Database) {
    let central = Central::on(&database).await;
    central.furnish().await;
    let given = give(&central, 2).await;
    // The first is no JSON, the second is not what an allocation looks like.
    for damage in [
        "UPDATE projection_documents SET data = '{'",
        "UPDATE projection_documents SET data = '{\"x\":1}'",
    ] {
        current(&central, ACME).await;
        assert_eq!(database.execute(damage).await, 2);

        let refused = central.ask(ACME).await;

        let told = (refused.status, refused.code());
        assert_eq!(told, (500, "SIGNET-CENTRAL-0020"), "{}", refused.body);
        let message = refused.body["error"]["message"].as_str().unwrap();
        assert!(message.contains("clear the projection"), "{message}");
        post(&central, "clear").await;
    }
    assert_eq!(ranges(&current(&central, ACME).await), given);
}

async fn a_rebuild_that_cannot_go_on_is_given_up(database: Database) {
    const BREAK: &str = "UPDATE events SET schema_version = 99 WHERE position = \
         (SELECT min(position) FROM events WHERE event_type = 'RangeAllocated')";
    let central = Central::on(&database).await;
    central.furnish().await;
    let mut given = give(&central, 2).await;
    current(&central, ACME).await;
    let former = central.ask(PROJECTION).await.body["active"]["generation"].clone();
    assert_eq!(database.execute(BREAK).await, 1);
    post(&central, "rebuild").await;
    eventually("the rebuild has failed", async || {
        central.ask(PROJECTION).await.body["state"] == "failed"
    })
    .await;

    let path = format!("{PROJECTION}/rebuild");
    let answer = central.call(ADMINISTRATOR, "DELETE", &path, None).await;

    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(answer.body["building"].is_null(), "{}", answer.body);
    assert_eq!(answer.body["active"]["generation"], former);
    // The documents that were there go on following.
    given.extend(give(&central, 1).await);
    assert_eq!(ranges(&current(&central, ACME).await), given);
    assert_eq!(central.ask(PROJECTION).await.body["state"], "running");
    let again = central.call(ADMINISTRATOR, "DELETE", &path, None).await;
    assert_eq!(again.status, 200, "{}", again.body);
}

async fn what_is_paused_answers_as_of_then(database: Database) {
    let central = Central::on(&database).await;
    central.furnish().await;
    let given = give(&central, 2).await;
    current(&central, ACME).await;
    post(&central, "pause").await;
    let more = give(&central, 1).await;

    let old = central.ask(ACME).await;
    let head = head(&central).await;
    let late = central.ask(&format!("{ACME}?min_position={head}")).await;

    assert_eq!(ranges(&old), given);
    assert!(old.body["as_of"].as_u64().unwrap() < head);
    assert_eq!((late.status, late.code()), (503, "SIGNET-CENTRAL-0012"));
    eventually("metrics tell that it is paused", async || {
        let series =
            r#"signet_central_document_projection_state{projection="allocations",state="paused"}"#;
        central.metric(series).await == 1.0
    })
    .await;
    post(&central, "resume").await;
    let all = ranges(&current(&central, ACME).await);
    assert_eq!(all, [given, more].concat());
}

async fn an_event_that_cannot_be_read_stops_it_until_it_is_mended(database: Database) {
    const BREAK: &str = "UPDATE events SET schema_version = 99 WHERE position = \
         (SELECT max(position) FROM events WHERE event_type = 'RangeAllocated')";
    const MEND: &str = "UPDATE events SET schema_version = 1 WHERE schema_version = 99";
    let central = Central::on(&database).await;
    central.furnish().await;
    let given = give(&central, 1).await;
    current(&central, ACME).await;
    post(&central, "pause").await;
    let more = give(&central, 1).await;
    assert_eq!(database.execute(BREAK).await, 1);

    post(&central, "resume").await;

    eventually("it has failed", async || {
        central.ask(PROJECTION).await.body["state"] == "failed"
    })
    .await;
    let reason = central.ask(PROJECTION).await.body["reason"].clone();
    let reason = reason.as_str().unwrap();
    let head = head(&central).await;
    assert!(
        reason.contains(&format!("position {head}")) && reason.contains("newer release"),
        "{reason}"
    );
    // What came before can be asked; what is waited for is not there, and nobody is told why.
    assert_eq!(ranges(&central.ask(ACME).await), given);
    let late = central.ask(&format!("{ACME}?min_position={head}")).await;
    assert_eq!((late.status, late.code()), (503, "SIGNET-CENTRAL-0012"));
    assert!(!late.message().contains("release"), "{}", late.message());
    assert_eq!(database.execute(MEND).await, 1);
    post(&central, "resume").await;
    let all = ranges(&current(&central, ACME).await);
    assert_eq!(all, [given, more].concat());
}

/// Who works on the partitions, as the replica at a URL tells.
async fn runners(url: &str) -> Vec<Value> {
    let http = reqwest::Client::new();
    let call = http.get(format!("{url}{PROJECTION}"));
    let answer = call.bearer_auth(ADMINISTRATOR).send().await.unwrap();
    let status: Value = answer.json().await.unwrap();
    let partitions = status["active"]["partitions"].as_array();
    let runners = partitions.into_iter().flatten().map(|one| &one["runner"]);
    runners
        .filter(|runner| !runner.is_null())
        .cloned()
        .collect()
}

async fn another_replica_goes_on_when_one_is_killed(database: Database) {
    let secrets = Secrets::new();
    let first = Central::start(&secrets, &database, &[]).await;
    first.furnish().await;
    first.running.stop().await.unwrap();
    let killed = Process::start(&secrets, &database);
    eventually("it works on both partitions", async || {
        runners(&killed.url).await.len() == 2
    })
    .await;
    let theirs = runners(&killed.url).await;
    let central = Central::start(&secrets, &database, &[]).await;
    let given = give(&central, 2).await;
    current(&central, ACME).await;

    killed.kill();

    let more = give(&central, 2).await;
    eventually("the other one has taken over", async || {
        let ours = runners(&central.url("")).await;
        ours.len() == 2 && ours.iter().all(|runner| !theirs.contains(runner))
    })
    .await;
    let all = ranges(&current(&central, ACME).await);
    assert_eq!(all, [given, more].concat());
}

async fn another_replica_goes_on_when_one_stops(database: Database) {
    let secrets = Secrets::new();
    let stopped = Central::start(&secrets, &database, &[]).await;
    stopped.furnish().await;
    let given = give(&stopped, 1).await;
    current(&stopped, ACME).await;
    let central = Central::start(&secrets, &database, &[]).await;

    stopped.running.stop().await.unwrap();

    // Its leases were given back: this answer does not wait for as long as they would take to run out.
    let more = give(&central, 2).await;
    let all = ranges(&current(&central, ACME).await);
    assert_eq!(all, [given, more].concat());
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
