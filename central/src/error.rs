//! What can go wrong, as values: [`StartError`] before central serves, [`ServiceError`] while it
//! does. The edges map the latter to HTTP and gRPC, once each.

mod store;

use std::{borrow::Cow, io, path::PathBuf, time::Duration};

use http::StatusCode;
use serde_json::json;

/// Why central did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A flag or the file it names does not hold what it must.
    #[error("{flag}: {message}")]
    Configuration {
        /// The flag.
        flag: &'static str,
        /// What is wrong and how to mend it.
        message: String,
    },
    /// The stored keys were sealed with another master key.
    #[error(
        "the stored signing keys were sealed with master key {stored}, but --master-key-file holds \
         {given}; restore the Secret signet-master-key that this database was made with"
    )]
    WrongMasterKey {
        /// Fingerprint of the key that sealed them.
        stored: String,
        /// Fingerprint of the key that was given.
        given: String,
    },
    /// A stored key does not open although the master key is the right one.
    #[error(
        "the stored signing key {kid} of tenant {tenant} is damaged; restore table \
         central_signing_keys from a backup"
    )]
    DamagedKey {
        /// Its tenant.
        tenant: String,
        /// Its key id.
        kid: String,
    },
    /// A stored key for checkpoints does not open although the master key is the right one.
    #[error(
        "the stored key for checkpoints {key_id} is damaged; restore table central_checkpoint_keys \
         from a backup"
    )]
    DamagedCheckpointKey {
        /// Its key id.
        key_id: String,
    },
    /// The event store did not open.
    #[error("the event store cannot be opened: {0}")]
    EventStore(#[source] eventstore::OpenError),
    /// Another central works on the database, which is a file.
    #[error(
        "another central uses {database}: a SQLite file is for one process; end the other one, or use \
         PostgreSQL for several"
    )]
    DatabaseInUse {
        /// The file.
        database: PathBuf,
    },
    /// The table of signing keys did not open.
    #[error("the table of signing keys cannot be opened: {0}; check --database-url and its rights")]
    KeyTable(String),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}; choose another --listen address")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// The system's answer.
        source: io::Error,
    },
    /// The certificate or its key does not load.
    #[error("the certificate {path} cannot be used: {message}")]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong and how to mend it.
        message: String,
    },
    /// There is no Kubernetes API server to review tokens.
    #[error(
        "the Kubernetes API server is not configured: {0}; run in a pod with a ServiceAccount, or \
         set KUBECONFIG"
    )]
    Kubernetes(String),
    /// A metric could not be registered.
    #[error("a metric cannot be registered: {0}")]
    Metrics(#[from] prometheus::Error),
    /// The contracts compiled into this program do not decode.
    #[error("gRPC reflection cannot be built: {0}")]
    Reflection(String),
    /// The store holds events that this release cannot read.
    #[error(
        "the event store holds events that this release cannot read: {0}. Run the release that wrote \
         them, or restore the database from a backup of this one's time"
    )]
    UnreadableEvents(String),
    /// The store could not be asked which events it holds.
    #[error("the events of the store cannot be checked: {0}")]
    Check(#[source] eventstore::ReadError),
    /// A key could not be derived from the master key.
    #[error("no key can be derived from the master key: {0}")]
    Derivation(String),
    /// The event types compiled into this program contradict each other.
    #[error("the event types of this program are wrong: {0}")]
    EventTypes(#[from] eventstore::RegistryError),
    /// A projection of this program cannot be run.
    #[error("a projection of this program is wrong: {0}")]
    Projection(#[from] eventstore::ProjectionError),
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    Randomness,
    /// The server ended although nobody had asked it to.
    #[error("the server ended by itself: {0}")]
    Server(String),
}

impl StartError {
    /// The stable code of the error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Configuration { .. } => "SIGNET-CENTRAL-0101",
            Self::WrongMasterKey { .. } => "SIGNET-CENTRAL-0102",
            Self::DamagedKey { .. } | Self::DamagedCheckpointKey { .. } => "SIGNET-CENTRAL-0103",
            Self::EventStore(_) | Self::Check(_) => "SIGNET-CENTRAL-0104",
            Self::KeyTable(_) => "SIGNET-CENTRAL-0105",
            Self::Listen { .. } => "SIGNET-CENTRAL-0106",
            Self::Certificate { .. } => "SIGNET-CENTRAL-0107",
            Self::Kubernetes(_) => "SIGNET-CENTRAL-0108",
            Self::Metrics(_)
            | Self::Reflection(_)
            | Self::Derivation(_)
            | Self::EventTypes(_)
            | Self::Projection(_)
            | Self::Randomness => "SIGNET-CENTRAL-0109",
            Self::Server(_) => "SIGNET-CENTRAL-0110",
            Self::UnreadableEvents(_) => "SIGNET-CENTRAL-0111",
            Self::DatabaseInUse { .. } => "SIGNET-CENTRAL-0112",
        }
    }
}

