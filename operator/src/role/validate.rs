//! Step 2: whether a Role's tenant takes it. Whether its rules hold is central's to judge, by the
//! same engine that decides.

use crds::{Role, RoleSpec};
use kube::ResourceExt;

use super::dereference::Dereferenced;
use crate::invalid::InvalidResource;
use crate::membership;

/// A Role that can be built.
#[derive(Clone, Debug, PartialEq)]
pub struct Validated {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) spec: RoleSpec,
}

/// Checks a Role against its tenant.
///
/// # Errors
/// When the tenant is missing or does not admit the role's namespace; both may heal.
pub fn validate(role: &Role, dereferenced: &Dereferenced) -> Result<Validated, InvalidResource> {
    let namespace = role.namespace().unwrap_or_default();
    membership::check(
        &role.spec.tenant,
        dereferenced.tenant.as_deref(),
        &namespace,
        &dereferenced.namespace_labels,
    )?;
    Ok(Validated {
        namespace,
        name: role.name_any(),
        spec: role.spec.clone(),
    })
}
