//! The Tenant: an isolated realm with its own issuer, keys, roles and generators.

#![allow(
    unreachable_pub,
    clippy::duplicated_attributes,
    reason = "KubeSchema repeats each struct inside a function; printer columns repeat their types"
)]

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::duration::Duration;
use crate::status::{Condition, Phase};

/// A tenant: an isolated realm with an issuer, signing keys, roles and generators of its own.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "signet.dev",
    version = "v1alpha1",
    kind = "Tenant",
    plural = "tenants",
    shortname = "tn",
    category = "signet",
    status = "TenantStatus",
    derive = "PartialEq",
    doc = "A tenant: an isolated realm with an issuer, signing keys, roles and generators of its own.",
    validation = (
        "size(self.metadata.name) <= 63 && !self.metadata.name.contains('.')",
        "a tenant's name is part of its issuer and of every SPIFFE id: at most 63 characters, no dots"
    ),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Reason", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].reason"#),
    printcolumn(name = "Issuer", type_ = "string", json_path = ".status.issuer"),
    printcolumn(name = "Key", type_ = "string", json_path = ".status.activeKey", description = "The key that signs now"),
    printcolumn(name = "Namespaces", type_ = "integer", json_path = ".status.namespaces", description = "How many namespaces the selector admits"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Message", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].message"#, priority = 1)
)]
#[x_kube(
    validation = (
        "duration(self.keys.overlap) >= duration(self.tokens.accessTokenLifetime)",
        "keys.overlap must be at least tokens.accessTokenLifetime: a token must not outlive its key"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct TenantSpec {
    /// What people call it. Its name when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(max = 128))]
    pub display_name: Option<String>,

    /// The namespaces whose pods, Roles and IdGenerators may act for the tenant.
    #[x_kube(validation = (
        "(has(self.matchLabels) && size(self.matchLabels) > 0) || (has(self.matchExpressions) && size(self.matchExpressions) > 0)",
        "an empty selector would admit every namespace: name a label (or, to admit all, an expression such as {key: kubernetes.io/metadata.name, operator: Exists})"
    ))]
    pub namespaces: LabelSelector,

    /// The tokens it issues.
    pub tokens: Tokens,

    /// Its signing keys.
    #[serde(default)]
    pub keys: Keys,

    /// Other issuers whose tokens are accepted. Not served by this release: must stay empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "any_objects")]
    #[x_kube(validation = (
        "size(self) == 0",
        "trustedIssuers is not served by this release: leave it out or empty"
    ))]
    pub trusted_issuers: Vec<Value>,

    /// OAuth clients. Not served by this release: must stay empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "any_objects")]
    #[x_kube(validation = (
        "size(self) == 0",
        "clients is not served by this release: leave it out or empty"
    ))]
    pub clients: Vec<Value>,

    /// Rules for passwords. Not served by this release: must stay empty.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[x_kube(validation = (
        "size(self) == 0",
        "passwordPolicy is not served by this release: leave it out or empty"
    ))]
    pub password_policy: BTreeMap<String, IntOrString>,

    /// Limits of use. Not served by this release: must stay empty.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[x_kube(validation = (
        "size(self) == 0",
        "quotas is not served by this release: leave it out or empty"
    ))]
    pub quotas: BTreeMap<String, IntOrString>,

    /// What central does with the tenant when this resource is deleted.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
}

/// The tokens of a tenant.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[x_kube(
    validation = (
        "duration(self.accessTokenLifetime) >= duration('1m') && duration(self.accessTokenLifetime) <= duration('24h')",
        "accessTokenLifetime must lie between 1m and 24h"
    ),
    validation = (
        "duration(self.refreshTokenLifetime) >= duration(self.accessTokenLifetime) && duration(self.refreshTokenLifetime) <= duration('8760h')",
        "refreshTokenLifetime must lie between accessTokenLifetime and 8760h"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct Tokens {
    /// The algorithm of the tenant's signatures.
    #[serde(default)]
    pub algorithm: TokenAlgorithm,

    /// How long an access token holds: 1m to 24h.
    #[serde(default = "Tokens::default_access_token_lifetime")]
    pub access_token_lifetime: Duration,

    /// How long a refresh token holds.
    #[serde(default = "Tokens::default_refresh_token_lifetime")]
    pub refresh_token_lifetime: Duration,

    /// What tokens may be meant for; the first one is the default.
    #[schemars(length(min = 1, max = 16), inner(length(min = 1, max = 253)))]
    #[x_kube(validation = (
        "self.all(one, self.exists_one(other, other == one))",
        "audiences must be unique"
    ))]
    pub audiences: Vec<String>,
}

impl Tokens {
    fn default_access_token_lifetime() -> Duration {
        Duration::from_secs(15 * 60)
    }

    fn default_refresh_token_lifetime() -> Duration {
        Duration::from_secs(168 * 3600)
    }
}

/// A signature algorithm of JSON Web Signatures (RFC 7518, RFC 8037).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TokenAlgorithm {
    /// ECDSA on P-256: what most clients and SPIFFE accept.
    #[default]
    #[serde(rename = "ES256")]
    Es256,
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
    /// RSA of 2048 bits or more, PKCS #1 v1.5.
    #[serde(rename = "RS256")]
    Rs256,
}

impl TokenAlgorithm {
    /// The name it has in the header of a token.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
            Self::Rs256 => "RS256",
        }
    }
}

/// The signing keys of a tenant.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[x_kube(validation = (
    "duration(self.rotateEvery) > duration(self.overlap)",
    "rotateEvery must be longer than overlap"
))]
#[serde(rename_all = "camelCase")]
pub struct Keys {
    /// How long a key signs before the next one takes over.
    #[serde(default = "Keys::default_rotate_every")]
    pub rotate_every: Duration,

    /// How long a superseded key is still published; at least the access token's lifetime.
    #[serde(default = "Keys::default_overlap")]
    pub overlap: Duration,
}

impl Keys {
    fn default_rotate_every() -> Duration {
        Duration::from_secs(720 * 3600)
    }

    fn default_overlap() -> Duration {
        Duration::from_secs(24 * 3600)
    }
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            rotate_every: Self::default_rotate_every(),
            overlap: Self::default_overlap(),
        }
    }
}

/// What happens to the tenant in central when its resource is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// Central keeps the tenant as it is; only the declaration goes.
    #[default]
    Retain,
    /// The tenant is closed: no token or id is given and no token of it accepted any more. Declared
    /// again it opens with new keys.
    Delete,
}

/// What the operator last saw of a tenant.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TenantStatus {
    /// The generation of the spec this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Where it stands, in one word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// The issuer of its tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// The id of the key that signs now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_key: Option<String>,
    /// How many namespaces the selector admits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<i64>,
    /// Ready, Reconciling and Stalled, in the manner of kstatus.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

fn any_objects(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "items": { "type": "object", "x-kubernetes-preserve-unknown-fields": true },
    })
}
