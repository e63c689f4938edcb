//! Nothing of one tenant reaches another; not even whether it exists.

use protocol::v1::{
    AllocateRangeRequest, Content, DeleteTenantRequest, DeletionPolicy, Held, Hello,
    SubscribeRequest, subscribe_request::Message,
};
use tonic::{Code, Status};

use crate::support::{
    Central, Database,
    central::{ADMINISTRATOR, BASE_URL, BILLING, CHECKOUT, OPERATOR, STRANGER},
    clients::range,
    samples::{applied_role, role, tenant},
    with_bearer,
};

async fn subscribe(central: &Central, bearer: &str, tenant: &str) -> Result<(), Status> {
    let hello = SubscribeRequest {
        message: Some(Message::Hello(Hello {
            tenant: tenant.into(),
            wants: vec![Held {
                content: Content::Policy.into(),
                version: 0,
                store: String::new(),
            }],
            instance: "i".into(),
        })),
    };
    let request = with_bearer(bearer, tokio_stream::iter([hello]));
    central.sync().await.subscribe(request).await.map(|_| ())
}

#[tokio::test]
async fn a_foreign_tenant_and_a_missing_one_are_refused_alike() {
    let central = Central::on(&Database::sqlite()).await;
    central.furnish().await;

    for bearer in [BILLING, STRANGER] {
        for call in ["subscribe", "allocate", "exchange"] {
            let mut messages = Vec::new();
            for tenant in ["acme", "none"] {
                let status = match call {
                    "subscribe" => subscribe(&central, bearer, tenant).await.unwrap_err(),
                    "allocate" => central.allocate(bearer, tenant, 1).await.unwrap_err(),
                    _ => central.exchange(bearer, tenant, "").await.unwrap_err(),
                };
                assert_eq!(status.code(), Code::PermissionDenied, "{call} {tenant}");
                messages.push(status.message().replace(tenant, "…"));
            }
            assert_eq!(
                messages[0], messages[1],
                "{call} tells whether a tenant exists"
            );
        }
    }
}

#[tokio::test]
async fn namesakes_of_two_tenants_count_for_themselves() {
    let central = Central::on(&Database::sqlite()).await;
    central.furnish().await;

    // The same name, the same numbers: two id spaces.
    let acme = range(
        central
            .allocate(CHECKOUT, "acme", 1)
            .await
            .unwrap()
            .into_inner(),
    );
    let bank = range(
        central
            .allocate(BILLING, "bank", 1)
            .await
            .unwrap()
            .into_inner(),
    );

    assert_eq!(acme, (1, 1001));
    assert_eq!(bank, (1, 1001));
    let events = central
        .look("/api/v1/tenants/acme/events?limit=1000")
        .await
        .to_string();
    assert!(!events.contains("billing-1"), "{events}");
}

#[tokio::test]
async fn a_generator_of_another_namespace_is_unknown() {
    let central = Central::on(&Database::sqlite()).await;
    central.furnish().await;
    let mut provision = central.provision().await;
    let wider = tenant("acme", &["shop", "nowhere"]);
    provision
        .apply_tenant(with_bearer(OPERATOR, wider))
        .await
        .unwrap();

    let answer = central
        .allocate(STRANGER, "acme", 1)
        .await
        .unwrap()
        .into_inner();

    use protocol::v1::allocate_range_response::Outcome;
    assert!(
        matches!(answer.outcome, Some(Outcome::UnknownGenerator(_))),
        "{answer:?}"
    );
}

#[tokio::test]
async fn an_invented_generator_leaves_nothing_behind() {
    let central = Central::on(&Database::sqlite()).await;
    central.furnish().await;
    let before = central.look("/api/v1/tenants/acme/events?limit=1000").await;

    let request = AllocateRangeRequest {
        tenant: "acme".into(),
        generator: "../../bank/order-id".into(),
        count: 1,
        instance: String::new(),
    };
    central
        .sync()
        .await
        .allocate_range(with_bearer(CHECKOUT, request))
        .await
        .unwrap();

    assert_eq!(
        central.look("/api/v1/tenants/acme/events?limit=1000").await,
        before
    );
}

#[tokio::test]
async fn a_namespace_that_changes_hands_loses_the_former_tenant() {
    let central = Central::on(&Database::sqlite()).await;
    central.furnish().await;
    let mut provision = central.provision().await;
    assert!(central.exchange(CHECKOUT, "acme", "").await.is_ok());

    provision
        .apply_tenant(with_bearer(OPERATOR, tenant("acme", &["other"])))
        .await
        .unwrap();

    for status in [
        central.exchange(CHECKOUT, "acme", "").await.unwrap_err(),
        central.allocate(CHECKOUT, "acme", 1).await.unwrap_err(),
        subscribe(&central, CHECKOUT, "acme").await.unwrap_err(),
    ] {
        assert_eq!(status.code(), Code::PermissionDenied);
    }
    // Its roles no longer count, though they are still declared.
    let roles = central.look("/api/v1/tenants/acme/roles").await;
    assert_eq!(roles["roles"][0]["counts"], false);
}

