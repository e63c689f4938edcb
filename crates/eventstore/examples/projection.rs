//! A read model of orders: how many are open and what they are worth, asked right after a write.
//!
//! `cargo run -p eventstore --example projection [URL]`; without a URL in memory.

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use eventstore::projection::{
    AtLeast, Compare, DocumentQuery, Filter, ProjectionOptions, RunnerOptions, Sort, Tenants,
};
use eventstore::{
    Append, ExpectedVersion, NewEvent, Options, Projection, Projections, RecordedEvent, StreamKey,
};
use serde_json::{Value, json};

/// One document per order that is open.
struct OpenOrders;

impl Projection for OpenOrders {
    fn name(&self) -> &str {
        "open-orders"
    }

    /// Counted up with every change of the code below; the documents are built anew then, and swapped.
    fn version(&self) -> u32 {
        1
    }

    fn selects(&self, event: &RecordedEvent) -> bool {
        event.stream.stream_type == "order"
    }

    fn keys(&self, event: &RecordedEvent) -> Vec<String> {
        vec![event.stream.stream_id.clone()]
    }

    fn apply(
        &self,
        document: Option<Value>,
        _key: &str,
        event: &RecordedEvent,
    ) -> Result<Option<Value>, String> {
        match event.event_type.as_str() {
            "OrderPlaced" => Ok(Some(event.data.clone())),
            "OrderDiscounted" => {
                let mut order = document.ok_or("a discount without an order")?;
                let total = order["total"].as_i64().unwrap_or(0);
                order["total"] = json!(total - event.data["by"].as_i64().unwrap_or(0));
                Ok(Some(order))
            }
            "OrderShipped" => Ok(None),
            _ => Ok(document),
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1);
    let url = url.unwrap_or_else(|| "sqlite::memory:".to_owned());
    let store = eventstore::open(&url, Options::default()).await?;
    let projections = Projections::new(Arc::clone(&store), ProjectionOptions::default());
    let runner = projections.run(Arc::new(OpenOrders), &RunnerOptions::default())?;

    let mut last = None;
    for n in 1..=20 {
        let mut events = vec![NewEvent::new("OrderPlaced", 1, json!({ "total": n * 10 }))];
        if n % 3 == 0 {
            events.push(NewEvent::new("OrderShipped", 1, json!({})));
        }
        let order = StreamKey::new("acme", "order", format!("order-{n:02}"));
        let append = Append::to(order, ExpectedVersion::Any, events);
        last = Some(store.append(append).await?.last);
    }

    // What was just written is in the answer, or the answer says why not.
    let mut query = DocumentQuery::new("open-orders", Tenants::One("acme".into()));
    query.filters = vec![Filter {
        field: "/total".parse()?,
        compare: Compare::GreaterOrEqual,
        value: json!(100),
    }];
    query.sort = Sort::Field("/total".parse()?);
    query.descending = true;
    query.limit = 5;
    query.at_least = last.map(|position| AtLeast {
        position,
        timeout: Duration::from_secs(5),
    });
    let answer = loop {
        match projections.list(&query).await {
            // The runner is just being started.
            Err(eventstore::ProjectionError::Unknown { .. }) => tokio::task::yield_now().await,
            answer => break answer?,
        }
    };
    for order in &answer.value.documents {
        println!("{} {}", order.key, order.data);
    }
    let status = projections.status("open-orders").await?;
    println!(
        "as of {}: {} orders are open; the projection is {}",
        answer.as_of, status.active.documents, status.state
    );
    runner.stop().await;
    store.close().await;
    Ok(())
}
