//! Reconciles Tenants: `dereference → validate → build → apply → update_status`.
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

use crds::{DeletionPolicy, Tenant};
use kube::ResourceExt;
use kube::api::Api;
use protocol::v1;

use crate::provision::ProvisionError;
use crate::reconcile::{self, Context, ReconcileError, Reconciled};

impl Reconciled for Tenant {
    fn api(&self, context: &Context) -> Api<Self> {
        Api::all(context.client.clone())
    }

    async fn apply(&self, context: &Context) -> Result<(), ReconcileError> {
        let dereferenced = dereference::dereference(context);
        let outcome = match validate(self, &dereferenced) {
            Ok(validated) => apply::apply(build(&validated), &context.provisioner).await,
            Err(invalid) => Err(ProvisionError::Refused(invalid)),
        };
        reconcile::applied(self, outcome, context).await
    }

    async fn release(&self, context: &Context) -> Result<(), ReconcileError> {
        let policy = match self.spec.deletion_policy {
            DeletionPolicy::Retain => v1::DeletionPolicy::Retain,
            DeletionPolicy::Delete => v1::DeletionPolicy::Delete,
        };
        let outcome = context
            .provisioner
            .delete_tenant(&self.name_any(), policy)
            .await;
        reconcile::released(self, outcome, context).await
    }
}
