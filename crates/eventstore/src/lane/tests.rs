//! The lane before a writer that plays a script: what databases do only when they are in trouble.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use serde_json::json;
use time::OffsetDateTime;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::{ATTEMPTS, Lane, Pending};
use crate::backend::{CommitFailure, Committed, Writer};
use crate::error::AppendError;
use crate::event::{Append, Appended, ExpectedVersion, NewEvent, Position, StreamKey, StreamWrite};
use crate::head::Head;
use crate::request::Request;

/// Fails as the script says, then stores everything. Keeps the sizes of the groups it was given.
#[derive(Clone, Default)]
struct Scripted {
    failures: Arc<Mutex<VecDeque<CommitFailure>>>,
    groups: Arc<Mutex<Vec<usize>>>,
    /// What it says of everything.
    already_stored: bool,
}

#[async_trait]
impl Writer for Scripted {
    async fn commit(
        &mut self,
        requests: &[Request],
        _: OffsetDateTime,
    ) -> Result<Committed, CommitFailure> {
        self.groups.lock().unwrap().push(requests.len());
        match self.failures.lock().unwrap().pop_front() {
            Some(failure) => Err(failure),
            None => {
                let answer = Appended {
                    already_stored: self.already_stored,
                    ..stored()
                };
                Ok(Committed {
                    answers: requests.iter().map(|_| Ok(answer.clone())).collect(),
                    head: Some(Position(1)),
                })
            }
        }
    }

    async fn close(&mut self) {}
}

fn stored() -> Appended {
    let position = Position(1);
    Appended {
        first: position,
        last: position,
        versions: vec![1],
        already_stored: false,
    }
}

type Answer = oneshot::Receiver<Result<Appended, AppendError>>;

fn pending(bytes: usize) -> (Pending, Answer) {
    let write = StreamWrite {
        stream: StreamKey::new("acme", "order", "1"),
        expected: ExpectedVersion::Any,
        events: vec![NewEvent::new("Happened", 1, json!("x".repeat(bytes)))],
    };
    let request = Request::check(Append::new(vec![write]), usize::MAX).unwrap();
    let (reply, answer) = oneshot::channel();
    (Pending { request, reply }, answer)
}

/// Runs a lane over what is queued, to the end.
async fn run(writer: &Scripted, batch_max: usize, queued: Vec<Pending>) {
    let (queue, receiver) = mpsc::channel(queued.len().max(1));
    for pending in queued {
        queue.try_send(pending).unwrap();
    }
    drop(queue);
    let lane = lane(writer, receiver, batch_max, Head::new(Position::START));
    lane.run(CancellationToken::new()).await;
}

fn lane(
    writer: &Scripted,
    queue: mpsc::Receiver<Pending>,
    batch_max: usize,
    head: Head,
) -> Lane<Scripted> {
    Lane {
        writer: writer.clone(),
        queue,
        batch_max,
        head,
        clock: || OffsetDateTime::UNIX_EPOCH,
    }
}

fn scripted(failures: impl IntoIterator<Item = CommitFailure>) -> Scripted {
    let failures = Arc::new(Mutex::new(failures.into_iter().collect()));
    Scripted {
        failures,
        groups: Arc::default(),
        already_stored: false,
    }
}

fn message() -> String {
    "as the script says".into()
}

#[tokio::test]
async fn what_queued_is_committed_together_up_to_the_bound() {
    let writer = scripted([]);
    let (queued, answers): (Vec<_>, Vec<_>) = (0..5).map(|_| pending(1)).unzip();

    run(&writer, 3, queued).await;

    assert_eq!(*writer.groups.lock().unwrap(), [3, 2]);
    for answer in answers {
        assert_eq!(answer.await.unwrap(), Ok(stored()));
    }
}

#[tokio::test]
async fn who_is_about_to_append_comes_along() {
    let writer = scripted([]);
    let (queue, receiver) = mpsc::channel(2);
    let ((first, first_answer), (second, second_answer)) = (pending(1), pending(1));
    queue.try_send(first).unwrap();
    // Runs when the lane lets others run, and not before.
    tokio::spawn(async move { queue.try_send(second).unwrap() });
    let lane = lane(&writer, receiver, 200, Head::new(Position::START));

    lane.run(CancellationToken::new()).await;

    assert_eq!(*writer.groups.lock().unwrap(), [2]);
    assert_eq!(first_answer.await.unwrap(), Ok(stored()));
    assert_eq!(second_answer.await.unwrap(), Ok(stored()));
}

#[tokio::test]
async fn big_requests_share_no_transaction() {
    let writer = scripted([]);
    let (queued, answers): (Vec<_>, Vec<_>) = (0..3).map(|_| pending(5 << 20)).unzip();

    run(&writer, 200, queued).await;

    assert_eq!(*writer.groups.lock().unwrap(), [1, 1, 1]);
    for answer in answers {
        assert_eq!(answer.await.unwrap(), Ok(stored()));
    }
}

