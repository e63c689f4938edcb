//! One sync stream: the state of the world for each content that is asked for, again whenever it
//! changes, and a sign of life in between.
//!
//! Only the newest state is ever sent: what changes several times while a sidecar is slow to read is
//! sent once. The stream ends when its sidecar has to prove itself anew, when central stops, and with
//! PERMISSION_DENIED when the tenant no longer takes the namespace.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use eventstore::Position;
use protocol::v1::{
    Acknowledgement, Current, Hello, SubscribeRequest, SubscribeResponse,
    subscribe_request::Message, subscribe_response::State,
};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc, watch},
    time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout},
};
use tonic::{Status, Streaming};

use super::{super::Application, wire};
use crate::{
    authentication::Workload,
    directory::{Content, Realm},
    error::ServiceError,
    metrics::Metrics,
};

/// A sidecar that reads nothing for so long is given up.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);

/// A stream of one sidecar.
pub(super) struct Subscription {
    application: Arc<Application>,
    workload: Workload,
    tenant: String,
    instance: String,
    /// What the versions count in.
    store: String,
    contents: BTreeMap<Content, Told>,
    changed: watch::Receiver<()>,
    out: mpsc::Sender<Result<SubscribeResponse, Status>>,
    _room: OwnedSemaphorePermit,
    _counted: Counted,
}

/// What a sidecar was told of one content.
struct Told {
    version: Position,
    acknowledged: bool,
}

impl Subscription {
    /// Checks what is asked for.
    pub(super) async fn open(
        application: Arc<Application>,
        workload: Workload,
        hello: Hello,
        out: mpsc::Sender<Result<SubscribeResponse, Status>>,
    ) -> Result<Self, ServiceError> {
        let room = application.streams.enter()?;
        let store = application.store.id().to_string();
        let contents = wire::wants(&hello, &store)?;
        let directory = &application.directory;
        let realm = directory
            .realm_for(&hello.tenant, &workload.namespace)
            .await?;
        let ahead = |(content, told): (&Content, &Told)| {
            told.version > realm.version(*content, &workload.namespace)
        };
        let contents: BTreeMap<_, _> = contents
            .into_iter()
            .map(|(content, version)| {
                (
                    content,
                    Told {
                        version,
                        acknowledged: false,
                    },
                )
            })
            .collect();
        if contents.iter().any(ahead) {
            // The sidecar was told by a replica that is ahead of this one. It must not go back.
            directory.up_to_date().await?;
        }
        let changed = directory
            .watch(&hello.tenant)
            .ok_or_else(|| ServiceError::NotAdmitted {
                tenant: hello.tenant.clone(),
                namespace: workload.namespace.clone(),
            })?;
        let counted = Counted::new(Arc::clone(&application.metrics));
        Ok(Self {
            workload,
            tenant: hello.tenant,
            instance: hello.instance.chars().take(253).collect(),
            store,
            contents,
            changed,
            out,
            _room: room,
            _counted: counted,
            application,
        })
    }

    /// Serves the stream to its end.
    pub(super) async fn run(mut self, mut incoming: Streaming<SubscribeRequest>) {
        tracing::debug!(
            tenant = self.tenant,
            instance = self.instance,
            "a sidecar subscribed"
        );
        if let Err(status) = self.follow(&mut incoming).await {
            tracing::info!(
                tenant = self.tenant,
                instance = self.instance,
                code = ?status.code(),
                reason = status.message(),
                "a sync stream ended"
            );
            let _ = timeout(SEND_TIMEOUT, self.out.send(Err(status))).await;
        }
        for (content, told) in &self.contents {
            self.count_current(*content, told.acknowledged, false);
        }
    }

    async fn follow(&mut self, incoming: &mut Streaming<SubscribeRequest>) -> Result<(), Status> {
        let streams = &self.application.streams;
        let ending = streams.ending();
        let old_age = sleep_until(Instant::now() + streams.lifetime());
        let keepalive = streams.keepalive;
        let mut signs_of_life = interval_at(Instant::now() + keepalive, keepalive);
        signs_of_life.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut listening = true;
        tokio::pin!(old_age);

        self.tell(Quiet::Say).await?;
        loop {
            tokio::select! {
                () = ending.cancelled() => return Ok(()),
                () = &mut old_age => return Ok(()),
                () = self.out.closed() => return Ok(()),
                changed = self.changed.changed() => {
                    changed.map_err(|_| Status::unavailable("central stops"))?;
                    self.tell(Quiet::Skip).await?;
                }
                _ = signs_of_life.tick() => self.tell(Quiet::Say).await?,
                message = incoming.message(), if listening => match message? {
                    Some(request) => self.hear(request)?,
                    // The sidecar has nothing more to say, but goes on listening.
                    None => listening = false,
                },
            }
        }
    }

