//! Files that change: what they declare arrives at the sidecars, and bad input says how to mend it.

use super::world::{World, eventually, role, tenant};

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_role_changes_decisions() {
    let mut world = World::start().await;
    let worker = world.application("shop/worker").await;
    let token = worker.token().await;
    assert_eq!(worker.authorize(&token, "delete").await.1["allowed"], false);

    let changed = tenant("acme", "shop", 1).replace("actions: [read]", "actions: [read, delete]");
    world.write("acme.yaml", &changed);
    world.environment.reload().await.unwrap();

    eventually("the new decision", || async {
        worker.authorize(&token, "delete").await.1["allowed"]
            .as_bool()
            .filter(|allowed| *allowed)
    })
    .await;
    world.environment.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_condition_is_refused_and_a_good_one_heals_it() {
    let mut world = World::start().await;
    let bad = role("acme", "shop", "[read]", ", when: \"request.amount <\"");
    world.write("extra.yaml", &bad.replace("name: orders", "name: extra"));
    world.environment.reload().await.unwrap();
    assert_eq!(
        world.refusal("Role", "shop", "extra").as_deref(),
        Some("InvalidCondition")
    );

    let good = role("acme", "shop", "[read]", ", when: \"request.amount < 5\"");
    world.write("extra.yaml", &good.replace("name: orders", "name: extra"));
    world.environment.reload().await.unwrap();

    assert_eq!(world.refusal("Role", "shop", "extra"), None);
    world.environment.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_tenant_is_refused_until_it_is_declared() {
    let mut world = World::start().await;
    let orphan = role("initech", "office", "[read]", "");
    world.write("orphan.yaml", &orphan);
    world.environment.reload().await.unwrap();
    assert_eq!(
        world.refusal("Role", "office", "orders").as_deref(),
        Some("TenantNotFound")
    );

    world.write("orphan.yaml", &tenant("initech", "office", 1));
    world.environment.reload().await.unwrap();

    assert_eq!(world.refusal("Role", "office", "orders"), None);
    world.environment.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_segment_may_not_shrink() {
    let mut world = World::start().await;
    let shrunk = tenant("acme", "shop", 1).replace("max: 100000001", "max: 50000");
    world.write("acme.yaml", &shrunk);

    world.environment.reload().await.unwrap();

    assert_eq!(
        world.refusal("IdGenerator", "shop", "order-id").as_deref(),
        Some("SegmentShrunk")
    );
    world.environment.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_taken_deletes_nothing() {
    let mut world = World::start().await;
    let worker = world.application("shop/worker").await;
    let token = worker.token().await;
    let file = world.files.path().join("acme.yaml");

    for broken in [
        &b"apiVersion: [signet.dev"[..],
        &b"kind: Tenant"[..],
        b"\xff\xfe",
    ] {
        std::fs::write(&file, broken).unwrap();
        world.environment.reload().await.unwrap();

        let problem = world.environment.require_ready().unwrap_err().to_string();
        assert!(problem.contains("acme.yaml"), "{problem}");
        assert_eq!(world.refusal("Tenant", "", "acme"), None);
        assert_eq!(worker.verify(&token).await.0, 200);
        assert_eq!(worker.authorize(&token, "read").await.1["allowed"], true);
    }
    world.environment.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_tenant_is_closed() {
    let mut world = World::start().await;
    let worker = world.application("shop/worker").await;
    let token = worker.token().await;
    assert_eq!(worker.verify(&token).await.0, 200);

    std::fs::remove_file(world.files.path().join("acme.yaml")).unwrap();
    world.environment.reload().await.unwrap();

    eventually("the refusal of the closed tenant's token", || async {
        (worker.verify(&token).await.0 == 401).then_some(())
    })
    .await;
    world.environment.stop().await;
}
