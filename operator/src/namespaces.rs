//! Which namespaces a tenant's selector admits.

use std::collections::{BTreeMap, BTreeSet};

use crds::Tenant;
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;
use kube::core::{Selector, SelectorExt};

use crate::invalid::InvalidResource;

/// Labels of Kubernetes namespaces, by the namespaces' names.
pub type NamespaceLabels = BTreeMap<String, BTreeMap<String, String>>;

/// The label every namespace bears without anybody's doing.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// The labels of one namespace, its name among them as the API server has it.
pub fn labels_of(namespace: &Namespace) -> BTreeMap<String, String> {
    let mut labels = namespace.labels().clone();
    labels
        .entry(NAME_LABEL.into())
        .or_insert_with(|| namespace.name_any());
    labels
}

/// The namespaces the tenant admits, sorted.
///
/// # Errors
/// When its selector is empty or not well formed.
pub(crate) fn admitted(
    tenant: &Tenant,
    namespaces: &NamespaceLabels,
) -> Result<BTreeSet<String>, InvalidResource> {
    let selector = selector(tenant)?;
    Ok(namespaces
        .iter()
        .filter(|(_, labels)| selector.matches(labels))
        .map(|(name, _)| name.clone())
        .collect())
}

/// Whether the tenant admits a namespace of these labels. A selector that is not well formed admits
/// none.
pub fn admits(tenant: &Tenant, labels: &BTreeMap<String, String>) -> bool {
    selector(tenant).is_ok_and(|selector| selector.matches(labels))
}

fn selector(tenant: &Tenant) -> Result<Selector, InvalidResource> {
    const FIELD: &str = "spec.namespaces";
    let selector = Selector::try_from(tenant.spec.namespaces.clone()).map_err(|error| {
        InvalidResource::wrong(
            "InvalidSelector",
            FIELD,
            format!("the selector is not well formed ({error}): correct the expression"),
        )
    })?;
    if selector.selects_all() {
        return Err(InvalidResource::wrong(
            "InvalidSelector",
            FIELD,
            "an empty selector would admit every namespace: name a label (or, to admit all, an \
             expression such as {key: kubernetes.io/metadata.name, operator: Exists})",
        ));
    }
    Ok(selector)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn tenant(selector: serde_json::Value) -> Tenant {
        serde_json::from_value(json!({
            "apiVersion": "signet.dev/v1alpha1", "kind": "Tenant", "metadata": {"name": "acme"},
            "spec": {"namespaces": selector, "tokens": {"audiences": ["acme"]}},
        }))
        .unwrap()
    }

    fn labels() -> NamespaceLabels {
        serde_json::from_value(json!({
            "shop": {"signet.dev/tenant": "acme", "kubernetes.io/metadata.name": "shop"},
            "depot": {"signet.dev/tenant": "acme", "kubernetes.io/metadata.name": "depot"},
            "other": {"signet.dev/tenant": "globex", "kubernetes.io/metadata.name": "other"},
        }))
        .unwrap()
    }

    #[test]
    fn labels_select_and_the_names_come_sorted() {
        let tenant = tenant(json!({"matchLabels": {"signet.dev/tenant": "acme"}}));
        let admitted: Vec<_> = admitted(&tenant, &labels()).unwrap().into_iter().collect();
        assert_eq!(admitted, ["depot", "shop"]);
    }

    #[test]
    fn expressions_select() {
        let tenant = tenant(json!({"matchExpressions": [
            {"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["other"]},
        ]}));
        assert!(admits(&tenant, &labels()["other"]));
        assert!(!admits(&tenant, &labels()["shop"]));
    }

    #[test]
    fn an_empty_or_broken_selector_admits_nobody_and_says_why() {
        for selector in [
            json!({}),
            json!({"matchLabels": {}}),
            json!({"matchExpressions": [{"key": "a", "operator": "Near"}]}),
        ] {
            let tenant = tenant(selector);
            let invalid = admitted(&tenant, &labels()).unwrap_err();
            assert_eq!(
                (invalid.reason.as_str(), invalid.may_heal),
                ("InvalidSelector", false)
            );
            assert!(!admits(&tenant, &labels()["shop"]));
        }
    }
}
