//! Replays through the API: begun, watched to their end, cancelled, and whose they are.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::support::{
    Central, Database,
    central::{ADMINISTRATOR, CHECKOUT},
    eventually, on_each_store,
};

on_each_store!(
    events_are_counted_by_type,
    a_tampered_event_is_named,
    a_replay_can_be_cancelled_and_looked_at,
);

const REPLAYS: &str = "/api/v1/replays";

/// Starts a replay and waits for its end.
async fn replay(central: &Central, path: &str, body: Value) -> Value {
    let begun = central.call(ADMINISTRATOR, "POST", path, Some(body)).await;
    assert_eq!(begun.status, 202, "{}", begun.body);
    let path = format!("{path}/{}", begun.body["id"].as_str().unwrap());
    let last = Arc::new(Mutex::new(Value::Null));
    eventually("the end of the replay", || async {
        let now = central.ask(&path).await.body;
        let ended = now["state"] != "running";
        *last.lock().unwrap() = now;
        ended
    })
    .await;
    let last = last.lock().unwrap();
    last.clone()
}

async fn events_are_counted_by_type(database: Database) {
    let central = Central::on(&database).await;
    central.furnish().await;

    let all = replay(&central, REPLAYS, json!({ "purpose": "count" })).await;
    assert_eq!(all["state"], "done", "{all}");
    assert_eq!(
        (&all["read"], &all["matched"], &all["total"]),
        (&json!(10), &json!(10), &json!(10))
    );
    assert_eq!(all["position"], 10);
    assert_eq!(all["result"]["by_type"]["RoleDeclared"], 2);
    assert_eq!(all["result"]["events"], 10);
    for member in [
        "events_per_second",
        "seconds_left",
        "started_at",
        "ended_at",
    ] {
        assert!(all.get(member).is_some(), "{member}");
    }

    let own = "/api/v1/tenants/acme/replays";
    let acme = replay(&central, own, json!({ "purpose": "count" })).await;
    assert_eq!(acme["result"]["events"], 5);
    let typed = json!({ "purpose": "count", "tenant": "acme", "event_types": ["RoleDeclared"] });
    let typed = replay(&central, REPLAYS, typed).await;
    assert_eq!(typed["result"]["by_type"], json!({ "RoleDeclared": 1 }));
    let stream = json!({
        "purpose": "count", "tenant": "acme", "stream": "tenant/acme", "until_version": 2,
    });
    let stream = replay(&central, REPLAYS, stream).await;
    assert_eq!(stream["result"]["events"], 2);
    let early = json!({ "purpose": "count", "until_time": "2001-01-01T00:00:00Z" });
    assert_eq!(
        replay(&central, REPLAYS, early).await["result"]["events"],
        0
    );
    let bounded = json!({ "purpose": "count", "after": 3, "until": 7 });
    assert_eq!(
        replay(&central, REPLAYS, bounded).await["result"]["events"],
        4
    );

    // The youngest first, page by page.
    let mut seen = Vec::new();
    let mut path = format!("{REPLAYS}?limit=4");
    loop {
        let page = central.ask(&path).await;
        seen.extend(page.all("replays", "id"));
        if page.body["end"] == true {
            break;
        }
        let next = page.body["next"].as_str().unwrap();
        path = format!("{REPLAYS}?limit=4&after={next}");
    }
    assert_eq!(seen.len(), 6);
    assert_eq!(seen[5], all["id"]);
}

async fn a_tampered_event_is_named(database: Database) {
    let central = Central::on(&database).await;
    central.furnish().await;
    let verify = json!({ "purpose": "verify" });
    let sound = replay(&central, REPLAYS, verify.clone()).await;
    assert_eq!(
        (&sound["state"], &sound["result"]["sound"]),
        (&json!("done"), &json!(true)),
        "{sound}"
    );
    assert_eq!(sound["result"]["report"]["events"], 10);

    let forge = "UPDATE events SET event_type = 'RoleForged' \
         WHERE tenant = 'acme' AND event_type = 'RoleDeclared'";
    assert_eq!(database.execute(forge).await, 1);

    let all = replay(&central, REPLAYS, verify.clone()).await;
    assert_eq!(all["state"], "done");
    assert_eq!(all["result"]["sound"], false, "{all}");
    let fault = &all["result"]["first_fault"];
    assert_eq!(
        (&fault["kind"], &fault["tenant"]),
        (&json!("changed"), &json!("acme")),
        "{fault}"
    );
    let forged = central.ask("/api/v1/events?type=RoleForged").await;
    assert_eq!(fault["position"], forged.body["events"][0]["position"]);
    assert_eq!(fault["event_id"], forged.body["events"][0]["id"]);

    let own = |tenant: &str| format!("/api/v1/tenants/{tenant}/replays");
    let acme = replay(&central, &own("acme"), verify.clone()).await;
    assert_eq!(&acme["result"]["first_fault"], fault);
    let bank = replay(&central, &own("bank"), verify).await;
    assert_eq!(bank["result"]["sound"], true);
    assert!(!bank.to_string().contains("acme"), "{bank}");
}

