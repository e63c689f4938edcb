//! Putting a registry together, and refusing one that is not complete.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::Value;

use super::{Chain, EventName, Named, RESERVED, RegistrationFault, Registry, RegistryError, Step};

/// Collects types and steps, in any order; [`build`](Self::build) judges them.
#[derive(Default)]
pub struct RegistryBuilder {
    events: Vec<(EventName, u32)>,
    up: Vec<(EventName, u32, Step)>,
    down: Vec<(EventName, u32, Step)>,
    former: Vec<(EventName, u32, String)>,
    retired: Vec<(EventName, u32)>,
}

impl RegistryBuilder {
    /// A type, with the version that new events of it have.
    #[must_use]
    pub fn event(mut self, name: impl Into<EventName>, current_version: u32) -> Self {
        self.events.push((name.into(), current_version));
        self
    }

    /// How content of version `from` becomes content of version `from + 1`. Every version below the
    /// current one needs one.
    #[must_use]
    pub fn upcaster(
        mut self,
        name: impl Into<EventName>,
        from: u32,
        step: impl Fn(Value) -> Result<Value, String> + Send + Sync + 'static,
    ) -> Self {
        self.up.push((name.into(), from, Arc::new(step)));
        self
    }

    /// How content of version `from` becomes content of version `from - 1`, for an older release.
    #[must_use]
    pub fn downcaster(
        mut self,
        name: impl Into<EventName>,
        from: u32,
        step: impl Fn(Value) -> Result<Value, String> + Send + Sync + 'static,
    ) -> Self {
        self.down.push((name.into(), from, Arc::new(step)));
        self
    }

    /// Up to and including version `through` the type had another name; events are stored under it,
    /// and an older release gets it back.
    #[must_use]
    pub fn formerly(
        mut self,
        name: impl Into<EventName>,
        old_name: impl Into<String>,
        through: u32,
    ) -> Self {
        self.former.push((name.into(), through, old_name.into()));
        self
    }

    /// Versions up to `through` were [migrated](crate::migration) away: their upcasters may go, and
    /// events of theirs that were left behind are none of the release's business. A type that is not
    /// registered otherwise is retired as a whole.
    #[must_use]
    pub fn retired(mut self, name: impl Into<EventName>, through: u32) -> Self {
        self.retired.push((name.into(), through));
        self
    }

    /// Judges what was collected.
    ///
    /// # Errors
    /// [`RegistryError::Registration`], naming the first type that is wrong, and how.
    pub fn build(self) -> Result<Registry, RegistryError> {
        let mut chains: BTreeMap<EventName, Chain> = BTreeMap::new();
        for (name, current) in self.events {
            check_name(&name, current)?;
            let chain = Chain::new(&name, 1, current);
            if chains.insert(name.clone(), chain).is_some() {
                return Err(refused(&name, RegistrationFault::Twice));
            }
        }
        retire(&mut chains, self.retired)?;
        rename(&mut chains, self.former)?;
        add_steps(&mut chains, self.up, Direction::Up)?;
        add_steps(&mut chains, self.down, Direction::Down)?;
        for (name, chain) in &chains {
            let stuck = (chain.oldest..chain.current).find(|from| !chain.up.contains_key(from));
            if let Some(from) = stuck {
                return Err(refused(name, RegistrationFault::Gap { from }));
            }
        }
        Ok(Registry {
            names: Arc::new(by_stored_name(chains)),
        })
    }
}

