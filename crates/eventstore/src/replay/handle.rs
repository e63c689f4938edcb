//! A replay from outside.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::progress::{Progress, State};
use super::request::Replay;

/// What an API shows of a replay.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReplayStatus {
    /// Its id.
    pub id: Uuid,
    /// Which events.
    pub replay: Replay,
    /// How far it is.
    pub progress: Progress,
}

/// Watches and stops one replay; clones are the same. Dropping it stops nothing.
#[derive(Clone)]
pub struct ReplayHandle {
    pub(super) id: Uuid,
    pub(super) replay: Arc<Replay>,
    pub(super) progress: watch::Receiver<Progress>,
    pub(super) cancelled: CancellationToken,
}

impl ReplayHandle {
    /// Its id.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// Which events.
    pub fn replay(&self) -> &Replay {
        &self.replay
    }

    /// How far it is now.
    pub fn progress(&self) -> Progress {
        self.progress.borrow().clone()
    }

    /// Its progress as it changes, page by page.
    pub fn watch(&self) -> watch::Receiver<Progress> {
        self.progress.clone()
    }

    /// All of it, to be shown.
    pub fn status(&self) -> ReplayStatus {
        ReplayStatus {
            id: self.id,
            replay: Replay::clone(&self.replay),
            progress: self.progress(),
        }
    }

    /// Stops it behind the page that the visitor has in hand. The position of its progress says where
    /// then; one that came to its end meanwhile stays as it is.
    pub fn cancel(&self) {
        self.cancelled.cancel();
    }

    /// Waits for the end, whichever it is.
    pub async fn finished(&self) -> Progress {
        let mut progress = self.progress.clone();
        // An error means that the runtime is shutting down; what is known last is all there is.
        match progress.wait_for(|now| now.state != State::Running).await {
            Ok(end) => end.clone(),
            Err(_) => self.progress(),
        }
    }
}

impl fmt::Debug for ReplayHandle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ReplayHandle")
            .field("id", &self.id)
            .field("replay", &self.replay)
            .finish_non_exhaustive()
    }
}
