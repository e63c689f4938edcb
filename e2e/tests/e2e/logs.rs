//! What the programs wrote. The sidecars' lines are looked at wherever a test's namespace ends.

use anyhow::Result;
use e2e::{Cluster, logs};

/// Everything central and the operator wrote while the tests before this one ran.
pub(crate) async fn are_objects_without_secrets(cluster: &Cluster) -> Result<()> {
    logs::programs_are_sound(cluster).await
}
