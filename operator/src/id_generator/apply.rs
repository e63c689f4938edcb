//! Step 4: central is asked to hold the generator.

use protocol::v1;

use crate::provision::{ProvisionError, Provisioner};

/// What central holds now. Made by [`apply`] alone, so that no status can tell of what was not
/// applied.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Applied {
    pub(super) next: u64,
    pub(super) remaining: u64,
}

pub(super) async fn apply(
    request: v1::ApplyIdGeneratorRequest,
    provisioner: &Provisioner,
) -> Result<Applied, ProvisionError> {
    let answer = provisioner.apply_id_generator(request).await?;
    Ok(Applied {
        next: answer.next,
        remaining: answer.remaining,
    })
}
