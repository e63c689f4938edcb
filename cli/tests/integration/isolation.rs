//! A second tenant gets nothing of the first.

use std::collections::HashSet;

use super::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_another_tenant_does_not_hold_even_for_the_same_audience() {
    let mut world = World::start().await;
    let acme = world.application("shop/worker").await;
    let globex = world.application("depot/worker").await;
    let foreign = acme.token().await;

    let (verified, reason) = globex.verify(&foreign).await;
    let (authorized, _) = globex.authorize(&foreign, "read").await;

    assert_eq!((verified, authorized), (401, 401), "{reason}");
    let own = globex.token().await;
    assert_eq!(globex.verify(&own).await.0, 200);
    assert_eq!(globex.authorize(&own, "read").await.1["allowed"], true);
    world.environment.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn generators_of_one_name_in_two_tenants_are_strangers() {
    let mut world = World::start().await;
    let acme = world.application("shop/worker").await;
    let globex = world.application("depot/worker").await;
    let (mut of_acme, mut of_globex) = (HashSet::new(), HashSet::new());

    acme.collect("order-id", 1000, &mut of_acme).await;
    globex.collect("order-id", 1000, &mut of_globex).await;

    assert!(
        of_acme.iter().all(|id| *id < 500_000_000),
        "acme was given an id of globex"
    );
    assert!(
        of_globex.iter().all(|id| *id >= 500_000_000),
        "globex was given an id of acme"
    );
    let (status, body) = acme.ids("invoice-id", 1).await;
    assert_eq!(
        (status, &body["error"]["code"]),
        (404, &"IDGEN-COMMON-0006".into()),
        "{body}"
    );
    world.environment.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_needs_the_secret() {
    let world = World::start().await;
    let http = reqwest::Client::new();
    let url = format!("{}/api/v1/tenants", world.environment.central_url());
    let secret = std::fs::read_to_string(world.environment.secret_file()).unwrap();

    let anonymous = http.get(&url).send().await.unwrap().status().as_u16();
    let wrong = http
        .get(&url)
        .bearer_auth("wrong")
        .send()
        .await
        .unwrap()
        .status()
        .as_u16();
    let right = http.get(&url).bearer_auth(secret).send().await.unwrap();

    assert_eq!((anonymous, wrong, right.status().as_u16()), (401, 401, 200));
    let body = right.text().await.unwrap();
    assert!(body.contains("acme") && body.contains("globex"), "{body}");
    world.environment.stop().await;
}
