//! Central by a script: the gRPC service `signet.v1.Sync` on a port of its own, in a runtime of its
//! own, so that it can be killed with everything it does.

mod service;
mod states;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use protocol::v1::sync_server::SyncServer;
use protocol::v1::{
    Acknowledgement, AllocateRangeRequest, Content, ExchangeTokenRequest, Hello, KeyState,
    SubscribeResponse, subscribe_response::State,
};
use token::{Algorithm, Claims, Jwks, PrivateKey};
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic::{Request, Status};

use self::service::Served;
pub(crate) use self::states::{generators, sample_roles};

pub(crate) const ISSUER: &str = "https://signet.test/t/acme";
pub(crate) const WORKLOAD: &str = "spiffe://acme.cluster.local/ns/shop/sa/checkout";
pub(crate) const BEARER: &str = "the-projected-token";
pub(crate) const STORE: &str = "6e1c5a70-0000-4000-8000-000000000001";

/// How central answers when ids are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Allocating {
    Gives,
    Waits,
    IsExhausted,
    KnowsNoSuchGenerator,
    Fails,
    /// Gives the range `0..1000` again and again: a central that is broken.
    Repeats,
}

/// What central does, and what it saw. Outlives its being killed, as a database would.
pub(crate) struct Script {
    pub(crate) key: PrivateKey,
    state: Mutex<BTreeMap<i32, SubscribeResponse>>,
    news: broadcast::Sender<SubscribeResponse>,
    hang_ups: broadcast::Sender<()>,
    pub(crate) allocating: Mutex<Allocating>,
    pub(crate) step: AtomicU64,
    next_id: AtomicU64,
    pub(crate) bearer: Mutex<String>,
    /// The stream opens, but nothing is ever said on it.
    pub(crate) silent: Mutex<bool>,
    pub(crate) token_lifetime_seconds: AtomicU64,
    pub(crate) exchange_refused: Mutex<Option<Status>>,
    pub(crate) hellos: Mutex<Vec<Hello>>,
    pub(crate) acknowledgements: Mutex<Vec<Acknowledgement>>,
    pub(crate) allocations: Mutex<Vec<AllocateRangeRequest>>,
    pub(crate) exchanges: Mutex<Vec<ExchangeTokenRequest>>,
}

impl Script {
    /// Tenant acme with one key, the roles of the samples, and generator `order-id`.
    pub(crate) fn new() -> Arc<Self> {
        let script = Arc::new(Self {
            key: PrivateKey::generate("2026-11-a", Algorithm::Es256).unwrap(),
            state: Mutex::default(),
            news: broadcast::channel(64).0,
            hang_ups: broadcast::channel(4).0,
            allocating: Mutex::new(Allocating::Gives),
            step: AtomicU64::new(1_000),
            next_id: AtomicU64::new(1),
            bearer: Mutex::new(BEARER.to_owned()),
            silent: Mutex::new(false),
            token_lifetime_seconds: AtomicU64::new(900),
            exchange_refused: Mutex::new(None),
            hellos: Mutex::default(),
            acknowledgements: Mutex::default(),
            allocations: Mutex::default(),
            exchanges: Mutex::default(),
        });
        script.send(1, script.keys());
        script.send(2, sample_roles());
        script.send(3, generators(&[("order-id", 5_000)]));
        script
    }

    /// The key set with this central's key.
    pub(crate) fn keys(&self) -> State {
        let keys = Jwks {
            keys: vec![self.key.public_jwk()],
        };
        State::Keys(KeyState {
            issuer: ISSUER.to_owned(),
            audiences: vec!["acme".to_owned(), "billing".to_owned()],
            jwks: serde_json::to_string(&keys).unwrap(),
            closed: false,
        })
    }

    /// Makes a state true, and tells everybody who listens.
    pub(crate) fn send(&self, version: u64, state: State) {
        let content = match &state {
            State::Keys(_) => Content::Keys,
            State::Policy(_) => Content::Policy,
            State::Generators(_) => Content::Generators,
            State::Current(_) => panic!("not a state"),
        };
        let message = SubscribeResponse {
            content: content.into(),
            version,
            state: Some(state),
            store: STORE.to_owned(),
        };
        self.state
            .lock()
            .unwrap()
            .insert(content.into(), message.clone());
        // Nobody may be listening yet.
        let _ = self.news.send(message);
    }

