//! Step 4: central is asked to hold the role.

use protocol::v1;

use crate::provision::{ProvisionError, Provisioner};

/// What central holds now. Made by [`apply`] alone, so that no status can tell of what was not
/// applied.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Applied {
    pub(super) subjects: usize,
}

pub(super) async fn apply(
    request: v1::ApplyRoleRequest,
    provisioner: &Provisioner,
) -> Result<Applied, ProvisionError> {
    let subjects = request.spec.as_ref().map_or(0, |spec| spec.subjects.len());
    provisioner.apply_role(request).await?;
    Ok(Applied { subjects })
}
