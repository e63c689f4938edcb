//! Reconciles Roles: `dereference → validate → build → apply → update_status`.
//!
//! [`validate`] and [`build`] are pure; `signet dev` uses them without a cluster.

mod apply;
mod build;
mod dereference;
mod update_status;
mod validate;

pub use build::build;
pub use dereference::Dereferenced;
pub use validate::{Validated, validate};

use crds::Role;
use kube::ResourceExt;
use kube::api::Api;

use crate::provision::ProvisionError;
use crate::reconcile::{self, Context, ReconcileError, Reconciled, namespaced};

impl Reconciled for Role {
    fn api(&self, context: &Context) -> Api<Self> {
        namespaced(context, self)
    }

    async fn apply(&self, context: &Context) -> Result<(), ReconcileError> {
        let dereferenced = dereference::dereference(self, context);
        let outcome = match validate(self, &dereferenced) {
            Ok(validated) => apply::apply(build(&validated), &context.provisioner).await,
            Err(invalid) => Err(ProvisionError::Refused(invalid)),
        };
        reconcile::applied(self, outcome, context).await
    }

    async fn release(&self, context: &Context) -> Result<(), ReconcileError> {
        let namespace = self.namespace().unwrap_or_default();
        let name = self.name_any();
        let outcome = context
            .provisioner
            .delete_role(&self.spec.tenant, &namespace, &name)
            .await;
        reconcile::released(self, outcome, context).await
    }
}
