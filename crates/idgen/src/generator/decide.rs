//! The rules of a generator, and the only place where one may refuse.

use super::{Algorithm, Command, Context, Event, Member, Reason, Refusal, Segment, Spec, State};
use crate::Range;

/// One allocation gets at most this part of what remains, so that one caller cannot eat a segment.
const LARGEST_PART: u64 = 16;
/// Longest name of an owner, in bytes: namespace and pod, and some to spare.
const MAX_OWNER_BYTES: usize = 512;

/// What the command makes happen: nothing, when it is true already.
///
/// # Errors
/// [`Refusal`], when a rule forbids it.
pub fn decide(state: &State, command: Command) -> Result<Vec<Event>, Refusal> {
    match command {
        Command::Declare {
            namespace,
            spec,
            context,
        } => declare(state, namespace, spec, context),
        Command::Remove { namespace } => Ok(match state.member(&namespace) {
            Some(_) => vec![Event::Removed { namespace }],
            None => Vec::new(),
        }),
        Command::Allocate {
            namespace,
            count,
            owner,
        } => allocate(state, namespace, count, owner),
    }
}

fn declare(
    state: &State,
    namespace: String,
    spec: Spec,
    context: Context,
) -> Result<Vec<Event>, Refusal> {
    if !context.tenant_open {
        let message = "there is no open tenant of this name: apply the Tenant first";
        return Err(
            Refusal::new(Reason::TenantNotFound, Some("spec.tenant"), message).that_may_heal(),
        );
    }
    if !context.namespace_admitted {
        let message = format!(
            "the tenant does not take namespace {namespace:?}: give the namespace the labels of the Tenant's spec.namespaces"
        );
        return Err(
            Refusal::new(Reason::NamespaceNotAdmitted, Some("spec.tenant"), message)
                .that_may_heal(),
        );
    }
    if state
        .member(&namespace)
        .is_some_and(|member| member.spec == spec)
    {
        return Ok(Vec::new());
    }
    spec.check(context.now)?;
    if let Some(member) = state.members.get(&namespace) {
        check_change(member, &spec.algorithm)?;
    }
    match &spec.algorithm {
        Algorithm::Segment(segment) => check_others(state, &namespace, segment)?,
        Algorithm::Snowflake(_) => {
            let message = "this release hands out segments only: declare spec.segment instead of spec.snowflake";
            let refusal = Refusal::new(Reason::AlgorithmNotServed, Some("spec.snowflake"), message);
            return Err(refusal);
        }
    }
    Ok(vec![match state.member(&namespace) {
        Some(_) => Event::Changed { namespace, spec },
        None => Event::Declared { namespace, spec },
    }])
}

/// Whether a member, declared or removed, may become this. A removed one that handed out nothing
/// binds nobody.
fn check_change(member: &Member, algorithm: &Algorithm) -> Result<(), Refusal> {
    if member.removed && !member.has_handed_out() {
        return Ok(());
    }
    match (&member.spec.algorithm, algorithm) {
        (Algorithm::Segment(old), Algorithm::Segment(new)) => check_segment(member, old, new),
        (Algorithm::Snowflake(old), Algorithm::Snowflake(new)) if !old.same_epoch(new) => {
            let message = format!(
                "the epoch may not be changed, ids would repeat: set it back to {}",
                old.epoch
            );
            Err(Refusal::new(
                Reason::InvalidEpoch,
                Some("spec.snowflake.epoch"),
                message,
            ))
        }
        (Algorithm::Snowflake(_), Algorithm::Snowflake(_)) => Ok(()),
        (old, new) => {
            let message = format!(
                "the algorithm may not be changed from {} to {}, ids could repeat: declare a generator of another name",
                old.name(),
                new.name()
            );
            let field = format!("spec.{}", new.name());
            Err(Refusal::new(
                Reason::AlgorithmChanged,
                Some(&field),
                message,
            ))
        }
    }
}

