//! What administrators see.

use serde_json::Value;

use crate::support::{
    Central, Database,
    central::{ADMINISTRATOR, CHECKOUT},
};

#[tokio::test]
async fn a_tenant_is_shown_with_what_it_owns() {
    let central = Central::on(&Database::sqlite()).await;
    central.furnish().await;
    central.allocate(CHECKOUT, "acme", 1).await.unwrap();

    let tenants = central.look("/api/v1/tenants").await;
    let names: Vec<_> = tenants["tenants"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tenant| &tenant["name"])
        .collect();
    assert_eq!(names, ["acme", "bank"]);
    let tenant = central.look("/api/v1/tenants/acme").await;
    assert_eq!(tenant["standing"], "open");
    assert_eq!(tenant["namespaces"], serde_json::json!(["shop"]));
    let position = tenant["position"].as_u64().unwrap();
    let generators = central
        .look(&format!(
            "/api/v1/tenants/acme/generators?min_position={position}"
        ))
        .await;
    assert_eq!(generators["generators"][0]["name"], "order-id");
    let keys = central.look("/api/v1/tenants/acme/keys").await;
    assert_eq!(keys["keys"][0]["phase"], "active");
    assert!(
        !keys.to_string().contains("\"d\""),
        "a private part was shown"
    );
}

#[tokio::test]
async fn events_are_of_one_tenant_and_paged() {
    let central = Central::on(&Database::sqlite()).await;
    central.furnish().await;

    let mut seen = Vec::new();
    let mut after = 0;
    loop {
        let path = format!("/api/v1/tenants/bank/events?after={after}&limit=2");
        let page = central.look(&path).await;
        let events = page["events"].as_array().unwrap();
        assert!(events.len() <= 2);
        seen.extend(
            events
                .iter()
                .map(|event| event["event_type"].as_str().unwrap().to_owned()),
        );
        after = page["next"].as_u64().unwrap();
        if page["end"] == true {
            break;
        }
    }

    assert_eq!(
        seen,
        [
            "TenantDeclared",
            "TenantKeyAdded",
            "TenantKeyActivated",
            "RoleDeclared",
            "Declared"
        ]
    );
}