async fn a_replay_can_be_cancelled_and_looked_at(database: Database) {
    let central = Central::on(&database).await;
    central.furnish().await;
    let body = json!({ "purpose": "count" });

    let begun = central
        .call(ADMINISTRATOR, "POST", REPLAYS, Some(body))
        .await;
    let path = format!("{REPLAYS}/{}", begun.body["id"].as_str().unwrap());
    let cancelled = central.call(ADMINISTRATOR, "DELETE", &path, None).await;
    assert_eq!(cancelled.status, 200);
    eventually("its end", || async {
        // It may have come to its end before.
        let state = central.ask(&path).await.body["state"].clone();
        state == "cancelled" || state == "done"
    })
    .await;
    let again = central.call(ADMINISTRATOR, "DELETE", &path, None).await;
    assert_eq!(again.status, 200);

    let missing = format!("{REPLAYS}/00000000-0000-0000-0000-000000000001");
    for method in ["GET", "DELETE"] {
        let answer = central.call(ADMINISTRATOR, method, &missing, None).await;
        assert_eq!((answer.status, answer.code()), (404, "SIGNET-CENTRAL-0030"));
    }
}

#[tokio::test]
async fn a_wrong_replay_is_refused_by_what_is_wrong() {
    let central = Central::on(&Database::sqlite()).await;
    central.furnish().await;
    for (body, name, status) in [
        (json!({}), "purpose", 400),
        (
            json!({ "purpose": "delete" }),
            "purpose: give count or verify",
            400,
        ),
        (
            json!({ "purpose": 1 }),
            "purpose: give count or verify",
            400,
        ),
        (
            json!({ "purpose": null }),
            "purpose: give count or verify",
            400,
        ),
        (
            json!({ "purpose": "count", "event_types": vec!["A"; 3000] }),
            "event_types: give at most 200",
            400,
        ),
        (json!({ "purpose": "count", "strem": "x" }), "strem", 400),
        (
            json!({ "purpose": "count", "stream": "role/x" }),
            "tenant",
            400,
        ),
        (
            json!({ "purpose": "count", "tenant": "acme", "stream": "x" }),
            "stream",
            400,
        ),
        (
            json!({ "purpose": "count", "until_version": 2 }),
            "until_version",
            400,
        ),
        (
            json!({ "purpose": "count", "after": 7, "until": 3 }),
            "until",
            400,
        ),
        (
            json!({ "purpose": "count", "after": 11 }),
            "after: the store ends at position 10",
            400,
        ),
        (
            json!({}),
            "purpose: it has to be given: count or verify",
            400,
        ),
        (
            json!({ "purpose": "count", "after": -1 }),
            "after: give a whole number",
            400,
        ),
        (
            json!({ "purpose": "count", "until_time": "noon" }),
            "until_time: give a time as",
            400,
        ),
        (json!([]), "body: give a JSON object", 400),
        (json!({ "purpose": "verify", "after": 3 }), "purpose", 400),
        (json!({ "purpose": "count", "tenant": "none" }), "none", 404),
        (json!({ "purpose": "count", "tenant": "" }), "tenant: ", 400),
    ] {
        let answer = central
            .call(ADMINISTRATOR, "POST", REPLAYS, Some(body.clone()))
            .await;
        assert_eq!(answer.status, status, "{body}");
        assert!(
            answer.message().contains(name),
            "{body}: {}",
            answer.message()
        );
    }
    let foreign = json!({ "purpose": "count", "tenant": "bank" });
    let path = "/api/v1/tenants/acme/replays";
    let answer = central
        .call(ADMINISTRATOR, "POST", path, Some(foreign))
        .await;
    assert_eq!(answer.status, 400);
    for query in ["after=x", "limit=0", "limit=9999", "page=2"] {
        assert_eq!(
            central.ask(&format!("{REPLAYS}?{query}")).await.status,
            400,
            "{query}"
        );
    }
}

#[tokio::test]
async fn a_tenant_sees_and_cancels_its_own_replays_only() {
    let central = Central::on(&Database::sqlite()).await;
    central.furnish().await;
    let count = json!({ "purpose": "count" });
    let own = "/api/v1/tenants/acme/replays";
    let all = replay(&central, REPLAYS, count.clone()).await;
    let bank = replay(&central, "/api/v1/tenants/bank/replays", count.clone()).await;
    let acme = replay(&central, own, count.clone()).await;
    let path = format!("{own}/{}", acme["id"].as_str().unwrap());

    let routes = [
        ("read", "GET", own, None),
        ("read", "GET", path.as_str(), None),
        ("write", "POST", own, Some(count)),
        ("write", "DELETE", path.as_str(), None),
    ];
    for (action, method, path, body) in routes {
        central
            .assert_scoped("signet/replays", action, (method, path), body)
            .await;
    }

    let who = ("acme", "shop", "checkout", CHECKOUT);
    let token = central
        .token_for(who, "signet/replays", &["read", "write"])
        .await;
    assert_eq!(central.call(&token, "GET", REPLAYS, None).await.status, 401);
    let listed = central.call(&token, "GET", own, None).await;
    assert!(
        listed
            .all("replays", "tenant")
            .iter()
            .all(|tenant| tenant == "acme")
    );
    assert!(listed.all("replays", "id").contains(&acme["id"]));
    for foreign in [&all, &bank] {
        let path = format!("{own}/{}", foreign["id"].as_str().unwrap());
        for method in ["GET", "DELETE"] {
            let answer = central.call(&token, method, &path, None).await;
            assert_eq!((answer.status, answer.code()), (404, "SIGNET-CENTRAL-0030"));
        }
    }
}
