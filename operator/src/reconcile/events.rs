//! Kubernetes Events on the resources, when what came of them changes.

use crds::Condition;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder};

use super::conditions::{READY, find};

/// The API server takes notes up to 1 KiB.
const MAX_NOTE_BYTES: usize = 1000;

/// Publishes an Event when `now` says something else than `before`. One that cannot be published is
/// logged: the status says the same.
pub(super) async fn announce(
    recorder: &Recorder,
    object: &ObjectReference,
    before: &[Condition],
    now: &[Condition],
) {
    if let Some(event) = news(before, now)
        && let Err(error) = recorder.publish(&event, object).await
    {
        tracing::warn!(%error, reason = event.reason, "event was not published");
    }
}

/// The Event that tells what changed, if anything did.
fn news(before: &[Condition], now: &[Condition]) -> Option<Event> {
    let ready = find(now, READY)?;
    let same = find(before, READY).is_some_and(|before| {
        before.status == ready.status
            && before.reason == ready.reason
            && (ready.status == "True" || before.message == ready.message)
    });
    (!same).then(|| Event {
        type_: if ready.status == "True" {
            EventType::Normal
        } else {
            EventType::Warning
        },
        reason: ready.reason.clone(),
        note: Some(shortened(&ready.message)),
        action: "Reconcile".into(),
        secondary: None,
    })
}

fn shortened(note: &str) -> String {
    let mut end = note.len().min(MAX_NOTE_BYTES);
    while !note.is_char_boundary(end) {
        end -= 1;
    }
    note[..end].into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reconcile::{Verdict, conditions};
    use k8s_openapi::jiff::Timestamp;

    fn of(verdict: &Verdict) -> Vec<Condition> {
        conditions(&[], verdict, Some(1), Timestamp::UNIX_EPOCH)
    }

    fn refused(message: &str) -> Vec<Condition> {
        of(&Verdict::Refused {
            reason: "InvalidCondition".into(),
            message: message.into(),
            may_heal: false,
        })
    }

    fn applied(message: &str) -> Vec<Condition> {
        of(&Verdict::Applied {
            message: message.into(),
        })
    }

    #[test]
    fn only_news_is_told() {
        let first = news(&[], &refused("wrong")).unwrap();
        assert_eq!(
            (first.type_, first.reason.as_str()),
            (EventType::Warning, "InvalidCondition")
        );
        assert!(news(&refused("wrong"), &refused("wrong")).is_none());
        assert!(news(&refused("wrong"), &refused("wrong elsewhere")).is_some());
        assert_eq!(
            news(&refused("wrong"), &applied("")).unwrap().type_,
            EventType::Normal
        );
        assert!(news(&applied("at 3"), &applied("at 4")).is_none());
    }

    #[test]
    fn long_notes_are_cut_between_characters() {
        let note = shortened(&"é".repeat(800));
        assert!(note.len() <= MAX_NOTE_BYTES && note.ends_with('é'));
    }
}
