//! A projection that is paused, brought up to date, built anew and taken over by another replica.

use serde_json::Value;

use crate::support::{
    Central, Database, Process, Secrets,
    allocations::{ACME, current, give, head, ranges},
    central::ADMINISTRATOR,
    eventually, on_each_store, on_postgres,
};

on_each_store!(
    a_rebuild_takes_nothing_away_meanwhile,
    what_is_cleared_comes_again,
    a_refresh_answers_when_everything_stored_is_applied,
    documents_in_memory_are_forgotten_on_demand,
    damaged_documents_are_named_and_made_again,
    a_rebuild_that_cannot_go_on_is_given_up,
    what_is_paused_answers_as_of_then,
    an_event_that_cannot_be_read_stops_it_until_it_is_mended,
);
on_postgres!(
    another_replica_goes_on_when_one_is_killed,
    another_replica_goes_on_when_one_stops,
);

const PROJECTION: &str = "/api/v1/projections/allocations";

async fn post(central: &Central, deed: &str) {
    let path = format!("{PROJECTION}/{deed}");
    let answer = central.call(ADMINISTRATOR, "POST", &path, None).await;
    assert_eq!(answer.status, 200, "{deed}: {}", answer.body);
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

async fn a_refresh_answers_when_everything_stored_is_applied(database: Database) {
    let central = Central::on(&database).await;
    central.furnish().await;
    let mut given = give(&central, 1).await;
    current(&central, ACME).await;
    let path = format!("{PROJECTION}/refresh");
    post(&central, "refresh").await;
    post(&central, "pause").await;
    post(&central, "refresh").await;
    given.extend(give(&central, 2).await);
    let head = head(&central).await;

    let refused = central.call(ADMINISTRATOR, "POST", &path, None).await;

    let told = (refused.status, refused.code());
    assert_eq!(told, (409, "SIGNET-CENTRAL-0031"), "{}", refused.body);
    assert!(
        refused.message().contains("resume"),
        "{}",
        refused.message()
    );
    post(&central, "resume").await;
    let answer = central.call(ADMINISTRATOR, "POST", &path, None).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(answer.body["active"]["position"].as_u64().unwrap() >= head);
    assert_eq!(ranges(&central.ask(ACME).await), given);
}

async fn documents_in_memory_are_forgotten_on_demand(database: Database) {
    const TOLD: &str = "UPDATE projections SET cache_epoch = cache_epoch WHERE cache_epoch = 1";
    let central = Central::on(&database).await;
    central.furnish().await;
    let mut given = give(&central, 1).await;
    current(&central, ACME).await;
    assert_eq!(database.execute(TOLD).await, 0);

    post(&central, "clear-cache").await;

    // All replicas follow this number; what they then do is tested beside the projections.
    assert_eq!(database.execute(TOLD).await, 1);
    given.extend(give(&central, 1).await);
    assert_eq!(ranges(&current(&central, ACME).await), given);
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
    let refresh = format!("{PROJECTION}/refresh");
    let refused = central.call(ADMINISTRATOR, "POST", &refresh, None).await;
    assert_eq!(refused.status, 409, "{}", refused.body);
    assert!(
        refused.message().contains("newer release"),
        "{}",
        refused.message()
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
