//! An aggregate to test with, and a store that counts and fails on demand.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use eventstore::command::{
    Aggregate, Backoff, Call, CommandReport, Encoded, Observer, Repository, Retries, StateCodec,
};
use eventstore::snapshot::{
    SkipReason, SkippedSnapshot, SnapshotObserver, SnapshotOptions, Snapshots,
};
use eventstore::{
    Append, AppendError, Appended, Database, EventStore, Position, ReadError, RecordedEvent,
    StreamKey, Subscription,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

/// An account with a balance that must not fall below zero.
pub(crate) struct Account;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Balance {
    pub(crate) amount: u64,
    pub(crate) moves: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moved {
    Paid(u64),
    Drawn(u64),
}

pub(crate) const OVERDRAWN: &str = "the account was overdrawn";

impl Aggregate for Account {
    type State = Balance;
    type Event = Moved;
    const STREAM_TYPE: &'static str = "account";

    fn encode(event: &Moved) -> Result<Encoded, String> {
        Ok(match event {
            Moved::Paid(amount) => Encoded::new("Paid", 1, json!({ "amount": amount })),
            Moved::Drawn(amount) => Encoded::new("Drawn", 1, json!({ "amount": amount })),
        })
    }

    fn decode(event_type: &str, schema_version: u32, data: Value) -> Result<Moved, String> {
        let amount = data["amount"].as_u64().ok_or("no amount")?;
        match (event_type, schema_version) {
            ("Paid", 1) => Ok(Moved::Paid(amount)),
            ("Drawn", 1) => Ok(Moved::Drawn(amount)),
            _ => Err("not known".into()),
        }
    }

    fn evolve(balance: Balance, event: &Moved) -> Balance {
        Balance {
            amount: match event {
                Moved::Paid(amount) => balance.amount + amount,
                Moved::Drawn(amount) => balance.amount.checked_sub(*amount).expect(OVERDRAWN),
            },
            moves: balance.moves + 1,
        }
    }

    fn snapshots() -> Option<StateCodec<Balance>> {
        Some(StateCodec::serde(2))
    }
}

pub(crate) fn account(id: impl ToString) -> StreamKey {
    Account::stream("acme", id.to_string())
}

pub(crate) fn call(id: impl ToString) -> Call<Account> {
    Call::new("Move", account(id))
}

pub(crate) fn draw(amount: u64) -> impl FnMut(&Balance) -> Result<Vec<Moved>, String> {
    move |balance| match balance.amount {
        enough if enough >= amount => Ok(vec![Moved::Drawn(amount)]),
        little => Err(format!("only {little} are left")),
    }
}

pub(crate) fn pay(amount: u64) -> impl FnMut(&Balance) -> Result<Vec<Moved>, String> {
    move |_| Ok(vec![Moved::Paid(amount)])
}

/// Repetitions that cost no time.
pub(crate) fn at_once(attempts: u32) -> Retries {
    let backoff = Backoff {
        attempts,
        base: Duration::ZERO,
        most: Duration::ZERO,
    };
    Retries {
        faults: backoff,
        conflicts: Backoff {
            attempts: 1000,
            ..backoff
        },
        random: || 0.0,
    }
}

pub(crate) fn accounts(store: &Arc<dyn EventStore>) -> Repository<Account> {
    Repository::new(Arc::clone(store)).with_retries(at_once(3))
}

/// What goes wrong with the next append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It does not get there.
    Lost,
    /// It is stored, and nobody hears of it.
    Unheard,
    Overloaded,
}

/// A store that counts what is read through it, and fails on demand.
pub(crate) struct Watched {
    store: Arc<dyn EventStore>,
    pub(crate) reads: AtomicUsize,
    pub(crate) events_read: AtomicUsize,
    pub(crate) appends: AtomicUsize,
    pub(crate) faults: Mutex<VecDeque<Fault>>,
}

impl Watched {
    pub(crate) fn new(store: &Arc<dyn EventStore>) -> Arc<Self> {
        Arc::new(Self {
            store: Arc::clone(store),
            reads: AtomicUsize::new(0),
            events_read: AtomicUsize::new(0),
            appends: AtomicUsize::new(0),
            faults: Mutex::default(),
        })
    }

    pub(crate) fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
        self.faults.lock().unwrap().extend(faults);
    }

    pub(crate) fn accounts(self: &Arc<Self>) -> Repository<Account> {
        let store: Arc<dyn EventStore> = Arc::clone(self) as _;
        accounts(&store)
    }

    /// Events read since the last time.
    pub(crate) fn events_read(&self) -> usize {
        self.events_read.swap(0, Ordering::SeqCst)
    }
}

#[async_trait]
impl EventStore for Watched {
    fn id(&self) -> Uuid {
        self.store.id()
    }

    fn database(&self) -> &Database {
        self.store.database()
    }

    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        self.appends.fetch_add(1, Ordering::SeqCst);
        let fault = self.faults.lock().unwrap().pop_front();
        let unavailable = || AppendError::Unavailable {
            message: "as ordered".into(),
        };
        match fault {
            None => self.store.append(append).await,
            Some(Fault::Lost) => Err(unavailable()),
            Some(Fault::Overloaded) => Err(AppendError::Overloaded),
            Some(Fault::Unheard) => {
                self.store.append(append).await?;
                Err(unavailable())
            }
        }
    }

    async fn read_stream(
        &self,
        stream: &StreamKey,
        after_version: u64,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, ReadError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let events = self.store.read_stream(stream, after_version, limit).await?;
        self.events_read.fetch_add(events.len(), Ordering::SeqCst);
        Ok(events)
    }

    async fn read_all(
        &self,
        after: Position,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, ReadError> {
        self.store.read_all(after, limit).await
    }

    async fn head(&self) -> Result<Position, ReadError> {
        self.store.head().await
    }

    crate::delegate::rest!(store);

    fn subscribe(&self, after: Position) -> Subscription {
        self.store.subscribe(after)
    }

    async fn close(&self) {
        self.store.close().await;
    }
}

/// Remembers what it is told.
#[derive(Default)]
pub(crate) struct Notes {
    skipped: Mutex<Vec<(u64, SkipReason)>>,
    reports: Mutex<Vec<CommandReport>>,
}

impl Notes {
    /// Versions and reasons of skipped snapshots, since the last time.
    pub(crate) fn skipped(&self) -> Vec<(u64, SkipReason)> {
        std::mem::take(&mut self.skipped.lock().unwrap())
    }

    /// Reports of commands, since the last time.
    pub(crate) fn reports(&self) -> Vec<CommandReport> {
        std::mem::take(&mut self.reports.lock().unwrap())
    }
}

impl SnapshotObserver for Notes {
    fn skipped(&self, skipped: &SkippedSnapshot) {
        let note = (skipped.stream_version, skipped.reason);
        self.skipped.lock().unwrap().push(note);
    }
}

impl Observer for Notes {
    fn ended(&self, report: &CommandReport) {
        self.reports.lock().unwrap().push(report.clone());
    }
}

/// Snapshots after every tenth event, noted.
pub(crate) fn snapshots(store: &dyn EventStore, notes: &Arc<Notes>) -> Snapshots {
    let options = SnapshotOptions {
        observer: Arc::clone(notes) as _,
        ..SnapshotOptions::default()
    };
    Snapshots::new(store.database(), options)
}
