//! Commands over roles.

use iam::{
    Refusal,
    role::{self, Command, Context},
};

use super::{Answer, Commands, Origin, call};
use crate::{aggregates::Role, error::ServiceError};

impl Commands {
    /// Makes a role as declared.
    pub(crate) async fn declare_role(
        &self,
        tenant: &str,
        role: policy::Role,
        origin: &Origin,
    ) -> Answer<Role, Refusal> {
        let context = self.role_context(tenant, &role.namespace).await?;
        let stream = Role::stream(tenant, &role.namespace, &role.name);
        let call = call("DeclareRole", stream, origin);
        self.execute(&self.repositories.roles, call, |state| {
            let (role, context) = (role.clone(), context.clone());
            role::decide(state, Command::Declare { role, context })
        })
        .await
    }

    /// Takes a role away.
    pub(crate) async fn remove_role(
        &self,
        tenant: &str,
        namespace: &str,
        name: &str,
        origin: &Origin,
    ) -> Answer<Role, Refusal> {
        self.directory.following(tenant)?;
        let call = call("RemoveRole", Role::stream(tenant, namespace, name), origin);
        self.execute(&self.repositories.roles, call, |state| {
            role::decide(state, Command::Remove)
        })
        .await
    }

    /// What is known of the tenant and the namespace, as of now.
    async fn role_context(&self, tenant: &str, namespace: &str) -> Result<Context, ServiceError> {
        self.directory.up_to_date().await?;
        let Some(realm) = self.directory.following(tenant)? else {
            return Ok(Context::default());
        };
        Ok(Context {
            tenant_open: realm.is_open(),
            namespace_admitted: realm.has_namespace(namespace),
            known_roles: Context::known(namespace, realm.all_roles()),
        })
    }
}
