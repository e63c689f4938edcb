//! The end of the store as this process knows it; waking those who wait for more.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::event::Position;
use crate::reader::Reader;

/// Greatest position known to be committed. It grows, but for what turns out not to be so.
#[derive(Debug, Clone)]
pub(crate) struct Head(Arc<watch::Sender<Position>>);

impl Head {
    pub(crate) fn new(position: Position) -> Self {
        Self(Arc::new(watch::Sender::new(position)))
    }

    /// Takes note of a committed position and wakes the waiting ones.
    pub(crate) fn advance(&self, position: Position) {
        self.0.send_if_modified(|head| {
            let grows = position > *head;
            if grows {
                *head = position;
            }
            grows
        });
    }

    /// Takes back a position that the store does not have: it was put back to an earlier state, or somebody
    /// announced what is not.
    fn take_back(&self, believed: Position, position: Position) {
        self.0.send_if_modified(|head| {
            let still = *head == believed && position < believed;
            if still {
                *head = position;
            }
            still
        });
    }

    /// The greatest position known; the store may be further.
    pub(crate) fn known(&self) -> Position {
        *self.0.borrow()
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Position> {
        self.0.subscribe()
    }

    fn is_watched(&self) -> bool {
        self.0.receiver_count() > 0
    }
}

/// Returns when the end is known to be at `position` or behind it, with where it is.
pub(crate) async fn reached(head: &Head, reader: &Reader, position: Position) -> Position {
    let mut watch = head.watch();
    if *watch.borrow() < position
        && let Ok(current) = reader.head().await
    {
        head.advance(current);
    }
    // It cannot fail while `head` is there, which holds the sender.
    let _ = watch.wait_for(|head| *head >= position).await;
    head.known()
}

/// Looks up the end of the store again and again, while somebody waits for it: the fallback for
/// notifications that got lost, and for writers that send none.
pub(crate) async fn poll(
    head: Head,
    reader: Reader,
    interval: Duration,
    cancelled: CancellationToken,
) {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut doubted = None;
    while cancelled.run_until_cancelled(ticks.tick()).await.is_some() {
        if !head.is_watched() {
            continue;
        }
        // Before the store is asked: it has to have what was committed by then.
        let believed = head.known();
        match cancelled.run_until_cancelled(reader.head()).await {
            Some(Ok(position)) if position >= believed => {
                doubted = None;
                head.advance(position);
            }
            Some(Ok(position)) if doubted == Some(believed) => {
                tracing::warn!(%believed, %position, "the store ends before what was announced");
                head.take_back(believed, position);
            }
            Some(Ok(_)) => doubted = Some(believed),
            Some(Err(error)) => tracing::debug!(%error, "cannot look up the end of the store"),
            None => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Head;
    use crate::event::Position;

    #[test]
    fn what_the_store_does_not_have_is_taken_back_unless_there_is_news() {
        let head = Head::new(Position(5));
        head.advance(Position(900));

        head.take_back(Position(800), Position(6));
        assert_eq!(head.known(), Position(900));
        head.take_back(Position(900), Position(6));
        assert_eq!(head.known(), Position(6));
        head.advance(Position(7));
        assert_eq!(head.known(), Position(7));
    }
}