fn check_segment(member: &Member, old: &Segment, new: &Segment) -> Result<(), Refusal> {
    if member.has_handed_out() && new.start != old.start {
        let message = format!(
            "ids {} to {} were handed out, so that the start may not be changed: set it back to {}, or declare a generator of another name",
            old.start,
            member.next - 1,
            old.start
        );
        return Err(Refusal::new(
            Reason::SegmentMoved,
            Some("spec.segment.start"),
            message,
        ));
    }
    // What a removed one did not hand out is not promised to it any more.
    let lowest = if member.removed {
        member.next - 1
    } else {
        old.max
    };
    if new.max < lowest {
        let message = format!(
            "a segment may grow but not shrink: set max to {lowest} or more, not {}",
            new.max
        );
        return Err(Refusal::new(
            Reason::SegmentShrunk,
            Some("spec.segment.max"),
            message,
        ));
    }
    Ok(())
}

fn check_others(state: &State, namespace: &str, segment: &Segment) -> Result<(), Refusal> {
    let others = state
        .members
        .iter()
        .filter(|(other, _)| *other != namespace);
    for (other, member) in others {
        let Some(held) = member.segment() else {
            continue;
        };
        let handed_out =
            member.has_handed_out() && segment.start < member.next && held.start <= segment.max;
        let declared = !member.removed && segment.start <= held.max && held.start <= segment.max;
        if handed_out {
            let message = format!(
                "ids {} to {} were handed out to namespace {other:?} under this name: choose a segment outside of them",
                held.start,
                member.next - 1
            );
            return Err(Refusal::new(
                Reason::SegmentOverlap,
                Some("spec.segment"),
                message,
            ));
        }
        if declared {
            let message = format!(
                "ids {} to {} belong to the generator of this name in namespace {other:?}: choose a segment outside of them",
                held.start, held.max
            );
            return Err(
                Refusal::new(Reason::SegmentOverlap, Some("spec.segment"), message).that_may_heal(),
            );
        }
    }
    Ok(())
}

fn allocate(
    state: &State,
    namespace: String,
    count: u64,
    owner: String,
) -> Result<Vec<Event>, Refusal> {
    if count == 0 {
        return Err(Refusal::new(
            Reason::InvalidRequest,
            None,
            "the count must be at least 1",
        ));
    }
    if owner.is_empty() || owner.len() > MAX_OWNER_BYTES {
        let message = format!("the owner must be named, in at most {MAX_OWNER_BYTES} bytes");
        return Err(Refusal::new(Reason::InvalidRequest, None, message));
    }
    let Some(member) = state.member(&namespace) else {
        let message =
            format!("namespace {namespace:?} has no generator of this name: apply an IdGenerator");
        return Err(Refusal::new(Reason::UnknownGenerator, None, message).that_may_heal());
    };
    let Some(segment) = member.segment() else {
        let message = "this release hands out segments only";
        return Err(Refusal::new(
            Reason::AlgorithmNotServed,
            Some("spec.snowflake"),
            message,
        ));
    };
    let given = grant(count, segment.step, member.remaining());
    let start = member.next;
    let epoch = state.allocations.saturating_add(1);
    let range = Range::new(start, start.saturating_add(given), 1, epoch).map_err(|_| {
        let message = format!(
            "every id up to {} is handed out: raise the segment's max",
            segment.max
        );
        Refusal::new(Reason::Exhausted, Some("spec.segment.max"), message).that_may_heal()
    })?;
    Ok(vec![Event::RangeAllocated {
        namespace,
        range,
        owner,
    }])
}

/// How many ids to give: the count in whole steps, at most a part of what remains (but a step), and
/// at the end what is left.
fn grant(count: u64, step: u64, remaining: u64) -> u64 {
    let step = step.max(1);
    let whole_steps = |ids: u64| ids - ids % step;
    let wanted = count
        .checked_next_multiple_of(step)
        .unwrap_or(whole_steps(u64::MAX));
    let bound = whole_steps(remaining / LARGEST_PART).max(step);
    wanted.min(bound).min(remaining)
}
