//! The tenant's roles, compiled to decisions.

use std::collections::{BTreeMap, BTreeSet};

use ::policy::{Binding, Effect, Policy, Role, Rule, SubjectKind};
use protocol::v1::{NamedRole, PolicyState, rule, subject};
use tracing::warn;

/// The policy that decides.
#[derive(Debug)]
pub struct HeldPolicy {
    version: u64,
    roles: usize,
    defective: Vec<String>,
    policy: Policy,
}

impl HeldPolicy {
    /// Compiles the state.
    ///
    /// A role that does not compile is left out, which takes permissions away. Where it could give
    /// some, because the role refuses something itself or by a role it inherits, its subjects are
    /// refused everything instead, until it is mended: other roles could allow what this one forbade.
    ///
    /// # Errors
    /// Why it cannot be used, with the role to mend: none compiles, or one has parts that this
    /// release does not know.
    pub fn new(version: u64, state: PolicyState) -> Result<Self, String> {
        let mut roles = Vec::with_capacity(state.roles.len());
        for named in state.roles {
            let name = format!("{}/{}", named.namespace, named.name);
            roles.push(role(named).map_err(|problem| format!("role {name}: {problem}"))?);
        }
        let count = roles.len();
        let (mut policy, defects) = Policy::compile(roles.clone());
        let defective: BTreeSet<String> = defects.iter().map(|(name, _)| name.clone()).collect();
        for (name, defect) in &defects {
            warn!(role = %name, field = %defect.field, problem = %defect.message,
                "a role does not compile");
        }
        if count > 0 && defective.len() == count {
            let (name, defect) = &defects[0];
            return Err(format!(
                "none of the {count} roles compiles; {name}: {}: {}",
                defect.field, defect.message
            ));
        }
        if !defective.is_empty() {
            let refusing = refusing_roles(&roles);
            let closed = |role: &Role| {
                let name = role.qualified_name();
                defective.contains(&name) && refusing.contains(&name)
            };
            if roles.iter().any(closed) {
                for role in roles.iter_mut().filter(|role| closed(role)) {
                    warn!(role = %role.qualified_name(),
                        "the role refuses something: its subjects are refused everything until it \
                         is mended");
                    refuse_everything(role);
                }
                policy = Policy::compile(roles).0;
            }
        }
        let defective = defective.into_iter().collect();
        Ok(Self {
            version,
            roles: count,
            defective,
            policy,
        })
    }

    /// The version central gave it.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// How many roles there are.
    #[must_use]
    pub fn roles(&self) -> usize {
        self.roles
    }

    /// The roles that do not compile, as `namespace/name`.
    #[must_use]
    pub fn defective(&self) -> &[String] {
        &self.defective
    }

    /// The compiled policy.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }
}

/// Makes a role refuse its subjects everything. Bindings alone can still be wrong in it; one that is
/// binds nobody.
fn refuse_everything(role: &mut Role) {
    role.inherits.clear();
    role.rules = vec![Rule {
        effect: Effect::Deny,
        resources: vec!["**".to_owned()],
        actions: vec!["*".to_owned()],
        when: None,
    }];
    let mut subjects = std::mem::take(&mut role.subjects);
    subjects.retain(|binding| {
        ::policy::check(&Role {
            subjects: vec![binding.clone()],
            ..role.clone()
        })
        .is_ok()
    });
    role.subjects = subjects;
}

/// The roles that refuse something, themselves or by what they inherit, as `namespace/name`.
fn refusing_roles(roles: &[Role]) -> BTreeSet<String> {
    let key = |namespace: &str, name: &str| format!("{namespace}/{name}");
    let mut heirs: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut found = Vec::new();
    for role in roles {
        let own = key(&role.namespace, &role.name);
        for parent in &role.inherits {
            heirs
                .entry(key(&role.namespace, parent))
                .or_default()
                .push(own.clone());
        }
        if role
            .rules
            .iter()
            .any(|rule| matches!(rule.effect, Effect::Deny))
        {
            found.push(own);
        }
    }
    let mut refusing = BTreeSet::new();
    while let Some(name) = found.pop() {
        if let Some(heirs) = heirs.get(&name) {
            found.extend(
                heirs
                    .iter()
                    .filter(|heir| !refusing.contains(*heir))
                    .cloned(),
            );
        }
        refusing.insert(name);
    }
    refusing
}

fn role(named: NamedRole) -> Result<Role, String> {
    let spec = named.spec.ok_or("it has no content")?;
    let rules = spec
        .rules
        .into_iter()
        .map(|rule| {
            let effect = match rule.effect() {
                rule::Effect::Allow => Effect::Allow,
                rule::Effect::Deny => Effect::Deny,
                rule::Effect::Unspecified => return Err("a rule has no effect".to_owned()),
            };
            Ok(Rule {
                effect,
                resources: rule.resources,
                actions: rule.actions,
                when: Some(rule.when).filter(|when| !when.is_empty()),
            })
        })
        .collect::<Result<_, _>>()?;
    let subjects = spec
        .subjects
        .into_iter()
        .map(|bound| {
            let kind = match bound.kind() {
                subject::Kind::ServiceAccount => SubjectKind::ServiceAccount,
                subject::Kind::User => SubjectKind::User,
                subject::Kind::Group => SubjectKind::Group,
                subject::Kind::Client => SubjectKind::Client,
                subject::Kind::Unspecified => return Err("a subject has no kind".to_owned()),
            };
            let namespace = Some(bound.namespace).filter(|namespace| !namespace.is_empty());
            Ok(Binding {
                kind,
                name: bound.name,
                namespace,
            })
        })
        .collect::<Result<_, _>>()?;
    Ok(Role {
        namespace: named.namespace,
        name: named.name,
        inherits: spec.inherits,
        rules,
        subjects,
    })
}
