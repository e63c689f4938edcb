//! The sync stream: central sends the state of the world, the sidecar takes it or says why not.

use std::sync::Arc;
use std::time::Duration;

use protocol::v1::{
    Acknowledgement, Held, Hello, SubscribeRequest, SubscribeResponse, subscribe_request::Message,
};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Streaming};
use tracing::{info, warn};

use super::{Backoff, CallError, Connection, ConnectionState};
use crate::content::{Content, KINDS, Outcome, name_of};
use crate::metrics::Metrics;

const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// A stream that stood this long was no flapping one: the next wait is short again.
const STEADY: Duration = Duration::from_secs(5);
/// Acknowledgements that central has not read yet; beyond, it is taken for stuck.
const UNREAD_ACKNOWLEDGEMENTS: usize = 32;

/// Keeps [`Content`] as central has it, for as long as it runs.
#[derive(Debug)]
pub struct Subscription {
    connection: Arc<Connection>,
    content: Arc<Content>,
    metrics: Arc<Metrics>,
    silence: Duration,
}

impl Subscription {
    /// `silence`: after how long without a message central counts as gone.
    #[must_use]
    pub fn new(
        connection: Arc<Connection>,
        content: Arc<Content>,
        metrics: Arc<Metrics>,
        silence: Duration,
    ) -> Self {
        Self {
            connection,
            content,
            metrics,
            silence,
        }
    }

    /// Opens the stream, and opens it again whenever it ends, until cancelled.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        loop {
            let opened = Instant::now();
            let problem = tokio::select! {
                () = shutdown.cancelled() => return,
                problem = self.session() => problem,
            };
            if opened.elapsed() >= STEADY {
                backoff.reset();
            }
            let wait = backoff.after_failure();
            let problem = match problem {
                // Central asks for a new proof now and then, and says goodbye when it is updated.
                Ended::Closed => {
                    info!(retry_in = ?wait, "central closed the stream");
                    "central closed the stream".to_owned()
                }
                Ended::Failed(error) => {
                    warn!(problem = %error, retry_in = ?wait, "no stream to central");
                    error.to_string()
                }
            };
            self.metrics.central_disconnected();
            self.connection.set_state(ConnectionState::Away { problem });
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
            self.connection.renew();
        }
    }

    /// One stream, from its hello to its end.
    async fn session(&self) -> Ended {
        let (sender, receiver) = mpsc::channel(UNREAD_ACKNOWLEDGEMENTS);
        match timeout(self.silence, self.open(&sender, receiver)).await {
            Ok(Ok(stream)) => self.follow(stream, &sender).await,
            Ok(Err(error)) => Ended::Failed(error),
            Err(_) => self.silent(),
        }
    }

    async fn open(
        &self,
        sender: &mpsc::Sender<SubscribeRequest>,
        receiver: mpsc::Receiver<SubscribeRequest>,
    ) -> Result<Streaming<SubscribeResponse>, CallError> {
        let wants = KINDS
            .map(|kind| Held {
                content: kind.into(),
                version: self.content.version(kind),
                store: self.content.store(kind),
            })
            .to_vec();
        let hello = Hello {
            tenant: self.connection.tenant().to_owned(),
            wants,
            instance: self.connection.instance().to_owned(),
        };
        send(sender, Message::Hello(hello))?;
        let request = Request::new(ReceiverStream::new(receiver));
        let request = self.connection.authorized(request).await?;
        Ok(self
            .connection
            .client()
            .subscribe(request)
            .await?
            .into_inner())
    }

    async fn follow(
        &self,
        mut stream: Streaming<SubscribeResponse>,
        sender: &mpsc::Sender<SubscribeRequest>,
    ) -> Ended {
        let mut heard = false;
        loop {
            let message = match timeout(self.silence, stream.message()).await {
                Ok(Ok(Some(message))) => message,
                Ok(Ok(None)) => return Ended::Closed,
                Ok(Err(status)) => return Ended::Failed(status.into()),
                Err(_) => return self.silent(),
            };
            let acknowledged = self.take(message, sender);
            // After the content is in place: whoever waits for the connection then finds it.
            if !heard {
                heard = true;
                info!("connected to central");
                self.metrics.central_connected();
                self.connection.set_state(ConnectionState::Connected);
            }
            if let Err(error) = acknowledged {
                return Ended::Failed(error);
            }
        }
    }

    fn take(
        &self,
        message: SubscribeResponse,
        sender: &mpsc::Sender<SubscribeRequest>,
    ) -> Result<(), CallError> {
        let (kind, version) = (message.content(), message.version);
        let refused_because = match self.content.apply(message) {
            Outcome::Current => return Ok(()),
            Outcome::Taken => {
                info!(content = name_of(kind), version, "took what central sent");
                self.metrics.content_taken(kind, version);
                String::new()
            }
            Outcome::Refused(reason) => {
                warn!(content = name_of(kind), version, %reason, "refused what central sent");
                self.metrics.content_refused(kind);
                reason
            }
        };
        let content = i32::from(kind);
        send(
            sender,
            Message::Acknowledgement(Acknowledgement {
                content,
                version,
                refused_because,
            }),
        )
    }

    fn silent(&self) -> Ended {
        let problem = format!("nothing was heard for {:?}", self.silence);
        Ended::Failed(CallError::Unreachable(problem))
    }
}

/// How a stream ended.
enum Ended {
    Closed,
    Failed(CallError),
}

fn send(sender: &mpsc::Sender<SubscribeRequest>, message: Message) -> Result<(), CallError> {
    sender
        .try_send(SubscribeRequest {
            message: Some(message),
        })
        .map_err(|_| CallError::Unreachable("central does not read acknowledgements".to_owned()))
}
