//! The append lane: one task that takes what queued while it was busy and commits it as one group.

use time::OffsetDateTime;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::backend::{CommitFailure, Committed, Writer};
use crate::error::AppendError;
use crate::event::Appended;
use crate::head::Head;
use crate::request::{MAX_EVENTS, Request};

/// A group is closed when it reaches this size, so that a transaction stays short.
const GROUP_BYTES: usize = 8 * 1024 * 1024;

/// How often an interrupted group is tried before its callers are told.
const ATTEMPTS: usize = 3;

/// A request on its way, and where its answer goes.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) request: Request,
    pub(crate) reply: oneshot::Sender<Result<Appended, AppendError>>,
}

/// The lane; [`run`](Lane::run) it until it ends.
pub(crate) struct Lane<W> {
    pub(crate) writer: W,
    pub(crate) queue: mpsc::Receiver<Pending>,
    pub(crate) batch_max: usize,
    pub(crate) head: Head,
    pub(crate) clock: fn() -> OffsetDateTime,
}

impl<W: Writer> Lane<W> {
    /// Commits groups until the store is dropped or `cancelled`; what is queued by then is
    /// still committed.
    pub(crate) async fn run(mut self, cancelled: CancellationToken) {
        let mut carried = None;
        loop {
            let first = match carried.take() {
                Some(pending) => Some(pending),
                None => tokio::select! {
                    pending = self.queue.recv() => pending,
                    () = cancelled.cancelled(), if !self.queue.is_closed() => {
                        self.queue.close();
                        continue;
                    }
                },
            };
            let Some(first) = first else { break };
            let group;
            (group, carried) = self.group(first).await;
            self.commit(group).await;
        }
        self.writer.close().await;
    }

    /// Everything that is waiting now, up to the bounds, and the one that did not fit any more.
    ///
    /// Callers that were answered a moment ago are often about to append again. Letting them run for
    /// as long as that brings more costs nothing when nobody is there, and makes one commit of what
    /// would otherwise be a small one and a big one.
    async fn group(&mut self, first: Pending) -> (Vec<Pending>, Option<Pending>) {
        let (mut events, mut bytes) = (first.request.events, first.request.bytes);
        let mut group = vec![first];
        let mut before = 0;
        while group.len() > before && group.len() < self.batch_max {
            before = group.len();
            tokio::task::yield_now().await;
            while group.len() < self.batch_max {
                let Ok(next) = self.queue.try_recv() else {
                    break;
                };
                events += next.request.events;
                bytes += next.request.bytes;
                if events > MAX_EVENTS || bytes > GROUP_BYTES {
                    return (group, Some(next));
                }
                group.push(next);
            }
        }
        (group, None)
    }

    async fn commit(&mut self, group: Vec<Pending>) {
        // Nobody waits for these any more; to leave them out is as good as to fail them.
        let (requests, replies): (Vec<_>, Vec<_>) = group
            .into_iter()
            .filter(|pending| !pending.reply.is_closed())
            .map(|Pending { request, reply }| (request, reply))
            .unzip();
        if requests.is_empty() {
            return;
        }
        match self.attempt(&requests).await {
            Ok(committed) => self.answer(committed, replies),
            Err(CommitFailure::Refused { message }) if requests.len() > 1 => {
                tracing::warn!(%message, "a group was refused, committing its requests one by one");
                for (request, reply) in requests.into_iter().zip(replies) {
                    match self.attempt(std::slice::from_ref(&request)).await {
                        Ok(committed) => self.answer(committed, vec![reply]),
                        Err(failure) => fail(failure, vec![reply]),
                    }
                }
            }
            Err(failure) => fail(failure, replies),
        }
    }

    /// Commits a group, again after a failure that may pass.
    ///
    /// Whether a commit is through whose answer did not come, the next attempt finds out: it waits for
    /// the lane behind the one before, and sees then which of its events are stored. If it comes to
    /// nothing the callers are told that nobody knows.
    async fn attempt(&mut self, requests: &[Request]) -> Result<Committed, CommitFailure> {
        let mut attempts = 1;
        let mut unknown: Option<Vec<_>> = None;
        loop {
            match self.writer.commit(requests, (self.clock)()).await {
                Err(CommitFailure::Interrupted { message }) if attempts < ATTEMPTS => {
                    tracing::debug!(%message, "a group was interrupted, trying again");
                    attempts += 1;
                }
                Err(CommitFailure::Unknown { message, planned }) if unknown.is_none() => {
                    tracing::debug!(%message, "the outcome of a commit is unknown, finding out");
                    unknown = Some(planned);
                }
                outcome => return after(unknown, outcome),
            }
        }
    }

    fn answer(
        &self,
        committed: Committed,
        replies: Vec<oneshot::Sender<Result<Appended, AppendError>>>,
    ) {
        if let Some(position) = committed.head {
            self.head.advance(position);
        }
        for (reply, answer) in replies.into_iter().zip(committed.answers) {
            // A caller that went away meanwhile has its append stored; a retry will say so.
            let _ = reply.send(answer);
        }
    }
}

/// The outcome of a group, of which an attempt before may have stored what was planned.
fn after(
    unknown: Option<Vec<Option<Appended>>>,
    outcome: Result<Committed, CommitFailure>,
) -> Result<Committed, CommitFailure> {
    let Some(planned) = unknown else {
        return outcome;
    };
    match outcome {
        Ok(committed) => Ok(committed.found(&planned)),
        Err(CommitFailure::Interrupted { message } | CommitFailure::Unavailable { message }) => {
            Err(CommitFailure::Unknown { message, planned })
        }
        Err(failure) => Err(failure),
    }
}

fn fail(failure: CommitFailure, replies: Vec<oneshot::Sender<Result<Appended, AppendError>>>) {
    let error = match failure {
        CommitFailure::Refused { message } => {
            tracing::error!(%message, "an append was refused");
            let message = format!("this append cannot be stored: {message}");
            AppendError::Invalid {
                field: "writes".into(),
                message,
            }
        }
        CommitFailure::Interrupted { message } | CommitFailure::Unavailable { message } => {
            tracing::warn!(%message, appends = replies.len(), "could not append");
            AppendError::Unavailable { message }
        }
        CommitFailure::Unknown { message, .. } => {
            tracing::warn!(%message, appends = replies.len(), "the outcome of a commit is unknown");
            AppendError::Unavailable {
                message: format!("outcome unknown: {message}"),
            }
        }
    };
    for reply in replies {
        let _ = reply.send(Err(error.clone()));
    }
}

#[cfg(test)]
mod tests;
