//! Dependencies point one way: `cli → operator, central, sidecar → crds, crates/*`; inside `crates`
//! only `iam → policy, token`.

use super::crates::Crate;

/// Every crate, and the crates of this workspace it may be built from.
const ALLOWED: &[(&str, &[&str])] = &[
    ("eventstore", &[]),
    ("idgen", &[]),
    ("policy", &[]),
    ("protocol", &[]),
    ("token", &[]),
    ("iam", &["policy", "token"]),
    ("crds", &[]),
    (
        "operator",
        &[
            "crds",
            "eventstore",
            "iam",
            "idgen",
            "policy",
            "protocol",
            "token",
        ],
    ),
    (
        "central",
        &[
            "crds",
            "eventstore",
            "iam",
            "idgen",
            "policy",
            "protocol",
            "token",
        ],
    ),
    (
        "sidecar",
        &[
            "crds",
            "eventstore",
            "iam",
            "idgen",
            "policy",
            "protocol",
            "token",
        ],
    ),
    (
        "cli",
        &[
            "central",
            "crds",
            "eventstore",
            "iam",
            "idgen",
            "operator",
            "policy",
            "protocol",
            "sidecar",
            "token",
        ],
    ),
    // The tests on a cluster see what a user sees: the wire, nothing behind it.
    ("e2e", &["protocol"]),
    ("e2e-app", &[]),
    ("xtask", &[]),
];

pub(super) fn check(crates: &[Crate]) -> Vec<String> {
    crates.iter().flat_map(check_one).collect()
}

fn check_one(krate: &Crate) -> Vec<String> {
    let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| *name == krate.name) else {
        return vec![format!(
            "the crate {} has no place in the layout: ARCHITECTURE.md and \
             xtask/src/tidy/dependencies.rs say which crate may use which",
            krate.name
        )];
    };
    let wrong = krate
        .dependencies
        .iter()
        .filter(|on| !allowed.contains(&on.as_str()));
    wrong
        .map(|on| format!("{} must not depend on {on} (ARCHITECTURE.md)", krate.name))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn krate(name: &str, dependencies: &[&str]) -> Crate {
        Crate {
            name: name.to_owned(),
            dependencies: dependencies.iter().map(|&on| on.to_owned()).collect(),
            library: None,
            programs: Vec::new(),
        }
    }

    #[test]
    fn a_dependency_against_the_grain_is_found() {
        let broken = check(&[
            krate("policy", &["iam"]),
            krate("iam", &["policy", "token"]),
        ]);
        assert_eq!(broken, ["policy must not depend on iam (ARCHITECTURE.md)"]);
    }

    #[test]
    fn programs_do_not_know_each_other() {
        assert_eq!(check(&[krate("sidecar", &["central"])]).len(), 1);
        assert!(check(&[krate("cli", &["central", "sidecar", "operator"])]).is_empty());
    }

    #[test]
    fn a_new_crate_must_be_given_a_place() {
        assert!(check(&[krate("helper", &[])])[0].contains("no place"));
    }

    #[test]
    fn nothing_allowed_is_itself_unknown_or_circular() {
        for (name, allowed) in ALLOWED {
            for on in *allowed {
                let (_, back) = ALLOWED.iter().find(|(other, _)| other == on).unwrap();
                assert!(!back.contains(name), "{name} and {on} may use each other");
            }
        }
    }
}
