//! Finds the roles of a subject without looking at the others.

use std::collections::HashMap;

use crate::request::Subject;
use crate::role::{Binding, SubjectKind};

/// Number of a role in its policy.
pub(crate) type RoleNumber = u32;

/// Roles by who is bound to them.
#[derive(Debug, Default)]
pub(crate) struct SubjectIndex {
    /// By namespace, then by name.
    service_accounts: HashMap<String, HashMap<String, Vec<RoleNumber>>>,
    users: HashMap<String, Vec<RoleNumber>>,
    groups: HashMap<String, Vec<RoleNumber>>,
    clients: HashMap<String, Vec<RoleNumber>>,
}

impl SubjectIndex {
    /// Notes that `binding` has the role `number`, which lives in `namespace`.
    pub(crate) fn bind(&mut self, binding: &Binding, namespace: &str, number: RoleNumber) {
        let name = binding.name.clone();
        let roles = match binding.kind {
            SubjectKind::ServiceAccount => self
                .service_accounts
                .entry(binding.namespace.as_deref().unwrap_or(namespace).to_owned())
                .or_default()
                .entry(name)
                .or_default(),
            SubjectKind::User => self.users.entry(name).or_default(),
            SubjectKind::Group => self.groups.entry(name).or_default(),
            SubjectKind::Client => self.clients.entry(name).or_default(),
        };
        if roles.last() != Some(&number) {
            roles.push(number);
        }
    }

    /// Roles the subject is bound to, by itself or through its groups; one may come several times.
    pub(crate) fn roles_of<'a>(
        &'a self,
        subject: &'a Subject,
    ) -> impl Iterator<Item = RoleNumber> + 'a {
        let own = match subject.kind {
            SubjectKind::ServiceAccount => subject
                .namespace
                .as_ref()
                .and_then(|namespace| self.service_accounts.get(namespace))
                .and_then(|accounts| accounts.get(&subject.name)),
            SubjectKind::User => self.users.get(&subject.name),
            SubjectKind::Group => self.groups.get(&subject.name),
            SubjectKind::Client => self.clients.get(&subject.name),
        };
        let through_groups = subject
            .groups
            .iter()
            .filter_map(|group| self.groups.get(group));
        own.into_iter().chain(through_groups).flatten().copied()
    }
}
