//! Whom the policy sees when it is shown a token's claims.

use policy::{Subject, SubjectKind};
use serde_json::Value;
use token::{Claims, SpiffeId};

/// The subject of these claims.
///
/// `sub` decides: the SPIFFE id of a workload of `tenant` is a ServiceAccount; one that is the
/// token's own `client_id` (RFC 9068 §2.2: no user is there) is a Client; all else is a User. Groups
/// are those of the claim `groups`.
#[must_use]
pub fn subject_of(claims: &Claims, tenant: &str) -> Subject {
    let groups = match claims.extra.get("groups") {
        Some(Value::Array(groups)) => groups
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
        Some(Value::String(group)) => vec![group.clone()],
        _ => Vec::new(),
    };
    let (kind, name, namespace) = match workload(&claims.sub, tenant) {
        Some(id) => (
            SubjectKind::ServiceAccount,
            id.service_account,
            Some(id.namespace),
        ),
        None if is_client(claims) => (SubjectKind::Client, claims.sub.clone(), None),
        None => (SubjectKind::User, claims.sub.clone(), None),
    };
    let claims = serde_json::to_value(claims).unwrap_or_default();
    Subject {
        kind,
        name,
        namespace,
        groups,
        claims,
    }
}

fn workload(subject: &str, tenant: &str) -> Option<SpiffeId> {
    let id: SpiffeId = subject.parse().ok()?;
    let installation = id.trust_domain.strip_prefix(tenant)?.strip_prefix('.')?;
    (!installation.is_empty()).then_some(id)
}

fn is_client(claims: &Claims) -> bool {
    claims.extra.get("client_id").and_then(Value::as_str) == Some(claims.sub.as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn subject(sub: &str, extra: Value) -> Subject {
        let Value::Object(extra) = extra else {
            panic!("an object")
        };
        subject_of(
            &Claims {
                sub: sub.to_owned(),
                extra,
                ..Claims::default()
            },
            "acme",
        )
    }

    #[test]
    fn a_workload_of_the_tenant_is_a_service_account() {
        let subject = subject("spiffe://acme.cluster.local/ns/shop/sa/checkout", json!({}));
        assert_eq!(subject.kind, SubjectKind::ServiceAccount);
        assert_eq!(subject.name, "checkout");
        assert_eq!(subject.namespace.as_deref(), Some("shop"));
    }

    #[test]
    fn a_workload_of_another_tenant_is_no_service_account_of_ours() {
        for sub in [
            "spiffe://acmecorp.cluster.local/ns/shop/sa/checkout",
            "spiffe://other.cluster.local/ns/shop/sa/checkout",
            "spiffe://acme/ns/shop/sa/checkout",
            "spiffe://acme./ns/shop/sa/checkout",
            "spiffe://x.acme.cluster.local/ns/shop/sa/checkout",
        ] {
            assert_eq!(subject(sub, json!({})).kind, SubjectKind::User, "{sub}");
        }
    }

    #[test]
    fn a_client_acts_for_itself() {
        let client = subject("billing", json!({"client_id": "billing"}));
        assert_eq!(
            (client.kind, client.name.as_str()),
            (SubjectKind::Client, "billing")
        );
        let user = subject("ada", json!({"client_id": "billing"}));
        assert_eq!((user.kind, user.name.as_str()), (SubjectKind::User, "ada"));
    }

    #[test]
    fn groups_come_from_the_claim() {
        assert_eq!(
            subject("ada", json!({"groups": ["a", "b", 3]})).groups,
            ["a", "b"]
        );
        assert_eq!(subject("ada", json!({"groups": "a"})).groups, ["a"]);
        assert!(
            subject("ada", json!({"groups": {"a": 1}}))
                .groups
                .is_empty()
        );
        assert!(subject("ada", json!({})).groups.is_empty());
    }

    #[test]
    fn conditions_see_all_claims() {
        let subject = subject("ada", json!({"department": "sales"}));
        assert_eq!(subject.claims["department"], "sales");
        assert_eq!(subject.claims["sub"], "ada");
    }
}
