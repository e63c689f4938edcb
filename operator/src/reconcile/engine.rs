//! The loop of one kind: queue in, reconciliations out.

use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt};
use kube::api::Api;
use kube::runtime::controller::{self, Action};
use kube::runtime::finalizer::{self, finalizer};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::{applier, events};
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::backoff::{Backoff, jittered};
use super::context::Context;
use super::error::ReconcileError;
use crate::provision::ProvisionError;
use crate::watch::{Guarded, Watch, Watched};

/// Reconciliations of one kind that may be under way at once.
const CONCURRENCY: u16 = 16;
/// For one reconciliation, all its calls together.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A kind that is reconciled into central.
pub(crate) trait Reconciled:
    Watched + Clone + Debug + Serialize + DeserializeOwned + Send + Sync + 'static
{
    /// The API the object is reached by.
    fn api(&self, context: &Context) -> Api<Self>;

    /// Makes central hold what is declared, and says so in the status.
    fn apply(&self, context: &Context) -> impl Future<Output = Result<(), ReconcileError>> + Send;

    /// Makes central let go of it.
    fn release(&self, context: &Context)
    -> impl Future<Output = Result<(), ReconcileError>> + Send;
}

struct Running<K: Reconciled> {
    context: Arc<Context>,
    backoff: Backoff<ObjectRef<Guarded<K>>>,
}

/// Reconciles what comes out of `queue` until `shutdown`; what is under way then is ended first.
pub(crate) async fn run<K: Reconciled>(
    watch: Watch<K>,
    queue: impl Stream<Item = ObjectRef<Guarded<K>>> + Send + 'static,
    context: Arc<Context>,
    shutdown: CancellationToken,
) {
    let queue = queue
        .map(Ok::<_, std::convert::Infallible>)
        .take_until(shutdown.cancelled_owned());
    let running = Arc::new(Running {
        context,
        backoff: Backoff::default(),
    });
    let results = applier(
        |object, running| Box::pin(reconcile(object, running)),
        |object, error, running| retry(&object, error, &running),
        running,
        watch.store(),
        Box::pin(queue),
        controller::Config::default().concurrency(CONCURRENCY),
    );
    // Each result has been logged where it came about.
    results.for_each(|_| std::future::ready(())).await;
}

async fn reconcile<K: Reconciled>(
    object: Arc<Guarded<K>>,
    running: Arc<Running<K>>,
) -> Result<Action, ReconcileError> {
    let kind = K::kind(&()).into_owned();
    let span = tracing::info_span!(
        "reconcile",
        %kind,
        namespace = object.namespace(),
        name = object.name_any(),
    );
    let context = Arc::clone(&running.context);
    async move {
        let timer = context
            .metrics
            .reconcile_seconds
            .with_label_values(&[&kind])
            .start_timer();
        let result = tokio::time::timeout(TIMEOUT, step(&object, &context)).await;
        let result = result.unwrap_or(Err(ReconcileError::TimedOut(TIMEOUT.as_secs())));
        timer.observe_duration();
        let outcome = match &result {
            Ok(Some(outcome)) => *outcome,
            // Only the finalizer was set: the change that it makes brings us back.
            Ok(None) => return Ok(Action::await_change()),
            Err(error) => error.outcome(),
        };
        context
            .metrics
            .reconciliations
            .with_label_values(&[&kind, outcome])
            .inc();
        let reference = ObjectRef::from_obj(object.as_ref());
        match result {
            Ok(_) => {
                running.backoff.reset(&reference);
                Ok(match outcome {
                    "applied" => {
                        let interval = context.resync_interval;
                        Action::requeue(jittered(interval, context.random()))
                    }
                    _ => Action::await_change(),
                })
            }
            // The resource must change before another try can help.
            Err(ReconcileError::Central(ProvisionError::Refused(invalid))) if !invalid.may_heal => {
                running.backoff.reset(&reference);
                tracing::info!(reason = invalid.reason, message = %invalid, "refused");
                Ok(Action::await_change())
            }
            Err(error) => Err(error),
        }
    }
    .instrument(span)
    .await
}

