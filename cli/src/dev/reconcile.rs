//! Makes central hold what YAML files declare, with the operator's own `validate` and `build`.

use std::{collections::BTreeMap, fmt, sync::Arc};

use crds::Tenant;
use operator::{
    InvalidResource, id_generator,
    provision::{Credentials, ProvisionError, Provisioner, Settings},
    role, tenant,
};
use protocol::v1::DeletionPolicy;

use super::Declared;
use crate::error::Error;

/// Roles may inherit from roles that come later; each round makes at least one more hold.
const MOST_ROUNDS: usize = 32;

/// What became of one resource.
#[derive(Debug, Clone)]
pub struct ResourceState {
    kind: &'static str,
    namespace: String,
    name: String,
    outcome: Outcome,
}

/// Whether a resource holds.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// Central holds what is declared; what it said of it.
    Ready(String),
    /// It does not hold.
    NotReady {
        /// A CamelCase word, the reason of the condition in a cluster.
        reason: String,
        /// What is wrong and how to mend it.
        message: String,
        /// Whether the same declaration may hold later.
        may_heal: bool,
    },
}

impl ResourceState {
    /// Whether central holds what is declared.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        matches!(self.outcome, Outcome::Ready(_))
    }

    /// Whether this is the state of that resource.
    #[must_use]
    pub fn is(&self, kind: &str, namespace: &str, name: &str) -> bool {
        self.kind == kind && self.namespace == namespace && self.name == name
    }

    /// What became of it.
    #[must_use]
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    fn may_heal(&self) -> bool {
        matches!(self.outcome, Outcome::NotReady { may_heal: true, .. })
    }
}

impl fmt::Display for ResourceState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separator = if self.namespace.is_empty() { "" } else { "/" };
        let name = format!("{}{separator}{}", self.namespace, self.name);
        write!(formatter, "{:<12} {name:<24} ", self.kind)?;
        match &self.outcome {
            Outcome::Ready(details) => write!(formatter, "Ready      {details}"),
            Outcome::NotReady {
                reason, message, ..
            } => {
                write!(formatter, "Not ready  {reason}: {message}")
            }
        }
    }
}

/// Calls central for the resources of files.
pub(super) struct Reconciler {
    provisioner: Provisioner,
}

impl Reconciler {
    /// A reconciler that calls central at `url` with the bearer in `token_file`.
    ///
    /// # Errors
    /// The URL is none.
    pub(super) fn new(url: &str, token_file: std::path::PathBuf) -> Result<Self, Error> {
        let settings = Settings {
            url: url.to_owned(),
            ca_pem: None,
            credentials: Credentials::File(token_file),
        };
        let provisioner = Provisioner::new(settings).map_err(|error| Error::Program {
            program: "the reconciler",
            reason: error.to_string(),
        })?;
        Ok(Self { provisioner })
    }

    /// Takes away what `before` declared and `now` does not, then makes `now` hold.
    pub(super) async fn reconcile(&self, before: &Declared, now: &Declared) -> Vec<ResourceState> {
        self.remove(before, now).await;
        let mut states = self.round(now).await;
        for _ in 0..MOST_ROUNDS {
            let waiting = states.iter().filter(|state| state.may_heal()).count();
            if waiting == 0 {
                break;
            }
            states = self.round(now).await;
            if states.iter().filter(|state| state.may_heal()).count() == waiting {
                break;
            }
        }
        states
    }

    async fn round(&self, now: &Declared) -> Vec<ResourceState> {
        let mut states = Vec::new();
        for (name, resource) in &now.tenants {
            let outcome = outcome(self.apply_tenant(resource, now).await);
            states.push(state("Tenant", "", name, outcome));
        }
        for ((namespace, name), resource) in &now.roles {
            let outcome = outcome(self.apply_role(resource, namespace, now).await);
            states.push(state("Role", namespace, name, outcome));
        }
        for ((namespace, name), resource) in &now.id_generators {
            let outcome = outcome(self.apply_id_generator(resource, namespace, now).await);
            states.push(state("IdGenerator", namespace, name, outcome));
        }
        states
    }

