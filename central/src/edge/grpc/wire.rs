//! Between the contracts' messages and the domain's types. A message of the wire goes no further
//! than here.

use std::collections::{BTreeMap, BTreeSet};

use eventstore::Position;
use idgen::generator;
use policy::{Binding, Effect, SubjectKind};
use protocol::v1;

use crate::{
    directory::{Content, Realm},
    error::ServiceError,
};

/// Longest name of a Kubernetes object.
const MAX_NAME: usize = 253;

/// A declaration that does not become a command.
#[derive(Debug)]
pub(super) enum Unreadable {
    /// Its author can mend it: an answer.
    Refused(v1::Refusal),
    /// The caller left out what the contract asks for: an error.
    Incomplete(ServiceError),
}

fn missing(name: &'static str) -> ServiceError {
    ServiceError::InvalidArgument {
        name: name.into(),
        message: "it is missing".into(),
    }
}

/// A name that can be part of a stream's.
pub(super) fn name(field: &'static str, text: String) -> Result<String, ServiceError> {
    let sane = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if text.is_empty() || text.len() > MAX_NAME || !text.chars().all(sane) {
        let message = "it is not the name of a Kubernetes object".to_owned();
        return Err(ServiceError::InvalidArgument {
            name: field.into(),
            message,
        });
    }
    Ok(text)
}

pub(super) fn tenant_spec(
    name: &str,
    spec: Option<v1::TenantSpec>,
) -> Result<iam::tenant::Spec, Unreadable> {
    let incomplete = |field| Unreadable::Incomplete(missing(field));
    // PostgreSQL cannot even look for such a name; the domain judges every other.
    if name.contains('\0') {
        return Err(Unreadable::Refused(v1::Refusal {
            reason: "InvalidName".into(),
            message: "a tenant's name has no NUL character".into(),
            field: "metadata.name".into(),
            may_heal: false,
        }));
    }
    let v1::TenantSpec {
        display_name,
        namespaces,
        tokens,
        keys,
    } = spec.ok_or_else(|| incomplete("spec"))?;
    let tokens = tokens.ok_or_else(|| incomplete("spec.tokens"))?;
    let keys = keys.ok_or_else(|| incomplete("spec.keys"))?;
    let algorithm = tokens.algorithm.parse().map_err(|_| {
        Unreadable::Refused(v1::Refusal {
            reason: "InvalidAlgorithm".into(),
            message: format!(
                "{:?} is not served; choose ES256, EdDSA or RS256",
                tokens.algorithm.chars().take(32).collect::<String>()
            ),
            field: "spec.tokens.algorithm".into(),
            may_heal: false,
        })
    })?;
    Ok(iam::tenant::Spec {
        name: name.to_owned(),
        display_name,
        namespaces: namespaces.into_iter().collect::<BTreeSet<_>>(),
        tokens: iam::tenant::TokenSettings {
            algorithm,
            access_token_lifetime_seconds: tokens.access_token_lifetime_seconds,
            refresh_token_lifetime_seconds: tokens.refresh_token_lifetime_seconds,
            audiences: tokens.audiences,
        },
        keys: iam::tenant::KeySettings {
            rotate_every_seconds: keys.rotate_every_seconds,
            overlap_seconds: keys.overlap_seconds,
        },
    })
}

pub(super) fn iam_refusal(refusal: iam::Refusal) -> v1::Refusal {
    v1::Refusal {
        reason: refusal.reason.as_str().to_owned(),
        message: refusal.message,
        field: refusal.field.unwrap_or_default(),
        may_heal: refusal.may_heal,
    }
}

pub(super) fn idgen_refusal(refusal: generator::Refusal) -> v1::Refusal {
    v1::Refusal {
        reason: refusal.reason.as_str().to_owned(),
        message: refusal.message,
        field: refusal.field.unwrap_or_default(),
        may_heal: refusal.may_heal,
    }
}

