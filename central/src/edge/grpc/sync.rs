//! `signet.v1.Sync`: what sidecars ask for.

use std::{sync::Arc, time::Duration};

use idgen::generator::Reason;
use protocol::v1::{
    AllocateRangeRequest, AllocateRangeResponse, ExchangeTokenRequest, ExchangeTokenResponse,
    Exhausted, Hello, SubscribeRequest, SubscribeResponse, UnknownGenerator,
    allocate_range_response::Outcome, subscribe_request::Message, sync_server::Sync,
};
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::{origin, subscription::Subscription, wire, workload};
use crate::{
    authentication::Workload, edge::Application, error::ServiceError, exchange::ExchangeError,
};

/// A stream that says nothing for so long is not one of a sidecar.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// Messages a slow sidecar may leave unread.
const UNREAD: usize = 8;
/// Ids asked for at once; what the domain gives may be less.
const MAX_COUNT: u64 = 1 << 40;

/// The service.
pub(super) struct Service {
    application: Arc<Application>,
}

impl Service {
    pub(super) fn new(application: Arc<Application>) -> Self {
        Self { application }
    }
}

#[tonic::async_trait]
impl Sync for Service {
    type SubscribeStream = ReceiverStream<Result<SubscribeResponse, Status>>;

    async fn subscribe(
        &self,
        request: Request<Streaming<SubscribeRequest>>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let workload = workload(&request)?;
        let mut incoming = request.into_inner();
        let hello = hello(&mut incoming).await?;
        let (out, messages) = mpsc::channel(UNREAD);
        let subscription =
            Subscription::open(Arc::clone(&self.application), workload, hello, out).await?;
        tokio::spawn(subscription.run(incoming));
        Ok(Response::new(ReceiverStream::new(messages)))
    }

    async fn allocate_range(
        &self,
        request: Request<AllocateRangeRequest>,
    ) -> Result<Response<AllocateRangeResponse>, Status> {
        let workload = workload(&request)?;
        let owner = owner(&workload, &request.get_ref().instance)?;
        let origin = origin(&request, owner.clone());
        let AllocateRangeRequest {
            tenant,
            generator,
            count,
            ..
        } = request.into_inner();
        if !(1..=MAX_COUNT).contains(&count) {
            let message = format!("give 1 to {MAX_COUNT}");
            return Err(ServiceError::InvalidArgument {
                name: "count".into(),
                message,
            }
            .into());
        }
        let namespace = &workload.namespace;
        let outcome = if self.has_generator(&tenant, namespace, &generator).await? {
            let commands = &self.application.commands;
            let allocated = commands
                .allocate(&tenant, namespace, &generator, count, &owner, &origin)
                .await?;
            match allocated {
                Ok(range) => Outcome::Range(wire::range(range)),
                Err(refusal) => match refusal.reason {
                    Reason::Exhausted => Outcome::Exhausted(Exhausted {}),
                    Reason::UnknownGenerator => Outcome::UnknownGenerator(UnknownGenerator {}),
                    _ => return Err(Status::failed_precondition(refusal.message)),
                },
            }
        } else {
            Outcome::UnknownGenerator(UnknownGenerator {})
        };
        Ok(Response::new(AllocateRangeResponse {
            outcome: Some(outcome),
        }))
    }

    async fn exchange_token(
        &self,
        request: Request<ExchangeTokenRequest>,
    ) -> Result<Response<ExchangeTokenResponse>, Status> {
        let workload = workload(&request)?;
        let ExchangeTokenRequest { tenant, audience } = request.into_inner();
        let audiences = if audience.is_empty() {
            Vec::new()
        } else {
            vec![audience]
        };
        let issued = self
            .application
            .exchange
            .exchange(&workload, &tenant, &audiences)
            .await;
        let issued = issued.map_err(|error| match error {
            ExchangeError::UnknownAudience(_) => {
                let message = error.to_string();
                Status::from(ServiceError::InvalidArgument {
                    name: "audience".into(),
                    message,
                })
            }
            ExchangeError::Service(error) => error.into(),
        })?;
        Ok(Response::new(ExchangeTokenResponse {
            access_token: issued.token,
            expires_in_seconds: issued.lifetime.as_secs(),
        }))
    }
}

impl Service {
    /// Whether the namespace has such a generator; looked up in the store before the answer is no,
    /// so that a generator declared through another replica is found at once.
    async fn has_generator(
        &self,
        tenant: &str,
        namespace: &str,
        generator: &str,
    ) -> Result<bool, ServiceError> {
        let directory = &self.application.directory;
        for fresh in [false, true] {
            if fresh {
                directory.up_to_date().await?;
            }
            let realm = directory.open_realm_for(tenant, namespace).await?;
            if realm
                .generators_of(namespace)
                .any(|(name, _)| name == generator)
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The first message, which has to be a greeting.
async fn hello(incoming: &mut Streaming<SubscribeRequest>) -> Result<Hello, Status> {
    let first = timeout(HELLO_TIMEOUT, incoming.message())
        .await
        .map_err(|_| ServiceError::TimedOut)?;
    match first?.and_then(|request| request.message) {
        Some(Message::Hello(hello)) => Ok(hello),
        _ => {
            let message = "the first message of a stream is a Hello".to_owned();
            Err(ServiceError::InvalidArgument {
                name: "message".into(),
                message,
            }
            .into())
        }
    }
}

/// Who gets a range, for the record: the pod as it was proven, else as the caller calls itself.
fn owner(workload: &Workload, instance: &str) -> Result<String, ServiceError> {
    let Workload {
        namespace,
        service_account,
        pod,
        ..
    } = workload;
    if let Some(pod) = pod {
        return Ok(format!("{namespace}/{pod}"));
    }
    let sane = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if instance.len() > 253 || !instance.chars().all(sane) {
        let message =
            "it must be a name of at most 253 letters, digits, dots and dashes".to_owned();
        return Err(ServiceError::InvalidArgument {
            name: "instance".into(),
            message,
        });
    }
    let name = if instance.is_empty() {
        service_account
    } else {
        instance
    };
    Ok(format!("{namespace}/{name}"))
}
