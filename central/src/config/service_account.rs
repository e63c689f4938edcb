//! The name of a Kubernetes ServiceAccount.

use std::{fmt, str::FromStr};

/// A ServiceAccount of one namespace, written `NAMESPACE/NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceAccount {
    /// The namespace.
    pub namespace: String,
    /// The name within the namespace.
    pub name: String,
}

impl ServiceAccount {
    /// Reads the user name that Kubernetes gives a ServiceAccount:
    /// `system:serviceaccount:NAMESPACE:NAME`.
    pub(crate) fn from_username(username: &str) -> Option<Self> {
        let (namespace, name) = username
            .strip_prefix("system:serviceaccount:")?
            .split_once(':')?;
        if namespace.is_empty() || name.is_empty() || name.contains(':') {
            return None;
        }
        Some(Self {
            namespace: namespace.into(),
            name: name.into(),
        })
    }
}

impl fmt::Display for ServiceAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl FromStr for ServiceAccount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('/') {
            Some((namespace, name))
                if !namespace.is_empty() && !name.is_empty() && !name.contains('/') =>
            {
                Ok(Self {
                    namespace: namespace.into(),
                    name: name.into(),
                })
            }
            _ => Err("give it as NAMESPACE/NAME, such as signet-system/signet-operator".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ServiceAccount;

    #[test]
    fn a_user_name_of_kubernetes_is_read() {
        let account = ServiceAccount::from_username("system:serviceaccount:shop:checkout").unwrap();

        assert_eq!(account.to_string(), "shop/checkout");
    }

    #[test]
    fn users_and_nodes_are_no_service_accounts() {
        for username in [
            "admin",
            "system:node:n1",
            "system:serviceaccount:shop",
            "system:serviceaccount::x",
        ] {
            assert_eq!(ServiceAccount::from_username(username), None, "{username}");
        }
    }
}