pub(super) fn role(
    namespace: &str,
    name: &str,
    spec: Option<v1::RoleSpec>,
) -> Result<policy::Role, ServiceError> {
    let v1::RoleSpec {
        inherits,
        rules,
        subjects,
    } = spec.ok_or_else(|| missing("spec"))?;
    Ok(policy::Role {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        inherits,
        rules: rules.into_iter().map(rule).collect::<Result<_, _>>()?,
        subjects: subjects
            .into_iter()
            .map(binding)
            .collect::<Result<_, _>>()?,
    })
}

fn rule(rule: v1::Rule) -> Result<policy::Rule, ServiceError> {
    let effect = match rule.effect() {
        v1::rule::Effect::Allow => Effect::Allow,
        v1::rule::Effect::Deny => Effect::Deny,
        v1::rule::Effect::Unspecified => return Err(missing("spec.rules.effect")),
    };
    let v1::Rule {
        resources,
        actions,
        when,
        ..
    } = rule;
    Ok(policy::Rule {
        effect,
        resources,
        actions,
        when: filled(when),
    })
}

fn binding(subject: v1::Subject) -> Result<Binding, ServiceError> {
    use v1::subject::Kind;
    let kind = match subject.kind() {
        Kind::ServiceAccount => SubjectKind::ServiceAccount,
        Kind::User => SubjectKind::User,
        Kind::Group => SubjectKind::Group,
        Kind::Client => SubjectKind::Client,
        Kind::Unspecified => return Err(missing("spec.subjects.kind")),
    };
    Ok(Binding {
        kind,
        name: subject.name,
        namespace: filled(subject.namespace),
    })
}

