//! Which worker a document belongs to.

use serde::Serialize;

/// What the documents of a projection are divided by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PartitionBy {
    /// All documents of a tenant are together: an answer about one tenant is as of one position.
    #[default]
    Tenant,
    /// The documents of a tenant are spread; for few tenants with many documents.
    Key,
}

impl PartitionBy {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::Key => "key",
        }
    }

    pub(crate) fn from_stored(text: &str) -> Self {
        if text == "key" {
            Self::Key
        } else {
            Self::Tenant
        }
    }

    /// The partition of a document, of `partitions`.
    pub(crate) fn partition_of(self, partitions: u32, tenant: &str, key: &str) -> u32 {
        let hash = match self {
            Self::Tenant => fnv1a(&[tenant.as_bytes()]),
            // No name has a zero byte, so the two cannot run into one another.
            Self::Key => fnv1a(&[tenant.as_bytes(), &[0], key.as_bytes()]),
        };
        u32::try_from(hash % u64::from(partitions.max(1))).unwrap_or(0)
    }
}

/// One partition of so many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) by: PartitionBy,
    pub(crate) partition: u32,
    pub(crate) partitions: u32,
}

impl Share {
    pub(crate) const WHOLE: Self = Self {
        by: PartitionBy::Tenant,
        partition: 0,
        partitions: 1,
    };

    /// Whether any document of the tenant may be in it.
    pub(crate) fn may_hold(&self, tenant: &str) -> bool {
        self.by == PartitionBy::Key || self.holds(tenant, "")
    }

    pub(crate) fn holds(&self, tenant: &str, key: &str) -> bool {
        self.partitions == 1 || self.by.partition_of(self.partitions, tenant, key) == self.partition
    }
}

/// FNV-1a, 64 bits: stored checkpoints rely on it, so it must never change (a hasher of the standard
/// library may).
fn fnv1a(parts: &[&[u8]]) -> u64 {
    let bytes = parts.iter().copied().flatten();
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::{PartitionBy, Share, fnv1a};

    #[test]
    fn the_hash_is_the_published_one() {
        assert_eq!(fnv1a(&[b"foobar"]), 0x8594_4171_f739_67e8);
        assert_eq!(fnv1a(&[b"foo", b"bar"]), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn every_document_is_in_one_share() {
        for by in [PartitionBy::Tenant, PartitionBy::Key] {
            for n in 0..200 {
                let (tenant, key) = (format!("t{}", n % 7), format!("k{n}"));
                let holders = (0..5).filter(|partition| {
                    let share = Share {
                        by,
                        partition: *partition,
                        partitions: 5,
                    };
                    share.may_hold(&tenant) && share.holds(&tenant, &key)
                });
                assert_eq!(holders.count(), 1);
            }
        }
    }
}
