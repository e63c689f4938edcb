//! Which changes of an object concern whom. Pure: events of a watch in, changes out.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use crds::{IdGenerator, Role, Tenant};
use k8s_openapi::api::core::v1::Namespace;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;
use kube::{Resource, ResourceExt};

use super::Guarded;

/// What of an object, when it changes, calls for work.
pub trait Watched: Resource<DynamicType = ()> {
    /// What the object's own reconciler looks at. Never the status, which that reconciler writes.
    fn own(&self, hasher: &mut DefaultHasher) {
        self.meta().generation.hash(hasher);
        self.meta().finalizers.hash(hasher);
        self.meta().deletion_timestamp.is_some().hash(hasher);
    }

    /// What objects that refer to this one look at.
    fn related(&self, hasher: &mut DefaultHasher);
}

fn ready(conditions: &[crds::Condition], hasher: &mut DefaultHasher) {
    let ready = conditions
        .iter()
        .find(|condition| condition.type_ == "Ready");
    ready.map(|condition| &condition.status).hash(hasher);
}

impl Watched for Tenant {
    fn related(&self, hasher: &mut DefaultHasher) {
        self.own(hasher);
        if let Some(status) = &self.status {
            ready(&status.conditions, hasher);
            status.namespaces.hash(hasher);
        }
    }
}

impl Watched for Role {
    fn related(&self, hasher: &mut DefaultHasher) {
        self.own(hasher);
        if let Some(status) = &self.status {
            ready(&status.conditions, hasher);
        }
    }
}

impl Watched for IdGenerator {
    fn related(&self, hasher: &mut DefaultHasher) {
        self.own(hasher);
    }
}

impl Watched for Namespace {
    fn related(&self, hasher: &mut DefaultHasher) {
        self.labels().hash(hasher);
        self.meta().deletion_timestamp.is_some().hash(hasher);
    }
}

/// A change that calls for work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change<K: Resource<DynamicType = ()> + 'static> {
    /// The object that changed.
    pub object: ObjectRef<Guarded<K>>,
    /// Whether its own reconciler is concerned.
    pub own: bool,
    /// Whether the objects that refer to it are concerned.
    pub related: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Fingerprint {
    uid: Option<String>,
    own: u64,
    related: u64,
}

/// Remembers of every object what was last reported.
#[derive(Debug)]
pub struct Fingerprints<K: Resource<DynamicType = ()> + 'static> {
    known: HashMap<ObjectRef<Guarded<K>>, Fingerprint>,
    /// What a list under way has brought. Reported when it is complete, since only then does the
    /// store hold it.
    listed: Option<HashMap<ObjectRef<Guarded<K>>, Fingerprint>>,
}

impl<K: Resource<DynamicType = ()> + 'static> Default for Fingerprints<K> {
    fn default() -> Self {
        Self {
            known: HashMap::new(),
            listed: None,
        }
    }
}

impl<K: Watched + Clone + 'static> Fingerprints<K> {
    /// The changes that `event` amounts to.
    pub fn observe(&mut self, event: &Event<Guarded<K>>) -> Vec<Change<K>> {
        match event {
            Event::Init => {
                self.listed = Some(HashMap::new());
                Vec::new()
            }
            Event::InitApply(object) => {
                let listed = self.listed.get_or_insert_default();
                listed.insert(ObjectRef::from_obj(object), fingerprint(object));
                Vec::new()
            }
            Event::InitDone => {
                let listed = self.listed.take().unwrap_or_default();
                let gone = self
                    .known
                    .keys()
                    .filter(|object| !listed.contains_key(*object));
                let gone: Vec<_> = gone.cloned().collect();
                let mut changes: Vec<_> = gone.into_iter().filter_map(|o| self.forget(o)).collect();
                changes.extend(listed.into_iter().filter_map(|(o, f)| self.learn(o, f)));
                changes
            }
            Event::Apply(object) => self
                .learn(ObjectRef::from_obj(object), fingerprint(object))
                .into_iter()
                .collect(),
            Event::Delete(object) => self
                .forget(ObjectRef::from_obj(object))
                .into_iter()
                .collect(),
        }
    }

    fn learn(
        &mut self,
        object: ObjectRef<Guarded<K>>,
        fingerprint: Fingerprint,
    ) -> Option<Change<K>> {
        let before = self.known.insert(object.clone(), fingerprint.clone());
        let same = before
            .as_ref()
            .filter(|before| before.uid == fingerprint.uid);
        let own = same.is_none_or(|before| before.own != fingerprint.own);
        let related = same.is_none_or(|before| before.related != fingerprint.related);
        (own || related).then_some(Change {
            object,
            own,
            related,
        })
    }

    fn forget(&mut self, object: ObjectRef<Guarded<K>>) -> Option<Change<K>> {
        self.known.remove(&object).map(|_| Change {
            object,
            own: false,
            related: true,
        })
    }
}

