//! Everything that runs, in one place: none is forgotten, and when one ends by itself or panics the
//! process ends.

use std::future::Future;
use std::time::Duration;

use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::error::RunError;

/// Named tasks that end together.
pub(crate) struct Tasks {
    set: JoinSet<Result<(), RunError>>,
    names: std::collections::HashMap<Id, &'static str>,
    shutdown: CancellationToken,
}

impl Tasks {
    /// Tasks that end when `shutdown` is cancelled, and cancel it when one of them ends early.
    pub(crate) fn new(shutdown: CancellationToken) -> Self {
        Self {
            set: JoinSet::new(),
            names: std::collections::HashMap::new(),
            shutdown,
        }
    }

    /// Starts one.
    pub(crate) fn spawn(
        &mut self,
        name: &'static str,
        task: impl Future<Output = Result<(), RunError>> + Send + 'static,
    ) {
        let handle = self.set.spawn(task);
        self.names.insert(handle.id(), name);
    }

    /// Waits for all. After the shutdown has begun they have `grace` before they are aborted.
    ///
    /// # Errors
    /// What the first task failed with, or that it panicked or ended before it was told to.
    pub(crate) async fn join(mut self, grace: Duration) -> Result<(), RunError> {
        let mut result = Ok(());
        let shutdown = self.shutdown.clone();
        let deadline = async {
            shutdown.cancelled().await;
            tokio::time::sleep(grace).await;
        };
        let mut deadline = std::pin::pin!(deadline);
        loop {
            let ended = tokio::select! {
                ended = self.set.join_next_with_id() => ended,
                () = &mut deadline => {
                    tracing::warn!(left = self.set.len(), "the grace is over; work is aborted");
                    self.set.shutdown().await;
                    return result;
                }
            };
            let outcome = match ended {
                None => return result,
                Some(Ok((id, Ok(())))) if self.shutdown.is_cancelled() => {
                    tracing::debug!(task = self.name(id), "ended");
                    Ok(())
                }
                Some(Ok((id, Ok(())))) => Err(RunError::TaskEnded {
                    task: self.name(id),
                }),
                Some(Ok((_, Err(error)))) => Err(error),
                Some(Err(error)) => Err(RunError::TaskPanicked {
                    task: self.name(error.id()),
                }),
            };
            if let Err(error) = outcome {
                tracing::error!(code = error.code(), %error, "the process ends");
                self.shutdown.cancel();
                result = result.and(Err(error));
            }
        }
    }

    fn name(&self, id: Id) -> &'static str {
        self.names.get(&id).copied().unwrap_or("unnamed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(5);

    fn until(shutdown: &CancellationToken) -> impl Future<Output = Result<(), RunError>> + use<> {
        let shutdown = shutdown.clone();
        async move {
            shutdown.cancelled().await;
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_shutdown_ends_all_in_peace() {
        let shutdown = CancellationToken::new();
        let mut tasks = Tasks::new(shutdown.clone());
        tasks.spawn("one", until(&shutdown));
        tasks.spawn("two", until(&shutdown));
        shutdown.cancel();
        tasks.join(GRACE).await.unwrap();
    }

    #[tokio::test]
    async fn one_that_panics_or_ends_early_ends_the_others() {
        let shutdown = CancellationToken::new();
        let mut tasks = Tasks::new(shutdown.clone());
        tasks.spawn("steady", until(&shutdown));
        tasks.spawn("broken", async { panic!("a defect") });
        let error = tasks.join(GRACE).await.unwrap_err();
        assert!(
            matches!(error, RunError::TaskPanicked { task: "broken" }),
            "{error}"
        );
        assert!(shutdown.is_cancelled());

        let shutdown = CancellationToken::new();
        let mut tasks = Tasks::new(shutdown.clone());
        tasks.spawn("steady", until(&shutdown));
        tasks.spawn("brief", async { Ok(()) });
        let error = tasks.join(GRACE).await.unwrap_err();
        assert!(
            matches!(error, RunError::TaskEnded { task: "brief" }),
            "{error}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_does_not_end_is_aborted_after_the_grace() {
        let shutdown = CancellationToken::new();
        let mut tasks = Tasks::new(shutdown.clone());
        tasks.spawn("deaf", std::future::pending());
        shutdown.cancel();
        tasks.join(GRACE).await.unwrap();
    }
}