    async fn apply_tenant(
        &self,
        resource: &Tenant,
        now: &Declared,
    ) -> Result<String, ProvisionError> {
        let dereferenced = tenant::Dereferenced {
            namespaces: now.namespaces.clone(),
        };
        let valid = tenant::validate(resource, &dereferenced).map_err(ProvisionError::Refused)?;
        let applied = self.provisioner.apply_tenant(tenant::build(&valid)).await?;
        Ok(format!(
            "issuer {}, key {}",
            applied.issuer, applied.active_key
        ))
    }

    async fn apply_role(
        &self,
        resource: &crds::Role,
        namespace: &str,
        now: &Declared,
    ) -> Result<String, ProvisionError> {
        let dereferenced = role::Dereferenced {
            tenant: tenant_named(now, &resource.spec.tenant),
            namespace_labels: labels(now, namespace),
        };
        let valid = role::validate(resource, &dereferenced).map_err(ProvisionError::Refused)?;
        self.provisioner.apply_role(role::build(&valid)).await?;
        let subjects = resource.spec.subjects.len();
        Ok(format!("{subjects} bound"))
    }

    async fn apply_id_generator(
        &self,
        resource: &crds::IdGenerator,
        namespace: &str,
        now: &Declared,
    ) -> Result<String, ProvisionError> {
        let dereferenced = id_generator::Dereferenced {
            tenant: tenant_named(now, &resource.spec.tenant),
            namespace_labels: labels(now, namespace),
        };
        let valid =
            id_generator::validate(resource, &dereferenced).map_err(ProvisionError::Refused)?;
        let applied = self
            .provisioner
            .apply_id_generator(id_generator::build(&valid))
            .await?;
        Ok(format!("next {}, {} left", applied.next, applied.remaining))
    }

    async fn remove(&self, before: &Declared, now: &Declared) {
        for ((namespace, name), generator) in missing(&before.id_generators, &now.id_generators) {
            let tenant = &generator.spec.tenant;
            told(
                "IdGenerator",
                self.provisioner
                    .delete_id_generator(tenant, namespace, name)
                    .await,
            );
        }
        for ((namespace, name), role) in missing(&before.roles, &now.roles) {
            let tenant = &role.spec.tenant;
            told(
                "Role",
                self.provisioner.delete_role(tenant, namespace, name).await,
            );
        }
        for (name, tenant) in missing(&before.tenants, &now.tenants) {
            let policy = match tenant.spec.deletion_policy {
                crds::DeletionPolicy::Retain => DeletionPolicy::Retain,
                crds::DeletionPolicy::Delete => DeletionPolicy::Delete,
            };
            told("Tenant", self.provisioner.delete_tenant(name, policy).await);
        }
    }
}

fn missing<'a, K: Ord, V>(
    before: &'a BTreeMap<K, V>,
    now: &'a BTreeMap<K, V>,
) -> impl Iterator<Item = (&'a K, &'a V)> {
    before.iter().filter(|(key, _)| !now.contains_key(key))
}

fn told<T>(kind: &str, deleted: Result<T, ProvisionError>) {
    if let Err(error) = deleted {
        tracing::error!(kind, %error, "could not take away what is no longer declared");
    }
}

fn state(kind: &'static str, namespace: &str, name: &str, outcome: Outcome) -> ResourceState {
    ResourceState {
        kind,
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        outcome,
    }
}

fn outcome(applied: Result<String, ProvisionError>) -> Outcome {
    match applied {
        Ok(details) => Outcome::Ready(details),
        Err(error) => {
            let message = match &error {
                ProvisionError::Refused(InvalidResource {
                    field: Some(field),
                    message,
                    ..
                }) => {
                    format!("{field}: {message}")
                }
                ProvisionError::Refused(invalid) => invalid.message.clone(),
                other => other.to_string(),
            };
            let reason = error.reason().to_owned();
            Outcome::NotReady {
                reason,
                message,
                may_heal: error.retryable(),
            }
        }
    }
}

fn tenant_named(now: &Declared, name: &str) -> Option<Arc<Tenant>> {
    now.tenants.get(name).cloned().map(Arc::new)
}

fn labels(now: &Declared, namespace: &str) -> BTreeMap<String, String> {
    now.namespaces.get(namespace).cloned().unwrap_or_default()
}
