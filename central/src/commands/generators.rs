//! Commands over id generators.

use idgen::generator::{self, Command, Context, Refusal, Spec};

use super::{Answer, Commands, Origin};
use crate::{aggregate::Versioned, aggregates::Generator, error::ServiceError};

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
        let (stream, known) = (
            Generator::stream(tenant, name),
            self.known_generator(tenant, name),
        );
        let answer = self
            .execute(&self.generators, stream, known, origin, |state| {
                let (namespace, spec) = (namespace.to_owned(), spec.clone());
                generator::decide(
                    state,
                    Command::Declare {
                        namespace,
                        spec,
                        context,
                    },
                )
            })
            .await?;
        if let Ok(done) = &answer {
            self.settle(done).await;
        }
        Ok(answer)
    }

    /// Takes the generator of a namespace away. What it handed out stays taken.
    pub(crate) async fn remove_generator(
        &self,
        tenant: &str,
        namespace: &str,
        name: &str,
        origin: &Origin,
    ) -> Answer<Generator, Refusal> {
        let (stream, known) = (
            Generator::stream(tenant, name),
            self.known_generator(tenant, name),
        );
        let answer = self
            .execute(&self.generators, stream, known, origin, |state| {
                generator::decide(
                    state,
                    Command::Remove {
                        namespace: namespace.to_owned(),
                    },
                )
            })
            .await?;
        if let Ok(done) = &answer {
            self.settle(done).await;
        }
        Ok(answer)
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
        let (stream, known) = (
            Generator::stream(tenant, name),
            self.known_generator(tenant, name),
        );
        let mut writer = self.writer(&self.generators, stream, known).await?;
        loop {
            let command = Command::Allocate {
                namespace: namespace.to_owned(),
                count,
                owner: owner.to_owned(),
            };
            let events = match generator::decide(&writer.current().state, command) {
                Ok(events) => events,
                Err(refusal) => {
                    self.count::<Generator>("refused");
                    return Ok(Err(refusal));
                }
            };
            let range = events.iter().find_map(|event| match event {
                generator::Event::RangeAllocated { range, .. } => Some(*range),
                _ => None,
            });
            let range = range
                .ok_or_else(|| ServiceError::Internal("an allocation gave no range".into()))?;
            // The range counts only once its event is stored.
            if writer.append(&events, origin).await? {
                self.metrics.ranges.inc();
                self.metrics.ids.inc_by(range.len());
                return Ok(Ok(range));
            }
        }
    }

    async fn generator_context(
        &self,
        tenant: &str,
        namespace: &str,
    ) -> Result<Context, ServiceError> {
        self.directory.up_to_date().await?;
        let realm = self.directory.realm(tenant);
        let realm = realm.as_deref();
        Ok(Context {
            tenant_open: realm.is_some_and(|realm| realm.is_open()),
            namespace_admitted: realm.is_some_and(|realm| realm.has_namespace(namespace)),
            now: (self.clock)(),
        })
    }

    fn known_generator(&self, tenant: &str, name: &str) -> Option<Versioned<Generator>> {
        self.directory.realm(tenant)?.generator(name).cloned()
    }
}