/// Why a call was not carried out.
///
/// A refusal of the domain is no such error: it is an answer.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum ServiceError {
    #[error("the caller is not known: {0}")]
    Unauthenticated(String),
    #[error("{0}")]
    Forbidden(&'static str),
    #[error("tenant {tenant:?} does not take workloads of namespace {namespace:?}")]
    NotAdmitted { tenant: String, namespace: String },
    #[error("tenant {0:?} is closed; no token is issued and no id is given for it any more")]
    TenantClosed(String),
    #[error("there is no tenant {0:?}")]
    UnknownTenant(String),
    #[error("{name}: {message}")]
    InvalidArgument {
        name: Cow<'static, str>,
        message: String,
    },
    #[error("there is nothing at this path")]
    NoSuchRoute,
    #[error("this path does not take this method")]
    MethodNotAllowed,
    #[error("the database is not reachable; nothing was changed; try again")]
    StoreUnavailable,
    #[error(
        "the database went away before it told whether the change is stored: it may be; try again, \
         which changes nothing twice, save that an id range may be left unused"
    )]
    OutcomeUnknown,
    #[error("{message}; `signet events verify` tells an administrator what else was changed")]
    Corrupt {
        position: Option<u64>,
        message: String,
    },
    #[error("{message}; run the release that wrote it")]
    NotUnderstood { position: u64, message: String },
    #[error(
        "this replica does not know how tenant {tenant:?} is now: {message}; another replica may. Run the \
         release that wrote the event, or verify the store with `signet events verify`, and restart after \
         mending"
    )]
    Frozen {
        tenant: String,
        position: u64,
        message: String,
    },
    #[error("callers cannot be proven now, because the Kubernetes API server does not answer")]
    AuthenticationUnavailable,
    #[error("the call took too long; try again")]
    TimedOut,
    #[error("this replica has not seen position {0} yet; try again")]
    Behind(u64),
    #[error("too many writers at once; nothing was changed; try again")]
    Contended,
    #[error(
        "{command} is called too often for this tenant; nothing was changed; try again in {} s",
        seconds(*.pause)
    )]
    Limited {
        command: &'static str,
        pause: Duration,
    },
    #[error("too many commands are waiting at this replica; nothing was changed; try again")]
    Busy,
    #[error("tenant {0:?} has no active signing key yet; try again")]
    NoActiveKey(String),
    #[error("this replica serves as many streams as it may; try again, another may have room")]
    TooManyStreams,
    #[error("this replica has not read yet what was written before; try again, another may have")]
    CatchingUp,
    #[error("there is no {what} {name:?}; list them to see which there are")]
    NotFound { what: &'static str, name: String },
    #[error("{0}")]
    Conflict(String),
    #[error("{0} replays run already; cancel one or wait for its end")]
    TooManyReplays(usize),
    #[error(
        "version {version} lies more than {most} events behind the last snapshot before it; ask for \
         a later version, or for none, or go through the events by a replay (signet replay)"
    )]
    TooFar { version: u64, most: u64 },
    #[error("an internal error; the log tells more under the request id")]
    Internal(String),
}

impl ServiceError {
    /// That there is no such thing; of what the caller wrote not more than a name would have.
    pub(crate) fn missing(what: &'static str, name: &str) -> Self {
        let name = name.chars().take(256).collect();
        Self::NotFound { what, name }
    }

    /// That there is no such tenant; of what the caller wrote not more than a name would have.
    pub(crate) fn unknown_tenant(tenant: &str) -> Self {
        Self::UnknownTenant(tenant.chars().take(64).collect())
    }

