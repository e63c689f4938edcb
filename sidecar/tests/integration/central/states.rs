//! What a tenant has: roles and generators as central would send them.

use protocol::v1::{
    Buffer, GeneratorState, IdGeneratorSpec, NamedGenerator, NamedRole, PolicyState, RoleSpec,
    Rule, Segment, Subject, id_generator_spec::Algorithm as Kind, rule::Effect, subject,
    subscribe_response::State,
};

pub(crate) fn generators(all: &[(&str, u64)]) -> State {
    let one = |(name, capacity): &(&str, u64)| NamedGenerator {
        name: (*name).to_owned(),
        spec: Some(IdGeneratorSpec {
            algorithm: Some(Kind::Segment(Segment {
                start: 1,
                max: 1 << 53,
                step: 1_000,
            })),
            buffer: Some(Buffer {
                capacity: *capacity,
                refill_at_percent: 10,
                outage_budget_seconds: 60,
            }),
        }),
    };
    State::Generators(GeneratorState {
        generators: all.iter().map(one).collect(),
    })
}

/// The roles of config/samples, and one that refuses.
pub(crate) fn sample_roles() -> State {
    let rule = |effect: Effect, resource: &str, actions: &[&str], when: &str| Rule {
        effect: effect.into(),
        resources: vec![resource.to_owned()],
        actions: actions.iter().map(|action| (*action).to_owned()).collect(),
        when: when.to_owned(),
    };
    let bound = |kind: subject::Kind, name: &str| Subject {
        kind: kind.into(),
        name: name.to_owned(),
        namespace: String::new(),
    };
    let role = |name: &str, inherits: &[&str], rules, subjects| NamedRole {
        namespace: "shop".to_owned(),
        name: name.to_owned(),
        spec: Some(RoleSpec {
            inherits: inherits.iter().map(|name| (*name).to_owned()).collect(),
            rules,
            subjects,
        }),
    };
    State::Policy(PolicyState {
        roles: vec![
            role(
                "order-reader",
                &[],
                vec![rule(Effect::Allow, "orders/*", &["read"], "")],
                vec![],
            ),
            role(
                "order-writer",
                &["order-reader"],
                vec![rule(
                    Effect::Allow,
                    "orders/*",
                    &["create", "read"],
                    "request.amount < 1000",
                )],
                vec![bound(subject::Kind::ServiceAccount, "checkout")],
            ),
            role(
                "no-secrets",
                &[],
                vec![rule(Effect::Deny, "orders/secret", &["*"], "")],
                vec![bound(subject::Kind::ServiceAccount, "checkout")],
            ),
            role(
                "staff",
                &[],
                vec![rule(Effect::Allow, "reports/**", &["*"], "")],
                vec![
                    bound(subject::Kind::Group, "staff"),
                    bound(subject::Kind::Client, "batch"),
                ],
            ),
        ],
    })
}
