//! All roles of one tenant, compiled.

use std::collections::{HashMap, HashSet};

use crate::check::{Conditions, Guard, ReadyRule, examine};
use crate::defect::{Defect, DefectKind};
use crate::index::{RoleNumber, SubjectIndex};
use crate::inheritance::follow;
use crate::limits::MAX_SUBJECTS;
use crate::request::Subject;
use crate::role::{Effect, Role};

/// All roles of one tenant, ready to decide. Shared between threads by reference; replaced as a whole
/// when a role changes.
///
/// ```
/// use policy::{Binding, Effect, Policy, Request, Role, Rule, Subject, SubjectKind};
/// use serde_json::{Value, json};
///
/// let role = Role {
///     namespace: "shop".to_owned(),
///     name: "order-writer".to_owned(),
///     inherits: vec![],
///     rules: vec![Rule {
///         effect: Effect::Allow,
///         resources: vec!["orders/*".to_owned()],
///         actions: vec!["create".to_owned()],
///         when: Some("request.amount < 1000".to_owned()),
///     }],
///     subjects: vec![Binding {
///         kind: SubjectKind::ServiceAccount,
///         name: "checkout".to_owned(),
///         namespace: None,
///     }],
/// };
/// let (policy, defects) = Policy::compile(vec![role]);
/// assert!(defects.is_empty());
///
/// let subject = Subject {
///     kind: SubjectKind::ServiceAccount,
///     name: "checkout".to_owned(),
///     namespace: Some("shop".to_owned()),
///     groups: vec![],
///     claims: Value::Null,
/// };
/// let decision = policy.decide(&Request {
///     subject: &subject,
///     resource: "orders/42",
///     action: "create",
///     request: &json!({"amount": 250}),
///     environment: &json!({}),
/// });
/// assert!(decision.allowed);
/// assert_eq!(decision.reason, "rule 0 of role shop/order-writer allows create on orders/42");
/// ```
#[derive(Debug, Default)]
pub struct Policy {
    /// Sorted by name, so that the same roles always give the same answer, whatever order they came in.
    pub(crate) roles: Vec<ReadyRole>,
    pub(crate) subjects: SubjectIndex,
    conditions: Conditions,
}

/// A role, ready to decide.
#[derive(Debug)]
pub(crate) struct ReadyRole {
    /// `namespace/name`.
    pub(crate) name: String,
    pub(crate) denies: Vec<ReadyRule>,
    /// Empty when the role is broken.
    pub(crate) allows: Vec<ReadyRule>,
    /// The role itself and all it has through inheritance, sorted.
    pub(crate) lineage: Box<[RoleNumber]>,
    pub(crate) broken: bool,
}

impl Policy {
    /// Compiles the roles of one tenant. What is wrong comes back beside the policy, by
    /// `namespace/name`, and stops no other role.
    ///
    /// A broken role gives nothing: its Allow rules are left out, as are those its subjects would have
    /// through it and those of the roles that inherit it, since what it would have denied is not
    /// known. It still takes away: its Deny rules stay, and what cannot be read in them counts as
    /// matching.
    pub fn compile(roles: Vec<Role>) -> (Self, Vec<(String, Defect)>) {
        Self::default().update(roles)
    }

    /// Like [`Policy::compile`], but reads no condition again that this policy has read already,
    /// which is nearly all of the work when one role of many has changed.
    pub fn update(&self, mut roles: Vec<Role>) -> (Self, Vec<(String, Defect)>) {
        roles.sort_by(|left, right| {
            (&left.namespace, &left.name).cmp(&(&right.namespace, &right.name))
        });
        let mut defects = Vec::new();
        roles.dedup_by(|later, earlier| {
            let same = later.namespace == earlier.namespace && later.name == earlier.name;
            if same {
                defects.push((
                    later.qualified_name(),
                    Defect::new(
                        DefectKind::DuplicateRole,
                        "metadata.name",
                        "the namespace has two roles of this name; only the first counts",
                    ),
                ));
            }
            same
        });

        let mut conditions = self.conditions.clone();
        let mut ready: Vec<ReadyRole> = Vec::with_capacity(roles.len());
        for role in &roles {
            let (rules, found) = examine(role, &mut conditions);
            let broken = !found.is_empty();
            let name = role.qualified_name();
            defects.extend(found.into_iter().map(|defect| (name.clone(), defect)));
            let (denies, allows) = rules
                .into_iter()
                .partition(|rule| rule.effect == Effect::Deny);
            ready.push(ReadyRole {
                name,
                denies,
                allows,
                lineage: Box::default(),
                broken,
            });
        }
        connect(&roles, &mut ready, &mut defects);

        let mut subjects = SubjectIndex::default();
        for (number, role) in (0..).zip(&roles) {
            for binding in role.subjects.iter().take(MAX_SUBJECTS) {
                subjects.bind(binding, &role.namespace, number);
            }
        }
        for role in ready.iter_mut().filter(|role| role.broken) {
            role.allows = Vec::new();
        }
        let policy = Self {
            conditions: used(conditions, &ready),
            roles: ready,
            subjects,
        };
        (policy, defects)
    }

