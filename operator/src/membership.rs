//! Whether a namespaced resource may act for the tenant it names.

use std::collections::BTreeMap;

use crds::Tenant;

use crate::invalid::InvalidResource;
use crate::namespaces::admits;

const FIELD: &str = "spec.tenant";

/// Checks that the tenant exists, stays, and admits the namespace. All of it may come true without
/// the resource being changed.
pub(crate) fn check(
    name: &str,
    tenant: Option<&Tenant>,
    namespace: &str,
    labels: &BTreeMap<String, String>,
) -> Result<(), InvalidResource> {
    let Some(tenant) = tenant else {
        return Err(InvalidResource::missing(
            "TenantNotFound",
            FIELD,
            format!("there is no Tenant `{name}`: create it, or name one of `kubectl get tenants`"),
        ));
    };
    if tenant.metadata.deletion_timestamp.is_some() {
        return Err(InvalidResource::missing(
            "TenantNotFound",
            FIELD,
            format!("the Tenant `{name}` is being deleted: name another"),
        ));
    }
    if !admits(tenant, labels) {
        return Err(InvalidResource::missing(
            "NamespaceNotAdmitted",
            FIELD,
            format!(
                "the Tenant `{name}` does not admit the namespace {namespace}: label the namespace \
                 as the Tenant's spec.namespaces asks, or name another Tenant"
            ),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn tenant() -> Tenant {
        serde_json::from_value(json!({
            "apiVersion": "signet.dev/v1alpha1", "kind": "Tenant", "metadata": {"name": "acme"},
            "spec": {"namespaces": {"matchLabels": {"a": "b"}}, "tokens": {"audiences": ["x"]}},
        }))
        .unwrap()
    }

    #[test]
    fn a_member_passes_and_the_rest_may_heal() {
        let member = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
        let stranger = BTreeMap::new();
        assert_eq!(check("acme", Some(&tenant()), "shop", &member), Ok(()));
        let mut going = tenant();
        going.metadata.deletion_timestamp =
            Some(serde_json::from_value(json!("2026-11-21T00:00:00Z")).unwrap());
        for (tenant, labels, reason) in [
            (None, &member, "TenantNotFound"),
            (Some(going), &member, "TenantNotFound"),
            (Some(tenant()), &stranger, "NamespaceNotAdmitted"),
        ] {
            let invalid = check("acme", tenant.as_ref(), "shop", labels).unwrap_err();
            assert_eq!((invalid.reason.as_str(), invalid.may_heal), (reason, true));
        }
    }
}
