//! One tenant with everything of it, as it is at one position.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
    time::Duration,
};

use eventstore::{
    Position, RecordedEvent,
    command::{Aggregate as _, Versioned},
};
use iam::tenant::{KeyPhase, Spec, Standing};
use idgen::generator::Member;
use policy::Policy;
use token::{Algorithm, Jwk, Jwks};

use crate::{
    aggregates::{Follow as _, Generator, NotUnderstood, Role, Tenant},
    error::ServiceError,
};

/// What a sidecar can ask to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Content {
    Keys,
    Policy,
    Generators,
}

impl Content {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Keys => "keys",
            Self::Policy => "policy",
            Self::Generators => "generators",
        }
    }
}

/// A role by its namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RoleName {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

/// The public side of a signing key.
#[derive(Clone, Debug)]
pub(crate) struct KeyView<'a> {
    pub(crate) kid: &'a str,
    pub(crate) algorithm: Algorithm,
    pub(crate) phase: KeyPhase,
    pub(crate) public_jwk: &'a Jwk,
}

/// A tenant with its keys, roles and generators.
#[derive(Clone)]
pub(crate) struct Realm {
    name: String,
    tenant: Versioned<Tenant>,
    roles: Arc<BTreeMap<RoleName, Versioned<Role>>>,
    generators: Arc<BTreeMap<String, Versioned<Generator>>>,
    /// Position of its first event: the version of contents that never changed.
    founded: Position,
    keys_changed: Position,
    policy_changed: Position,
    generators_changed: BTreeMap<String, Position>,
    compiled: OnceLock<Arc<Policy>>,
    /// What was compiled last, so that the next policy need not read every condition again.
    former: Arc<Policy>,
    /// The event that it could not take in, and since which it takes in none.
    frozen: Option<Arc<NotUnderstood>>,
}

impl Realm {
    pub(super) fn new(name: &str, founded: Position) -> Self {
        Self {
            name: name.to_owned(),
            tenant: Versioned::default(),
            roles: Arc::default(),
            generators: Arc::default(),
            founded,
            keys_changed: founded,
            policy_changed: founded,
            generators_changed: BTreeMap::new(),
            compiled: OnceLock::new(),
            former: Arc::default(),
            frozen: None,
        }
    }

    /// Takes in no more events: what they would make of a state with a gap is anybody's guess.
    pub(super) fn freeze(&mut self, at: NotUnderstood) {
        self.frozen = Some(Arc::new(at));
    }

    /// The event at which it stopped, if it did.
    pub(crate) fn frozen(&self) -> Option<&NotUnderstood> {
        self.frozen.as_deref()
    }

    /// Refuses when it stopped at an event: it then shows the tenant as it was, and what was granted may
    /// have been taken away since.
    pub(crate) fn follows(&self) -> Result<(), ServiceError> {
        match self.frozen() {
            None => Ok(()),
            Some(at) => Err(ServiceError::Frozen {
                tenant: self.name.clone(),
                position: at.position.0,
                message: at.to_string(),
            }),
        }
    }

    /// Takes in the next event; true when some content of [`Content`] changed.
    pub(super) fn apply(&mut self, event: &RecordedEvent) -> Result<bool, NotUnderstood> {
        match event.stream.stream_type.as_str() {
            Tenant::STREAM_TYPE => self.apply_tenant(event),
            Role::STREAM_TYPE => self.apply_role(event),
            Generator::STREAM_TYPE => self.apply_generator(event),
            // Another part of a newer release may keep streams of its own here.
            _ => Ok(false),
        }
    }

    fn apply_tenant(&mut self, event: &RecordedEvent) -> Result<bool, NotUnderstood> {
        let keys_before = (self.jwks(), self.audiences().to_vec(), self.is_closed());
        let namespaces_before = self.spec().map(|spec| spec.namespaces.clone());
        self.tenant.apply(event)?;
        let keys = (self.jwks(), self.audiences().to_vec(), self.is_closed());
        let keys_changed = keys != keys_before;
        if keys_changed {
            self.keys_changed = event.position;
        }
        let namespaces_changed =
            self.spec().map(|spec| &spec.namespaces) != namespaces_before.as_ref();
        if namespaces_changed {
            self.policy_is_new(event.position);
        }
        Ok(keys_changed || namespaces_changed)
    }

    fn apply_role(&mut self, event: &RecordedEvent) -> Result<bool, NotUnderstood> {
        let Some((namespace, name)) = event.stream.stream_id.split_once('/') else {
            return Ok(false);
        };
        let key = RoleName {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        };
        Arc::make_mut(&mut self.roles)
            .entry(key)
            .or_default()
            .apply(event)?;
        self.policy_is_new(event.position);
        Ok(true)
    }

    fn apply_generator(&mut self, event: &RecordedEvent) -> Result<bool, NotUnderstood> {
        let generators = Arc::make_mut(&mut self.generators);
        let generator = generators
            .entry(event.stream.stream_id.clone())
            .or_default();
        let before = declared(generator);
        generator.apply(event)?;
        let after = declared(generator);
        let mut changed = false;
        // Only a declaration changes what sidecars are told; a range that was given out does not.
        for namespace in before.keys().chain(after.keys()) {
            if before.get(namespace) != after.get(namespace) {
                self.generators_changed
                    .insert(namespace.clone(), event.position);
                changed = true;
            }
        }
        Ok(changed)
    }

