//! Orders, with the command library: place one, add to it, and repeat a call without doing it twice.
//!
//! `cargo run -p eventstore --example orders` runs it in memory; `-- postgres://…` on a server.

#![allow(clippy::print_stdout, reason = "it is there to be looked at")]

use std::error::Error;
use std::sync::Arc;

use eventstore::Options;
use eventstore::command::{
    Aggregate, Call, Command, Encoded, Invalid, Priority, Repository, StateCodec,
};
use eventstore::snapshot::{SnapshotOptions, SnapshotPolicy, Snapshots};
use serde::{Deserialize, Serialize};
use serde_json::Value;

struct Order;

/// What an order is after its events.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct State {
    customer: Option<String>,
    items: Vec<Item>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Item {
    article: String,
    count: u32,
}

#[derive(Debug, Serialize, Deserialize)]
enum Event {
    OrderPlaced { customer: String },
    ItemAdded(Item),
}

impl Aggregate for Order {
    type State = State;
    type Event = Event;
    const STREAM_TYPE: &'static str = "order";

    fn encode(event: &Event) -> Result<Encoded, String> {
        let (event_type, data) = match event {
            Event::OrderPlaced { .. } => ("OrderPlaced", serde_json::to_value(event)),
            Event::ItemAdded(_) => ("ItemAdded", serde_json::to_value(event)),
        };
        let data = data.map_err(|error| error.to_string())?;
        Ok(Encoded::new(event_type, 1, data))
    }

    fn decode(event_type: &str, schema_version: u32, data: Value) -> Result<Event, String> {
        match (event_type, schema_version) {
            ("OrderPlaced" | "ItemAdded", 1) => {
                serde_json::from_value(data).map_err(|error| error.to_string())
            }
            _ => Err("of another release".into()),
        }
    }

    fn evolve(mut state: State, event: &Event) -> State {
        match event {
            Event::OrderPlaced { customer } => state.customer = Some(customer.clone()),
            Event::ItemAdded(item) => state.items.push(item.clone()),
        }
        state
    }

    fn snapshots() -> Option<StateCodec<State>> {
        Some(StateCodec::serde(1))
    }
}

/// Puts an article into an order; the first one places it.
#[derive(Serialize)]
struct AddItem {
    customer: String,
    article: String,
    count: u32,
}

#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("the order is {0}'s")]
    OfAnotherCustomer(String),
    #[error("an order has at most 20 items")]
    Full,
}

impl Command<Order> for AddItem {
    const NAME: &'static str = "AddItem";
    type Refusal = Refusal;

    fn validate(&self) -> Result<(), Invalid> {
        if self.count == 0 {
            return Err(Invalid::new("count", "must be more than zero"));
        }
        Ok(())
    }

    fn decide(&self, state: &State) -> Result<Vec<Event>, Refusal> {
        let item = Event::ItemAdded(Item {
            article: self.article.clone(),
            count: self.count,
        });
        match &state.customer {
            None => {
                let customer = self.customer.clone();
                Ok(vec![Event::OrderPlaced { customer }, item])
            }
            Some(customer) if *customer != self.customer => {
                Err(Refusal::OfAnotherCustomer(customer.clone()))
            }
            Some(_) if state.items.len() >= 20 => Err(Refusal::Full),
            Some(_) => Ok(vec![item]),
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1);
    let url = url.as_deref().unwrap_or("sqlite::memory:");
    let store = eventstore::open(url, Options::default()).await?;
    let snapshots = SnapshotOptions {
        policy: SnapshotPolicy::OFF.or_every(5),
        ..SnapshotOptions::default()
    };
    let orders = Repository::<Order>::new(Arc::clone(&store))
        .with_snapshots(Snapshots::new(store.database(), snapshots));
    let order = Order::stream("acme", uuid::Uuid::now_v7().to_string());

    for (n, article) in ["ladder", "rope", "lamp", "bucket"].into_iter().enumerate() {
        let add = AddItem {
            customer: "ada".into(),
            article: article.into(),
            count: 1,
        };
        let key = format!("add-{n}");
        let call = || Call::of::<AddItem>(order.clone()).with_key(&key, &add);
        let done = orders.handle(call()?, &add).await??;
        println!(
            "{article}: version {}, {} items",
            done.version,
            done.state.items.len()
        );
        // Whoever does not know whether it was done calls again.
        let again = orders.handle(call()?, &add).await??;
        assert!(again.is_repeated() && again.version == done.version);
    }

    let foreign = AddItem {
        customer: "bob".into(),
        article: "saw".into(),
        count: 1,
    };
    let call = Call::of::<AddItem>(order.clone()).with_priority(Priority::Low);
    if let Err(refusal) = orders.handle(call, &foreign).await? {
        println!("refused: {refusal}");
    }
    let nothing = AddItem {
        count: 0,
        ..foreign
    };
    let call = Call::of::<AddItem>(order);
    if let Err(error) = orders.handle(call, &nothing).await {
        println!("{}: {error}", error.code());
    }
    store.close().await;
    Ok(())
}
