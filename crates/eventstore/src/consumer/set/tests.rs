use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::{sleep, timeout};

use super::{Consumers, ConsumersOptions};
use crate::consumer::{ConsumerOptions, Delivery, Handler, HandlerError};
use crate::{Append, ExpectedVersion, NewEvent, Options, RecordedEvent, StreamKey};

const PATIENCE: Duration = Duration::from_secs(60);

/// Tells who is at work.
struct Tells(&'static str, UnboundedSender<&'static str>);

#[async_trait]
impl Handler for Tells {
    async fn handle(&self, _: &[RecordedEvent]) -> Result<(), HandlerError> {
        let told = self.1.send(self.0);
        told.map_err(|_| HandlerError::retryable("nobody listens"))
    }
}

#[tokio::test]
async fn the_next_place_goes_to_the_subscription_with_the_greatest_priority() {
    let options = Options::default();
    let store = crate::open("sqlite::memory:", options).await.unwrap();
    let options = ConsumersOptions {
        handlers_at_work: 1,
        ..ConsumersOptions::default()
    };
    let consumers = Consumers::new(store.clone(), options);
    let occupied = consumers.slots.take(0).await;
    let (tell, mut told) = unbounded_channel();
    for (name, priority) in [("low", -3), ("high", 5), ("middle", 0)] {
        let options = ConsumerOptions {
            partitions: 1,
            priority,
            ..ConsumerOptions::new(name)
        };
        let delivery = Delivery::at_least_once(Tells(name, tell.clone()));
        consumers.start(options, delivery).await.unwrap();
    }
    let stream = StreamKey::new("acme", "order", "1");
    let events = vec![NewEvent::new("Happened", 1, json!(1))];
    let append = Append::to(stream, ExpectedVersion::Any, events);
    store.append(append).await.unwrap();
    let all_wait = async {
        while consumers.slots.waiting().len() < 3 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, all_wait).await.unwrap();

    drop(occupied);

    for expected in ["high", "middle", "low"] {
        let next = timeout(PATIENCE, told.recv()).await.unwrap();
        assert_eq!(next, Some(expected));
    }
}