    /// Ends every stream, as a replica does that is shut down.
    pub(crate) fn hang_up(&self) {
        let _ = self.hang_ups.send(());
    }

    pub(crate) fn set(&self, allocating: Allocating) {
        *self.allocating.lock().unwrap() = allocating;
    }

    /// A token of the tenant, good for a quarter of an hour, changed by `change`.
    pub(crate) fn token(&self, change: impl FnOnce(&mut Claims)) -> String {
        let now = sidecar::clock::unix_now();
        let mut claims = Claims {
            iss: ISSUER.to_owned(),
            sub: WORKLOAD.to_owned(),
            aud: vec!["acme".to_owned()],
            exp: now + 900,
            iat: now,
            tenant_id: Some("acme".to_owned()),
            ..Claims::default()
        };
        change(&mut claims);
        token::sign(&self.key, &claims).unwrap()
    }

    /// The reason central got for refusing this version, once it did; empty: it was taken.
    pub(crate) fn acknowledged(&self, content: Content, version: u64) -> Option<String> {
        let all = self.acknowledgements.lock().unwrap();
        let one = |one: &&Acknowledgement| one.content() == content && one.version == version;
        all.iter()
            .rev()
            .find(one)
            .map(|one| one.refused_because.clone())
    }

    /// Everything it was ever asked or told.
    pub(crate) fn messages(&self) -> usize {
        self.hello_count()
            + self.acknowledgements.lock().unwrap().len()
            + self.allocations.lock().unwrap().len()
            + self.exchanges.lock().unwrap().len()
    }

    pub(crate) fn hello_count(&self) -> usize {
        self.hellos.lock().unwrap().len()
    }

    fn authenticate<T>(&self, request: &Request<T>) -> Result<(), Status> {
        let expected = format!("Bearer {}", self.bearer.lock().unwrap());
        match request.metadata().get("authorization") {
            Some(given) if given.as_bytes() == expected.as_bytes() => Ok(()),
            _ => Err(Status::unauthenticated(
                "the ServiceAccount token does not hold",
            )),
        }
    }
}

/// A central that runs. Dropped, it is gone as if killed.
pub(crate) struct Central {
    pub(crate) address: SocketAddr,
    pub(crate) script: Arc<Script>,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Central {
    pub(crate) fn start(script: &Arc<Script>) -> Self {
        Self::start_at(script, (own_loopback(), 0).into(), None)
    }

    /// The same one again, after it was killed.
    pub(crate) fn start_again(script: &Arc<Script>, address: SocketAddr) -> Self {
        Self::start_at(script, address, None)
    }

    pub(crate) fn start_at(
        script: &Arc<Script>,
        address: SocketAddr,
        identity: Option<Identity>,
    ) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = bound(address);
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let mut server = Server::builder();
        if let Some(identity) = identity {
            server = server
                .tls_config(ServerTlsConfig::new().identity(identity))
                .unwrap();
        }
        let service = SyncServer::new(Served(Arc::clone(script)));
        runtime.spawn(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
            server
                .add_service(service)
                .serve_with_incoming(incoming)
                .await
                .unwrap();
        });
        Self {
            address,
            script: Arc::clone(script),
            runtime: Some(runtime),
        }
    }

    /// Gone as if killed: connections are cut, what is under way is forgotten.
    pub(crate) fn kill(self) -> SocketAddr {
        self.address
    }
}

impl Drop for Central {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A loopback address for this server alone: no client's ephemeral port on 127.0.0.1 can take the
/// server's port while it is down.
fn own_loopback() -> IpAddr {
    static STARTED: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    IpAddr::from([
        127,
        16 + high % 200,
        low,
        STARTED.fetch_add(1, Ordering::SeqCst),
    ])
}

/// What was killed lets go of its port in its own time.
fn bound(address: SocketAddr) -> std::net::TcpListener {
    let began = Instant::now();
    loop {
        match std::net::TcpListener::bind(address) {
            Ok(listener) => return listener,
            Err(error) if began.elapsed() > Duration::from_secs(30) => {
                panic!("cannot listen on {address}: {error}")
            }
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}
