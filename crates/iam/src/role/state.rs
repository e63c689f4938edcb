//! What a role is after its events.

use policy::Role;
use serde::{Deserialize, Serialize};

use super::event::Event;

/// A role after its events.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct State {
    /// As it was declared last; none when it never was, or was removed.
    pub role: Option<Role>,
}

/// The state after one more event.
pub fn evolve(mut state: State, event: &Event) -> State {
    state.role = match event {
        Event::Declared { role } | Event::Changed { role } => Some(role.clone()),
        Event::Removed => None,
    };
    state
}
