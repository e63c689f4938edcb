//! Step 2: whether a Tenant says something this release can do. What a tenant may be is central's
//! to judge; here is what central never sees.

use std::collections::BTreeSet;

use crds::{Tenant, TenantSpec};
use kube::ResourceExt;

use super::dereference::Dereferenced;
use crate::invalid::InvalidResource;
use crate::namespaces::admitted;

/// A Tenant that can be built.
#[derive(Clone, Debug, PartialEq)]
pub struct Validated {
    pub(super) name: String,
    pub(super) spec: TenantSpec,
    pub(super) namespaces: BTreeSet<String>,
}

/// Checks a Tenant and resolves its selector.
///
/// # Errors
/// When a field asks for what this release does not serve, or the name or the selector cannot be.
pub fn validate(
    tenant: &Tenant,
    dereferenced: &Dereferenced,
) -> Result<Validated, InvalidResource> {
    let name = tenant.name_any();
    if name.is_empty() || name.len() > 63 || name.contains('.') {
        return Err(InvalidResource::wrong(
            "InvalidName",
            "metadata.name",
            "a tenant's name is part of its issuer and of every SPIFFE id: at most 63 characters, \
             no dots",
        ));
    }
    let spec = &tenant.spec;
    for (field, empty) in [
        ("trustedIssuers", spec.trusted_issuers.is_empty()),
        ("clients", spec.clients.is_empty()),
        ("passwordPolicy", spec.password_policy.is_empty()),
        ("quotas", spec.quotas.is_empty()),
    ] {
        if !empty {
            return Err(InvalidResource::wrong(
                "NotServed",
                &format!("spec.{field}"),
                format!("{field} is not served by this release: leave it out or empty"),
            ));
        }
    }
    Ok(Validated {
        namespaces: admitted(tenant, &dereferenced.namespaces)?,
        spec: spec.clone(),
        name,
    })
}
