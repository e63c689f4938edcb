//! Looks a role over, and makes of it what a policy holds.

use std::collections::HashMap;
use std::sync::Arc;

use crate::condition::Condition;
use crate::defect::{Defect, DefectKind};
use crate::limits::{MAX_INHERITS, MAX_PATTERNS, MAX_RULES, MAX_SUBJECT_NAME_BYTES, MAX_SUBJECTS};
use crate::names::{is_dns_label, is_dns_subdomain};
use crate::pattern::{ActionPattern, Pattern, ResourcePattern};
use crate::role::{Binding, Effect, Role, Rule, SubjectKind};

/// Looks a role over by itself: names, patterns, conditions, sizes. Whether its parents exist is
/// [`crate::check_inheritance`]'s question.
///
/// # Errors
///
/// Everything that is wrong with it, in the order of its fields.
pub fn check(role: &Role) -> Result<(), Vec<Defect>> {
    let (_, defects) = examine(role, &mut Conditions::default());
    if defects.is_empty() {
        Ok(())
    } else {
        Err(defects)
    }
}

/// Conditions by their text, so that one that is written in many roles is read once.
pub(crate) type Conditions = HashMap<Box<str>, Arc<Condition>>;

/// When a rule applies to a request that its patterns cover.
#[derive(Debug, Clone)]
pub(crate) enum Guard {
    /// Always.
    Always,
    /// When the condition holds.
    When(Arc<Condition>),
    /// The condition cannot be read.
    Unreadable,
}

/// A rule, ready to decide.
#[derive(Debug, Clone)]
pub(crate) struct ReadyRule {
    pub(crate) effect: Effect,
    pub(crate) index: usize,
    pub(crate) resources: Box<[ResourcePattern]>,
    pub(crate) actions: Box<[ActionPattern]>,
    pub(crate) guard: Guard,
}

impl ReadyRule {
    /// Whether its patterns cover the request.
    pub(crate) fn covers(&self, resource: &[&str], action: &str) -> bool {
        self.actions.iter().any(|pattern| pattern.matches(action))
            && self
                .resources
                .iter()
                .any(|pattern| pattern.matches(resource))
    }
}

/// Reads every part of a role, and says what is wrong. A pattern of a Deny rule that cannot be read
/// counts as one that covers everything, so that a broken role is never more open than a sound one;
/// what the caller does with the Allow rules of a broken role is its own matter.
pub(crate) fn examine(role: &Role, conditions: &mut Conditions) -> (Vec<ReadyRule>, Vec<Defect>) {
    let mut defects = Vec::new();
    check_names(role, &mut defects);
    check_inherits(role, &mut defects);
    if role.rules.is_empty() && role.inherits.is_empty() {
        defects.push(Defect::new(
            DefectKind::EmptyRole,
            "spec.rules",
            "the role allows and denies nothing; give it a rule, or a role to inherit",
        ));
    }
    too_many(
        role.rules.len(),
        MAX_RULES,
        "spec.rules",
        "rules",
        &mut defects,
    );
    let rules = role
        .rules
        .iter()
        .take(MAX_RULES)
        .enumerate()
        .map(|(index, rule)| examine_rule(rule, index, conditions, &mut defects))
        .collect();
    check_subjects(role, &mut defects);
    (rules, defects)
}

fn check_names(role: &Role, defects: &mut Vec<Defect>) {
    if !is_dns_label(&role.namespace) {
        defects.push(Defect::new(
            DefectKind::InvalidName,
            "metadata.namespace",
            format!(
                "`{}` is not a namespace; use lower case letters, digits and hyphens, at most 63",
                shown(&role.namespace)
            ),
        ));
    }
    if !is_dns_subdomain(&role.name) {
        defects.push(Defect::new(
            DefectKind::InvalidName,
            "metadata.name",
            format!(
                "`{}` is not a role's name; use lower case letters, digits, hyphens and dots, at most 253",
                shown(&role.name)
            ),
        ));
    }
}

fn check_inherits(role: &Role, defects: &mut Vec<Defect>) {
    too_many(
        role.inherits.len(),
        MAX_INHERITS,
        "spec.inherits",
        "roles",
        defects,
    );
    for (index, parent) in role.inherits.iter().take(MAX_INHERITS).enumerate() {
        let message = if !is_dns_subdomain(parent) {
            format!(
                "`{}` is not a role's name; name a role of the same namespace, without the namespace",
                shown(parent)
            )
        } else if role.inherits[..index].contains(parent) {
            format!("`{parent}` is there twice; remove one")
        } else {
            continue;
        };
        defects.push(Defect::new(
            DefectKind::InvalidInheritance,
            format!("spec.inherits[{index}]"),
            message,
        ));
    }
}

