//! A central in this process.

use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::error::Error;

/// A central that runs until it is told to stop, or cannot go on.
pub(super) struct RunningCentral {
    stop: CancellationToken,
    end: AbortOnDropHandle<Result<(), central::StartError>>,
}

impl RunningCentral {
    /// Waits until it takes work.
    pub(super) async fn begin(running: central::Running) -> Result<Self, Error> {
        let (stop, ready) = (CancellationToken::new(), running.ready());
        let end = AbortOnDropHandle::new(tokio::spawn(running.run_until(stop.clone())));
        let mut central = Self { stop, end };
        tokio::select! {
            () = ready => Ok(central),
            ended = central.end() => Err(ended.err().unwrap_or_else(|| failed("it ended".to_owned()))),
        }
    }

    /// Waits for its end; it is not to be asked again then.
    pub(super) async fn end(&mut self) -> Result<(), Error> {
        match (&mut self.end).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(failed(error.to_string())),
            Err(error) => Err(failed(error.to_string())),
        }
    }

    /// Stops it.
    pub(super) async fn stop(mut self) -> Result<(), Error> {
        self.stop.cancel();
        self.end().await
    }
}

/// That central did not start or did not go on, in its own words.
pub(super) fn failed(reason: String) -> Error {
    Error::Program {
        program: "central",
        reason,
    }
}
