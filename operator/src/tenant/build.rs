//! Step 3: a Tenant as central is told of it.

use crds::{Keys, TenantSpec, Tokens};
use protocol::v1;

use super::validate::Validated;

/// The request that makes central hold the tenant. Destructured whole: a field forgotten here does
/// not compile.
pub fn build(validated: &Validated) -> v1::ApplyTenantRequest {
    let Validated {
        name,
        spec,
        namespaces,
    } = validated;
    let TenantSpec {
        display_name,
        namespaces: _selector,
        tokens,
        keys,
        trusted_issuers: _,
        clients: _,
        password_policy: _,
        quotas: _,
        // Of use when the tenant is deleted.
        deletion_policy: _,
    } = spec;
    let Tokens {
        algorithm,
        access_token_lifetime,
        refresh_token_lifetime,
        audiences,
    } = tokens;
    let Keys {
        rotate_every,
        overlap,
    } = keys;
    v1::ApplyTenantRequest {
        name: name.clone(),
        spec: Some(v1::TenantSpec {
            display_name: display_name.clone().unwrap_or_else(|| name.clone()),
            namespaces: namespaces.iter().cloned().collect(),
            tokens: Some(v1::TokenSettings {
                algorithm: algorithm.as_str().into(),
                access_token_lifetime_seconds: access_token_lifetime.as_secs(),
                refresh_token_lifetime_seconds: refresh_token_lifetime.as_secs(),
                audiences: audiences.clone(),
            }),
            keys: Some(v1::KeySettings {
                rotate_every_seconds: rotate_every.as_secs(),
                overlap_seconds: overlap.as_secs(),
            }),
        }),
    }
}
