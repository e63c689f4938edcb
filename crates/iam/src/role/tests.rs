//! Given events, when a command, then events.

use policy::{Binding, DefectKind, Effect, Role, Rule, SubjectKind};
use proptest::prelude::*;

use super::{Command, Context, Event, SCHEMA_VERSION, State, decide, evolve};
use crate::refusal::{Reason, Refusal};

fn writer() -> Role {
    Role {
        namespace: "shop".to_owned(),
        name: "order-writer".to_owned(),
        inherits: vec!["order-reader".to_owned()],
        rules: vec![Rule {
            effect: Effect::Allow,
            resources: vec!["orders/*".to_owned()],
            actions: vec!["create".to_owned()],
            when: Some("request.amount < 1000".to_owned()),
        }],
        subjects: vec![Binding {
            kind: SubjectKind::ServiceAccount,
            name: "checkout".to_owned(),
            namespace: None,
        }],
    }
}

fn reader() -> Role {
    Role {
        name: "order-reader".to_owned(),
        inherits: vec![],
        subjects: vec![],
        ..writer()
    }
}

fn sound() -> Context {
    Context {
        tenant_open: true,
        namespace_admitted: true,
        known_roles: Context::known("shop", &[reader()]),
    }
}

fn declare(role: Role, context: Context) -> Command {
    Command::Declare { role, context }
}

fn when(events: &[Event], command: Command) -> Result<Vec<Event>, Refusal> {
    decide(&events.iter().fold(State::default(), evolve), command)
}

#[test]
fn a_role_is_declared_changed_and_removed() {
    let declared = Event::Declared { role: writer() };
    assert_eq!(
        when(&[], declare(writer(), sound())),
        Ok(vec![declared.clone()])
    );
    let given = [declared];
    assert_eq!(when(&given, declare(writer(), sound())), Ok(vec![]));
    let other = Role {
        subjects: vec![],
        ..writer()
    };
    let changed = Event::Changed {
        role: other.clone(),
    };
    assert_eq!(when(&given, declare(other, sound())), Ok(vec![changed]));
    assert_eq!(when(&given, Command::Remove), Ok(vec![Event::Removed]));
}

#[test]
fn a_removed_role_may_come_back() {
    let given = [Event::Declared { role: writer() }, Event::Removed];
    assert_eq!(when(&given, Command::Remove), Ok(vec![]));
    assert_eq!(
        when(&given, declare(writer(), sound())),
        Ok(vec![Event::Declared { role: writer() }])
    );
    assert_eq!(when(&[], Command::Remove), Ok(vec![]));
}

#[test]
fn surroundings_that_may_come_are_waited_for() {
    let cases = [
        (
            Context {
                tenant_open: false,
                ..sound()
            },
            Reason::TenantNotFound,
            "spec.tenant",
        ),
        (
            Context {
                namespace_admitted: false,
                ..sound()
            },
            Reason::NamespaceNotAdmitted,
            "spec.tenant",
        ),
        (
            Context {
                known_roles: Context::known("other", &[reader()]),
                ..sound()
            },
            Reason::Role(DefectKind::RoleNotFound),
            "spec.inherits[0]",
        ),
    ];
    for (context, reason, field) in cases {
        // Also for a role that was sound when it was declared before.
        for given in [vec![], vec![Event::Declared { role: writer() }]] {
            let refusal = when(&given, declare(writer(), context.clone())).unwrap_err();
            assert_eq!(refusal.reason, reason);
            assert_eq!(refusal.field.as_deref(), Some(field));
            assert!(refusal.may_heal);
        }
    }
}

#[test]
fn a_bad_condition_is_refused_whatever_the_surroundings() {
    let mut wrong = writer();
    wrong.rules[0].when = Some("amount <".to_owned());
    for context in [sound(), Context::default()] {
        let refusal = when(&[], declare(wrong.clone(), context)).unwrap_err();
        assert_eq!(refusal.reason.as_str(), "InvalidCondition");
        assert_eq!(refusal.code(), "SIGNET-POLICY-0005");
        assert_eq!(refusal.field.as_deref(), Some("spec.rules[0].when"));
        assert!(!refusal.may_heal);
    }
}

#[test]
fn a_cycle_is_refused() {
    let mut parent = reader();
    parent.inherits = vec!["order-writer".to_owned()];
    let context = Context {
        known_roles: Context::known("shop", &[parent, writer()]),
        ..sound()
    };
    let refusal = when(&[], declare(writer(), context)).unwrap_err();
    assert_eq!(refusal.reason, Reason::Role(DefectKind::InheritanceCycle));
    assert!(!refusal.may_heal);
    assert!(
        refusal
            .message
            .contains("order-writer → order-reader → order-writer"),
        "{}",
        refusal.message
    );
}

#[test]
fn what_cannot_heal_is_said_first() {
    let mut twice = writer();
    twice.inherits = vec!["nobody".to_owned(), "order-writer".to_owned()];
    let refusal = when(&[], declare(twice, sound())).unwrap_err();
    assert_eq!(refusal.reason, Reason::Role(DefectKind::InheritanceCycle));
    assert!(
        refusal.message.ends_with("(and one more defect)"),
        "{}",
        refusal.message
    );
}

#[test]
fn events_are_read_as_they_were_written() {
    for event in [
        Event::Declared { role: writer() },
        Event::Changed { role: reader() },
        Event::Removed,
    ] {
        let stored = serde_json::to_value(&event).unwrap();
        assert!(event.event_type().starts_with("Role"));
        let read = Event::read(event.event_type(), SCHEMA_VERSION, stored.clone()).unwrap();
        assert_eq!(read, event);
        assert!(Event::read(event.event_type(), SCHEMA_VERSION + 1, stored).is_err());
    }
    assert_eq!(
        serde_json::to_value(Event::Removed).unwrap(),
        serde_json::json!({"type": "Removed"})
    );
}

fn a_command() -> impl Strategy<Value = Command> {
    let name = || prop::sample::select(vec!["order-writer", "order-reader", "nobody", "Bad Name"]);
    let condition = prop::sample::select(vec![None, Some("action == 'x'"), Some("nonsense(")]);
    let declare = (
        prop::collection::vec(name(), 0..3),
        condition,
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(inherits, condition, tenant_open, namespace_admitted)| {
            let mut role = writer();
            role.inherits = inherits.into_iter().map(str::to_owned).collect();
            role.rules[0].when = condition.map(str::to_owned);
            Command::Declare {
                role,
                context: Context {
                    tenant_open,
                    namespace_admitted,
                    ..sound()
                },
            }
        });
    prop_oneof![4 => declare, 1 => Just(Command::Remove)]
}

proptest! {
    /// A command that was accepted is true afterwards, and accepted again without an event; a role
    /// that is kept is sound.
    #[test]
    fn declarations_are_idempotent(commands in prop::collection::vec(a_command(), 0..20)) {
        let mut state = State::default();
        for command in commands {
            let Ok(events) = decide(&state, command.clone()) else {
                continue;
            };
            prop_assert!(events.len() <= 1);
            state = events.iter().fold(state, evolve);
            prop_assert_eq!(decide(&state, command.clone()), Ok(vec![]));
            match command {
                Command::Declare { role, .. } => {
                    prop_assert_eq!(policy::check(&role), Ok(()));
                    prop_assert_eq!(state.role.as_ref(), Some(&role));
                }
                Command::Remove => prop_assert_eq!(&state.role, &None),
            }
        }
    }
}
