//! A simple read model built from the start, against reading the same events by one `SELECT`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use eventstore::projection::{AtLeast, DocumentQuery, ProjectionOptions, RunnerOptions, Tenants};
use eventstore::{EventStore, Position, Projection, ProjectionError, Projections, RecordedEvent};
use serde_json::{Value, json};

use crate::load;
use crate::replay::select;
use crate::report::{Goal, Outcome, Report, Subject, say};
use crate::server::Server;

const EVENTS: u64 = 200_000;
const ROUNDS: usize = 5;
const PATIENCE: Duration = Duration::from_secs(120);

/// What was ordered: a document for each tenant, or one for each of its thousand customers.
struct Orders {
    name: String,
    by_customer: bool,
}

impl Projection for Orders {
    fn name(&self) -> &str {
        &self.name
    }

    fn version(&self) -> u32 {
        1
    }

    fn selects(&self, event: &RecordedEvent) -> bool {
        event.event_type == "OrderPlaced"
    }

    fn keys(&self, event: &RecordedEvent) -> Vec<String> {
        let customer = event.data["customer"].as_str().filter(|_| self.by_customer);
        vec![customer.unwrap_or("all").to_owned()]
    }

    fn apply(
        &self,
        document: Option<Value>,
        _key: &str,
        event: &RecordedEvent,
    ) -> Result<Option<Value>, String> {
        let mut document = document.unwrap_or_else(|| json!({ "orders": 0, "total": 0.0 }));
        let total = document["total"].as_f64().unwrap_or(0.0);
        document["orders"] = json!(document["orders"].as_u64().unwrap_or(0) + 1);
        document["total"] = json!(total + event.data["total"].as_f64().unwrap_or(0.0));
        Ok(Some(document))
    }
}

pub(crate) async fn run(server: &Server, report: &mut Report) -> Outcome<()> {
    say("a projection");
    let database = server.database("projection").await?;
    load::fill(&database, 0, EVENTS).await?;
    let store = database.open().await?;
    let pool = database.pool(1).await?;
    let (mut few, mut many) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let raw = select(&pool, EVENTS).await?;
        let by_tenant = build(&store, round, false).await?;
        let by_customer = build(&store, round, true).await?;
        // The first brings everything into memory.
        if round > 0 {
            few.push((by_tenant, raw));
            many.push((by_customer, raw));
        }
    }
    report.compare(
        Subject {
            id: "projection/simple",
            work: format!("{EVENTS} events folded into 16 documents, from the start, PostgreSQL"),
            unit: "events/s",
            baseline_name: "raw ordered SELECT",
            goal: Goal::AtLeastOurs(100_000.0),
        },
        &few,
    );
    report.compare(
        Subject {
            id: "projection/documents",
            work: format!("{EVENTS} events folded into 16,000 documents, from the start"),
            unit: "events/s",
            baseline_name: "raw ordered SELECT",
            goal: Goal::None,
        },
        &many,
    );
    store.close().await;
    pool.close().await;
    Ok(())
}

/// Events per second from the start of a new projection until its documents are those of the last event.
async fn build(store: &Arc<dyn EventStore>, round: usize, by_customer: bool) -> Outcome<f64> {
    let name = format!("orders-{round}-{by_customer}");
    let projections = Projections::new(Arc::clone(store), ProjectionOptions::default());
    let mut query = DocumentQuery::new(&name, Tenants::One("tenant-00".into()));
    query.limit = 1;
    query.at_least = Some(AtLeast {
        position: Position(EVENTS),
        timeout: PATIENCE,
    });
    let started = Instant::now();
    let orders = Arc::new(Orders { name, by_customer });
    let runner = projections.run(orders, &RunnerOptions::default())?;
    loop {
        match projections.list(&query).await {
            // It is just being started.
            Err(ProjectionError::Unknown { .. }) => {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            answer => break drop(answer?),
        }
    }
    let rate = EVENTS as f64 / started.elapsed().as_secs_f64();
    runner.stop().await;
    Ok(rate)
}
