//! Follows `inherits` from a role to all it has through others.

use std::collections::{BTreeMap, VecDeque};

use crate::defect::{Defect, DefectKind};
use crate::limits::MAX_ANCESTORS;

/// Where `inherits` leads from one role.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Lineage<'a> {
    /// Every other role that was reached, nearest first.
    pub(crate) ancestors: Vec<&'a str>,
    /// What is wrong on the way. `BrokenParent` is not found here: it depends on the other roles.
    pub(crate) defects: Vec<Defect>,
}

/// Walks breadth first, visiting each role once, so that a cycle ends it as any other does, and no
/// further than [`MAX_ANCESTORS`].
pub(crate) fn follow<'a>(
    name: &'a str,
    inherits: &'a [String],
    parents_of: impl Fn(&str) -> Option<&'a [String]>,
) -> Lineage<'a> {
    let mut lineage = Lineage::default();
    // Whose child each reached role was found as: the way back that a message shows.
    let mut child_of: BTreeMap<&'a str, &'a str> = BTreeMap::new();
    let mut queue: VecDeque<(&'a str, &'a [String])> = VecDeque::from([(name, inherits)]);
    while let Some((child, parents)) = queue.pop_front() {
        for (index, parent) in parents.iter().map(String::as_str).enumerate() {
            let field = if child == name {
                format!("spec.inherits[{index}]")
            } else {
                "spec.inherits".to_owned()
            };
            if parent == name {
                let way = way(name, child, &child_of);
                lineage.defects.push(Defect::new(
                    DefectKind::InheritanceCycle,
                    field,
                    format!("the role inherits itself ({way}); take one of them out of `inherits`"),
                ));
                continue;
            }
            if child_of.contains_key(parent) {
                continue;
            }
            let Some(grandparents) = parents_of(parent) else {
                let message = if child == name {
                    format!(
                        "there is no role `{parent}` in this namespace; declare it, or take it out of `inherits`"
                    )
                } else {
                    format!(
                        "`{child}`, which the role inherits, inherits `{parent}`, which does not exist; declare it"
                    )
                };
                lineage
                    .defects
                    .push(Defect::new(DefectKind::RoleNotFound, field, message));
                continue;
            };
            if lineage.ancestors.len() == MAX_ANCESTORS {
                lineage.defects.push(Defect::new(
                    DefectKind::TooLarge,
                    "spec.inherits",
                    format!(
                        "the role has more than {MAX_ANCESTORS} others through inheritance; inherit fewer"
                    ),
                ));
                return lineage;
            }
            child_of.insert(parent, child);
            lineage.ancestors.push(parent);
            queue.push_back((parent, grandparents));
        }
    }
    lineage
}

/// `a → b → a`, with at most a few names in the middle.
fn way<'a>(name: &'a str, last: &'a str, child_of: &BTreeMap<&'a str, &'a str>) -> String {
    const MOST: usize = 8;
    let mut names = vec![name];
    let mut at = last;
    while at != name {
        names.push(at);
        let Some(child) = child_of.get(at) else {
            break;
        };
        at = child;
    }
    names.push(name);
    names.reverse();
    if names.len() > MOST {
        let left_out = names.len() - MOST;
        names.truncate(MOST);
        return format!("{} → … ({left_out} more)", names.join(" → "));
    }
    names.join(" → ")
}

/// Looks over what the role `name` would inherit, given every other role of its namespace: `known`
/// holds their names and what they inherit. An entry for `name` itself is not looked at.
///
/// # Errors
///
/// `RoleNotFound`, `InheritanceCycle` and `TooLarge`, with the field they concern.
pub fn check_inheritance(
    name: &str,
    inherits: &[String],
    known: &BTreeMap<String, Vec<String>>,
) -> Result<(), Vec<Defect>> {
    let lineage = follow(name, inherits, |parent| {
        known.get(parent).map(Vec::as_slice)
    });
    if lineage.defects.is_empty() {
        Ok(())
    } else {
        Err(lineage.defects)
    }
}