fn filled(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

pub(super) fn role_spec(role: &policy::Role) -> v1::RoleSpec {
    use v1::{rule::Effect as WireEffect, subject::Kind};
    let rules = role.rules.iter().map(|rule| v1::Rule {
        effect: match rule.effect {
            Effect::Allow => WireEffect::Allow.into(),
            Effect::Deny => WireEffect::Deny.into(),
        },
        resources: rule.resources.clone(),
        actions: rule.actions.clone(),
        when: rule.when.clone().unwrap_or_default(),
    });
    let subjects = role.subjects.iter().map(|binding| v1::Subject {
        kind: match binding.kind {
            SubjectKind::ServiceAccount => Kind::ServiceAccount.into(),
            SubjectKind::User => Kind::User.into(),
            SubjectKind::Group => Kind::Group.into(),
            SubjectKind::Client => Kind::Client.into(),
        },
        name: binding.name.clone(),
        namespace: binding.namespace.clone().unwrap_or_default(),
    });
    v1::RoleSpec {
        inherits: role.inherits.clone(),
        rules: rules.collect(),
        subjects: subjects.collect(),
    }
}

pub(super) fn generator_spec(
    spec: Option<v1::IdGeneratorSpec>,
) -> Result<generator::Spec, ServiceError> {
    use v1::id_generator_spec::Algorithm;
    let v1::IdGeneratorSpec { buffer, algorithm } = spec.ok_or_else(|| missing("spec"))?;
    let buffer = buffer.ok_or_else(|| missing("spec.buffer"))?;
    let algorithm = match algorithm.ok_or_else(|| missing("spec.algorithm"))? {
        Algorithm::Segment(v1::Segment { start, max, step }) => {
            generator::Algorithm::Segment(generator::Segment { start, max, step })
        }
        Algorithm::Snowflake(v1::Snowflake { epoch, bits }) => {
            generator::Algorithm::Snowflake(generator::Snowflake { epoch, bits })
        }
    };
    Ok(generator::Spec {
        algorithm,
        buffer: generator::Buffer {
            capacity: buffer.capacity,
            // What does not fit is more than any percentage; the domain refuses it by name.
            refill_at_percent: u8::try_from(buffer.refill_at_percent).unwrap_or(u8::MAX),
            outage_budget_seconds: buffer.outage_budget_seconds,
        },
    })
}

pub(super) fn generator_spec_out(spec: &generator::Spec) -> v1::IdGeneratorSpec {
    use v1::id_generator_spec::Algorithm;
    let algorithm = match &spec.algorithm {
        generator::Algorithm::Segment(segment) => Algorithm::Segment(v1::Segment {
            start: segment.start,
            max: segment.max,
            step: segment.step,
        }),
        generator::Algorithm::Snowflake(snowflake) => Algorithm::Snowflake(v1::Snowflake {
            epoch: snowflake.epoch.clone(),
            bits: snowflake.bits.clone(),
        }),
    };
    v1::IdGeneratorSpec {
        algorithm: Some(algorithm),
        buffer: Some(v1::Buffer {
            capacity: spec.buffer.capacity,
            refill_at_percent: spec.buffer.refill_at_percent.into(),
            outage_budget_seconds: spec.buffer.outage_budget_seconds,
        }),
    }
}

pub(super) fn range(range: idgen::Range) -> v1::Range {
    let idgen::Range {
        start,
        end,
        stride,
        epoch,
    } = range;
    v1::Range {
        start,
        end,
        stride,
        epoch,
    }
}

pub(super) fn content(content: Content) -> v1::Content {
    match content {
        Content::Keys => v1::Content::Keys,
        Content::Policy => v1::Content::Policy,
        Content::Generators => v1::Content::Generators,
    }
}

pub(super) fn wanted(content: i32) -> Result<Content, ServiceError> {
    match v1::Content::try_from(content) {
        Ok(v1::Content::Keys) => Ok(Content::Keys),
        Ok(v1::Content::Policy) => Ok(Content::Policy),
        Ok(v1::Content::Generators) => Ok(Content::Generators),
        Ok(v1::Content::Unspecified) | Err(_) => {
            let message = format!("content {content} is not known to this release");
            Err(ServiceError::InvalidArgument {
                name: "content".into(),
                message,
            })
        }
    }
}

/// What a stream asks for, and the version it holds of each.
/// What is asked for, with the version of `store` that is held. A version of another store says
/// nothing about this one, even if the numbers are alike.
pub(super) fn wants(
    hello: &v1::Hello,
    store: &str,
) -> Result<BTreeMap<Content, Position>, ServiceError> {
    let wants: BTreeMap<_, _> = hello
        .wants
        .iter()
        .map(|held| {
            let foreign = !held.store.is_empty() && held.store != store;
            let version = if foreign { 0 } else { held.version };
            Ok((wanted(held.content)?, Position(version)))
        })
        .collect::<Result<_, ServiceError>>()?;
    if wants.is_empty() {
        let message = "ask for at least one content".to_owned();
        return Err(ServiceError::InvalidArgument {
            name: "wants".into(),
            message,
        });
    }
    Ok(wants)
}

pub(super) fn key_state(realm: &Realm, issuer: String) -> v1::KeyState {
    v1::KeyState {
        issuer,
        audiences: realm.audiences().to_vec(),
        // A set of public keys always becomes JSON.
        jwks: serde_json::to_string(&realm.jwks()).unwrap_or_default(),
        closed: realm.is_closed(),
    }
}

pub(super) fn policy_state(realm: &Realm) -> v1::PolicyState {
    let roles = realm.roles().map(|role| v1::NamedRole {
        namespace: role.namespace.clone(),
        name: role.name.clone(),
        spec: Some(role_spec(role)),
    });
    v1::PolicyState {
        roles: roles.collect(),
    }
}

pub(super) fn generator_state(realm: &Realm, namespace: &str) -> v1::GeneratorState {
    let generators = realm
        .generators_of(namespace)
        .map(|(name, member)| v1::NamedGenerator {
            name: name.to_owned(),
            spec: Some(generator_spec_out(&member.spec)),
        });
    v1::GeneratorState {
        generators: generators.collect(),
    }
}