/// Sets the finalizer, applies, or releases and takes the finalizer away: whichever it is time for.
async fn step<K: Reconciled>(
    object: &Guarded<K>,
    context: &Context,
) -> Result<Option<&'static str>, ReconcileError> {
    let object = match &object.0 {
        Ok(object) => Arc::new(object.clone()),
        Err(undecodable) => {
            let error = ReconcileError::Undecodable(undecodable.error.clone());
            announce_undecodable(object, &error, context).await;
            return Err(error);
        }
    };
    if !context.fence.holds() {
        return Err(ReconcileError::NotLeading);
    }
    let api = object.api(context);
    let outcome = std::sync::Mutex::new(None);
    let note = |what| {
        if let Ok(mut outcome) = outcome.lock() {
            *outcome = Some(what);
        }
    };
    let ended = finalizer(&api, crds::names::FINALIZER, object, |event| async {
        match event {
            finalizer::Event::Apply(object) => {
                object.apply(context).await?;
                note("applied");
            }
            finalizer::Event::Cleanup(object) => {
                object.release(context).await?;
                note("released");
            }
        }
        Ok(Action::await_change())
    })
    .await;
    finalized(ended)?;
    Ok(outcome.into_inner().unwrap_or_default())
}

fn finalized(
    ended: Result<Action, finalizer::Error<ReconcileError>>,
) -> Result<(), ReconcileError> {
    match ended {
        Ok(_) => Ok(()),
        Err(finalizer::Error::ApplyFailed(error) | finalizer::Error::CleanupFailed(error)) => {
            Err(error)
        }
        // The object is gone: it needs no finalizer any more.
        Err(
            finalizer::Error::AddFinalizer(kube::Error::Api(status))
            | finalizer::Error::RemoveFinalizer(kube::Error::Api(status)),
        ) if status.code == 404 => Ok(()),
        Err(other) => Err(ReconcileError::Finalizer(other.to_string())),
    }
}

fn retry<K: Reconciled>(
    object: &Guarded<K>,
    error: &ReconcileError,
    running: &Running<K>,
) -> Action {
    let random = running.context.random();
    let wait = running.backoff.failed(ObjectRef::from_obj(object), random);
    tracing::warn!(
        kind = %K::kind(&()),
        namespace = object.namespace(),
        name = object.name_any(),
        code = error.code(),
        %error,
        retry_seconds = wait.as_secs_f64(),
        "reconciliation failed; it is tried again"
    );
    Action::requeue(wait)
}

async fn announce_undecodable<K: Reconciled>(
    object: &Guarded<K>,
    error: &ReconcileError,
    context: &Context,
) {
    let event = events::Event {
        type_: events::EventType::Warning,
        reason: "Undecodable".into(),
        note: Some(error.to_string().chars().take(900).collect()),
        action: "Reconcile".into(),
        secondary: None,
    };
    if let Err(error) = context
        .recorder
        .publish(&event, &object.object_ref(&()))
        .await
    {
        tracing::warn!(%error, "event was not published");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answered(code: u16) -> kube::Error {
        let status = json!({ "status": "Failure", "code": code, "message": "no", "reason": "No" });
        kube::Error::Api(serde_json::from_value(status).unwrap())
    }

    #[test]
    fn an_object_that_is_gone_needs_no_finalizer_and_every_other_failure_is_tried_again() {
        for failure in [
            finalizer::Error::AddFinalizer,
            finalizer::Error::RemoveFinalizer,
        ] {
            assert!(finalized(Err(failure(answered(404)))).is_ok());
            for code in [403, 409, 422, 500] {
                let error = finalized(Err(failure(answered(code)))).unwrap_err();
                assert_eq!(error.code(), "SIGNET-OPERATOR-0033", "{code}");
            }
        }
        let cleanup = finalizer::Error::CleanupFailed(ReconcileError::NotLeading);
        assert_eq!(
            finalized(Err(cleanup)).unwrap_err().code(),
            "SIGNET-OPERATOR-0032"
        );
    }
}
