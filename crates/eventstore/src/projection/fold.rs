//! Folding events into documents, in memory. Pure: what the database knows comes in, what is to be
//! written comes out.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde_json::Value;

use super::Projection;
use super::changes::{Changes, Upsert, encode};
use super::partition::Share;
use crate::event::RecordedEvent;

const MAX_KEY_BYTES: usize = 512;

/// An event that a projection cannot get past.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stop {
    pub(crate) position: u64,
    pub(crate) message: String,
}

/// Tenant and key.
pub(crate) type Name = (String, String);

/// What the events of a page touch, up to the first that stops the projection.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    /// Places of events and the keys of each.
    keys: Vec<(usize, Vec<String>)>,
    stop: Option<Stop>,
}

/// A document as it is known here; none if there is none.
#[derive(Debug)]
struct Entry {
    data: Option<Value>,
    position: u64,
    /// Whether there is one in the database.
    stored: bool,
    /// Whether it differs from the one in the database.
    changed: bool,
    /// Whether it was touched since the last clearing out.
    used: bool,
}

/// Documents in memory. After a [`Stop`] it is of no use any more.
#[derive(Debug)]
pub(crate) struct Fold {
    projection: Arc<dyn Projection>,
    share: Share,
    documents: HashMap<String, HashMap<String, Entry>>,
    cached: usize,
    changed: Vec<Name>,
    /// Whether what is not here is not in the database either.
    whole: bool,
}

impl Fold {
    /// `empty`: nothing was written of this partition yet.
    pub(crate) fn new(projection: Arc<dyn Projection>, share: Share, empty: bool) -> Self {
        Self {
            projection,
            share,
            documents: HashMap::new(),
            cached: 0,
            changed: Vec::new(),
            whole: empty,
        }
    }

    /// Number of documents to be written.
    pub(crate) fn changed(&self) -> usize {
        self.changed.len()
    }

    /// What the events touch of this partition, which are brought to their present shape.
    pub(crate) fn touched(&self, events: &mut [RecordedEvent]) -> Touched {
        let mut touched = Touched::default();
        for (place, event) in events.iter_mut().enumerate() {
            match self.keys(event) {
                Ok(keys) if keys.is_empty() => {}
                Ok(keys) => touched.keys.push((place, keys)),
                Err(message) => {
                    let position = event.position.0;
                    touched.stop = Some(Stop { position, message });
                    break;
                }
            }
        }
        touched
    }

    fn keys(&self, event: &mut RecordedEvent) -> Result<Vec<String>, String> {
        if !self.share.may_hold(&event.stream.tenant) {
            return Ok(Vec::new());
        }
        let projection = &self.projection;
        let mut keys = guarded(|| match projection.selects(event) {
            true => projection.upcast(event).map(|()| projection.keys(event)),
            false => Ok(Vec::new()),
        })?;
        let tenant = &event.stream.tenant;
        if let Some(key) = keys.iter().find(|key| !is_key(key)) {
            return Err(format!(
                "the key {key:?} cannot be stored; keys have 1 to {MAX_KEY_BYTES} bytes and no NUL"
            ));
        }
        if keys.len() > 1 {
            keys.sort_unstable();
            keys.dedup();
        }
        keys.retain(|key| self.share.holds(tenant, key));
        Ok(keys)
    }

    /// Documents that have to be loaded before the events can be applied.
    pub(crate) fn missing(&self, events: &[RecordedEvent], touched: &Touched) -> Vec<Name> {
        if self.whole {
            return Vec::new();
        }
        let mut missing = Vec::new();
        for (place, keys) in &touched.keys {
            let tenant = &events[*place].stream.tenant;
            let known = self.documents.get(tenant);
            for key in keys {
                if !known.is_some_and(|known| known.contains_key(key)) {
                    missing.push((tenant.clone(), key.clone()));
                }
            }
        }
        missing.sort_unstable();
        missing.dedup();
        missing
    }

