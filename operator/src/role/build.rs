//! Step 3: a Role as central is told of it.

use crds::{Effect, RoleSpec, Rule, Subject, SubjectKind};
use protocol::v1;

use super::validate::Validated;

/// The request that makes central hold the role. Destructured whole: a field forgotten here does
/// not compile.
pub fn build(validated: &Validated) -> v1::ApplyRoleRequest {
    let Validated {
        namespace,
        name,
        spec,
    } = validated;
    let RoleSpec {
        tenant,
        inherits,
        rules,
        subjects,
    } = spec;
    v1::ApplyRoleRequest {
        tenant: tenant.clone(),
        namespace: namespace.clone(),
        name: name.clone(),
        spec: Some(v1::RoleSpec {
            inherits: inherits.clone(),
            rules: rules.iter().map(rule).collect(),
            subjects: subjects
                .iter()
                .map(|bound| subject(bound, namespace))
                .collect(),
        }),
    }
}

fn rule(rule: &Rule) -> v1::Rule {
    let Rule {
        effect,
        resources,
        actions,
        when,
    } = rule;
    let effect = match effect {
        Effect::Allow => v1::rule::Effect::Allow,
        Effect::Deny => v1::rule::Effect::Deny,
    };
    v1::Rule {
        effect: effect.into(),
        resources: resources.clone(),
        actions: actions.clone(),
        when: when.clone().unwrap_or_default(),
    }
}

fn subject(subject: &Subject, role_namespace: &str) -> v1::Subject {
    let Subject {
        kind,
        name,
        namespace,
    } = subject;
    let (kind, namespace) = match kind {
        SubjectKind::ServiceAccount => (
            v1::subject::Kind::ServiceAccount,
            namespace.clone().unwrap_or_else(|| role_namespace.into()),
        ),
        SubjectKind::User => (v1::subject::Kind::User, String::new()),
        SubjectKind::Group => (v1::subject::Kind::Group, String::new()),
        SubjectKind::Client => (v1::subject::Kind::Client, String::new()),
    };
    v1::Subject {
        kind: kind.into(),
        name: name.clone(),
        namespace,
    }
}
