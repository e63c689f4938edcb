//! Replays that somebody asked for: events counted by type, or a chain verified, in the background of
//! this process, to be watched and cancelled.
//!
//! They live in the process that was asked and end with it; nothing is stored. How many run at once is
//! bounded, for all and for each tenant, so that nobody takes them from the others.

mod entry;
mod request;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use eventstore::{
    EventStore, RecordedEvent,
    integrity::{PublicKeys, Verify, verify},
    replay::{ReplayError, Replays as Counting, ReplaysOptions, VisitError},
};
use uuid::Uuid;

use self::entry::{Entry, Work};
pub(crate) use self::request::{Purpose, ReplayRequest};
use crate::error::ServiceError;

/// Replays that run at once, and those of them that may be of one tenant.
const MOST_AT_ONCE: usize = 4;
const MOST_OF_A_TENANT: usize = 2;
/// Replays that ended and are kept to be looked at, of each tenant, and of those over all tenants: whose
/// are many and short must not take away what others have not looked at yet. And for how long.
const KEPT: usize = 25;
const KEPT_FOR: Duration = Duration::from_secs(3600);

/// The replays of this process.
pub(crate) struct Replays {
    store: Arc<dyn EventStore>,
    counting: Counting,
    /// What signatures of checkpoints are checked with.
    keys: PublicKeys,
    /// The oldest first.
    entries: Mutex<VecDeque<Entry>>,
}

impl Replays {
    /// None yet.
    pub(crate) fn new(store: Arc<dyn EventStore>, keys: PublicKeys) -> Self {
        let options = ReplaysOptions {
            most_at_once: MOST_AT_ONCE,
            keep_ended: 0,
            ..ReplaysOptions::default()
        };
        Self {
            counting: Counting::new(Arc::clone(&store), options),
            store,
            keys,
            entries: Mutex::default(),
        }
    }

    /// Starts one and says how it looks.
    pub(crate) fn start(&self, request: ReplayRequest) -> Result<serde_json::Value, ServiceError> {
        let replay = request.replay()?;
        let mut entries = self.pruned();
        has_room(&entries, request.tenant())?;
        let work = match request.purpose {
            Purpose::Count => {
                let counts: Arc<Mutex<BTreeMap<String, u64>>> = Arc::default();
                let counted = Arc::clone(&counts);
                let visitor = move |events: &[RecordedEvent]| -> Result<(), VisitError> {
                    let mut counts = counted.lock().unwrap_or_else(PoisonError::into_inner);
                    for event in events {
                        *counts.entry(event.event_type.clone()).or_default() += 1;
                    }
                    Ok(())
                };
                Work::Count(self.counting.start(replay, visitor)?, counts)
            }
            Purpose::Verify => {
                let scope = request.verify_scope();
                let asked = Verify::of(scope, self.keys.clone());
                Work::Verify(verify(Arc::clone(&self.store), asked))
            }
        };
        let entry = Entry::new(Uuid::now_v7(), request, work);
        let view = entry.view();
        entries.push_back(entry);
        Ok(view)
    }

    /// How one is that runs or ended a while ago; below a tenant only if it is its own.
    pub(crate) fn get(
        &self,
        tenant: Option<&str>,
        id: &str,
    ) -> Result<serde_json::Value, ServiceError> {
        self.find(tenant, id, Entry::view)
    }

    /// Stops one behind the page in hand.
    pub(crate) fn cancel(
        &self,
        tenant: Option<&str>,
        id: &str,
    ) -> Result<serde_json::Value, ServiceError> {
        self.find(tenant, id, |entry| {
            entry.cancel();
            entry.view()
        })
    }

    /// Up to `limit` of them, the youngest first, behind the one with the id `after`; and whether that
    /// is all. Of a tenant only its own.
    pub(crate) fn list(
        &self,
        tenant: Option<&str>,
        after: Option<Uuid>,
        limit: usize,
    ) -> (Vec<serde_json::Value>, Option<Uuid>, bool) {
        let entries = self.pruned();
        let mut found = entries
            .iter()
            .rev()
            .filter(|entry| tenant.is_none() || entry.tenant() == tenant)
            .filter(|entry| after.is_none_or(|after| entry.id < after));
        let page: Vec<&Entry> = found.by_ref().take(limit).collect();
        let end = found.next().is_none();
        let next = page.last().map(|entry| entry.id);
        (page.into_iter().map(Entry::view).collect(), next, end)
    }

