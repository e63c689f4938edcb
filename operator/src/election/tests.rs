//! Several candidates and one Lease.

use tokio::task::JoinHandle;

use super::*;
use crate::api_double;

struct Candidate {
    fence: Fence,
    stop: CancellationToken,
    running: JoinHandle<()>,
}

fn candidate(client: &Client, name: &str) -> Candidate {
    let (election, fence) = Election::new(client.clone(), "signet-system", name);
    let stop = CancellationToken::new();
    let running = tokio::spawn(election.run(stop.clone()));
    Candidate {
        fence,
        stop,
        running,
    }
}

async fn gained(candidate: &Candidate) {
    tokio::time::timeout(Duration::from_secs(60), candidate.fence.gained())
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_leads_and_a_released_lease_passes_on_at_once() {
    let client = api_double::client();
    let first = candidate(&client, "first");
    gained(&first).await;
    let second = candidate(&client, "second");
    // The first goes on renewing, far beyond the Lease's duration.
    for _ in 0..60 {
        sleep(Duration::from_secs(1)).await;
        assert!(first.fence.holds() && !second.fence.holds());
    }
    let released = Instant::now();
    first.stop.cancel();
    first.running.await.unwrap();
    assert!(!first.fence.holds());
    gained(&second).await;
    assert!(
        released.elapsed() < LEASE_DURATION,
        "it waited for the Lease to expire"
    );
    second.stop.cancel();
    second.running.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_dies_stops_acting_before_the_next_one_starts() {
    let client = api_double::client();
    let first = candidate(&client, "first");
    gained(&first).await;
    let second = candidate(&client, "second");
    sleep(Duration::from_secs(5)).await;
    first.running.abort();
    let died = Instant::now();
    while !second.fence.holds() {
        assert!(died.elapsed() < LEASE_DURATION * 2, "nobody took over");
        sleep(Duration::from_millis(100)).await;
    }
    // Its deadline lapsed with nobody to tell it.
    assert!(!first.fence.holds());
    assert!(died.elapsed() > RENEW_DEADLINE);
    second.stop.cancel();
    second.running.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn candidates_that_start_together_never_both_lead() {
    let client = api_double::client();
    let candidates: Vec<Candidate> = (0..5)
        .map(|number| candidate(&client, &format!("replica-{number}")))
        .collect();
    for _ in 0..100 {
        sleep(Duration::from_millis(250)).await;
        let leaders = candidates
            .iter()
            .filter(|candidate| candidate.fence.holds())
            .count();
        assert!(leaders <= 1, "{leaders} lead");
    }
    assert_eq!(
        candidates
            .iter()
            .filter(|candidate| candidate.fence.holds())
            .count(),
        1
    );
    for candidate in candidates {
        candidate.stop.cancel();
        candidate.running.await.unwrap();
    }
}