#[tokio::test]
async fn a_caller_that_left_before_its_turn_costs_nothing() {
    let writer = scripted([]);
    let (first, _) = pending(1);
    let (second, answer) = pending(1);

    run(&writer, 200, vec![first, second]).await;

    assert_eq!(*writer.groups.lock().unwrap(), [1]);
    assert_eq!(answer.await.unwrap(), Ok(stored()));
}

#[tokio::test]
async fn an_interrupted_group_is_tried_again() {
    let writer = scripted([CommitFailure::Interrupted { message: message() }]);
    let (queued, answer) = pending(1);

    run(&writer, 200, vec![queued]).await;

    assert_eq!(answer.await.unwrap(), Ok(stored()));
}

#[tokio::test]
async fn interruptions_without_end_are_told() {
    let writer = scripted((0..ATTEMPTS).map(|_| CommitFailure::Interrupted { message: message() }));
    let (queued, answer) = pending(1);

    run(&writer, 200, vec![queued]).await;

    assert_eq!(
        answer.await.unwrap(),
        Err(AppendError::Unavailable { message: message() })
    );
}

fn unknown() -> CommitFailure {
    CommitFailure::Unknown {
        message: message(),
        planned: vec![Some(stored()), None],
    }
}

async fn assert_told_as_unknown(failures: impl IntoIterator<Item = CommitFailure>) {
    let writer = scripted(failures);
    let (queued, answers): (Vec<_>, Vec<_>) = (0..2).map(|_| pending(1)).unzip();

    run(&writer, 200, queued).await;

    assert_eq!(*writer.groups.lock().unwrap(), [2, 2]);
    for answer in answers {
        let Err(AppendError::Unavailable { message }) = answer.await.unwrap() else {
            panic!("nobody knows the outcome")
        };
        assert!(message.contains("outcome unknown"), "{message}");
    }
}

#[tokio::test]
async fn a_commit_of_unknown_outcome_is_told_to_all_if_another_attempt_does_not_tell() {
    assert_told_as_unknown([unknown(), unknown()]).await;
}

#[tokio::test]
async fn a_commit_of_unknown_outcome_stays_so_while_the_database_is_away() {
    let unavailable = CommitFailure::Unavailable { message: message() };
    assert_told_as_unknown([unknown(), unavailable]).await;
}

#[tokio::test]
async fn what_a_commit_of_unknown_outcome_has_stored_is_told_as_stored_now() {
    let writer = Scripted {
        already_stored: true,
        ..scripted([unknown()])
    };
    // By the plan the second is a repetition of the first.
    let (queued, mut answers): (Vec<_>, Vec<_>) = (0..2).map(|_| pending(1)).unzip();

    run(&writer, 200, queued).await;

    let repeated = Appended {
        already_stored: true,
        ..stored()
    };
    assert_eq!(answers.pop().unwrap().await.unwrap(), Ok(repeated));
    assert_eq!(answers.pop().unwrap().await.unwrap(), Ok(stored()));
}

#[tokio::test]
async fn what_is_found_elsewhere_than_it_was_planned_was_stored_by_somebody_else() {
    let elsewhere = Appended {
        versions: vec![2],
        ..stored()
    };
    let unknown = CommitFailure::Unknown {
        message: message(),
        planned: vec![Some(elsewhere)],
    };
    let writer = Scripted {
        already_stored: true,
        ..scripted([unknown])
    };
    let (queued, answer) = pending(1);

    run(&writer, 200, vec![queued]).await;

    assert!(answer.await.unwrap().unwrap().already_stored);
}

#[tokio::test]
async fn a_refused_group_is_committed_one_by_one() {
    let refused = || CommitFailure::Refused { message: message() };
    let writer = scripted([refused(), refused()]);
    let (queued, mut answers): (Vec<_>, Vec<_>) = (0..2).map(|_| pending(1)).unzip();

    run(&writer, 200, queued).await;

    assert_eq!(*writer.groups.lock().unwrap(), [2, 1, 1]);
    assert_eq!(answers.pop().unwrap().await.unwrap(), Ok(stored()));
    let refused = answers.pop().unwrap().await.unwrap();
    assert!(matches!(refused, Err(AppendError::Invalid { .. })));
}

#[tokio::test]
async fn closing_commits_what_is_queued() {
    let writer = scripted([]);
    let (queue, receiver) = mpsc::channel(8);
    let (queued, answer) = pending(1);
    queue.try_send(queued).unwrap();
    let cancelled = CancellationToken::new();
    cancelled.cancel();
    let lane = lane(&writer, receiver, 200, Head::new(Position::START));

    lane.run(cancelled).await;

    assert_eq!(answer.await.unwrap(), Ok(stored()));
    assert!(queue.try_send(pending(1).0).is_err());
}