impl Chain {
    fn new(name: &EventName, oldest: u32, current: u32) -> Self {
        Self {
            name: name.clone(),
            oldest,
            current,
            up: HashMap::new(),
            down: HashMap::new(),
            former: Vec::new(),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
}

fn refused(name: &EventName, fault: RegistrationFault) -> RegistryError {
    let name = name.clone();
    RegistryError::Registration { name, fault }
}

fn check_name(name: &EventName, version: u32) -> Result<(), RegistryError> {
    let wrong = name.event_type.is_empty()
        || name.event_type.starts_with(RESERVED)
        || name.stream_type.as_deref().is_some_and(str::is_empty);
    if wrong {
        return Err(refused(name, RegistrationFault::Name));
    }
    if version == 0 {
        return Err(refused(name, RegistrationFault::Version { version }));
    }
    Ok(())
}

fn retire(
    chains: &mut BTreeMap<EventName, Chain>,
    retired: Vec<(EventName, u32)>,
) -> Result<(), RegistryError> {
    let mut names = BTreeSet::new();
    for (name, through) in retired {
        check_name(&name, through)?;
        if !names.insert(name.clone()) {
            return Err(refused(&name, RegistrationFault::Twice));
        }
        let through = through.min(u32::MAX - 1);
        let oldest = through + 1;
        match chains.get_mut(&name) {
            Some(chain) if through >= chain.current => {
                let (from, current) = (through, chain.current);
                return Err(refused(&name, RegistrationFault::Beyond { from, current }));
            }
            Some(chain) => chain.oldest = oldest,
            None => {
                let chain = Chain::new(&name, oldest, through);
                chains.insert(name, chain);
            }
        }
    }
    Ok(())
}

fn rename(
    chains: &mut BTreeMap<EventName, Chain>,
    former: Vec<(EventName, u32, String)>,
) -> Result<(), RegistryError> {
    for (name, through, old_name) in former {
        let old = EventName {
            stream_type: name.stream_type.clone(),
            event_type: old_name,
        };
        check_name(&old, through)?;
        let taken = chains.values().any(|chain| {
            let stream_type = &chain.name.stream_type;
            let mut former = chain.former.iter();
            *stream_type == old.stream_type && former.any(|(_, known)| *known == old.event_type)
        });
        if taken || chains.contains_key(&old) {
            return Err(refused(&old, RegistrationFault::Twice));
        }
        let Some(chain) = chains.get_mut(&name) else {
            return Err(refused(&name, RegistrationFault::Unknown));
        };
        if through >= chain.current {
            let (from, current) = (through, chain.current);
            return Err(refused(&name, RegistrationFault::Beyond { from, current }));
        }
        if chain.former.iter().any(|(known, _)| *known == through) {
            return Err(refused(&name, RegistrationFault::Twice));
        }
        chain.former.push((through, old.event_type));
        chain.former.sort_unstable();
    }
    Ok(())
}

fn add_steps(
    chains: &mut BTreeMap<EventName, Chain>,
    steps: Vec<(EventName, u32, Step)>,
    direction: Direction,
) -> Result<(), RegistryError> {
    for (name, from, step) in steps {
        let Some(chain) = chains.get_mut(&name) else {
            return Err(refused(&name, RegistrationFault::Unknown));
        };
        // Versions that the step lies between.
        let (low, high, kind) = match direction {
            Direction::Up => (from, from.saturating_add(1), "upcaster"),
            Direction::Down => (from.saturating_sub(1), from, "downcaster"),
        };
        let fault = if low == 0 {
            Some(RegistrationFault::Version { version: from })
        } else if high > chain.current {
            let current = chain.current;
            Some(RegistrationFault::Beyond { from, current })
        } else if low < chain.oldest {
            let through = chain.oldest - 1;
            Some(RegistrationFault::Retired { from, through })
        } else {
            None
        };
        if let Some(fault) = fault {
            return Err(refused(&name, fault));
        }
        let known = match direction {
            Direction::Up => &mut chain.up,
            Direction::Down => &mut chain.down,
        };
        if known.insert(from, step).is_some() {
            return Err(refused(&name, RegistrationFault::StepTwice { kind, from }));
        }
    }
    Ok(())
}

/// Every name that an event may be stored under, with the versions it had under it.
fn by_stored_name(chains: BTreeMap<EventName, Chain>) -> HashMap<String, Vec<Named>> {
    let mut names: HashMap<String, Vec<Named>> = HashMap::new();
    for (name, chain) in chains {
        let chain = Arc::new(chain);
        let mut first = 1;
        let current = (chain.current, &name.event_type);
        let former = chain
            .former
            .iter()
            .map(|(through, old_name)| (*through, old_name));
        for (through, stored_name) in former.chain([current]) {
            names.entry(stored_name.clone()).or_default().push(Named {
                stream_type: name.stream_type.clone(),
                versions: first..=through,
                chain: Arc::clone(&chain),
            });
            first = through.saturating_add(1);
        }
    }
    for named in names.values_mut() {
        named.sort_by_key(|named| named.stream_type.is_none());
    }
    names
}
