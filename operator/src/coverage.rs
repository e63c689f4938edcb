//! Finds running pods that asked for a sidecar and have none: created while the webhook was away, or
//! before their namespace was labelled. Only the leader looks, so that each is told of once.

use std::collections::{BTreeMap, HashMap, HashSet};

use futures::StreamExt;
use k8s_openapi::api::core::v1::{ObjectReference, Pod};
use kube::api::Api;
use kube::core::DeserializeGuard;
use kube::runtime::events::{Event, EventType};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Resource, ResourceExt};
use tokio_util::sync::CancellationToken;

use crate::injection::{has_sidecar, wanted};
use crate::namespaces::NamespaceLabels;
use crate::reconcile::Context;
use crate::watch::watch_config;

const MIRROR: &str = "kubernetes.io/config.mirror";

/// A running pod without a sidecar.
#[derive(Clone, Debug, PartialEq)]
struct Bare {
    reference: ObjectReference,
    labels: BTreeMap<String, String>,
}

/// All running pods without a sidecar, asked for or not, by UID. Pure: watch events in.
#[derive(Debug, Default)]
struct Coverage {
    bare: HashMap<String, Bare>,
    listed: HashMap<String, Bare>,
    told: HashSet<String>,
}

impl Coverage {
    fn observe(&mut self, event: watcher::Event<DeserializeGuard<Pod>>) {
        match event {
            watcher::Event::Init => self.listed.clear(),
            watcher::Event::InitApply(pod) => {
                if let Some((uid, bare)) = bare(&pod) {
                    self.listed.insert(uid, bare);
                }
            }
            watcher::Event::InitDone => self.bare = std::mem::take(&mut self.listed),
            watcher::Event::Apply(pod) => match bare(&pod) {
                Some((uid, bare)) => {
                    self.bare.insert(uid, bare);
                }
                None => self.forget(&pod),
            },
            watcher::Event::Delete(pod) => self.forget(&pod),
        }
    }

    fn forget(&mut self, pod: &DeserializeGuard<Pod>) {
        self.bare.remove(&pod.uid().unwrap_or_default());
    }

    /// How many asked for a sidecar, and those of them not told of before.
    fn missing(
        &mut self,
        namespaces: &NamespaceLabels,
        own_namespace: &str,
    ) -> (usize, Vec<ObjectReference>) {
        let none = BTreeMap::new();
        let missing: HashMap<&String, &Bare> = self
            .bare
            .iter()
            .filter(|(_, pod)| {
                let namespace = pod.reference.namespace.as_deref().unwrap_or_default();
                let labels = namespaces.get(namespace).unwrap_or(&none);
                wanted(namespace, labels, &pod.labels, own_namespace)
            })
            .collect();
        let news = missing.iter().filter(|(uid, _)| !self.told.contains(**uid));
        let news = news.map(|(_, pod)| pod.reference.clone()).collect();
        let (count, told) = (
            missing.len(),
            missing.keys().map(|uid| (*uid).clone()).collect(),
        );
        self.told = told;
        (count, news)
    }
}

fn bare(pod: &DeserializeGuard<Pod>) -> Option<(String, Bare)> {
    let pod = pod.0.as_ref().ok()?;
    let covered = has_sidecar(pod)
        || pod.annotations().contains_key(MIRROR)
        || pod.metadata.deletion_timestamp.is_some();
    (!covered).then(|| {
        let bare = Bare {
            reference: pod.object_ref(&()),
            labels: pod.labels().clone(),
        };
        (pod.uid().unwrap_or_default(), bare)
    })
}

