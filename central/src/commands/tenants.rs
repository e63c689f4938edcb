//! Commands over tenants and their signing keys.

use eventstore::command::{Priority, Written};
use iam::{
    Refusal,
    tenant::{self, Command, KeyStep, Spec, State},
};

use super::{Answer, Commands, Origin, call, limits::ROTATE_KEYS};
use crate::{aggregates::Tenant, error::ServiceError};

impl Commands {
    /// Makes the tenant as declared. One that has no key gets its first in the same append, so that
    /// an open tenant always has a key to sign with.
    pub(crate) async fn declare_tenant(
        &self,
        spec: Spec,
        origin: &Origin,
    ) -> Answer<Tenant, Refusal> {
        self.directory.following(&spec.name)?;
        let call = call("DeclareTenant", Tenant::stream(&spec.name), origin);
        let mut tenant = self.repositories.tenants.open(call).await?;
        loop {
            let events = match self.declaration(tenant.state(), &spec).await? {
                Ok(events) => events,
                Err(refusal) => {
                    tenant.refused();
                    return Ok(Err(refusal));
                }
            };
            match tenant.append(&events).await? {
                Written::Done(done) => {
                    self.settle(&done).await;
                    return Ok(Ok(done));
                }
                Written::Conflict(theirs) => tenant = theirs,
            }
        }
    }

    /// The declaration is gone; the tenant stays, or is closed.
    pub(crate) async fn delete_tenant(
        &self,
        name: &str,
        close: bool,
        origin: &Origin,
    ) -> Answer<Tenant, Refusal> {
        let command = if close {
            Command::Close
        } else {
            Command::Release
        };
        self.directory.following(name)?;
        let call = call("DeleteTenant", Tenant::stream(name), origin);
        self.execute(&self.repositories.tenants, call, |state| {
            tenant::decide(state, command.clone())
        })
        .await
    }

    /// Takes the next step of a tenant's key rotation, when one is due.
    ///
    /// True: there may be another one. Every replica tries; the first wins.
    pub(crate) async fn rotate_keys(
        &self,
        name: &str,
        origin: &Origin,
    ) -> Result<bool, ServiceError> {
        self.directory.following(name)?;
        let call = call(ROTATE_KEYS, Tenant::stream(name), origin).with_priority(Priority::Low);
        let tenant = self.repositories.tenants.open(call).await?;
        let step = tenant
            .state()
            .next_key_step((self.clock)(), self.key_propagation);
        let Some(step) = step else {
            tenant.done();
            return Ok(false);
        };
        let (label, kid) = match &step {
            KeyStep::Add { kid, .. } => ("add", kid.clone()),
            KeyStep::Activate { kid } => ("activate", kid.clone()),
            KeyStep::Retire { kid } => ("retire", kid.clone()),
        };
        let events = match self.key_events(tenant.state(), name, step).await? {
            Ok(events) => events,
            Err(refusal) => {
                tenant.refused();
                tracing::warn!(tenant = name, kid, step = label, reason = %refusal, "a key step was refused");
                return Ok(false);
            }
        };
        match tenant.append(&events).await? {
            Written::Done(done) if done.appended.is_some() => {
                self.metrics.key_steps.with_label_values(&[label]).inc();
                tracing::info!(tenant = name, kid, step = label, "rotated a signing key");
                Ok(true)
            }
            Written::Done(_) => Ok(false),
            Written::Conflict(theirs) => {
                theirs.done();
                Ok(true)
            }
        }
    }

    async fn declaration(
        &self,
        state: &State,
        spec: &Spec,
    ) -> Result<Result<Vec<tenant::Event>, Refusal>, ServiceError> {
        let mut events = match tenant::decide(state, Command::Declare(spec.clone())) {
            Ok(events) => events,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let mut next = events.iter().fold(state.clone(), tenant::evolve);
        while next.active_key().is_none() {
            let Some(step) = next.next_key_step((self.clock)(), self.key_propagation) else {
                break;
            };
            match self.key_events(&next, &spec.name, step).await? {
                Ok(more) if more.is_empty() => break,
                Ok(more) => {
                    next = more.iter().fold(next, tenant::evolve);
                    events.extend(more);
                }
                Err(refusal) => return Ok(Err(refusal)),
            }
        }
        Ok(Ok(events))
    }

    /// The private part of a new key is stored before anybody can read of it in an event.
    async fn key_events(
        &self,
        state: &State,
        name: &str,
        step: KeyStep,
    ) -> Result<Result<Vec<tenant::Event>, Refusal>, ServiceError> {
        let at = (self.clock)();
        let command = match step {
            KeyStep::Add { kid, algorithm } => {
                let key = self.keys.make(name, &kid, algorithm, at).await?;
                Command::AddKey {
                    kid,
                    algorithm,
                    public_jwk: key.public_jwk(),
                    at,
                }
            }
            KeyStep::Activate { kid } => Command::ActivateKey { kid, at },
            KeyStep::Retire { kid } => Command::RetireKey { kid, at },
        };
        Ok(tenant::decide(state, command))
    }
}