#[tokio::test]
async fn a_wrong_parameter_is_refused_by_its_name() {
    let central = Central::on(&Database::sqlite()).await;
    central.furnish().await;

    for (path, status, code) in [
        (
            "/api/v1/tenants/acme/events?limit=0",
            400,
            "SIGNET-CENTRAL-0006",
        ),
        (
            "/api/v1/tenants/acme/events?limit=1001",
            400,
            "SIGNET-CENTRAL-0006",
        ),
        (
            "/api/v1/tenants/acme/events?after=x",
            400,
            "SIGNET-CENTRAL-0006",
        ),
        ("/api/v1/tenants/none/keys", 404, "SIGNET-CENTRAL-0005"),
        (
            "/api/v1/tenants/acme?min_position=999999",
            503,
            "SIGNET-CENTRAL-0012",
        ),
    ] {
        let request = central
            .http
            .get(central.url(path))
            .bearer_auth(ADMINISTRATOR);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), status, "{path}");
        assert_eq!(answer.headers().contains_key("retry-after"), status == 503);
        assert_eq!(
            answer.json::<Value>().await.unwrap()["error"]["code"],
            code,
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_parameter_that_a_path_does_not_take_is_refused_by_its_name() {
    let central = Central::on(&Database::sqlite()).await;
    central.furnish().await;

    for (method, path) in [
        ("GET", "/api/v1/tenants"),
        ("GET", "/api/v1/tenants/acme"),
        ("GET", "/api/v1/tenants/acme/roles"),
        ("GET", "/api/v1/tenants/acme/generators"),
        ("GET", "/api/v1/tenants/acme/keys"),
        ("GET", "/api/v1/tenants/acme/subscriptions"),
        ("GET", "/api/v1/tenants/acme/projections"),
        ("GET", "/api/v1/events/1"),
        ("GET", "/api/v1/replays/1"),
        ("DELETE", "/api/v1/replays/1"),
        ("GET", "/api/v1/projections"),
        ("GET", "/api/v1/projections/allocations"),
        ("POST", "/api/v1/projections/allocations/pause"),
        ("POST", "/api/v1/projections/allocations/resume"),
        ("POST", "/api/v1/projections/allocations/rebuild"),
        ("DELETE", "/api/v1/projections/allocations/rebuild"),
        ("POST", "/api/v1/projections/allocations/clear"),
        ("POST", "/api/v1/projections/allocations/clear-cache"),
        ("POST", "/api/v1/projections/allocations/refresh"),
        ("GET", "/api/v1/subscriptions"),
        ("GET", "/api/v1/subscriptions/retired-keys"),
        ("POST", "/api/v1/subscriptions/retired-keys/pause"),
        ("POST", "/api/v1/subscriptions/retired-keys/resume"),
        ("POST", "/api/v1/dead-letters/retired-keys:1/replay"),
        ("DELETE", "/api/v1/dead-letters/retired-keys:1"),
    ] {
        let path = format!("{path}?limt=3");
        let answer = central.call(ADMINISTRATOR, method, &path, None).await;
        assert_eq!(
            (answer.status, answer.code()),
            (400, "SIGNET-CENTRAL-0006"),
            "{method} {path}: {}",
            answer.body
        );
        let named = &answer.body["error"]["details"]["parameter"];
        assert_eq!(named, "limt", "{method} {path}: {}", answer.body);
    }
}

#[tokio::test]
async fn metrics_count_by_route_and_never_by_what_callers_write() {
    let central = Central::on(&Database::sqlite()).await;
    central.furnish().await;
    central.public("/t/acme/jwks").await;
    central.public("/t/invented/jwks").await;
    central.public("/invented").await;

    let text = central
        .http
        .get(central.url("/metrics"))
        .bearer_auth(ADMINISTRATOR)
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();

    for series in [
        r#"signet_central_requests_total{route="/t/{tenant}/jwks",status="200"} 1"#,
        r#"signet_central_requests_total{route="/t/{tenant}/jwks",status="404"} 1"#,
        r#"signet_central_requests_total{route="/signet.v1.Provision/ApplyTenant",status="Ok"} 2"#,
        r#"signet_central_events_appended_total{stream_type="tenant"} 6"#,
        "signet_central_tenants 2",
        "signet_central_projection_position 10",
    ] {
        assert!(text.contains(series), "{series} is not in:\n{text}");
    }
    assert!(!text.contains("invented"));
}

#[tokio::test]
async fn a_browser_is_asked_for_the_token_and_shown_a_page() {
    let central = Central::on(&Database::sqlite()).await;
    central.furnish().await;
    let visit = async |password: Option<&str>| {
        let call = central
            .http
            .get(central.url("/api/v1/tenants"))
            .header("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
        let call = match password {
            Some(password) => call.basic_auth("anybody", Some(password)),
            None => call,
        };
        call.send().await.unwrap()
    };

    let stranger = visit(None).await;
    assert_eq!(stranger.status(), 401);
    let challenge = stranger.headers()["www-authenticate"].to_str().unwrap();
    assert!(challenge.starts_with("Basic "), "{challenge}");
    assert_eq!(visit(Some("wrong")).await.status(), 401);

    let page = visit(Some(ADMINISTRATOR)).await;
    assert_eq!(page.status(), 200);
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
    let page = page.text().await.unwrap();
    assert!(page.contains("<pre>acme</pre>"), "{page}");

    // Whoever asks for JSON has to bring a bearer token.
    let call = central.http.get(central.url("/api/v1/tenants"));
    let basic = call.basic_auth("anybody", Some(ADMINISTRATOR)).send().await;
    assert_eq!(basic.unwrap().status(), 401);
}
