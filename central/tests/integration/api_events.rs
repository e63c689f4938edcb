//! Events through the API: filters, pages, and whose they are.

use serde_json::{Value, json};

use crate::support::{
    Central, Database, Secrets,
    central::{ADMINISTRATOR, CHECKOUT},
    eventually, on_each_store,
};

on_each_store!(
    events_of_all_tenants_are_asked_for_by_what_they_are,
    pages_in_both_directions_are_the_same_events,
    an_answer_is_as_new_as_was_asked_for_or_says_that_it_cannot_be,
);

async fn furnished(database: &Database) -> Central {
    let central = Central::on(database).await;
    central.furnish().await;
    central.allocate(CHECKOUT, "acme", 1).await.unwrap();
    central
}

async fn types(central: &Central, query: &str) -> Vec<Value> {
    let answer = central.ask(&format!("/api/v1/events?{query}")).await;
    assert_eq!(answer.status, 200, "{query}: {}", answer.body);
    answer.all("events", "event_type")
}

async fn events_of_all_tenants_are_asked_for_by_what_they_are(database: Database) {
    let central = furnished(&database).await;

    let all = central.ask("/api/v1/events").await;
    let tenants = all.all("events", "tenant");
    assert!(tenants.contains(&json!("acme")) && tenants.contains(&json!("bank")));
    assert_eq!(all.body["end"], true);
    let last = &all.body["events"][10];
    assert_eq!(last["tenant_sequence"], 6);
    assert_eq!(last["hash"].as_str().unwrap().len(), 64);

    assert_eq!(types(&central, "tenant=bank").await.len(), 5);
    let named = types(&central, "type=RoleDeclared,TenantDeclared&tenant=acme").await;
    assert_eq!(named, ["TenantDeclared", "RoleDeclared"]);
    let of_stream = "tenant=acme&stream_type=role&stream_id=shop/reader";
    assert_eq!(types(&central, of_stream).await, ["RoleDeclared"]);
    let between = types(&central, "after=2&before=5").await;
    assert_eq!(between.len(), 2);

    let time = last["recorded_at"].as_str().unwrap();
    let later = types(&central, &format!("from={time}")).await;
    assert_eq!(later.len(), 1);
    let earlier = types(&central, &format!("until={time}")).await;
    assert_eq!(earlier.len(), 10);

    let correlation = last["metadata"]["correlation_id"].as_str().unwrap();
    let caused = types(&central, &format!("correlation_id={correlation}")).await;
    assert_eq!(caused, [last["event_type"].clone()]);
    let nobody = "correlation_id=00000000-0000-0000-0000-000000000001";
    assert!(types(&central, nobody).await.is_empty());

    let one = central.ask("/api/v1/events/11").await;
    assert_eq!(&one.body, last);
}

async fn pages_in_both_directions_are_the_same_events(database: Database) {
    let central = furnished(&database).await;

    let mut walks = Vec::new();
    for (direction, cursor) in [("forward", "after"), ("backward", "before")] {
        let mut seen = Vec::new();
        let mut path = format!("/api/v1/events?limit=3&direction={direction}");
        loop {
            let page = central.ask(&path).await;
            seen.extend(page.all("events", "position"));
            if page.body["end"] == true {
                break;
            }
            let next = &page.body["next"];
            path = format!("/api/v1/events?limit=3&direction={direction}&{cursor}={next}");
        }
        walks.push(seen);
    }

    assert_eq!(walks[0], (1..=11).map(Value::from).collect::<Vec<_>>());
    walks[1].reverse();
    assert_eq!(walks[0], walks[1]);
}

#[tokio::test]
async fn a_wrong_filter_is_refused_by_its_name() {
    let central = furnished(&Database::sqlite()).await;
    for (query, name) in [
        ("limit=1001", "limit"),
        ("after=x", "after"),
        ("after=999999", "after"),
        ("before=999999&direction=backward", "before"),
        ("from=yesterday", "from"),
        ("until=2026-13-01T00:00:00Z", "until"),
        (
            "from=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z",
            "until",
        ),
        ("type=", "type"),
        ("stream_id=%00", "stream_id"),
        ("correlation_id=a%20b", "correlation_id"),
        ("direction=up", "direction"),
        ("tpye=RoleDeclared", "tpye"),
    ] {
        for path in ["/api/v1/events", "/api/v1/tenants/acme/events"] {
            let answer = central.ask(&format!("{path}?{query}")).await;
            assert_eq!(
                (answer.status, answer.code()),
                (400, "SIGNET-CENTRAL-0006"),
                "{query}"
            );
            assert!(
                answer.message().contains(name),
                "{query}: {}",
                answer.message()
            );
            let named = &answer.body["error"]["details"]["parameter"];
            assert_eq!(named, name, "{query}: {}", answer.body);
        }
    }
    for (path, status) in [
        ("/api/v1/tenants/acme/events?tenant=bank", 400),
        ("/api/v1/events/x", 400),
        ("/api/v1/events/0", 404),
        ("/api/v1/events/999999", 404),
        ("/api/v1/tenants/none/events", 404),
    ] {
        assert_eq!(central.ask(path).await.status, status, "{path}");
    }
}

