//! Resources read from YAML files, as `kubectl apply -f DIR` would take them.

use std::{collections::BTreeMap, fs, io::ErrorKind, path::Path};

use crds::{IdGenerator, Role, Tenant, names};
use k8s_openapi::api::core::v1::Namespace;
use serde::Deserialize;
use serde_json::Value;

use crate::error::Error;

/// Everything that the files of a folder declare.
#[derive(Debug, Default, Clone)]
pub struct Declared {
    /// Labels of each namespace that is declared or that a resource lies in.
    pub namespaces: BTreeMap<String, BTreeMap<String, String>>,
    /// Tenants by name.
    pub tenants: BTreeMap<String, Tenant>,
    /// Roles by namespace and name.
    pub roles: BTreeMap<(String, String), Role>,
    /// Generators by namespace and name.
    pub id_generators: BTreeMap<(String, String), IdGenerator>,
    /// Documents that could not be taken, with the place and the reason.
    pub broken: Vec<String>,
}

/// Begins the `apiVersion` of every resource of ours.
const SIGNET: &str = "signet.dev/";

#[derive(Deserialize)]
struct Head {
    #[serde(default, rename = "apiVersion")]
    api_version: String,
    #[serde(default)]
    kind: String,
}

/// Reads every `.yaml` and `.yml` file of `folder`, in the order of their names.
///
/// A document that cannot be taken is listed in [`Declared::broken`] and does not stop the others.
/// Kinds that are not Signet's, save `Namespace`, are passed over.
///
/// # Errors
/// The folder or a file of it cannot be read.
pub fn read(folder: &Path) -> Result<Declared, Error> {
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::Resources { path, source }
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable(folder))? {
        let path = entry.map_err(unreadable(folder))?.path();
        if is_yaml(&path) {
            files.push(path);
        }
    }
    files.sort();
    let mut declared = Declared::default();
    for file in files {
        match fs::read_to_string(&file) {
            Ok(text) => declared.take_file(&file, &text),
            // It went since the folder was listed.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => declared.broken.push(format!("{}: {error}", file.display())),
        }
    }
    declared.add_namespaces_in_use();
    Ok(declared)
}

fn is_yaml(path: &Path) -> bool {
    path.is_file()
        && path
            .extension()
            .is_some_and(|extension| extension == "yaml" || extension == "yml")
}

impl Declared {
    /// Goes on with what was declared `before` and is missing now, if something could not be taken: a
    /// file that is half written, or mistyped, does not delete what it declared.
    pub(super) fn keep(&mut self, before: &Self) {
        if self.broken.is_empty() {
            return;
        }
        keep(&mut self.namespaces, &before.namespaces);
        keep(&mut self.tenants, &before.tenants);
        keep(&mut self.roles, &before.roles);
        keep(&mut self.id_generators, &before.id_generators);
    }

    fn take_file(&mut self, file: &Path, text: &str) {
        let documents: Vec<Value> = match serde_saphyr::from_multiple(text) {
            Ok(documents) => documents,
            Err(error) => {
                self.broken.push(format!("{}: {error}", file.display()));
                return;
            }
        };
        for (index, document) in documents.into_iter().enumerate() {
            if document.is_null() {
                continue;
            }
            if let Err(reason) = self.take(document) {
                self.broken.push(format!(
                    "{}, document {}: {reason}",
                    file.display(),
                    index + 1
                ));
            }
        }
    }

    fn take(&mut self, document: Value) -> Result<(), String> {
        let head = Head::deserialize(&document).map_err(|error| error.to_string())?;
        let Some(version) = head.api_version.strip_prefix(SIGNET) else {
            return match (head.api_version.as_str(), head.kind.as_str()) {
                ("", _) | (_, "") => Err("apiVersion or kind is missing".to_owned()),
                ("v1", "Namespace") => self.take_namespace(document),
                _ => Ok(()),
            };
        };
        match (version, head.kind.as_str()) {
            (names::VERSION, "Tenant") => {
                let tenant: Tenant = parse(document)?;
                let name = required(tenant.metadata.name.as_ref(), "metadata.name")?;
                insert(&mut self.tenants, name, tenant)
            }
            (names::VERSION, "Role") => {
                let role: Role = parse(document)?;
                let key = namespaced(&role.metadata)?;
                insert(&mut self.roles, key, role)
            }
            (names::VERSION, "IdGenerator") => {
                let generator: IdGenerator = parse(document)?;
                let key = namespaced(&generator.metadata)?;
                insert(&mut self.id_generators, key, generator)
            }
            (version, kind) => Err(format!(
                "{SIGNET}{version} {kind} is unknown; this release knows Tenant, Role and IdGenerator \
                 of {SIGNET}{}",
                names::VERSION
            )),
        }
    }

    fn take_namespace(&mut self, document: Value) -> Result<(), String> {
        let namespace: Namespace = parse(document)?;
        let name = required(namespace.metadata.name.as_ref(), "metadata.name")?;
        insert(&mut self.namespaces, name, operator::labels_of(&namespace))
    }

    /// A namespace that only resources name has no labels but its name's.
    fn add_namespaces_in_use(&mut self) {
        let keys = self.roles.keys().chain(self.id_generators.keys());
        for (name, _) in keys {
            self.namespaces.entry(name.clone()).or_insert_with(|| {
                let mut namespace = Namespace::default();
                namespace.metadata.name = Some(name.clone());
                operator::labels_of(&namespace)
            });
        }
    }
}

fn keep<K: Ord + Clone, V: Clone>(now: &mut BTreeMap<K, V>, before: &BTreeMap<K, V>) {
    for (key, value) in before {
        now.entry(key.clone()).or_insert_with(|| value.clone());
    }
}

fn parse<T: serde::de::DeserializeOwned>(document: Value) -> Result<T, String> {
    serde_json::from_value(document).map_err(|error| error.to_string())
}

fn required(value: Option<&String>, field: &str) -> Result<String, String> {
    value.cloned().ok_or_else(|| format!("{field} is missing"))
}

fn namespaced(metadata: &kube::core::ObjectMeta) -> Result<(String, String), String> {
    Ok((
        metadata
            .namespace
            .clone()
            .unwrap_or_else(|| "default".to_owned()),
        required(metadata.name.as_ref(), "metadata.name")?,
    ))
}

fn insert<K: Ord + std::fmt::Debug, V>(
    map: &mut BTreeMap<K, V>,
    key: K,
    value: V,
) -> Result<(), String> {
    let text = format!("{key:?} is declared twice");
    match map.insert(key, value) {
        None => Ok(()),
        Some(_) => Err(text),
    }
}