/// Watches pods until cancelled, counts those that lack their sidecar and warns on each.
pub(crate) async fn run(context: &Context, own_namespace: &str, shutdown: &CancellationToken) {
    let api: Api<DeserializeGuard<Pod>> = Api::all(context.client.clone());
    let config = watch_config().fields("status.phase=Running");
    let pods = watcher(api, config).default_backoff();
    let mut pods = std::pin::pin!(pods);
    let mut namespaces = std::pin::pin!(context.namespaces.changes());
    let mut coverage = Coverage::default();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            change = namespaces.next() => if change.is_none() { break },
            event = pods.next() => match event {
                // A list under way says nothing yet.
                Some(Ok(event @ (watcher::Event::Init | watcher::Event::InitApply(_)))) => {
                    coverage.observe(event);
                    continue;
                }
                Some(Ok(event)) => coverage.observe(event),
                Some(Err(error)) => {
                    tracing::warn!(%error, "watching pods failed; it is tried again");
                    continue;
                }
                None => break,
            },
        }
        let (count, news) = coverage.missing(&context.namespace_labels(), own_namespace);
        context
            .metrics
            .pods_without_sidecar
            .set(i64::try_from(count).unwrap_or(i64::MAX));
        for pod in news {
            warn(context, &pod).await;
        }
    }
    context.metrics.pods_without_sidecar.set(0);
}

async fn warn(context: &Context, pod: &ObjectReference) {
    tracing::warn!(
        namespace = pod.namespace,
        pod = pod.name,
        "the pod asked for a sidecar and runs without one"
    );
    let event = Event {
        type_: EventType::Warning,
        reason: "SidecarMissing".into(),
        note: Some(
            "the pod asked for the Signet sidecar and runs without one: it was created before its \
             namespace was labelled, or while the webhook was away. Recreate it, or opt out with \
             the label signet.dev/injection: disabled"
                .into(),
        ),
        action: "Inject".into(),
        secondary: None,
    };
    if let Err(error) = context.recorder.publish(&event, pod).await {
        tracing::warn!(%error, "event was not published");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(name: &str, sidecar: bool) -> DeserializeGuard<Pod> {
        let mut pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": "shop", "uid": name},
            "spec": {"containers": [{"name": "app"}]},
        });
        if sidecar {
            pod["metadata"]["annotations"] = json!({"signet.dev/injected": "acme"});
            pod["spec"]["initContainers"] = json!([{"name": "signet"}]);
        }
        DeserializeGuard(Ok(serde_json::from_value(pod).unwrap()))
    }

    fn namespaces(injection: &str) -> NamespaceLabels {
        let labels = BTreeMap::from([("signet.dev/injection".into(), injection.into())]);
        BTreeMap::from([("shop".into(), labels)])
    }

    fn missing(coverage: &mut Coverage, injection: &str) -> (usize, Vec<String>) {
        let (count, news) = coverage.missing(&namespaces(injection), "signet-system");
        let mut news: Vec<_> = news.into_iter().filter_map(|pod| pod.name).collect();
        news.sort();
        (count, news)
    }

    #[test]
    fn each_is_counted_while_it_lasts_and_told_of_once() {
        let mut coverage = Coverage::default();
        for pod in [pod("bare", false), pod("covered", true)] {
            coverage.observe(watcher::Event::Apply(pod));
        }
        assert_eq!(missing(&mut coverage, "enabled"), (1, vec!["bare".into()]));
        assert_eq!(missing(&mut coverage, "enabled"), (1, vec![]));
        coverage.observe(watcher::Event::Delete(pod("bare", false)));
        assert_eq!(missing(&mut coverage, "enabled"), (0, vec![]));
    }

    #[test]
    fn a_namespace_labelled_later_brings_its_pods_to_light() {
        let mut coverage = Coverage::default();
        coverage.observe(watcher::Event::Apply(pod("bare", false)));
        assert_eq!(missing(&mut coverage, "disabled"), (0, vec![]));
        assert_eq!(missing(&mut coverage, "enabled"), (1, vec!["bare".into()]));
    }

    #[test]
    fn a_new_list_replaces_the_old() {
        let mut coverage = Coverage::default();
        coverage.observe(watcher::Event::Apply(pod("gone", false)));
        coverage.observe(watcher::Event::Init);
        coverage.observe(watcher::Event::InitApply(pod("here", false)));
        coverage.observe(watcher::Event::InitDone);
        assert_eq!(missing(&mut coverage, "enabled"), (1, vec!["here".into()]));
    }
}
