//! Given roles with defects, when a request comes, then nothing opens.

use super::deciding::{allow, bound, checkout, decide, deny, role, when};
use crate::{DefectKind, Policy, Role};

#[test]
fn a_broken_role_gives_nothing_and_takes_away() {
    let broken = bound(
        "broken",
        vec![
            allow("a", "read"),
            when(deny("b", "read"), "nonsense("),
            deny("c", "write"),
        ],
    );
    let sound = bound(
        "sound",
        vec![allow("b", "read"), allow("c", "*"), allow("d", "read")],
    );
    let (policy, defects) = Policy::compile(vec![broken, sound]);
    assert_eq!(defects.len(), 1);
    assert_eq!(defects[0].0, "shop/broken");
    assert!(!decide(&policy, "a", "read").allowed);
    assert_eq!(
        decide(&policy, "b", "read").reason,
        "rule 1 of role shop/broken denies read on b, since its condition cannot be read"
    );
    assert!(!decide(&policy, "c", "write").allowed);
    assert!(decide(&policy, "c", "read").allowed);
    assert!(decide(&policy, "d", "read").allowed);
    assert_eq!(policy.roles_of(&checkout()), ["shop/sound"]);
}

#[test]
fn a_deny_whose_pattern_cannot_be_read_covers_everything() {
    let (policy, defects) = Policy::compile(vec![bound(
        "a",
        vec![deny("orders/[0-9]", "delete"), allow("**", "*")],
    )]);
    assert_eq!(defects[0].1.kind, DefectKind::InvalidResource);
    assert_eq!(decide(&policy, "anything", "delete").rule, Some(0));
}

#[test]
fn heirs_of_the_broken_are_broken() {
    let heir = |name: &str, parent: &str| Role {
        inherits: vec![parent.to_owned()],
        ..bound(name, vec![allow("a", "read")])
    };
    let broken = role("broken", vec![when(allow("b", "read"), "nonsense(")]);
    let sound = bound("sound", vec![allow("c", "read")]);
    let (policy, defects) = Policy::compile(vec![
        heir("child", "broken"),
        heir("grandchild", "child"),
        heir("orphan", "nobody"),
        heir("one", "two"),
        heir("two", "one"),
        heir("beside", "one"),
        broken,
        sound,
    ]);
    let kinds: Vec<(&str, DefectKind)> = defects
        .iter()
        .map(|(name, defect)| (name.as_str(), defect.kind))
        .collect();
    for expected in [
        ("shop/broken", DefectKind::InvalidCondition),
        ("shop/orphan", DefectKind::RoleNotFound),
        ("shop/one", DefectKind::InheritanceCycle),
        ("shop/two", DefectKind::InheritanceCycle),
        ("shop/child", DefectKind::BrokenParent),
        ("shop/grandchild", DefectKind::BrokenParent),
        ("shop/beside", DefectKind::BrokenParent),
    ] {
        assert!(kinds.contains(&expected), "{expected:?} in {kinds:?}");
    }
    assert_eq!(kinds.len(), 7, "{kinds:?}");
    assert!(!decide(&policy, "a", "read").allowed);
    assert!(decide(&policy, "c", "read").allowed);
}

#[test]
fn nothing_comes_through_a_broken_role() {
    let parent = role("parent", vec![allow("a", "read"), deny("b", "read")]);
    let broken = Role {
        inherits: vec!["parent".to_owned()],
        ..bound("broken", vec![when(allow("c", "read"), "nonsense(")])
    };
    let sound = bound("sound", vec![allow("b", "read")]);
    let (policy, _) = Policy::compile(vec![parent.clone(), broken.clone(), sound.clone()]);
    assert!(!decide(&policy, "a", "read").allowed);
    assert!(!decide(&policy, "b", "read").allowed);
    assert_eq!(policy.roles_of(&checkout()), ["shop/sound"]);

    // Unless it comes another way as well.
    let also = Role {
        inherits: vec!["parent".to_owned()],
        ..sound
    };
    let (policy, _) = Policy::compile(vec![parent, broken, also]);
    assert_eq!(
        decide(&policy, "a", "read").reason,
        "rule 0 of role shop/parent, which role shop/sound inherits, allows read on a"
    );
    assert_eq!(policy.roles_of(&checkout()), ["shop/parent", "shop/sound"]);
}
