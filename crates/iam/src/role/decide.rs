//! The only place where something asked of a role may be refused.

use policy::{Role, check, check_inheritance};

use super::command::{Command, Context};
use super::event::Event;
use super::state::State;
use crate::refusal::{Reason, Refusal};

/// What a command makes happen: no event when everything is already so.
///
/// # Errors
///
/// A [`Refusal`] when the role is wrong in itself, when its tenant is missing or does not admit its
/// namespace, or when what it inherits is missing or leads back to it. What is wrong with the role
/// itself is said first, since only that cannot heal.
pub fn decide(state: &State, command: Command) -> Result<Vec<Event>, Refusal> {
    match command {
        Command::Declare { role, context } => declare(state, role, &context),
        Command::Remove => Ok(match state.role {
            Some(_) => vec![Event::Removed],
            None => vec![],
        }),
    }
}

fn declare(state: &State, role: Role, context: &Context) -> Result<Vec<Event>, Refusal> {
    let in_itself = check(&role).err().unwrap_or_default();
    if let Some(refusal) = Refusal::from_defects(in_itself) {
        return Err(refusal);
    }
    if !context.tenant_open {
        return Err(Refusal::of(
            "spec.tenant",
            Reason::TenantNotFound,
            "there is no such tenant, or it is closed; declare the tenant, or name another",
        ));
    }
    if !context.namespace_admitted {
        return Err(Refusal::of(
            "spec.tenant",
            Reason::NamespaceNotAdmitted,
            format!(
                "the tenant does not admit the namespace `{}`; label the namespace as the tenant's selector asks, or name another tenant",
                role.namespace
            ),
        ));
    }
    let inherited = check_inheritance(&role.name, &role.inherits, &context.known_roles)
        .err()
        .unwrap_or_default();
    if let Some(refusal) = Refusal::from_defects(inherited) {
        return Err(refusal);
    }
    Ok(match &state.role {
        Some(known) if *known == role => vec![],
        Some(_) => vec![Event::Changed { role }],
        None => vec![Event::Declared { role }],
    })
}
