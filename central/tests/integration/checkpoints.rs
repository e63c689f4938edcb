//! Checkpoints are signed over the events, with one key, and never over events that were changed.

use std::sync::Arc;

use eventstore::integrity::{Checkpoint, PublicKeys, Verify, verify};

use crate::support::{
    Central, Database, Secrets, events::store_of, eventually, on_each_store, on_postgres,
};

on_each_store!(
    checkpoints_appear_and_verify_with_the_published_key,
    a_chain_that_was_changed_is_not_signed_over,
);
on_postgres!(replicas_that_start_at_once_sign_with_one_key);

const OFTEN: [&str; 2] = ["--checkpoint-interval", "100ms"];

/// The newest checkpoints, and the keys that are published for them.
async fn published(central: &Central) -> (Vec<Checkpoint>, PublicKeys) {
    let answer = central.look("/api/v1/checkpoints").await;
    let checkpoints = answer["checkpoints"].as_array().unwrap().iter();
    let checkpoints = checkpoints.map(|one| Checkpoint::from_line(&one.to_string()).unwrap());
    let mut keys = PublicKeys::none();
    for key in answer["keys"].as_array().unwrap() {
        assert_eq!(key["algorithm"], "Ed25519");
        let text = key["public_key"].as_str().unwrap();
        let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
        let public: Vec<u8> = (0..text.len()).step_by(2).map(byte).collect();
        let id = key["key_id"].as_str().unwrap();
        keys = keys.with_ed25519(id, &public).unwrap();
    }
    (checkpoints.collect(), keys)
}

async fn wait_for_two(central: &Central) {
    eventually("a checkpoint for each tenant", async || {
        let (checkpoints, _) = published(central).await;
        ["acme", "bank"].iter().all(|tenant| {
            let mut of_tenant = checkpoints.iter();
            of_tenant.any(|one| one.tenant == *tenant)
        })
    })
    .await;
}

async fn checkpoints_appear_and_verify_with_the_published_key(database: Database) {
    let central = Central::start(&Secrets::new(), &database, &OFTEN).await;
    central.furnish().await;
    wait_for_two(&central).await;

    let (kept, keys) = published(&central).await;
    assert!(!keys.is_empty());
    let store = store_of(&database).await;
    let asked = Verify::everything(keys).against(kept.clone());
    let report = verify(Arc::clone(&store), asked).finished().await.unwrap();

    assert!(report.is_sound(), "{:?}", report.faults);
    assert_eq!(report.kept_checkpoints, kept.len() as u64);
    // Another's key does not do.
    let other = PublicKeys::none().with_ed25519(&kept[0].key_id, &[7; 32]);
    let asked = Verify::everything(other.unwrap());
    let report = verify(Arc::clone(&store), asked).finished().await.unwrap();
    assert!(!report.is_sound());
    store.close().await;
    assert!(
        central
            .metric("signet_central_checkpoints_signed_total")
            .await
            >= 2.0
    );
}

async fn a_chain_that_was_changed_is_not_signed_over(database: Database) {
    let secrets = Secrets::new();
    let central = Central::start(&secrets, &database, &OFTEN).await;
    central.furnish().await;
    wait_for_two(&central).await;
    central.running.stop().await.unwrap();
    // Somebody makes the hash of a signed event anew.
    let rewrite = "UPDATE events SET hash = (SELECT hash FROM events WHERE position = 1) \
         WHERE tenant = 'acme' AND position IN \
           (SELECT position FROM event_checkpoints WHERE tenant = 'acme')";
    assert!(database.execute(rewrite).await > 0);

    let central = Central::start(&secrets, &database, &OFTEN).await;
    let last = async |tenant: &str| {
        let (checkpoints, _) = published(&central).await;
        let of_tenant = checkpoints.iter().filter(|one| one.tenant == tenant);
        of_tenant.map(|one| one.position).max().unwrap()
    };
    let (acme, bank) = (last("acme").await, last("bank").await);
    central.change_display_names().await;

    // The chain of the other tenant is signed in the same rounds.
    eventually("the alarm", async || {
        let alarm = "signet_central_checkpoint_contradictions_total";
        central.metric(alarm).await > 0.0 && last("bank").await > bank
    })
    .await;
    assert_eq!(last("acme").await, acme);
    assert_eq!(central.public("/ready").await.status(), 200);
}

async fn replicas_that_start_at_once_sign_with_one_key(database: Database) {
    let secrets = Secrets::new();
    // Of the two only the keys are new.
    store_of(&database).await.close().await;
    let (left, right) = tokio::join!(
        Central::start(&secrets, &database, &OFTEN),
        Central::start(&secrets, &database, &OFTEN),
    );

    left.furnish().await;
    wait_for_two(&right).await;

    let (checkpoints, keys) = published(&left).await;
    assert_eq!(published(&right).await.1, keys);
    assert_eq!(keys.iter().count(), 1);
    let (id, _) = keys.iter().next().unwrap();
    assert!(id.starts_with("checkpoints-"), "{id}");
    assert!(checkpoints.iter().all(|one| one.key_id == id));
}

impl Central {
    /// One more event for each tenant.
    async fn change_display_names(&self) {
        use crate::support::{central::OPERATOR, samples, with_bearer};
        let mut provision = self.provision().await;
        for (tenant, namespace) in [("acme", "shop"), ("bank", "bank")] {
            let mut request = samples::tenant(tenant, &[namespace]);
            request.spec.as_mut().unwrap().display_name = "Another".into();
            let call = with_bearer(OPERATOR, request);
            samples::applied_tenant(provision.apply_tenant(call).await.unwrap());
        }
    }
}