    fn find<T>(
        &self,
        tenant: Option<&str>,
        id: &str,
        then: impl FnOnce(&Entry) -> T,
    ) -> Result<T, ServiceError> {
        let entries = self.pruned();
        let mut own = entries
            .iter()
            .filter(|entry| tenant.is_none() || entry.tenant() == tenant);
        let entry = own.find(|entry| entry.id.to_string() == id);
        entry
            .map(then)
            .ok_or_else(|| ServiceError::missing("replay", id))
    }

    /// What is kept, without what was kept for long enough.
    fn pruned(&self) -> MutexGuard<'_, VecDeque<Entry>> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        for entry in entries.iter_mut() {
            entry.notice_end();
        }
        entries.retain(|entry| entry.ended_for().is_none_or(|since| since < KEPT_FOR));
        let mut ended: HashMap<Option<String>, usize> = HashMap::new();
        for index in (0..entries.len()).rev() {
            // The youngest first; one that runs may end meanwhile, and then goes the next time.
            if let Some(entry) = entries.get(index).filter(|entry| entry.has_ended()) {
                let ended = ended.entry(entry.tenant().map(str::to_owned)).or_default();
                *ended += 1;
                if *ended > KEPT {
                    entries.remove(index);
                }
            }
        }
        entries
    }
}

impl Drop for Replays {
    fn drop(&mut self) {
        self.pruned().iter().for_each(Entry::cancel);
    }
}

fn has_room(entries: &VecDeque<Entry>, tenant: Option<&str>) -> Result<(), ServiceError> {
    let running = entries.iter().filter(|entry| entry.runs()).count();
    let own = entries
        .iter()
        .filter(|entry| tenant.is_some() && entry.tenant() == tenant && entry.runs())
        .count();
    match running >= MOST_AT_ONCE || own >= MOST_OF_A_TENANT {
        true => Err(ServiceError::TooManyReplays(own.max(running))),
        false => Ok(()),
    }
}

impl From<ReplayError> for ServiceError {
    fn from(error: ReplayError) -> Self {
        match error {
            ReplayError::Busy { running } => Self::TooManyReplays(running),
            ReplayError::Invalid { field, message } => Self::InvalidArgument {
                name: field.into(),
                message: message.to_owned(),
            },
            ReplayError::Unknown { id } => Self::missing("replay", &id.to_string()),
            ReplayError::Read(error) => error.into(),
            error => Self::Internal(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use eventstore::{Options, integrity::PublicKeys};
    use serde_json::{Value, json};

    use super::{KEPT, Replays};

    /// Counts nothing, and waits for the end; its id.
    async fn replayed(replays: &Replays, tenant: Option<&str>) -> String {
        let request = json!({ "purpose": "count", "tenant": tenant });
        let begun = replays.start(serde_json::from_value(request).unwrap());
        let id = begun.unwrap()["id"].as_str().unwrap().to_owned();
        for _ in 0..1000 {
            if replays.get(tenant, &id).unwrap()["state"] != "running" {
                return id;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("it never ended");
    }

    #[tokio::test]
    async fn many_replays_of_a_tenant_take_away_nobody_elses() {
        let store = eventstore::open("sqlite::memory:", Options::default());
        let replays = Replays::new(store.await.unwrap(), PublicKeys::none());
        let of_all = replayed(&replays, None).await;
        let quiet = replayed(&replays, Some("quiet")).await;
        let first = replayed(&replays, Some("busy")).await;

        for _ in 0..100 {
            replayed(&replays, Some("busy")).await;
        }

        assert!(replays.get(None, &of_all).is_ok());
        assert!(replays.get(Some("quiet"), &quiet).is_ok());
        assert!(replays.get(Some("busy"), &first).is_err());
        let (busy, ..) = replays.list(Some("busy"), None, 1000);
        assert_eq!(busy.len(), KEPT);
        let ids = |found: Vec<Value>| {
            found
                .iter()
                .map(|one| one["id"].clone())
                .collect::<Vec<_>>()
        };
        let (all, ..) = replays.list(None, None, 1000);
        assert_eq!(all.len(), KEPT + 2);
        assert!(ids(all).contains(&json!(of_all)));
    }
}
