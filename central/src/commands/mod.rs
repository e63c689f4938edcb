//! Commands: load the aggregate, let the domain decide, append with the version it was decided over,
//! decide anew when another replica was first. `eventstore::command` does it; here is what is ours:
//! which commands there are, how often and how urgently, and what is known of the rest of the world
//! when one is decided.
//!
//! A refusal of the domain is an answer (`Ok(Err(refusal))`); a [`ServiceError`] means that the call
//! was not carried out. No command has an idempotency key: a declaration that holds already changes
//! nothing, and an allocation is never answered twice (decision 0004).

mod generators;
mod history;
mod limits;
mod observation;
mod repositories;
mod roles;
mod tenants;

use std::sync::Arc;

use eventstore::{
    Metadata, StreamKey,
    command::{Aggregate, Call, Done, Repository},
};
use uuid::Uuid;

pub(crate) use self::{
    history::{StateThen, Until},
    repositories::Repositories,
};
use crate::{
    directory::Directory, error::ServiceError, keys::KeyStore, metrics::Metrics, service::Clock,
};

/// Whose command it is, for the record.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) actor: String,
    pub(crate) correlation_id: Option<Uuid>,
    /// The trace its caller works on.
    pub(crate) trace_id: Option<String>,
    /// Where its connection comes from: the caller, or what stands before central.
    pub(crate) source_ip: Option<String>,
}

/// An answer of the domain, or the reason why it was not asked.
pub(crate) type Answer<A, Refusal> = Result<Result<Done<A>, Refusal>, ServiceError>;

/// Everything that changes anything.
pub(crate) struct Commands {
    repositories: Repositories,
    directory: Arc<Directory>,
    keys: Arc<KeyStore>,
    metrics: Arc<Metrics>,
    clock: Clock,
    key_propagation: std::time::Duration,
}

impl Commands {
    pub(crate) fn new(
        repositories: Repositories,
        directory: Arc<Directory>,
        keys: Arc<KeyStore>,
        metrics: Arc<Metrics>,
        clock: Clock,
        key_propagation: std::time::Duration,
    ) -> Self {
        Self {
            repositories,
            directory,
            keys,
            metrics,
            clock,
            key_propagation,
        }
    }

    /// Decides and appends until it is stored or refused, and lets the read models see it.
    async fn execute<A: Aggregate, Refusal: Send>(
        &self,
        repository: &Repository<A>,
        call: Call<A>,
        decide: impl FnMut(&A::State) -> Result<Vec<A::Event>, Refusal> + Send,
    ) -> Answer<A, Refusal> {
        let answer = repository.execute(call, decide).await?;
        if let Ok(done) = &answer {
            self.settle(done).await;
        }
        Ok(answer)
    }

    /// Lets this replica's own readers see what was just written. Not seeing it yet is no failure:
    /// the answer carries the position.
    async fn settle<A: Aggregate>(&self, done: &Done<A>) {
        if done.appended.is_some() && self.directory.reached_soon(done.position).await.is_err() {
            tracing::warn!(position = done.position.0, "the read models are slow");
        }
    }
}

/// A call of a command by somebody.
fn call<A: Aggregate>(command: &'static str, stream: StreamKey, origin: &Origin) -> Call<A> {
    Call::new(command, stream).with_metadata(Metadata {
        correlation_id: origin.correlation_id,
        actor: Some(origin.actor.clone()),
        trace_id: origin.trace_id.clone(),
        source_ip: origin.source_ip.clone(),
        ..Metadata::default()
    })
}
