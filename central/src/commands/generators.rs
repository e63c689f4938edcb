//! Commands over id generators.

use eventstore::command::Priority;
use idgen::generator::{self, Command, Context, Event, Refusal, Spec};

use super::{Answer, Commands, Origin, call, limits::ALLOCATE_RANGE};
use crate::{aggregates::Generator, error::ServiceError};

impl Commands {
    /// Makes the generator of a namespace as declared.
    pub(crate) async fn declare_generator(
        &self,
        tenant: &str,
        namespace: &str,
        name: &str,
        spec: Spec,
        origin: &Origin,
    ) -> Answer<Generator, Refusal> {
        let context = self.generator_context(tenant, namespace).await?;
        let call = call("DeclareGenerator", Generator::stream(tenant, name), origin);
        self.execute(&self.repositories.generators, call, |state| {
            let command = Command::Declare {
                namespace: namespace.to_owned(),
                spec: spec.clone(),
                context,
            };
            generator::decide(state, command)
        })
        .await
    }

    /// Takes the generator of a namespace away. What it handed out stays taken.
    pub(crate) async fn remove_generator(
        &self,
        tenant: &str,
        namespace: &str,
        name: &str,
        origin: &Origin,
    ) -> Answer<Generator, Refusal> {
        self.directory.following(tenant)?;
        let call = call("RemoveGenerator", Generator::stream(tenant, name), origin);
        self.execute(&self.repositories.generators, call, |state| {
            let namespace = namespace.to_owned();
            generator::decide(state, Command::Remove { namespace })
        })
        .await
    }

    /// Commits the next ids of a namespace's generator to an owner, for ever: a range of its own for
    /// every call, whatever becomes of the answer.
    pub(crate) async fn allocate(
        &self,
        tenant: &str,
        namespace: &str,
        name: &str,
        count: u64,
        owner: &str,
        origin: &Origin,
    ) -> Result<Result<idgen::Range, Refusal>, ServiceError> {
        let call = call(ALLOCATE_RANGE, Generator::stream(tenant, name), origin)
            .with_priority(Priority::High);
        let mut decided = None;
        let decide = |state: &generator::State| {
            let command = Command::Allocate {
                namespace: namespace.to_owned(),
                count,
                owner: owner.to_owned(),
            };
            let events = generator::decide(state, command)?;
            decided = events.iter().find_map(|event| match event {
                Event::RangeAllocated { range, .. } => Some(*range),
                _ => None,
            });
            Ok(events)
        };
        // The range counts only once its event is stored. Nobody reads of it, so the read models are
        // not waited for.
        if let Err(refusal) = self.repositories.generators.execute(call, decide).await? {
            return Ok(Err(refusal));
        }
        let range =
            decided.ok_or_else(|| ServiceError::Internal("an allocation gave no range".into()))?;
        self.metrics.ranges.inc();
        self.metrics.ids.inc_by(range.len());
        Ok(Ok(range))
    }

    async fn generator_context(
        &self,
        tenant: &str,
        namespace: &str,
    ) -> Result<Context, ServiceError> {
        self.directory.up_to_date().await?;
        let realm = self.directory.following(tenant)?;
        let realm = realm.as_deref();
        Ok(Context {
            tenant_open: realm.is_some_and(|realm| realm.is_open()),
            namespace_admitted: realm.is_some_and(|realm| realm.has_namespace(namespace)),
            now: (self.clock)(),
        })
    }
}