    /// Takes in a document of the database; not one that was asked for and is not there.
    pub(crate) fn load(&mut self, (tenant, key): Name, position: u64, data: Value) {
        let entry = Entry {
            data: Some(data),
            position,
            stored: true,
            changed: false,
            used: true,
        };
        let documents = self.documents.entry(tenant).or_default();
        if documents.insert(key, entry).is_none() {
            self.cached += 1;
        }
    }

    /// Applies the events; all that is [missing](Self::missing) was loaded.
    pub(crate) fn apply(&mut self, events: &[RecordedEvent], touched: Touched) -> Result<(), Stop> {
        for (place, keys) in touched.keys {
            let event = &events[place];
            let tenant = &event.stream.tenant;
            if !self.documents.contains_key(tenant) {
                self.documents.insert(tenant.clone(), HashMap::new());
            }
            let Some(documents) = self.documents.get_mut(tenant) else {
                continue;
            };
            for key in keys {
                let entry = match documents.get_mut(&key) {
                    Some(entry) => entry,
                    None => {
                        self.cached += 1;
                        documents.entry(key.clone()).or_insert(Entry::absent())
                    }
                };
                let before = entry.data.take();
                let projection = &self.projection;
                entry.data =
                    guarded(|| projection.apply(before, &key, event)).map_err(|message| {
                        let position = event.position.0;
                        let message = format!("{} (document {key}): {message}", event.event_type);
                        Stop { position, message }
                    })?;
                entry.position = event.position.0;
                entry.used = true;
                if !entry.changed {
                    entry.changed = true;
                    self.changed.push((tenant.clone(), key));
                }
            }
        }
        touched.stop.map_or(Ok(()), Err)
    }

    /// What is to be written, which counts as written from now on.
    pub(crate) fn take_changes(&mut self) -> Result<Changes, Stop> {
        let mut changes = Changes::default();
        for (tenant, key) in std::mem::take(&mut self.changed) {
            let documents = self.documents.get_mut(&tenant);
            let Some(entry) = documents.and_then(|documents| documents.get_mut(&key)) else {
                continue;
            };
            let was_stored = entry.stored;
            entry.stored = entry.data.is_some();
            entry.changed = false;
            changes.grows += i64::from(entry.stored) - i64::from(was_stored);
            match &entry.data {
                Some(document) => changes.upserts.push(Upsert {
                    data: encode(document, &key, entry.position)?,
                    tenant,
                    key,
                    position: entry.position,
                }),
                None if was_stored => changes.deletes.push((tenant, key)),
                None => {}
            }
        }
        Ok(changes)
    }

    /// Forgets documents that were not touched lately, if there are more than `limit`. Nothing may be
    /// on its way to the database: what is loaded again would be older.
    pub(crate) fn forget_beyond(&mut self, limit: usize) {
        if self.cached <= limit {
            return;
        }
        self.whole = false;
        self.retain(|entry| entry.changed || std::mem::take(&mut entry.used));
        if self.cached > limit {
            self.retain(|entry| entry.changed);
        }
    }

    fn retain(&mut self, keep: impl Fn(&mut Entry) -> bool) {
        for documents in self.documents.values_mut() {
            documents.retain(|_, entry| keep(entry));
        }
        self.documents.retain(|_, documents| !documents.is_empty());
        self.cached = self.documents.values().map(HashMap::len).sum();
    }
}

impl Entry {
    fn absent() -> Self {
        Self {
            data: None,
            position: 0,
            stored: false,
            changed: false,
            used: true,
        }
    }
}

fn is_key(key: &str) -> bool {
    (1..=MAX_KEY_BYTES).contains(&key.len()) && !key.contains('\0')
}

/// A projection that panics must not take the lane or a worker with it, where a panic can be caught.
fn guarded<T>(call: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        Err(format!("it panicked: {}", text.unwrap_or_default()))
    })
}

#[cfg(test)]
mod tests;