fn examine_rule(
    rule: &Rule,
    index: usize,
    conditions: &mut Conditions,
    defects: &mut Vec<Defect>,
) -> ReadyRule {
    let field = format!("spec.rules[{index}]");
    let resources = patterns(
        &rule.resources,
        &format!("{field}.resources"),
        DefectKind::InvalidResource,
        defects,
    );
    let actions = patterns(
        &rule.actions,
        &format!("{field}.actions"),
        DefectKind::InvalidAction,
        defects,
    );
    let guard = match &rule.when {
        None => Guard::Always,
        Some(source) => match condition(source, conditions) {
            Ok(condition) => Guard::When(condition),
            Err(message) => {
                defects.push(Defect::new(
                    DefectKind::InvalidCondition,
                    format!("{field}.when"),
                    format!("the condition {message}"),
                ));
                Guard::Unreadable
            }
        },
    };
    ReadyRule {
        effect: rule.effect,
        index,
        resources,
        actions,
        guard,
    }
}

/// Reads the patterns of one field; one that cannot be read becomes the one that covers everything.
fn patterns<P: Pattern>(
    texts: &[String],
    field: &str,
    kind: DefectKind,
    defects: &mut Vec<Defect>,
) -> Box<[P]> {
    if texts.is_empty() {
        defects.push(Defect::new(
            DefectKind::EmptyRole,
            field,
            "the rule covers nothing; name at least one, or write a wildcard",
        ));
    }
    too_many(texts.len(), MAX_PATTERNS, field, "patterns", defects);
    let all = texts.len() > MAX_PATTERNS;
    let mut patterns: Vec<P> = texts
        .iter()
        .take(MAX_PATTERNS)
        .enumerate()
        .map(|(index, text)| match P::parse(text) {
            Ok(pattern) => pattern,
            Err(message) => {
                defects.push(Defect::new(
                    kind,
                    format!("{field}[{index}]"),
                    format!("the pattern `{}` {message}", shown(text)),
                ));
                P::everything()
            }
        })
        .collect();
    if all {
        patterns.push(P::everything());
    }
    patterns.into_boxed_slice()
}

fn condition(source: &str, conditions: &mut Conditions) -> Result<Arc<Condition>, String> {
    if let Some(known) = conditions.get(source) {
        return Ok(Arc::clone(known));
    }
    let condition = Arc::new(Condition::parse(source)?);
    conditions.insert(condition.source().into(), Arc::clone(&condition));
    Ok(condition)
}

fn check_subjects(role: &Role, defects: &mut Vec<Defect>) {
    too_many(
        role.subjects.len(),
        MAX_SUBJECTS,
        "spec.subjects",
        "subjects",
        defects,
    );
    for (index, binding) in role.subjects.iter().take(MAX_SUBJECTS).enumerate() {
        if let Some((member, message)) = subject_defect(binding) {
            defects.push(Defect::new(
                DefectKind::InvalidSubject,
                format!("spec.subjects[{index}].{member}"),
                message,
            ));
        }
    }
}

fn subject_defect(binding: &Binding) -> Option<(&'static str, String)> {
    let name = &binding.name;
    if binding.kind == SubjectKind::ServiceAccount {
        if !is_dns_subdomain(name) {
            return Some((
                "name",
                format!(
                    "`{}` is not a service account's name; there are no wildcards among subjects: bind a Group",
                    shown(name)
                ),
            ));
        }
    } else if name.is_empty()
        || name.len() > MAX_SUBJECT_NAME_BYTES
        || name.chars().any(char::is_control)
    {
        return Some((
            "name",
            format!(
                "a {} needs a name of 1 to {MAX_SUBJECT_NAME_BYTES} bytes without control characters",
                binding.kind
            ),
        ));
    } else if name == "*" {
        return Some((
            "name",
            "there are no wildcards among subjects; bind a Group".to_owned(),
        ));
    }
    match (&binding.namespace, binding.kind) {
        (None, _) => None,
        (Some(namespace), SubjectKind::ServiceAccount) if is_dns_label(namespace) => None,
        (Some(namespace), SubjectKind::ServiceAccount) => Some((
            "namespace",
            format!(
                "`{}` is not a namespace; leave it out for the role's own",
                shown(namespace)
            ),
        )),
        (Some(_), kind) => Some((
            "namespace",
            format!("a {kind} belongs to the tenant, not to a namespace; leave it out"),
        )),
    }
}

fn too_many(count: usize, most: usize, field: &str, what: &str, defects: &mut Vec<Defect>) {
    if count > most {
        defects.push(Defect::new(
            DefectKind::TooLarge,
            field,
            format!("has {count} {what}; at most {most} are allowed: split it"),
        ));
    }
}

/// The beginning of a text, for a message.
fn shown(text: &str) -> String {
    const MOST: usize = 64;
    if text.chars().count() <= MOST {
        return text.escape_debug().collect();
    }
    let start: String = text.chars().take(MOST).collect();
    format!("{}…", start.escape_debug())
}