#[tokio::test]
async fn events_of_a_tenant_are_for_those_whom_its_roles_let_read_them() {
    let central = furnished(&Database::sqlite()).await;
    for path in [
        "/api/v1/tenants/acme/events",
        "/api/v1/tenants/acme/events/1",
        "/api/v1/tenants/acme/streams/tenant/acme",
    ] {
        central
            .assert_scoped("signet/events", "read", ("GET", path), None)
            .await;
    }
    let who = ("acme", "shop", "checkout", CHECKOUT);
    let token = central.token_for(who, "signet/events", &["read"]).await;
    for path in ["/api/v1/events", "/api/v1/events/1"] {
        assert_eq!(central.call(&token, "GET", path, None).await.status, 401);
    }

    // One of another tenant is not there, even for administrators.
    let events = central.ask("/api/v1/tenants/bank/events?limit=1").await;
    let position = &events.body["events"][0]["position"];
    let path = format!("/api/v1/tenants/acme/events/{position}");
    for bearer in [token.as_str(), ADMINISTRATOR] {
        let answer = central.call(bearer, "GET", &path, None).await;
        assert_eq!((answer.status, answer.code()), (404, "SIGNET-CENTRAL-0030"));
    }
    let page = central.call(
        &token,
        "GET",
        "/api/v1/tenants/acme/events?limit=1000",
        None,
    );
    let tenants = page.await.all("events", "tenant");
    assert!(tenants.len() > 5 && tenants.iter().all(|tenant| tenant == "acme"));
}

async fn an_answer_is_as_new_as_was_asked_for_or_says_that_it_cannot_be(database: Database) {
    let central = furnished(&database).await;
    let stream = "/api/v1/tenants/acme/streams/role/shop/reader";
    for path in ["/api/v1/events", "/api/v1/tenants/acme/events", stream] {
        let answer = central.ask(&format!("{path}?min_position=11")).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        let beyond = central.ask(&format!("{path}?min_position=12")).await;
        assert_eq!(
            (beyond.status, beyond.code()),
            (503, "SIGNET-CENTRAL-0012"),
            "{path}"
        );
        assert!(beyond.message().contains("12"), "{}", beyond.message());
    }
    // What is ahead by itself is still the caller's mistake.
    let wrong = central.ask("/api/v1/events?after=99&min_position=1").await;
    assert_eq!(wrong.status, 400, "{}", wrong.body);
}

/// The series of reads that went somewhere.
fn reads(went: &str) -> String {
    format!("signet_central_event_reads_total{{went=\"{went}\"}}")
}

/// Nothing listens at the replica's address.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_is_away_keeps_central_neither_from_starting_nor_from_answering() {
    let Some(database) = Database::postgres().await else {
        return;
    };
    let replica = [
        "--database-replica-url",
        "postgres://signet@127.0.0.1:1/signet",
    ];
    let central = Central::start(&Secrets::new(), &database, &replica).await;
    central.furnish().await;

    let events = central.ask("/api/v1/events?min_position=10").await;
    assert_eq!(events.status, 200, "{}", events.body);
    assert_eq!(events.all("events", "position").len(), 10);
    let one = central.ask("/api/v1/events/10").await;
    assert_eq!(one.status, 200, "{}", one.body);
    let stream = "/api/v1/tenants/acme/streams/role/shop/reader";
    assert_eq!(central.ask(stream).await.status, 200);
    eventually("what was meant for the replica is counted", async || {
        central.metric(&reads("away")).await + central.metric(&reads("behind")).await >= 3.0
    })
    .await;
    assert!(central.metric(&reads("replica")).await < 1.0);
    drop(central);
    database.drop().await;
}

/// As good as a replica that is always up to date: the database itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_the_same_when_a_replica_answers() {
    let Some(database) = Database::postgres().await else {
        return;
    };
    let replica = ["--database-replica-url", database.url.as_str()];
    let central = Central::start(&Secrets::new(), &database, &replica).await;
    central.furnish().await;

    for position in 1..=10 {
        let one = central.ask(&format!("/api/v1/events/{position}")).await;
        assert_eq!(one.body["position"], position, "{}", one.body);
    }
    assert_eq!(central.ask("/api/v1/events/11").await.status, 404);
    let events = central.ask("/api/v1/events?min_position=10").await;
    assert_eq!(events.all("events", "position").len(), 10);
    let beyond = central.ask("/api/v1/events?min_position=11").await;
    assert_eq!((beyond.status, beyond.code()), (503, "SIGNET-CENTRAL-0012"));
    let stream = "/api/v1/tenants/acme/streams/tenant/acme";
    assert_eq!(central.ask(stream).await.body["version"], 3);
    // Of these thirteen some may have found it behind, under load.
    eventually("reads of the replica are counted", async || {
        central.metric(&reads("replica")).await >= 7.0
    })
    .await;
    drop(central);
    database.drop().await;
}
