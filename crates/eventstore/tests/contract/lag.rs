//! How far behind projections and subscriptions are, in seconds: by clocks that stand where a test puts
//! them.

use std::sync::Arc;

use async_trait::async_trait;
use eventstore::consumer::{
    ConsumerOptions, Consumers, ConsumersOptions, Delivery, Handler, HandlerError, Subscriptions,
};
use eventstore::projection::ProjectionOptions;
use eventstore::{EventStore, Options, Position, Projections, RecordedEvent};
use time::OffsetDateTime;
use tokio::sync::Semaphore;

use crate::consumer::stage::{NAME, options, until, until_all_at};
use crate::database::{Database, contract};
use crate::projection::samples::{Sums, append, happened, reach, small};

contract!(
    a_projection_is_as_far_behind_as_the_first_event_it_did_not_apply_is_old,
    a_subscription_is_as_far_behind_as_the_first_event_it_did_not_handle_is_old,
);

fn at(second: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_900_000_000 + second).unwrap()
}

/// Three handles to one store, whose events are of these seconds.
async fn stores_at_0_60_and_100(database: &Database) -> [Arc<dyn EventStore>; 3] {
    let open = async |clock: fn() -> OffsetDateTime| {
        let options = Options {
            clock,
            ..Options::default()
        };
        database.open_with(options).await
    };
    [
        open(|| at(0)).await,
        open(|| at(60)).await,
        open(|| at(100)).await,
    ]
}

async fn one(store: &Arc<dyn EventStore>) -> Position {
    append(store, vec![happened("acme", "1", &[1])]).await
}

async fn a_projection_is_as_far_behind_as_the_first_event_it_did_not_apply_is_old(
    database: Arc<Database>,
) {
    let [first, second, third] = stores_at_0_60_and_100(&database).await;
    let options = ProjectionOptions {
        clock: || at(150),
        ..ProjectionOptions::default()
    };
    let projections = Projections::new(Arc::clone(&first), options);
    let applied = one(&first).await;
    let runner = projections.run(Arc::new(Sums::new()), &small()).unwrap();
    reach(&projections, "sums", applied).await;
    projections.pause("sums").await.unwrap();
    one(&second).await;
    let last = one(&third).await;

    let behind = projections.status("sums").await.unwrap().active;
    projections.resume("sums").await.unwrap();
    reach(&projections, "sums", last).await;
    let there = projections.status("sums").await.unwrap().active;

    assert_eq!((behind.lag_events, behind.lag_seconds), (2, 90.0));
    assert_eq!((there.lag_events, there.lag_seconds), (0, 0.0));
    runner.stop().await;
}

/// Handles an event for each permit.
struct Permitted(Arc<Semaphore>);

#[async_trait]
impl Handler for Permitted {
    async fn handle(&self, _: &[RecordedEvent]) -> Result<(), HandlerError> {
        let permit = self.0.acquire().await;
        permit
            .map_err(|_| HandlerError::retryable("closed"))?
            .forget();
        Ok(())
    }
}

async fn a_subscription_is_as_far_behind_as_the_first_event_it_did_not_handle_is_old(
    database: Arc<Database>,
) {
    let [first, second, third] = stores_at_0_60_and_100(&database).await;
    let clock = ConsumersOptions {
        clock: || at(150),
        ..ConsumersOptions::default()
    };
    let consumers = Consumers::new(Arc::clone(&first), clock);
    let permits = Arc::new(Semaphore::new(1));
    let options = ConsumerOptions {
        partitions: 1,
        batch_size: 1,
        batch_timeout: None,
        ..options()
    };
    let delivery = Delivery::at_least_once(Permitted(Arc::clone(&permits)));
    consumers.start(options, delivery).await.unwrap();
    until_all_at(&first, one(&first).await).await;
    one(&second).await;
    let last = one(&third).await;
    let seen = &consumers;
    let lag = || {
        let partition = seen.health().remove(0).partitions.remove(0);
        (partition.lag_events, partition.lag_seconds)
    };

    // The handler has the first of the two.
    until("the lag", || async move { lag() == (2, 90.0) }).await;
    let subscriptions = Subscriptions::new(Arc::clone(&first));
    for (now, seconds) in [(150, 90.0), (90, 30.0), (10, 0.0)] {
        let status = subscriptions.status(NAME, at(now)).await.unwrap();
        let partition = &status.partitions[0];
        assert_eq!((partition.lag_events, partition.lag_seconds), (2, seconds));
    }
    permits.add_permits(2);
    until_all_at(&first, last).await;
    let status = subscriptions.status(NAME, at(150)).await.unwrap();
    let partition = &status.partitions[0];
    assert_eq!((partition.lag_events, partition.lag_seconds), (0, 0.0));
    until("no lag", || async move { lag() == (0, 0.0) }).await;
}
