//! Whom a pod acts for.

use std::collections::BTreeMap;

use crds::Tenant;
use kube::ResourceExt;

use super::denial::Denial;
use crate::namespaces::admits;

/// The tenant of a pod: the one its annotation names, which must admit the namespace, or the only
/// one that does.
///
/// # Errors
/// When there is none, or none can be told.
pub fn choose<'a>(
    annotation: Option<&str>,
    namespace: &str,
    labels: &BTreeMap<String, String>,
    tenants: impl IntoIterator<Item = &'a Tenant>,
) -> Result<String, Denial> {
    let tenants = tenants.into_iter();
    let Some(wanted) = annotation else {
        let mut candidates: Vec<String> = tenants
            .filter(|tenant| admits(tenant, labels))
            .map(ResourceExt::name_any)
            .collect();
        candidates.sort();
        return match candidates.len() {
            0 => Err(Denial::NoTenant {
                namespace: namespace.into(),
            }),
            1 => Ok(candidates.remove(0)),
            _ => Err(Denial::AmbiguousTenant {
                namespace: namespace.into(),
                candidates,
            }),
        };
    };
    let tenant = { tenants }.find(|tenant| tenant.name_any() == wanted);
    match tenant {
        None => Err(Denial::UnknownTenant {
            tenant: wanted.into(),
        }),
        Some(tenant) if !admits(tenant, labels) => Err(Denial::NamespaceNotAdmitted {
            tenant: wanted.into(),
            namespace: namespace.into(),
        }),
        Some(tenant) => Ok(tenant.name_any()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn tenant(name: &str, label: &str) -> Tenant {
        serde_json::from_value(json!({
            "apiVersion": "signet.dev/v1alpha1", "kind": "Tenant", "metadata": {"name": name},
            "spec": {
                "namespaces": {"matchLabels": {label: "yes"}},
                "tokens": {"audiences": [name]},
            },
        }))
        .unwrap()
    }

    fn chosen(annotation: Option<&str>, labels: &[&str]) -> Result<String, Denial> {
        let tenants = [
            tenant("acme", "a"),
            tenant("globex", "g"),
            tenant("initech", "g"),
        ];
        let labels = labels
            .iter()
            .map(|label| ((*label).into(), "yes".into()))
            .collect();
        choose(annotation, "shop", &labels, &tenants)
    }

    #[test]
    fn the_only_one_that_admits_is_taken() {
        assert_eq!(chosen(None, &["a"]).unwrap(), "acme");
    }

    #[test]
    fn none_or_several_are_denied_with_advice() {
        assert!(
            chosen(None, &[])
                .unwrap_err()
                .to_string()
                .contains("no Tenant admits")
        );
        let several = chosen(None, &["g"]).unwrap_err().to_string();
        assert!(
            several.contains("(globex, initech): choose one"),
            "{several}"
        );
    }

    #[test]
    fn an_annotation_chooses_among_those_that_admit() {
        assert_eq!(chosen(Some("initech"), &["g"]).unwrap(), "initech");
        assert!(matches!(
            chosen(Some("acme"), &["g"]),
            Err(Denial::NamespaceNotAdmitted { .. })
        ));
        assert!(matches!(
            chosen(Some("nobody"), &["g"]),
            Err(Denial::UnknownTenant { .. })
        ));
    }
}
