//! The decision.

use crate::check::{Guard, ReadyRule};
use crate::condition::{Evaluation, Failure};
use crate::index::RoleNumber;
use crate::pattern::{check_action, resource_segments};
use crate::policy::{Policy, ReadyRole};
use crate::request::{Decision, Request};

/// A rule that covers a request but was not applied, for the explanation.
enum Passed<'p> {
    /// Its condition is false.
    NotMet(&'p ReadyRole, &'p ReadyRule),
    /// Its condition could not be evaluated.
    Failed(&'p ReadyRole, &'p ReadyRule, Failure),
}

/// Passed rules that an explanation names.
const MOST_PASSED: usize = 3;

impl Policy {
    /// Decides a request.
    ///
    /// Deny rules are asked first: one that applies refuses, whatever others allow. Then Allow rules:
    /// the first that applies lets the request pass, in the order of the roles' names. What no rule
    /// allows is refused. A condition that cannot be evaluated makes an Allow rule not apply and a
    /// Deny rule apply; the reason says so.
    pub fn decide(&self, request: &Request<'_>) -> Decision {
        let segments = match resource_segments(request.resource) {
            Ok(segments) => segments,
            Err(why) => return refused(format!("the resource is not in normal form: {why}")),
        };
        if let Err(why) = check_action(request.action) {
            return refused(format!("the action is not one: {why}"));
        }
        let numbers = self.numbers_of(request.subject);
        let mut evaluation = Evaluation::new(*request);

        for (role, bound) in self.ways(&numbers) {
            for rule in &role.denies {
                if !rule.covers(&segments, request.action) {
                    continue;
                }
                let because = match &rule.guard {
                    Guard::Always => String::new(),
                    Guard::When(condition) => match evaluation.holds(condition) {
                        Ok(false) => continue,
                        Ok(true) => String::new(),
                        Err(failure) => {
                            format!(", since its condition could not be evaluated: {failure}")
                        }
                    },
                    Guard::Unreadable => ", since its condition cannot be read".to_owned(),
                };
                return decided(false, request, role, rule, bound, &because);
            }
        }

        let mut passed = Vec::new();
        for (role, bound) in self.ways(&numbers).filter(|(_, bound)| !bound.broken) {
            for rule in &role.allows {
                if !rule.covers(&segments, request.action) {
                    continue;
                }
                let outcome = match &rule.guard {
                    Guard::Always => Ok(true),
                    Guard::When(condition) => evaluation.holds(condition),
                    Guard::Unreadable => Ok(false),
                };
                match outcome {
                    Ok(true) => return decided(true, request, role, rule, bound, ""),
                    Ok(false) => passed.push(Passed::NotMet(role, rule)),
                    Err(failure) => passed.push(Passed::Failed(role, rule, failure)),
                }
            }
        }
        refused(nothing_allows(request, numbers.is_empty(), &passed))
    }

    /// The roles with these numbers, each with the bound role it comes through.
    fn ways<'p>(
        &'p self,
        numbers: &'p [(RoleNumber, RoleNumber)],
    ) -> impl Iterator<Item = (&'p ReadyRole, &'p ReadyRole)> {
        numbers
            .iter()
            .map(|&(number, bound)| (&self.roles[number as usize], &self.roles[bound as usize]))
    }
}

fn refused(reason: String) -> Decision {
    Decision {
        allowed: false,
        reason,
        role: None,
        rule: None,
    }
}

fn decided(
    allowed: bool,
    request: &Request<'_>,
    role: &ReadyRole,
    rule: &ReadyRule,
    bound: &ReadyRole,
    because: &str,
) -> Decision {
    let verb = if allowed { "allows" } else { "denies" };
    let inherited = if bound.name == role.name {
        String::new()
    } else {
        format!(", which role {} inherits,", bound.name)
    };
    Decision {
        allowed,
        reason: format!(
            "rule {} of role {}{inherited} {verb} {} on {}{because}",
            rule.index,
            role.name,
            shown(request.action),
            shown(request.resource),
        ),
        role: Some(role.name.clone()),
        rule: Some(rule.index),
    }
}

fn nothing_allows(request: &Request<'_>, no_role: bool, passed: &[Passed<'_>]) -> String {
    let mut reason = format!(
        "no rule allows {} on {} for {}",
        shown(request.action),
        shown(request.resource),
        shown(&request.subject.to_string()),
    );
    if no_role {
        reason.push_str(", which has no role");
    }
    for (position, rule) in passed.iter().take(MOST_PASSED).enumerate() {
        reason.push_str(if position == 0 { ": " } else { "; " });
        reason.push_str(&match rule {
            Passed::NotMet(role, rule) => {
                format!(
                    "the condition of rule {} of role {} is not met",
                    rule.index, role.name
                )
            }
            Passed::Failed(role, rule, failure) => format!(
                "the condition of rule {} of role {} could not be evaluated: {failure}",
                rule.index, role.name
            ),
        });
    }
    if passed.len() > MOST_PASSED {
        reason.push_str("; and others");
    }
    reason
}

/// The beginning of a text that comes from outside, without what would spoil a log line.
fn shown(text: &str) -> String {
    const MOST: usize = 128;
    let mut shown: String = text
        .chars()
        .take(MOST)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().nth(MOST).is_some() {
        shown.push('…');
    }
    shown
}
