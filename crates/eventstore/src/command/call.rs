//! One call of a command: everything about it but what it decides.

use serde::Serialize;

use super::aggregate::{Aggregate, Command, Versioned};
use super::error::CommandError;
use super::idempotency::Key;
use crate::event::{Metadata, StreamKey};

/// How urgent a call is, when there are more than may run at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Somebody's safety depends on it.
    High,
    /// Somebody waits.
    #[default]
    Normal,
    /// Nobody waits.
    Low,
}

/// One call of a command.
pub struct Call<A: Aggregate> {
    pub(super) name: &'static str,
    pub(super) stream: StreamKey,
    pub(super) metadata: Metadata,
    pub(super) priority: Priority,
    pub(super) key: Option<Key>,
    pub(super) known: Option<Versioned<A>>,
}

impl<A: Aggregate> Call<A> {
    /// A call of the command `name` on a stream of the aggregate.
    pub fn new(name: &'static str, stream: StreamKey) -> Self {
        Self {
            name,
            stream,
            metadata: Metadata::default(),
            priority: Priority::default(),
            key: None,
            known: None,
        }
    }

    /// A call of a command that knows its name.
    pub fn of<C: Command<A>>(stream: StreamKey) -> Self {
        Self::new(C::NAME, stream)
    }

    /// Circumstances, for all events of the call.
    #[must_use]
    pub fn with_metadata(mut self, metadata: Metadata) -> Self {
        self.metadata = metadata;
        self
    }

    /// How urgent it is.
    #[must_use]
    pub fn with_priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// A state that the caller has, e.g. in a read model: where it is newer than what the repository
    /// kept, only the events behind it are read. It must be true.
    #[must_use]
    pub fn with_known(mut self, known: Option<Versioned<A>>) -> Self {
        self.known = known;
        self
    }

    /// The caller's name for this very call, 1 to 256 bytes, unique within the stream. Whoever repeats
    /// the call with the same key gets the answer of the one that was stored, on any replica, after a
    /// crash, and whatever happened to the stream since; nothing is decided or stored again.
    ///
    /// `command` is everything that the decision depends on, beside the state. The same key with
    /// another command is refused.
    ///
    /// What stored nothing left no trace: a call that was refused, or changed nothing, is decided anew
    /// when it is repeated.
    ///
    /// # Errors
    /// [`CommandError::Invalid`].
    pub fn with_key(
        mut self,
        key: impl Into<String>,
        command: &impl Serialize,
    ) -> Result<Self, CommandError> {
        self.key = Some(Key::new(key.into(), command)?);
        Ok(self)
    }
}

impl<A: Aggregate> std::fmt::Debug for Call<A> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Call")
            .field("name", &self.name)
            .field("stream", &self.stream)
            .field("priority", &self.priority)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}