    /// The stable code of the error.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Unauthenticated(_) => "SIGNET-CENTRAL-0001",
            Self::Forbidden(_) => "SIGNET-CENTRAL-0002",
            Self::NotAdmitted { .. } => "SIGNET-CENTRAL-0003",
            Self::TenantClosed(_) => "SIGNET-CENTRAL-0004",
            Self::UnknownTenant(_) => "SIGNET-CENTRAL-0005",
            Self::InvalidArgument { .. } => "SIGNET-CENTRAL-0006",
            Self::NoSuchRoute => "SIGNET-CENTRAL-0007",
            Self::MethodNotAllowed => "SIGNET-CENTRAL-0008",
            Self::StoreUnavailable => "SIGNET-CENTRAL-0009",
            Self::AuthenticationUnavailable => "SIGNET-CENTRAL-0010",
            Self::TimedOut => "SIGNET-CENTRAL-0011",
            Self::Behind(_) => "SIGNET-CENTRAL-0012",
            Self::Contended => "SIGNET-CENTRAL-0013",
            Self::NoActiveKey(_) => "SIGNET-CENTRAL-0014",
            Self::TooManyStreams => "SIGNET-CENTRAL-0015",
            Self::Internal(_) => "SIGNET-CENTRAL-0016",
            Self::CatchingUp => "SIGNET-CENTRAL-0017",
            Self::Limited { .. } => "SIGNET-CENTRAL-0018",
            Self::Busy => "SIGNET-CENTRAL-0019",
            Self::Corrupt { .. } => "SIGNET-CENTRAL-0020",
            Self::NotUnderstood { .. } => "SIGNET-CENTRAL-0021",
            Self::OutcomeUnknown => "SIGNET-CENTRAL-0022",
            Self::Frozen { .. } => "SIGNET-CENTRAL-0023",
            Self::NotFound { .. } => "SIGNET-CENTRAL-0030",
            Self::Conflict(_) => "SIGNET-CENTRAL-0031",
            Self::TooManyReplays(_) => "SIGNET-CENTRAL-0032",
            Self::TooFar { .. } => "SIGNET-CENTRAL-0033",
        }
    }

    /// The HTTP status it is answered with.
    pub(crate) fn http_status(&self) -> StatusCode {
        match self {
            Self::Unauthenticated(_) => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) | Self::NotAdmitted { .. } | Self::TenantClosed(_) => {
                StatusCode::FORBIDDEN
            }
            Self::UnknownTenant(_) | Self::NoSuchRoute | Self::NotFound { .. } => {
                StatusCode::NOT_FOUND
            }
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::InvalidArgument { .. } => StatusCode::BAD_REQUEST,
            Self::TooFar { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Limited { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::StoreUnavailable
            | Self::OutcomeUnknown
            | Self::AuthenticationUnavailable
            | Self::TimedOut
            | Self::Behind(_)
            | Self::Contended
            | Self::Busy
            | Self::CatchingUp
            | Self::NoActiveKey(_)
            | Self::Frozen { .. }
            | Self::TooManyReplays(_)
            | Self::TooManyStreams => StatusCode::SERVICE_UNAVAILABLE,
            Self::Corrupt { .. } | Self::NotUnderstood { .. } | Self::Internal(_) => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        }
    }

    /// The gRPC status code it is answered with.
    pub(crate) fn grpc_code(&self) -> tonic::Code {
        match self {
            Self::Unauthenticated(_) => tonic::Code::Unauthenticated,
            Self::Forbidden(_) | Self::NotAdmitted { .. } | Self::TenantClosed(_) => {
                tonic::Code::PermissionDenied
            }
            Self::UnknownTenant(_) | Self::NotFound { .. } => tonic::Code::NotFound,
            Self::Conflict(_) => tonic::Code::FailedPrecondition,
            Self::InvalidArgument { .. } => tonic::Code::InvalidArgument,
            Self::TooFar { .. } => tonic::Code::OutOfRange,
            Self::NoSuchRoute | Self::MethodNotAllowed => tonic::Code::Unimplemented,
            Self::TimedOut => tonic::Code::DeadlineExceeded,
            Self::TooManyStreams | Self::Limited { .. } | Self::TooManyReplays(_) => {
                tonic::Code::ResourceExhausted
            }
            Self::StoreUnavailable
            | Self::OutcomeUnknown
            | Self::AuthenticationUnavailable
            | Self::Behind(_)
            | Self::Contended
            | Self::Busy
            | Self::CatchingUp
            | Self::Frozen { .. }
            | Self::NoActiveKey(_) => tonic::Code::Unavailable,
            Self::Corrupt { .. } => tonic::Code::DataLoss,
            Self::NotUnderstood { .. } | Self::Internal(_) => tonic::Code::Internal,
        }
    }

    /// What of it a program may want to read, as members of `details`.
    pub(crate) fn details(&self) -> Option<serde_json::Value> {
        match self {
            Self::InvalidArgument { name, .. } => Some(json!({ "parameter": name })),
            Self::Corrupt {
                position: Some(position),
                ..
            }
            | Self::NotUnderstood { position, .. }
            | Self::Frozen { position, .. } => Some(json!({ "position": position })),
            _ => None,
        }
    }

    /// After how long the same call may work, when it may, in whole seconds.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Limited { pause, .. } => Some(Duration::from_secs(seconds(*pause))),
            _ if self.http_status() == StatusCode::SERVICE_UNAVAILABLE => {
                Some(Duration::from_secs(1))
            }
            _ => None,
        }
    }
}

/// A pause as `Retry-After` has it: whole seconds, and long enough.
fn seconds(pause: Duration) -> u64 {
    pause.as_secs() + u64::from(pause.subsec_nanos() > 0)
}