    /// Sends every content that is newer than what was told, and says of the others that they are
    /// current, or nothing.
    ///
    /// A replica that does not reach the store cannot know what is current. It ends the stream rather
    /// than vouch for what may have been revoked elsewhere: the sidecar then finds another replica, or
    /// counts the time that it has to do without.
    async fn tell(&mut self, quiet: Quiet) -> Result<(), Status> {
        if matches!(quiet, Quiet::Say) && !self.application.readiness.state().store_up {
            return Err(ServiceError::StoreUnavailable.into());
        }
        let namespace = self.workload.namespace.clone();
        let realm = self
            .application
            .directory
            .realm_for(&self.tenant, &namespace)
            .await?;
        let contents: Vec<_> = self
            .contents
            .iter()
            .map(|(content, told)| (*content, told.version))
            .collect();
        for (content, known) in contents {
            let version = realm.version(content, &namespace);
            let state = match (version == known, quiet) {
                (false, _) => self.state(&realm, content),
                (true, Quiet::Say) => State::Current(Current {}),
                (true, Quiet::Skip) => continue,
            };
            if version != known {
                let sent = &self.application.metrics.states_sent;
                sent.with_label_values(&[content.as_str()]).inc();
                if let Some(told) = self.contents.get_mut(&content) {
                    let was = std::mem::replace(&mut told.acknowledged, false);
                    told.version = version;
                    self.count_current(content, was, false);
                }
            }
            let message = SubscribeResponse {
                content: wire::content(content).into(),
                version: version.0,
                state: Some(state),
                store: self.store.clone(),
            };
            match timeout(SEND_TIMEOUT, self.out.send(Ok(message))).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Ok(()),
                Err(_) => return Err(Status::unavailable("the sidecar does not read")),
            }
        }
        Ok(())
    }

    fn state(&self, realm: &Realm, content: Content) -> State {
        match content {
            Content::Keys => State::Keys(wire::key_state(
                realm,
                self.application.config.issuer(&self.tenant),
            )),
            Content::Policy => State::Policy(wire::policy_state(realm)),
            Content::Generators => {
                State::Generators(wire::generator_state(realm, &self.workload.namespace))
            }
        }
    }

    fn hear(&mut self, request: SubscribeRequest) -> Result<(), Status> {
        let Some(Message::Acknowledgement(acknowledgement)) = request.message else {
            let message = "a stream is greeted once; after that only acknowledgements".to_owned();
            return Err(ServiceError::InvalidArgument {
                name: "message".into(),
                message,
            }
            .into());
        };
        let Acknowledgement {
            version,
            refused_because,
            ..
        } = acknowledgement;
        let content = wire::wanted(acknowledgement.content)?;
        let taken = refused_because.is_empty();
        let counter = &self.application.metrics.acknowledgements;
        let outcome = if taken { "taken" } else { "refused" };
        counter
            .with_label_values(&[content.as_str(), outcome])
            .inc();
        if !taken {
            let reason: String = refused_because.chars().take(512).collect();
            tracing::warn!(
                tenant = self.tenant,
                instance = self.instance,
                content = content.as_str(),
                version,
                reason,
                "a sidecar refused what it was sent and keeps what it had"
            );
        }
        if let Some(told) = self.contents.get_mut(&content)
            && told.version.0 == version
        {
            let was = std::mem::replace(&mut told.acknowledged, taken);
            self.count_current(content, was, taken);
        }
        Ok(())
    }

    fn count_current(&self, content: Content, was: bool, is: bool) {
        let gauge = &self.application.metrics.streams_current;
        gauge
            .with_label_values(&[content.as_str()])
            .add(i64::from(is) - i64::from(was));
    }
}

/// Whether to say that a content did not change.
#[derive(Clone, Copy)]
enum Quiet {
    Say,
    Skip,
}

/// Counts a stream for as long as it lives.
struct Counted(Arc<Metrics>);

impl Counted {
    fn new(metrics: Arc<Metrics>) -> Self {
        metrics.streams.inc();
        Self(metrics)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.streams.dec();
    }
}
