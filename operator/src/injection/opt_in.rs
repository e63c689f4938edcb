//! Who gets a sidecar.

use std::collections::BTreeMap;

use crds::names::{DISABLED, ENABLED, INJECTION};

/// Namespaces that never get one, whatever their labels say.
const NEVER: [&str; 3] = ["kube-system", "kube-public", "kube-node-lease"];

/// Whether a pod of these labels in a namespace of these labels asked for a sidecar. The pod's
/// label outweighs the namespace's. Pods of the cluster's own namespaces and of the release's
/// (`own_namespace`) never get one: they must start without us.
pub fn wanted(
    namespace: &str,
    namespace_labels: &BTreeMap<String, String>,
    pod_labels: &BTreeMap<String, String>,
    own_namespace: &str,
) -> bool {
    if namespace == own_namespace || NEVER.contains(&namespace) {
        return false;
    }
    match pod_labels.get(INJECTION).map(String::as_str) {
        Some(DISABLED) => false,
        Some(ENABLED) => true,
        _ => namespace_labels.get(INJECTION).map(String::as_str) == Some(ENABLED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(value: Option<&str>) -> BTreeMap<String, String> {
        value
            .map(|value| (INJECTION.to_owned(), value.to_owned()))
            .into_iter()
            .collect()
    }

    #[test]
    fn the_pod_outweighs_its_namespace() {
        for (namespace, pod, expected) in [
            (Some("enabled"), None, true),
            (Some("enabled"), Some("disabled"), false),
            (Some("enabled"), Some("nonsense"), true),
            (None, Some("enabled"), true),
            (Some("disabled"), Some("enabled"), true),
            (Some("disabled"), None, false),
            (None, None, false),
        ] {
            let answer = wanted("shop", &labels(namespace), &labels(pod), "signet-system");
            assert_eq!(answer, expected, "{namespace:?} {pod:?}");
        }
    }

    #[test]
    fn the_cluster_and_ourselves_never() {
        for namespace in ["kube-system", "signet-system"] {
            let enabled = labels(Some("enabled"));
            assert!(
                !wanted(namespace, &enabled, &enabled, "signet-system"),
                "{namespace}"
            );
        }
    }
}
