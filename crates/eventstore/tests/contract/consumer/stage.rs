//! What the scenarios of the consumers share: handlers, effects, waiting for a condition.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use eventstore::consumer::{
    Backoff, ConsumerOptions, Consumers, ConsumersOptions, Handler, HandlerError,
    SubscriptionStatus, Subscriptions, TransactionalHandler,
};
use eventstore::{
    Append, EventStore, ExpectedVersion, Position, RecordedEvent, StreamKey, Transaction,
};
use sqlx::AssertSqlSafe;
use time::OffsetDateTime;

use crate::database::{Database, Outside, PATIENCE};
use crate::samples::{event, write};

pub(crate) const NAME: &str = "mail";

/// A lease that a slow machine keeps, too; checkpoints move over what is left out at a third of it.
pub(crate) fn options() -> ConsumerOptions {
    ConsumerOptions {
        lease: Duration::from_millis(1500),
        poll: Duration::from_millis(20),
        backoff: Backoff {
            attempts: 3,
            base: Duration::from_millis(2),
            factor: 2.0,
            cap: Duration::from_millis(10),
        },
        ..ConsumerOptions::new(NAME)
    }
}

pub(crate) fn consumers(store: &Arc<dyn EventStore>) -> Consumers {
    Consumers::new(Arc::clone(store), ConsumersOptions::default())
}

/// Appends `count` events to each of some streams, in turn.
pub(crate) async fn append(store: &dyn EventStore, streams: usize, count: usize) -> Position {
    let mut last = Position::START;
    for n in 0..count {
        let writes = (0..streams).map(|id| write(id, ExpectedVersion::Any, vec![event(n)]));
        last = store
            .append(Append::new(writes.collect()))
            .await
            .unwrap()
            .last;
    }
    last
}

/// Waits until a condition holds, and fails if it does not in time.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < PATIENCE, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub(crate) async fn status(store: &Arc<dyn EventStore>) -> SubscriptionStatus {
    Subscriptions::new(Arc::clone(store))
        .status(NAME, OffsetDateTime::now_utc())
        .await
        .unwrap()
}

/// Waits until every partition has its checkpoint at `position`.
pub(crate) async fn until_all_at(store: &Arc<dyn EventStore>, position: Position) {
    until("all checkpoints at the end", || async {
        let partitions = status(store).await.partitions;
        partitions.iter().all(|at| at.position == position)
    })
    .await;
}

/// Writes down what it is given.
#[derive(Default)]
pub(crate) struct Log(Mutex<Vec<(Position, StreamKey)>>);

impl Log {
    pub(crate) fn positions(&self) -> Vec<Position> {
        let log = self.0.lock().unwrap();
        log.iter().map(|(position, _)| *position).collect()
    }

    /// Positions by stream, as they came.
    pub(crate) fn streams(&self) -> BTreeMap<StreamKey, Vec<Position>> {
        let mut streams: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (position, stream) in &*self.0.lock().unwrap() {
            streams.entry(stream.clone()).or_default().push(*position);
        }
        streams
    }

    pub(crate) fn add(&self, events: &[RecordedEvent]) {
        let mut log = self.0.lock().unwrap();
        log.extend(
            events
                .iter()
                .map(|event| (event.position, event.stream.clone())),
        );
    }
}

/// A handler that is a function; what it accepts is written down.
pub(crate) struct Check<F>(pub(crate) Arc<Log>, pub(crate) F);

#[async_trait]
impl<F> Handler for Check<F>
where
    F: Fn(&RecordedEvent) -> Result<(), HandlerError> + Send + Sync + 'static,
{
    async fn handle(&self, events: &[RecordedEvent]) -> Result<(), HandlerError> {
        events.iter().try_for_each(&self.1)?;
        self.0.add(events);
        Ok(())
    }
}

/// Accepts everything.
pub(crate) fn logging(log: &Arc<Log>) -> impl Handler {
    Check(Arc::clone(log), |_: &RecordedEvent| Ok(()))
}

/// Writes each event into a table of the test's own, and takes its time.
pub(crate) struct Effects {
    pub(crate) holder: &'static str,
    /// Longest pause after an effect, drawn anew for each.
    pub(crate) pause: Duration,
}

#[async_trait]
impl TransactionalHandler for Effects {
    async fn handle(
        &self,
        events: &[RecordedEvent],
        transaction: &mut Transaction,
    ) -> Result<(), HandlerError> {
        for event in events {
            insert_effect(event, self.holder, transaction).await?;
            let share = f64::from(uuid::Uuid::new_v4().as_bytes()[0]) / 256.0;
            tokio::time::sleep(self.pause.mul_f64(share)).await;
        }
        Ok(())
    }
}

pub(crate) async fn insert_effect(
    event: &RecordedEvent,
    holder: &str,
    transaction: &mut Transaction,
) -> Result<(), sqlx::Error> {
    const INSERT: &str = "INSERT INTO effects (position, stream, holder) VALUES ($1, $2, $3)";
    let position = i64::try_from(event.position.0).unwrap();
    let stream = event.stream.to_string();
    if let Some(connection) = transaction.postgres() {
        let insert = sqlx::query(INSERT)
            .bind(position)
            .bind(&stream)
            .bind(holder);
        insert.execute(connection).await?;
    } else if let Some(connection) = transaction.sqlite() {
        let insert = sqlx::query(INSERT)
            .bind(position)
            .bind(&stream)
            .bind(holder);
        insert.execute(connection).await?;
    }
    Ok(())
}

/// Makes the table of the effects; nothing in it keeps an event from being there twice.
pub(crate) async fn effects_table(database: &Database) {
    let id = match database {
        Database::Sqlite { .. } => "INTEGER PRIMARY KEY AUTOINCREMENT",
        Database::Postgres { .. } => "bigserial PRIMARY KEY",
    };
    let table = format!(
        "CREATE TABLE effects (id {id}, position bigint NOT NULL, stream text NOT NULL, \
           holder text NOT NULL)"
    );
    let mut outside = database.connect().await;
    outside.execute(&table).await;
    outside.close().await;
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Effect {
    pub(crate) position: u64,
    pub(crate) stream: String,
    pub(crate) holder: String,
}

/// All effects, in the order in which they were written.
pub(crate) async fn effects(database: &Database) -> Vec<Effect> {
    let sql = "SELECT position, stream, holder FROM effects ORDER BY id";
    let sql = AssertSqlSafe(sql.to_owned());
    let mut outside = database.connect().await;
    let rows: Vec<(i64, String, String)> = match &mut outside {
        Outside::Sqlite(connection) => sqlx::query_as(sql).fetch_all(connection).await.unwrap(),
        Outside::Postgres(connection) => sqlx::query_as(sql).fetch_all(connection).await.unwrap(),
    };
    outside.close().await;
    let effect = |(position, stream, holder): (i64, String, String)| Effect {
        position: position.unsigned_abs(),
        stream,
        holder,
    };
    rows.into_iter().map(effect).collect()
}

/// Each event up to `head` has one effect, and those of one stream are in order.
pub(crate) fn assert_exactly_once(effects: &[Effect], head: Position) {
    let mut positions: Vec<u64> = effects.iter().map(|effect| effect.position).collect();
    let mut streams: BTreeMap<&str, u64> = BTreeMap::new();
    for effect in effects {
        let before = streams.insert(&effect.stream, effect.position);
        assert!(
            before.is_none_or(|before| before < effect.position),
            "{} came after {before:?} in {}",
            effect.position,
            effect.stream
        );
    }
    positions.sort_unstable();
    assert_eq!(positions, (1..=head.0).collect::<Vec<_>>());
}
