//! Central away, and central back.

use std::collections::HashSet;

use super::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn sidecars_go_on_while_central_is_away_and_nothing_is_given_twice_after() {
    let mut world = World::start().await;
    let first = world.application("shop/worker").await;
    let token = first.token().await;
    let mut seen = HashSet::new();
    first.collect("order-id", 1000, &mut seen).await;

    world.environment.stop_central().await.unwrap();
    first.collect("order-id", 1000, &mut seen).await;
    assert_eq!(first.authorize(&token, "read").await.1["allowed"], true);
    assert_eq!(first.authorize(&token, "delete").await.1["allowed"], false);
    world.environment.start_central().await.unwrap();

    let second = world.application("shop/worker").await;
    second.collect("order-id", 5000, &mut seen).await;
    assert_eq!(
        second.verify(&token).await.0,
        200,
        "the key did not survive the restart"
    );
    // More than what a ring holds, so that ranges were asked for after the restart.
    for _ in 0..4 {
        first.collect("order-id", 5000, &mut seen).await;
    }
    world.environment.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_sidecars_of_one_generator_share_no_id() {
    let mut world = World::start().await;
    let mut applications = Vec::new();
    for _ in 0..4 {
        applications.push(world.application("shop/worker").await);
    }

    let collected = applications.into_iter().map(|application| {
        tokio::spawn(async move {
            let mut seen = HashSet::new();
            for _ in 0..20 {
                application.collect("order-id", 1000, &mut seen).await;
            }
            seen
        })
    });
    let mut all = HashSet::new();
    for seen in collected.collect::<Vec<_>>() {
        for id in seen.await.unwrap() {
            assert!(all.insert(id), "{id} was given to two sidecars");
        }
    }

    assert_eq!(all.len(), 4 * 20 * 1000);
    world.environment.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_state_serves_one_at_a_time() {
    use cli::dev::{Environment, Settings};
    use std::os::unix::fs::PermissionsExt as _;
    let files = tempfile::tempdir().unwrap();
    let parent = tempfile::tempdir().unwrap();
    let mut settings = Settings::new(files.path().to_owned()).on_free_ports();
    settings.data = Some(parent.path().join("data"));
    let first = Environment::start(settings.clone()).await.unwrap();

    let second = Environment::start(settings.clone()).await;

    let refused = second.err().expect("two use one folder").to_string();
    assert!(refused.contains("another signet"), "{refused}");
    let mode = std::fs::metadata(parent.path().join("data"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700);
    first.stop().await;
    Environment::start(settings).await.unwrap().stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_was_damaged_is_told_of_at_once() {
    use cli::dev::{Environment, Settings};
    use sqlx::Connection as _;
    let (files, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let tenant = include_str!("../../../config/samples/tenant.yaml");
    std::fs::write(files.path().join("tenant.yaml"), tenant).unwrap();
    let mut settings = Settings::new(files.path().to_owned()).on_free_ports();
    settings.data = Some(data.path().to_owned());
    let sound = Environment::start(settings.clone()).await.unwrap();
    sound.stop().await;
    let url = format!("sqlite://{}", data.path().join("signet.db").display());
    let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
    let damage = "UPDATE events SET metadata = '{\"actor\":1}' WHERE position = 2";
    sqlx::query(damage).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();

    let patience = std::time::Duration::from_secs(20);
    let started = tokio::time::timeout(patience, Environment::start(settings)).await;

    let refused = started.expect("it waits").err().expect("it started");
    let text = refused.to_string();
    assert_eq!(text.matches("ended by itself").count(), 1, "{text}");
    assert!(text.contains("position 2"), "{text}");
}
