//! Another number of partitions for a subscription that exists.

use std::sync::Arc;
use std::time::Duration;

use eventstore::consumer::{ConsumerOptions, Delivery, Subscriptions};
use eventstore::{Options, Position};

use super::stage::{
    Effects, NAME, append, assert_exactly_once, consumers, effects, effects_table, options, status,
    until, until_all_at,
};
use crate::database::{Database, PATIENCE, contract};

contract!(
    a_subscription_is_divided_anew_where_it_stands_and_who_divides_as_before_handles_nothing,
    what_does_not_stand_at_one_place_is_not_divided_anew,
);

fn delivery(holder: &'static str) -> Delivery {
    Delivery::exactly_once(Effects {
        holder,
        pause: Duration::ZERO,
    })
}

async fn a_subscription_is_divided_anew_where_it_stands_and_who_divides_as_before_handles_nothing(
    database: Arc<Database>,
) {
    let poll = Options {
        poll_interval: Duration::from_millis(20),
        ..Options::default()
    };
    let store = database.open_with(poll).await;
    effects_table(&database).await;
    let subscriptions = Subscriptions::new(Arc::clone(&store));
    let former = consumers(&store);
    former.start(options(), delivery("former")).await.unwrap();
    let before = append(&*store, 9, 6).await;
    until_all_at(&store, before).await;
    let running = subscriptions.repartition(NAME, 7).await.unwrap_err();
    assert_eq!(running.code(), "SIGNET-EVENTS-0063");

    subscriptions.pause(NAME).await.unwrap();
    subscriptions.repartition(NAME, 7).await.unwrap();

    let former = &former;
    until("the former owner to give up", || async move {
        former.health().remove(0).partitions.is_empty()
    })
    .await;
    let partitions = status(&store).await.partitions;
    assert_eq!(partitions.len(), 7);
    assert!(partitions.iter().all(|at| at.position == before));
    subscriptions.resume(NAME).await.unwrap();
    let joining = consumers(&store);
    let as_before = joining.start(options(), delivery("wrong")).await;
    assert_eq!(as_before.unwrap_err().code(), "SIGNET-EVENTS-0061");
    let seven = ConsumerOptions {
        partitions: 7,
        ..options()
    };
    joining.start(seven, delivery("joined")).await.unwrap();
    let head = append(&*store, 9, 6).await;
    until_all_at(&store, head).await;

    let effects = effects(&database).await;
    assert_exactly_once(&effects, head);
    for effect in effects {
        let expected = if effect.position <= before.0 {
            "former"
        } else {
            "joined"
        };
        assert_eq!(effect.holder, expected, "{effect:?}");
    }
}

async fn what_does_not_stand_at_one_place_is_not_divided_anew(database: Arc<Database>) {
    let store = database.open().await;
    effects_table(&database).await;
    let subscriptions = Subscriptions::new(Arc::clone(&store));
    let consumers = consumers(&store);
    consumers.start(options(), delivery("a")).await.unwrap();
    append(&*store, 3, 3).await;
    until_all_at(&store, Position(9)).await;
    consumers.shutdown(PATIENCE).await;
    subscriptions.pause(NAME).await.unwrap();
    let one_behind = "UPDATE event_subscription_partitions SET position = 7 WHERE partition = 2";
    database.connect().await.execute(one_behind).await;

    let refused = subscriptions.repartition(NAME, 2).await.unwrap_err();

    assert_eq!(refused.code(), "SIGNET-EVENTS-0060");
    assert!(refused.to_string().contains("from 7 to 9"), "{refused}");
    for wrong in [0, 257] {
        let refused = subscriptions.repartition(NAME, wrong).await.unwrap_err();
        assert_eq!(refused.code(), "SIGNET-EVENTS-0060");
    }
    let unknown = subscriptions.repartition("nobody", 2).await.unwrap_err();
    assert_eq!(unknown.code(), "SIGNET-EVENTS-0062");
    assert_eq!(status(&store).await.partitions.len(), 4);
}
