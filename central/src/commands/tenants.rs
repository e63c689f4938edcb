//! Commands over tenants and their signing keys.

use iam::{
    Refusal,
    tenant::{self, Command, KeyStep, Spec, State},
};

use super::{Answer, Commands, Done, Origin, writer::Writer};
use crate::{aggregate::Versioned, aggregates::Tenant, error::ServiceError};

impl Commands {
    /// Makes the tenant as declared. One that has no key gets its first in the same append, so that
    /// an open tenant always has a key to sign with.
    pub(crate) async fn declare_tenant(
        &self,
        spec: Spec,
        origin: &Origin,
    ) -> Answer<Tenant, Refusal> {
        let mut writer = self.tenant(&spec.name).await?;
        loop {
            let state = &writer.current().state;
            let events = match self.declaration(state, &spec).await? {
                Ok(events) => events,
                Err(refusal) => {
                    self.count::<Tenant>("refused");
                    return Ok(Err(refusal));
                }
            };
            if events.is_empty() {
                self.count::<Tenant>("unchanged");
                return Ok(Ok(writer.done(false)));
            }
            if writer.append(&events, origin).await? {
                let done = writer.done(true);
                self.settle(&done).await;
                return Ok(Ok(done));
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
        let answer = self
            .execute(
                &self.tenants,
                Tenant::stream(name),
                self.known_tenant(name),
                origin,
                |state| tenant::decide(state, command.clone()),
            )
            .await?;
        if let Ok(done) = &answer {
            self.settle(done).await;
        }
        Ok(answer)
    }

    /// Takes the next step of a tenant's key rotation, when one is due.
    ///
    /// True: there may be another one. Every replica tries; the first wins.
    pub(crate) async fn rotate_keys(
        &self,
        name: &str,
        origin: &Origin,
    ) -> Result<bool, ServiceError> {
        let mut writer = self.tenant(name).await?;
        let state = &writer.current().state;
        let Some(step) = state.next_key_step((self.clock)(), self.key_propagation) else {
            return Ok(false);
        };
        let (label, kid) = match &step {
            KeyStep::Add { kid, .. } => ("add", kid.clone()),
            KeyStep::Activate { kid } => ("activate", kid.clone()),
            KeyStep::Retire { kid } => ("retire", kid.clone()),
        };
        match self.key_events(state, name, step).await? {
            Ok(events) if events.is_empty() => Ok(false),
            Ok(events) => {
                if writer.append(&events, origin).await? {
                    self.metrics.key_steps.with_label_values(&[label]).inc();
                    tracing::info!(tenant = name, kid, step = label, "rotated a signing key");
                }
                Ok(true)
            }
            Err(refusal) => {
                tracing::warn!(tenant = name, kid, step = label, reason = %refusal, "a key step was refused");
                Ok(false)
            }
        }
    }

    async fn tenant(&self, name: &str) -> Result<Writer<'_, Tenant>, ServiceError> {
        self.writer(&self.tenants, Tenant::stream(name), self.known_tenant(name))
            .await
    }

    fn known_tenant(&self, name: &str) -> Option<Versioned<Tenant>> {
        self.directory
            .realm(name)
            .map(|realm| realm.tenant().clone())
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

impl Done<Tenant> {
    /// Id of the key that signs; empty when there is none.
    pub(crate) fn active_key(&self) -> String {
        self.state
            .active_key()
            .map(|key| key.kid.clone())
            .unwrap_or_default()
    }
}
