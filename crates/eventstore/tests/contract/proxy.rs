//! A network that breaks: a proxy in front of PostgreSQL that cuts connections where it is told to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use uuid::Uuid;

use crate::database::Database;

/// What happens to connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// A connection is cut instead of carrying a `COMMIT`, or a statement that commits by itself.
    BeforeCommit,
    /// A `COMMIT`, or a statement that commits by itself, arrives, and the connection is cut instead of carrying its answer.
    AfterCommit,
    /// As the two above, once.
    BeforeNextCommit,
    AfterNextCommit,
    /// New connections carry a random number of bytes, then none for a moment, then they are cut.
    AnyByte,
    /// A connection carries nothing any more from where it was to carry a new statement that reads.
    SilentRead,
    /// The connections that are there now carry nothing any more, and nobody is told.
    Silence,
}

/// Longer than any test takes; the sockets stay open.
const SILENCE: Duration = Duration::from_secs(3600);

/// Begin of the statement that is a transaction of its own, behind its name.
const COMMITS_ITSELF: &[u8] = b"\0WITH taken AS ( UPDATE";

/// Part of the statement that reads the log.
const READ: &[u8] = b"ORDER BY position LIMIT $3";

pub(crate) struct Proxy {
    fault: watch::Sender<Fault>,
    cuts: Arc<AtomicUsize>,
    address: SocketAddr,
}

impl Proxy {
    /// A proxy in front of the server of a database.
    pub(crate) async fn before(database: &Database) -> Self {
        let Database::Postgres { admin, .. } = database else {
            panic!("SQLite has no network")
        };
        let server = (admin.get_host().to_owned(), admin.get_port());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Self {
            fault: watch::Sender::new(Fault::None),
            cuts: Arc::default(),
            address: listener.local_addr().unwrap(),
        };
        let (fault, cuts) = (proxy.fault.clone(), Arc::clone(&proxy.cuts));
        tokio::spawn(async move {
            // It ends with the runtime of its test.
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&server).await.unwrap();
                let (fault, cuts) = (fault.clone(), Arc::clone(&cuts));
                tokio::spawn(async move {
                    if relay(client, server, &fault, &cuts).await.is_none() {
                        cuts.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        proxy
    }

    /// The database, reached through the proxy.
    pub(crate) fn database(&self, behind: &Database) -> Database {
        let Database::Postgres { admin, name } = behind else {
            panic!("SQLite has no network")
        };
        let admin = PgConnectOptions::clone(admin)
            .host("127.0.0.1")
            .port(self.address.port())
            .ssl_mode(PgSslMode::Disable);
        Database::Postgres {
            admin: Box::new(admin),
            name: name.clone(),
        }
    }

    pub(crate) fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }

    /// How many connections there are that carry something.
    pub(crate) fn connections(&self) -> usize {
        self.fault.receiver_count()
    }

    /// How many connections were cut or silenced so far.
    pub(crate) fn cuts(&self) -> usize {
        self.cuts.load(Ordering::Relaxed)
    }
}

/// Carries bytes until an end closes (`Some`) or the fault says to stop (`None`).
async fn relay(
    mut client: TcpStream,
    mut server: TcpStream,
    faults: &watch::Sender<Fault>,
    cuts: &AtomicUsize,
) -> Option<()> {
    let mut fault = faults.subscribe();
    let mut left = usize::MAX;
    if *fault.borrow() == Fault::AnyByte {
        let [high, low, ..] = *Uuid::new_v4().as_bytes();
        left = 500 + usize::from(u16::from_be_bytes([high, low])) / 4;
    }
    let (mut up, mut down) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    let mut spared = *fault.borrow() == Fault::Silence;
    let mut committing = None;
    loop {
        let now = *fault.borrow_and_update();
        spared &= now == Fault::Silence;
        if now == Fault::Silence && !spared {
            // It is none of those that carry something any more.
            drop(fault);
            cuts.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(SILENCE).await;
            return None;
        }
        tokio::select! {
            Ok(()) = fault.changed() => {}
            read = client.read(&mut up) => {
                // It may have been set while this was waiting.
                let now = *fault.borrow();
                let carried = read.ok().filter(|bytes| *bytes > 0);
                let Some(bytes) = carried else { return Some(()) };
                let sent = &up[..bytes.min(left)];
                committing = committing.or_else(|| name_before(sent, COMMITS_ITSELF));
                let commits = has(sent, b"COMMIT\0")
                    || committing.as_ref().is_some_and(|name| has(sent, name));
                let reads = has(sent, READ);
                if reads && now == Fault::SilentRead {
                    cuts.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(SILENCE).await;
                }
                let once = matches!(now, Fault::BeforeNextCommit | Fault::AfterNextCommit);
                if commits && once {
                    faults.send_replace(Fault::None);
                }
                if commits && matches!(now, Fault::BeforeCommit | Fault::BeforeNextCommit) {
                    return None;
                }
                server.write_all(sent).await.ok();
                if commits && matches!(now, Fault::AfterCommit | Fault::AfterNextCommit) {
                    // It has committed when it answers.
                    server.readable().await.ok();
                    return None;
                }
                left -= sent.len();
            }
            read = server.read(&mut down) => {
                let carried = read.ok().filter(|bytes| *bytes > 0);
                let Some(bytes) = carried else { return Some(()) };
                let sent = &down[..bytes.min(left)];
                client.write_all(sent).await.ok();
                left -= sent.len();
            }
        }
        if left == 0 {
            tokio::time::sleep(Duration::from_millis(30)).await;
            return None;
        }
    }
}

fn has(sent: &[u8], part: &[u8]) -> bool {
    sent.windows(part.len()).any(|window| window == part)
}

/// Name of a prepared statement by the begin of its text, with the zeros about it: it is named so in each
/// message that has it run.
fn name_before(sent: &[u8], text: &[u8]) -> Option<Vec<u8>> {
    let end = sent.windows(text.len()).position(|window| window == text)?;
    let begin = sent[..end]
        .windows(6)
        .rposition(|window| window == b"sqlx_s")?;
    Some([b"\0", &sent[begin..=end]].concat())
}
