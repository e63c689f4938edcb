//! What can be asked of a role.

use std::collections::BTreeMap;

use policy::Role;

/// What is known of the surroundings when a role is declared.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Context {
    /// Whether its tenant exists and is not closed.
    pub tenant_open: bool,
    /// Whether the tenant admits its namespace.
    pub namespace_admitted: bool,
    /// The roles of the same namespace and tenant, and what each inherits. Whether the role itself
    /// is among them does not matter.
    pub known_roles: BTreeMap<String, Vec<String>>,
}

impl Context {
    /// The names and parents of those of `roles` that live in `namespace`, for `known_roles`.
    pub fn known<'a>(
        namespace: &str,
        roles: impl IntoIterator<Item = &'a Role>,
    ) -> BTreeMap<String, Vec<String>> {
        roles
            .into_iter()
            .filter(|role| role.namespace == namespace)
            .map(|role| (role.name.clone(), role.inherits.clone()))
            .collect()
    }
}

/// What can be asked of a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Make the role as declared.
    Declare {
        /// As declared.
        role: Role,
        /// What is known of the surroundings.
        context: Context,
    },
    /// Take it away.
    Remove,
}
