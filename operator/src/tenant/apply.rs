//! Step 4: central is asked to hold the tenant.

use protocol::v1;

use crate::provision::{ProvisionError, Provisioner};

/// What central holds now. Made by [`apply`] alone, so that no status can tell of what was not
/// applied.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Applied {
    pub(super) answer: v1::TenantApplied,
    pub(super) namespaces: usize,
}

pub(super) async fn apply(
    request: v1::ApplyTenantRequest,
    provisioner: &Provisioner,
) -> Result<Applied, ProvisionError> {
    let namespaces = request
        .spec
        .as_ref()
        .map_or(0, |spec| spec.namespaces.len());
    let answer = provisioner.apply_tenant(request).await?;
    Ok(Applied { answer, namespaces })
}