    fn policy_is_new(&mut self, position: Position) {
        self.policy_changed = position;
        if let Some(policy) = self.compiled.take() {
            self.former = policy;
        }
    }

    /// The tenant's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The aggregate of the tenant.
    pub(crate) fn tenant(&self) -> &Versioned<Tenant> {
        &self.tenant
    }

    /// As the tenant was declared last.
    pub(crate) fn spec(&self) -> Option<&Spec> {
        self.tenant.state.spec.as_ref()
    }

    /// Whether it was ever declared.
    pub(crate) fn exists(&self) -> bool {
        self.tenant.state.standing != Standing::Unknown
    }

    /// Whether tokens are issued for it.
    pub(crate) fn is_open(&self) -> bool {
        self.tenant.state.is_open()
    }

    /// Whether it was closed for good.
    pub(crate) fn is_closed(&self) -> bool {
        self.tenant.state.standing == Standing::Closed
    }

    /// Whether a namespace is one of the tenant's, be the tenant open or closed.
    pub(crate) fn has_namespace(&self, namespace: &str) -> bool {
        self.exists()
            && self
                .spec()
                .is_some_and(|spec| spec.namespaces.contains(namespace))
    }

    /// What tokens may be meant for; the first is the default.
    pub(crate) fn audiences(&self) -> &[String] {
        self.spec().map_or(&[], |spec| &spec.tokens.audiences)
    }

    /// How long an access token lives.
    pub(crate) fn access_token_lifetime(&self) -> Duration {
        let seconds = self
            .spec()
            .map_or(0, |spec| spec.tokens.access_token_lifetime_seconds);
        Duration::from_secs(seconds)
    }

    /// The keys that are published.
    pub(crate) fn jwks(&self) -> Jwks {
        self.tenant.state.jwks()
    }

    /// The keys that are published, with what they are for.
    pub(crate) fn keys(&self) -> impl Iterator<Item = KeyView<'_>> {
        self.tenant.state.keys.iter().map(|key| KeyView {
            kid: &key.kid,
            algorithm: key.algorithm,
            phase: key.phase(),
            public_jwk: &key.public_jwk,
        })
    }

    /// The key that signs.
    pub(crate) fn active_key(&self) -> Option<KeyView<'_>> {
        self.keys().find(|key| key.phase == KeyPhase::Active)
    }

    /// The roles that count: those of the tenant's namespaces. A role of a namespace that the tenant
    /// no longer has gives nothing to anybody.
    pub(crate) fn roles(&self) -> impl Iterator<Item = &policy::Role> {
        self.all_roles()
            .filter(|role| self.has_namespace(&role.namespace))
    }

    /// All roles that are declared, whether they count or not.
    pub(crate) fn all_roles(&self) -> impl Iterator<Item = &policy::Role> {
        self.roles
            .values()
            .filter_map(|role| role.state.role.as_ref())
    }

    /// The roles that count, compiled. The first call after a change compiles.
    pub(crate) fn policy(&self) -> &Policy {
        self.compiled.get_or_init(|| {
            let (policy, defects) = self.former.update(self.roles().cloned().collect());
            for (role, defect) in defects {
                tracing::debug!(
                    tenant = self.name,
                    role,
                    defect = defect.message,
                    "a role is broken"
                );
            }
            Arc::new(policy)
        })
    }

    /// The generators of one namespace that are declared, by name.
    pub(crate) fn generators_of(&self, namespace: &str) -> impl Iterator<Item = (&str, &Member)> {
        self.all_generators()
            .filter(move |(_, of, _)| *of == namespace)
            .map(|(name, _, member)| (name, member))
    }

    /// All generators that are declared: name, namespace, and what is kept of it.
    pub(crate) fn all_generators(&self) -> impl Iterator<Item = (&str, &str, &Member)> {
        self.generators.iter().flat_map(|(name, generator)| {
            let members = generator.state.members.iter();
            members
                .filter(|(_, member)| !member.removed)
                .map(|(namespace, member)| (name.as_str(), namespace.as_str(), member))
        })
    }

    /// The version of a content: position of the event that last changed it.
    pub(crate) fn version(&self, content: Content, namespace: &str) -> Position {
        match content {
            Content::Keys => self.keys_changed,
            Content::Policy => self.policy_changed,
            Content::Generators => self
                .generators_changed
                .get(namespace)
                .copied()
                .unwrap_or(self.founded),
        }
    }
}

/// What is declared in each namespace.
fn declared(generator: &Versioned<Generator>) -> BTreeMap<String, idgen::generator::Spec> {
    let members = generator.state.members.iter();
    members
        .filter(|(_, member)| !member.removed)
        .map(|(namespace, member)| (namespace.clone(), member.spec.clone()))
        .collect()
}
