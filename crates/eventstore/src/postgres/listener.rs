//! Being woken by other processes that append to the same database.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::time::timeout;

use super::CONNECT_TIMEOUT;
use crate::event::Position;
use crate::head::Head;
use crate::reader::Reader;

const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// How long to take silence for peace, until the server is asked whether it is still there.
const LONGEST_SILENCE: Duration = Duration::from_secs(30);

/// Listens for ever; reconnects after a pause. What is missed meanwhile, the poll finds.
pub(super) async fn listen(
    connect: PgConnectOptions,
    channel: String,
    reader: Reader,
    head: Head,
    first_pause: Duration,
) {
    let mut pause = first_pause;
    loop {
        match follow(&connect, &channel, &reader, &head, || pause = first_pause).await {
            Ok(()) => tracing::info!("the connection that listens for events was lost"),
            Err(error) => tracing::warn!(%error, "cannot listen for events, polling meanwhile"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Listens until the connection is lost.
async fn follow(
    connect: &PgConnectOptions,
    channel: &str,
    reader: &Reader,
    head: &Head,
    connected: impl FnOnce(),
) -> Result<(), sqlx::Error> {
    // A pool of its own: the listener may not take a connection from the readers.
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        .acquire_timeout(CONNECT_TIMEOUT)
        .connect_with(connect.clone())
        .await?;
    let mut listener = PgListener::connect_with(&pool).await?;
    // A reconnection must show, so that the pause and the log apply to it.
    listener.eager_reconnect(false);
    listener.listen(channel).await?;
    connected();
    // What was committed before the server knew that we listen was not announced to us.
    if let Ok(position) = reader.head().await {
        head.advance(position);
    }
    loop {
        let Ok(received) = timeout(LONGEST_SILENCE, listener.try_recv()).await else {
            let answer = sqlx::query("SELECT 1").execute(&mut listener);
            match timeout(CONNECT_TIMEOUT, answer).await {
                Ok(answered) => answered.map(|_| ())?,
                Err(_) => return Ok(()),
            }
            continue;
        };
        let Some(notification) = received? else {
            return Ok(());
        };
        match notification.payload().parse() {
            Ok(position) => head.advance(Position(position)),
            Err(_) => tracing::warn!(channel, "a foreign notification on our channel"),
        }
    }
}
