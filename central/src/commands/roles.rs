//! Commands over roles.

use iam::{
    Refusal,
    role::{self, Command, Context},
};

use super::{Answer, Commands, Origin};
use crate::{aggregate::Versioned, aggregates::Role, error::ServiceError};

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
        let known = self.known_role(tenant, &role.namespace, &role.name);
        let answer = self
            .execute(&self.roles, stream, known, origin, |state| {
                let (role, context) = (role.clone(), context.clone());
                role::decide(state, Command::Declare { role, context })
            })
            .await?;
        if let Ok(done) = &answer {
            self.settle(done).await;
        }
        Ok(answer)
    }

    /// Takes a role away.
    pub(crate) async fn remove_role(
        &self,
        tenant: &str,
        namespace: &str,
        name: &str,
        origin: &Origin,
    ) -> Answer<Role, Refusal> {
        let stream = Role::stream(tenant, namespace, name);
        let known = self.known_role(tenant, namespace, name);
        let answer = self
            .execute(&self.roles, stream, known, origin, |state| {
                role::decide(state, Command::Remove)
            })
            .await?;
        if let Ok(done) = &answer {
            self.settle(done).await;
        }
        Ok(answer)
    }

    /// What is known of the tenant and the namespace, as of now.
    async fn role_context(&self, tenant: &str, namespace: &str) -> Result<Context, ServiceError> {
        self.directory.up_to_date().await?;
        let Some(realm) = self.directory.realm(tenant) else {
            return Ok(Context::default());
        };
        Ok(Context {
            tenant_open: realm.is_open(),
            namespace_admitted: realm.has_namespace(namespace),
            known_roles: Context::known(namespace, realm.all_roles()),
        })
    }

    fn known_role(&self, tenant: &str, namespace: &str, name: &str) -> Option<Versioned<Role>> {
        self.directory.realm(tenant)?.role(namespace, name).cloned()
    }
}
