//! Central by a script: the gRPC service `signet.v1.Sync` on a port of its own, in a runtime of its
//! own, so that it can be killed with everything it does.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::{Stream, StreamExt, stream};
use protocol::v1::sync_server::{Sync as SyncService, SyncServer};
use protocol::v1::{
    Acknowledgement, AllocateRangeRequest, AllocateRangeResponse, Buffer, Content, Current,
    ExchangeTokenRequest, ExchangeTokenResponse, Exhausted, GeneratorState, Hello, IdGeneratorSpec,
    KeyState, NamedGenerator, NamedRole, PolicyState, Range, RoleSpec, Rule, Segment, Subject,
    SubscribeRequest, SubscribeResponse, UnknownGenerator, allocate_range_response::Outcome,
    id_generator_spec::Algorithm as Kind, rule::Effect, subject, subscribe_request::Message,
    subscribe_response::State,
};
use token::{Algorithm, Claims, Jwks, PrivateKey};
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tokio_stream::wrappers::{BroadcastStream, TcpListenerStream};
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status, Streaming};

pub(crate) const ISSUER: &str = "https://signet.test/t/acme";
pub(crate) const WORKLOAD: &str = "spiffe://acme.cluster.local/ns/shop/sa/checkout";
pub(crate) const BEARER: &str = "the-projected-token";

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

pub(crate) fn generators(all: &[(&str, u64)]) -> State {
    let one = |(name, capacity): &(&str, u64)| NamedGenerator {
        name: (*name).to_owned(),
        spec: Some(IdGeneratorSpec {
            algorithm: Some(Kind::Segment(Segment {
                start: 1,
                max: 1 << 53,
                step: 1_000,
            })),
            buffer: Some(Buffer {
                capacity: *capacity,
                refill_at_percent: 10,
                outage_budget_seconds: 60,
            }),
        }),
    };
    State::Generators(GeneratorState {
        generators: all.iter().map(one).collect(),
    })
}

/// The roles of config/samples, and one that refuses.
pub(crate) fn sample_roles() -> State {
    let rule = |effect: Effect, resource: &str, actions: &[&str], when: &str| Rule {
        effect: effect.into(),
        resources: vec![resource.to_owned()],
        actions: actions.iter().map(|action| (*action).to_owned()).collect(),
        when: when.to_owned(),
    };
    let bound = |kind: subject::Kind, name: &str| Subject {
        kind: kind.into(),
        name: name.to_owned(),
        namespace: String::new(),
    };
    let role = |name: &str, inherits: &[&str], rules, subjects| NamedRole {
        namespace: "shop".to_owned(),
        name: name.to_owned(),
        spec: Some(RoleSpec {
            inherits: inherits.iter().map(|name| (*name).to_owned()).collect(),
            rules,
            subjects,
        }),
    };
    State::Policy(PolicyState {
        roles: vec![
            role(
                "order-reader",
                &[],
                vec![rule(Effect::Allow, "orders/*", &["read"], "")],
                vec![],
            ),
            role(
                "order-writer",
                &["order-reader"],
                vec![rule(
                    Effect::Allow,
                    "orders/*",
                    &["create", "read"],
                    "request.amount < 1000",
                )],
                vec![bound(subject::Kind::ServiceAccount, "checkout")],
            ),
            role(
                "no-secrets",
                &[],
                vec![rule(Effect::Deny, "orders/secret", &["*"], "")],
                vec![bound(subject::Kind::ServiceAccount, "checkout")],
            ),
            role(
                "staff",
                &[],
                vec![rule(Effect::Allow, "reports/**", &["*"], "")],
                vec![
                    bound(subject::Kind::Group, "staff"),
                    bound(subject::Kind::Client, "batch"),
                ],
            ),
        ],
    })
}