fn fingerprint<K: Watched>(object: &Guarded<K>) -> Fingerprint {
    let hashed = |write: &dyn Fn(&mut DefaultHasher)| {
        let mut hasher = DefaultHasher::new();
        write(&mut hasher);
        hasher.finish()
    };
    let (own, related) = match &object.0 {
        Ok(object) => (
            hashed(&|hasher| object.own(hasher)),
            hashed(&|hasher| object.related(hasher)),
        ),
        Err(undecodable) => {
            let version = hashed(&|h| undecodable.metadata.resource_version.hash(h));
            (version, version)
        }
    };
    Fingerprint {
        uid: object.uid(),
        own,
        related,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::DeserializeGuard;
    use serde_json::{Value, json};

    fn tenant(name: &str, generation: i64, ready: Option<&str>) -> Guarded<Tenant> {
        let conditions = ready.map(|status| {
            json!([{"type": "Ready", "status": status, "reason": "R", "message": "",
                    "lastTransitionTime": "2026-11-21T00:00:00Z"}])
        });
        DeserializeGuard(Ok(serde_json::from_value(json!({
            "apiVersion": "signet.dev/v1alpha1", "kind": "Tenant",
            "metadata": {"name": name, "uid": name, "generation": generation},
            "spec": {"namespaces": {"matchLabels": {"a": "b"}}, "tokens": {"audiences": ["x"]}},
            "status": {"conditions": conditions.unwrap_or(json!([]))},
        }))
        .unwrap()))
    }

    fn changes(found: Vec<Change<Tenant>>) -> Vec<(String, bool, bool)> {
        let mut found: Vec<_> = found
            .into_iter()
            .map(|change| (change.object.name, change.own, change.related))
            .collect();
        found.sort();
        found
    }

    #[test]
    fn a_status_change_concerns_those_who_refer_to_it_and_not_its_own_reconciler() {
        let mut fingerprints = Fingerprints::default();
        let mut apply = |object| changes(fingerprints.observe(&Event::Apply(object)));
        assert_eq!(
            apply(tenant("acme", 1, None)),
            [("acme".into(), true, true)]
        );
        assert_eq!(apply(tenant("acme", 1, None)), []);
        assert_eq!(
            apply(tenant("acme", 1, Some("True"))),
            [("acme".into(), false, true)]
        );
        assert_eq!(
            apply(tenant("acme", 2, Some("True"))),
            [("acme".into(), true, true)]
        );
    }

    #[test]
    fn finalizers_and_deletion_concern_its_own_reconciler() {
        let mut fingerprints = Fingerprints::default();
        let mut with = |patch: fn(&mut Tenant)| {
            let mut object = tenant("acme", 1, None);
            patch(object.0.as_mut().unwrap());
            changes(fingerprints.observe(&Event::Apply(object)))
        };
        with(|_| ());
        let finalized = with(|t| t.metadata.finalizers = Some(vec!["signet.dev/central".into()]));
        assert!(finalized[0].1);
        assert!(
            with(|t| t.metadata.deletion_timestamp =
                Some(serde_json::from_value(Value::from("2026-11-21T00:00:00Z")).unwrap()))[0]
                .1
        );
    }

    #[test]
    fn a_list_reports_when_complete_and_finds_what_went_unseen() {
        let mut fingerprints = Fingerprints::default();
        for name in ["acme", "globex"] {
            fingerprints.observe(&Event::Apply(tenant(name, 1, None)));
        }
        assert_eq!(changes(fingerprints.observe(&Event::Init)), []);
        let listed = Event::InitApply(tenant("acme", 2, None));
        assert_eq!(changes(fingerprints.observe(&listed)), []);
        assert_eq!(
            changes(fingerprints.observe(&Event::InitDone)),
            [("acme".into(), true, true), ("globex".into(), false, true)]
        );
    }

    #[test]
    fn an_object_made_anew_under_its_old_name_is_new() {
        let mut fingerprints = Fingerprints::default();
        fingerprints.observe(&Event::Apply(tenant("acme", 1, None)));
        let mut again = tenant("acme", 1, None);
        again.0.as_mut().unwrap().metadata.uid = Some("another".into());
        assert_eq!(
            changes(fingerprints.observe(&Event::Apply(again))),
            [("acme".into(), true, true)]
        );
    }
}