    /// Names of the roles a subject has, `namespace/name`, sorted: those it is bound to, by itself or
    /// through its groups, and those they inherit. Broken roles, and what comes only through them, are
    /// not among them.
    pub fn roles_of(&self, subject: &Subject) -> Vec<String> {
        self.numbers_of(subject)
            .into_iter()
            .filter(|(_, bound)| !self.roles[*bound as usize].broken)
            .map(|(number, _)| self.roles[number as usize].name.clone())
            .collect()
    }

    /// How many roles it holds, broken ones included.
    pub fn len(&self) -> usize {
        self.roles.len()
    }

    /// Whether it holds no role, and thus refuses everything.
    pub fn is_empty(&self) -> bool {
        self.roles.is_empty()
    }

    /// Roles of the subject, each with the bound role it comes through; sorted, each once.
    pub(crate) fn numbers_of(&self, subject: &Subject) -> Vec<(RoleNumber, RoleNumber)> {
        let mut numbers = Vec::new();
        for bound in self.subjects.roles_of(subject) {
            let lineage = self.roles[bound as usize].lineage.iter();
            numbers.extend(lineage.map(|number| (*number, bound)));
        }
        // Of several ways to a role one that is not broken is kept, and the shortest if it can be.
        numbers.sort_unstable_by_key(|&(number, bound)| {
            let broken = self.roles[bound as usize].broken;
            (number, broken, number != bound, bound)
        });
        numbers.dedup_by_key(|&mut (number, _)| number);
        numbers
    }
}

/// Finds every role's lineage, and breaks those whose parents are missing, go round in a circle, or
/// are broken.
fn connect(roles: &[Role], ready: &mut [ReadyRole], defects: &mut Vec<(String, Defect)>) {
    let numbers: HashMap<(&str, &str), RoleNumber> = (0..)
        .zip(roles)
        .map(|(number, role)| ((role.namespace.as_str(), role.name.as_str()), number))
        .collect();
    for (number, role) in (0..).zip(roles) {
        let namespace = role.namespace.as_str();
        let found = follow(&role.name, &role.inherits, |parent| {
            let number = numbers.get(&(namespace, parent))?;
            Some(roles[*number as usize].inherits.as_slice())
        });
        let mut lineage: Vec<RoleNumber> = found
            .ancestors
            .iter()
            .filter_map(|ancestor| numbers.get(&(namespace, *ancestor)).copied())
            .chain([number])
            .collect();
        lineage.sort_unstable();
        let this = &mut ready[number as usize];
        this.lineage = lineage.into_boxed_slice();
        this.broken |= !found.defects.is_empty();
        let name = this.name.clone();
        defects.extend(
            found
                .defects
                .into_iter()
                .map(|defect| (name.clone(), defect)),
        );
    }
    // A missing or circular ancestor has been seen by every descendant on its own; what is left are
    // ancestors broken in themselves.
    let broken: Vec<bool> = ready.iter().map(|role| role.broken).collect();
    for (number, role) in roles.iter().enumerate() {
        if broken[number] {
            continue;
        }
        let parent = ready[number]
            .lineage
            .iter()
            .find(|ancestor| broken[**ancestor as usize])
            .map(|ancestor| &roles[*ancestor as usize]);
        let Some(parent) = parent else { continue };
        let message = format!(
            "`{}`, which the role inherits, is broken; mend it, or take it out of `inherits`",
            parent.name
        );
        let field = match role.inherits.iter().position(|name| *name == parent.name) {
            Some(index) => format!("spec.inherits[{index}]"),
            None => "spec.inherits".to_owned(),
        };
        defects.push((
            role.qualified_name(),
            Defect::new(DefectKind::BrokenParent, field, message),
        ));
        ready[number].broken = true;
    }
}

/// The conditions that some rule of the policy holds; what only the former one held is let go.
fn used(conditions: Conditions, ready: &[ReadyRole]) -> Conditions {
    let held: HashSet<&str> = ready
        .iter()
        .flat_map(|role| role.denies.iter().chain(&role.allows))
        .filter_map(|rule| match &rule.guard {
            Guard::When(condition) => Some(condition.source()),
            Guard::Always | Guard::Unreadable => None,
        })
        .collect();
    conditions
        .into_iter()
        .filter(|(source, _)| held.contains(&**source))
        .collect()
}