/// A central that runs. Dropped, it is gone as if killed.
pub(crate) struct Central {
    pub(crate) address: SocketAddr,
    pub(crate) script: Arc<Script>,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Central {
    pub(crate) fn start(script: &Arc<Script>) -> Self {
        Self::start_at(script, "127.0.0.1:0".parse().unwrap(), None)
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
        let listener = std::net::TcpListener::bind(address).unwrap();
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
            let incoming = TcpListenerStream::new(TcpListener::from_std(listener).unwrap());
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

struct Served(Arc<Script>);

type Responses = Pin<Box<dyn Stream<Item = Result<SubscribeResponse, Status>> + Send>>;

#[tonic::async_trait]
impl SyncService for Served {
    type SubscribeStream = Responses;

    async fn subscribe(
        &self,
        request: Request<Streaming<SubscribeRequest>>,
    ) -> Result<Response<Responses>, Status> {
        let script = Arc::clone(&self.0);
        script.authenticate(&request)?;
        let (news, mut hang_ups) = (script.news.subscribe(), script.hang_ups.subscribe());
        let mut requests = request.into_inner();
        let Some(SubscribeRequest {
            message: Some(Message::Hello(hello)),
        }) = requests.message().await?
        else {
            return Err(Status::invalid_argument(
                "the first message must be a hello",
            ));
        };
        script.hellos.lock().unwrap().push(hello.clone());
        let acknowledging = Arc::clone(&script);
        tokio::spawn(async move {
            while let Ok(Some(SubscribeRequest {
                message: Some(message),
            })) = requests.message().await
            {
                if let Message::Acknowledgement(one) = message {
                    acknowledging.acknowledgements.lock().unwrap().push(one);
                }
            }
        });
        if *script.silent.lock().unwrap() {
            return Ok(Response::new(Box::pin(stream::pending())));
        }
        let first: Vec<_> = hello
            .wants
            .iter()
            .filter_map(|held| {
                let message = script.state.lock().unwrap().get(&held.content).cloned()?;
                if message.version == held.version {
                    let state = Some(State::Current(Current {}));
                    return Some(Ok(SubscribeResponse { state, ..message }));
                }
                Some(Ok(message))
            })
            .collect();
        let news = BroadcastStream::new(news).filter_map(async |one| one.ok().map(Ok));
        let stream = stream::iter(first).chain(news).take_until(async move {
            let _ = hang_ups.recv().await;
        });
        Ok(Response::new(Box::pin(stream)))
    }

    async fn allocate_range(
        &self,
        request: Request<AllocateRangeRequest>,
    ) -> Result<Response<AllocateRangeResponse>, Status> {
        let script = &self.0;
        script.authenticate(&request)?;
        let request = request.into_inner();
        script.allocations.lock().unwrap().push(request.clone());
        let allocating = *script.allocating.lock().unwrap();
        let step = script.step.load(Ordering::SeqCst);
        let outcome = match allocating {
            Allocating::Gives => {
                let count = request.count.div_ceil(step) * step;
                let start = script.next_id.fetch_add(count, Ordering::SeqCst);
                Outcome::Range(Range {
                    start,
                    end: start + count,
                    stride: 1,
                    epoch: start,
                })
            }
            Allocating::Waits => {
                tokio::time::sleep(Duration::from_secs(3600)).await;
                return Err(Status::deadline_exceeded("too late"));
            }
            Allocating::IsExhausted => Outcome::Exhausted(Exhausted {}),
            Allocating::KnowsNoSuchGenerator => Outcome::UnknownGenerator(UnknownGenerator {}),
            Allocating::Fails => return Err(Status::unavailable("the store is away")),
            Allocating::Repeats => Outcome::Range(Range {
                start: 0,
                end: 1_000,
                stride: 1,
                epoch: 1,
            }),
        };
        Ok(Response::new(AllocateRangeResponse {
            outcome: Some(outcome),
        }))
    }

    async fn exchange_token(
        &self,
        request: Request<ExchangeTokenRequest>,
    ) -> Result<Response<ExchangeTokenResponse>, Status> {
        let script = &self.0;
        script.authenticate(&request)?;
        if let Some(status) = script.exchange_refused.lock().unwrap().clone() {
            return Err(status);
        }
        let request = request.into_inner();
        let lifetime = script.token_lifetime_seconds.load(Ordering::SeqCst);
        let number = {
            let mut exchanges = script.exchanges.lock().unwrap();
            exchanges.push(request.clone());
            exchanges.len()
        };
        let access_token = script.token(|claims| {
            claims.aud = vec![request.audience];
            claims.exp = claims.iat + i64::try_from(lifetime).unwrap();
            claims.jti = Some(number.to_string());
        });
        let answer = ExchangeTokenResponse {
            access_token,
            expires_in_seconds: lifetime,
        };
        Ok(Response::new(answer))
    }
}
