//! Reading from a streaming replica, by those who say which position they have to see.
//!
//! A replica is behind by moments or by hours, and may be away; nobody waits for it long, and nobody
//! is told something older than they have seen. What is known of it ([`standing`]) only decides where to
//! try: every read looks the position up again in the snapshot that it reads from.

mod reads;
mod standing;

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnection, PgPool};
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use crate::backend::{LANE, read_error};
use crate::database::{Session, arguments};
use crate::error::ReadError;
use crate::event::Position;
use crate::reader::Source;
use crate::view::Read;

pub use reads::ReadStatistics;
pub(crate) use reads::Reads;
use standing::{Standing, Told};

/// Longest wait for a connection to the replica, and for the answer where it stands.
pub(crate) const ASK_TIMEOUT: Duration = Duration::from_secs(3);

/// Longest time for one read; beyond it the primary is asked.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// How often to ask where the replica stands while somebody waits for it.
const ASK_PAUSE: Duration = Duration::from_millis(5);

/// One snapshot for looking the position up and for reading.
const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// A replica of a store's database.
#[derive(Debug)]
pub(crate) struct Replica {
    pool: PgPool,
    /// For asking where it stands, which busy readers must not keep from being answered.
    asking: PgPool,
    /// The store that it has to be a replica of.
    store: Uuid,
    standing: watch::Sender<Standing>,
    /// Calls [`watch`](Self::watch) before its time.
    wanted: Notify,
}

/// What came of a read.
pub(crate) enum Outcome<T> {
    Answered(T),
    /// The replica has not got as far.
    Behind,
    /// It does not answer, or not properly.
    Away,
}

impl Replica {
    /// A replica of the store of this id, read through one pool and asked through another.
    pub(crate) fn new(pool: PgPool, asking: PgPool, store: Uuid) -> Arc<Self> {
        Arc::new(Self {
            pool,
            asking,
            store,
            standing: watch::Sender::new(Standing::default()),
            wanted: Notify::new(),
        })
    }

    /// Where the replica was last seen, if it is there.
    pub(crate) fn head(&self) -> Option<Position> {
        self.standing.borrow().head()
    }

    /// Looks where the replica stands, again and again: every `interval`, at once when a read failed,
    /// and in a row while somebody waits.
    pub(crate) async fn watch(self: Arc<Self>, interval: Duration) {
        let mut told = Told::default();
        loop {
            let asked = match timeout(ASK_TIMEOUT, self.ask()).await {
                Ok(asked) => asked.map_err(|error| error.to_string()),
                Err(_) => Err("it does not answer in time".into()),
            };
            told.tell(&asked);
            self.note(asked.ok());
            let is_waited_for = self.standing.receiver_count() > 0;
            if is_waited_for && self.head().is_some() {
                sleep(ASK_PAUSE).await;
            } else {
                // Over or called, it is time either way.
                let _ = timeout(interval, self.wanted.notified()).await;
            }
        }
    }

    fn note(&self, head: Option<Position>) {
        self.standing
            .send_if_modified(|standing| standing.note(head));
    }

    async fn ask(&self) -> Result<Position, ReadError> {
        let mut connection = self.asking.acquire().await.map_err(read_error)?;
        self.position(&mut connection).await
    }

    /// The position on this connection; an error if it belongs to another store.
    async fn position(&self, connection: &mut PgConnection) -> Result<Position, ReadError> {
        const READ: &str =
            "SELECT (SELECT store_id FROM event_store), head FROM event_lanes WHERE lane = $1";
        let mut session = Session::Postgres(connection);
        let row = session
            .fetch_one(READ, arguments![i64::from(LANE)])
            .await
            .and_then(|row| row.ok_or(sqlx::Error::RowNotFound))
            .map_err(read_error)?;
        let store = row.uuid(0).map_err(read_error)?;
        if store != self.store {
            return Err(ReadError::Unavailable {
                message: format!("it has the store {store}, not a replica of {}", self.store),
            });
        }
        Ok(Position(row.int(1).map_err(read_error)?.unsigned_abs()))
    }

    /// Reads what has `position`, if the replica gets there `within` this time.
    pub(crate) async fn read<R: Read>(
        &self,
        read: &R,
        position: Position,
        within: Duration,
    ) -> Outcome<R::Answer> {
        match self.wait(position, within).await {
            Outcome::Answered(()) => {}
            Outcome::Behind => return Outcome::Behind,
            Outcome::Away => return Outcome::Away,
        }
        let attempt = timeout(READ_TIMEOUT, self.try_read(read, position)).await;
        match attempt {
            Ok(Ok(Some(answer))) => Outcome::Answered(answer),
            Ok(Ok(None)) => Outcome::Behind,
            Ok(Err(error)) => {
                tracing::debug!(%error, "a read from the replica failed");
                self.lose();
                Outcome::Away
            }
            Err(_) => {
                self.lose();
                Outcome::Away
            }
        }
    }

    /// Nobody else shall try before it is known to be there.
    fn lose(&self) {
        self.note(None);
        self.wanted.notify_one();
    }

    async fn wait(&self, position: Position, within: Duration) -> Outcome<()> {
        let before = *self.standing.borrow();
        match before.reaches(position) {
            Some(true) => return Outcome::Answered(()),
            Some(false) if before.is_stuck() || within.is_zero() => return Outcome::Behind,
            Some(false) => {}
            None => return Outcome::Away,
        }
        let mut watch = self.standing.subscribe();
        self.wanted.notify_one();
        let settled = watch.wait_for(|standing| standing.reaches(position) != Some(false));
        let Ok(settled) = timeout(within, settled).await else {
            self.standing.send_if_modified(|standing| {
                standing.give_up(before);
                false
            });
            return Outcome::Behind;
        };
        match settled.is_ok_and(|standing| standing.head().is_some()) {
            true => Outcome::Answered(()),
            false => Outcome::Away,
        }
    }

    async fn try_read<R: Read>(
        &self,
        read: &R,
        position: Position,
    ) -> Result<Option<R::Answer>, ReadError> {
        let mut transaction = self.pool.begin_with(SNAPSHOT).await.map_err(read_error)?;
        let head = self.position(&mut transaction).await?;
        self.note(Some(head));
        if head < position {
            return Ok(None);
        }
        let mut source = Source::Session(Session::Postgres(&mut transaction));
        let answer = read.run(&mut source).await?;
        transaction.commit().await.map_err(read_error)?;
        Ok(Some(answer))
    }

    pub(crate) async fn close(&self) {
        self.pool.close().await;
        self.asking.close().await;
    }
}