#[tokio::test]
async fn a_role_gives_nothing_in_another_tenant() {
    let central = Central::on(&Database::sqlite()).await;
    central.furnish().await;
    let mut provision = central.provision().await;
    // A role of bank that names acme's service account as its subject.
    let mut cunning = role("bank", "bank", "thief", "checkout");
    cunning.spec.as_mut().unwrap().subjects[0].namespace = "shop".into();
    applied_role(
        provision
            .apply_role(with_bearer(OPERATOR, cunning))
            .await
            .unwrap(),
    );

    let status = central.exchange(CHECKOUT, "bank", "").await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    let roles = central.look("/api/v1/tenants/acme/roles").await.to_string();
    assert!(!roles.contains("thief"), "{roles}");
}

/// The status of `GET path` with a bearer token.
async fn status(central: &Central, bearer: &str, path: &str) -> u16 {
    let call = central.http.get(central.url(path)).bearer_auth(bearer);
    call.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn a_tenants_own_token_opens_what_its_roles_allow_and_nothing_of_another() {
    const EVENTS: &str = "/api/v1/tenants/acme/events";
    let central = Central::on(&Database::sqlite()).await;
    central.furnish().await;
    let issuer = format!("{BASE_URL}/t/acme");
    let token = async |audience: &str| {
        let issued = central.exchange(CHECKOUT, "acme", audience).await.unwrap();
        issued.access_token
    };
    let for_central = token(&issuer).await;

    assert_eq!(status(&central, &for_central, EVENTS).await, 403);

    let mut auditor = role("acme", "shop", "auditor", "checkout");
    let rule = &mut auditor.spec.as_mut().unwrap().rules[0];
    rule.resources = vec!["signet/events".into()];
    let mut provision = central.provision().await;
    let applied = provision.apply_role(with_bearer(OPERATOR, auditor)).await;
    applied_role(applied.unwrap());

    assert_eq!(status(&central, &for_central, EVENTS).await, 200);
    let elsewhere = [
        ("/api/v1/tenants/acme/keys", 403),
        ("/api/v1/tenants/bank/events", 401),
        ("/api/v1/tenants/none/events", 401),
        ("/api/v1/tenants", 401),
        ("/metrics", 401),
    ];
    for (path, refused) in elsewhere {
        assert_eq!(
            status(&central, &for_central, path).await,
            refused,
            "{path}"
        );
    }
    // One that was meant for an application, which must not be able to use it here.
    assert_eq!(status(&central, &token("acme").await, EVENTS).await, 401);
}

#[tokio::test]
async fn a_tenant_is_not_told_how_much_all_write() {
    let central = Central::on(&Database::sqlite()).await;
    central.furnish().await;
    let who = ("acme", "shop", "checkout", CHECKOUT);
    for (resource, path, status) in [
        ("signet/events", "events?after=999999", 400),
        ("signet/events", "events?min_position=999999", 503),
        (
            "signet/events",
            "streams/tenant/acme?min_position=999999",
            503,
        ),
        ("signet/allocations", "allocations?min_position=999999", 503),
        ("signet/tenant", "?min_position=999999", 503),
    ] {
        let token = central.token_for(who, resource, &["read"]).await;
        let path = format!("/api/v1/tenants/acme/{path}").replace("/?", "?");
        let answer = central.call(&token, "GET", &path, None).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
        let said = answer.message().replace("999999", "");
        assert!(
            !said.contains(|c: char| c.is_ascii_digit()),
            "{path}: {said}"
        );
    }
    let all = central.ask("/api/v1/events?after=999999").await;
    assert!(
        all.message().contains("ends at position"),
        "{}",
        all.message()
    );
}

#[tokio::test]
async fn a_tenant_that_is_a_filter_has_to_be_one() {
    let central = Central::on(&Database::sqlite()).await;
    central.furnish().await;
    let close = DeleteTenantRequest {
        name: "bank".into(),
        deletion_policy: DeletionPolicy::Delete.into(),
    };
    let mut provision = central.provision().await;
    let closed = provision.delete_tenant(with_bearer(OPERATOR, close)).await;
    closed.unwrap();

    for (method, path) in [
        ("GET", "events"),
        ("GET", "allocations"),
        ("GET", "checkpoints"),
        ("GET", "dead-letters"),
        ("DELETE", "dead-letters"),
        ("POST", "dead-letters/replay"),
    ] {
        for (tenant, status, code) in [
            ("typo", 404, "SIGNET-CENTRAL-0005"),
            ("", 400, "SIGNET-CENTRAL-0006"),
            // It is deleted, and what it did is still there.
            ("bank", 200, ""),
        ] {
            let path = format!("/api/v1/{path}?tenant={tenant}");
            let answer = central.call(ADMINISTRATOR, method, &path, None).await;
            assert_eq!(
                (answer.status, answer.code()),
                (status, code),
                "{method} {path}"
            );
        }
    }
}
