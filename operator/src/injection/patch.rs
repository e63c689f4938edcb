//! Which places of a pod change.

use std::collections::BTreeMap;

use crds::names::INJECTED;
use json_patch::{AddOperation, Patch, PatchOperation, jsonptr::PointerBuf};
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use kube::ResourceExt;
use serde_json::{Value, json};

use super::container::{self, CONTAINER, HEALTH_PORT, SidecarSettings, VOLUME};
use super::denial::Denial;
use super::overrides::Overrides;

const SIGNET_URL: &str = "SIGNET_URL";
const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";

/// What surrounds a pod that wants a sidecar.
#[derive(Clone, Copy, Debug)]
pub struct InjectionContext<'a> {
    /// The tenant the pod acts for.
    pub tenant: &'a str,
    /// What all sidecars have in common.
    pub settings: &'a SidecarSettings,
}

/// What is to be done with a pod.
#[derive(Clone, Debug, PartialEq)]
pub struct Injection {
    /// The changes. Empty when nothing is left to do.
    pub patch: Patch,
    /// Whether the sidecar was there before.
    pub present: bool,
}

/// Whether the pod has our container, and bears the mark that it is ours.
pub fn has_sidecar(pod: &Pod) -> bool {
    pod.annotations().contains_key(INJECTED)
        && pod.spec.as_ref().is_some_and(|spec| named(spec, CONTAINER))
}

fn named(spec: &PodSpec, name: &str) -> bool {
    let containers = spec
        .init_containers
        .iter()
        .flatten()
        .chain(&spec.containers);
    { containers }.any(|container| container.name == name)
}

/// The changes that put the sidecar into `pod`, first among its init containers so that it runs
/// before everything else and ends after it.
///
/// A pod that has it already gets what other webhooks took away or brought along since:
/// `SIGNET_URL` for containers that lack it, and the token's volume.
///
/// # Errors
/// When the pod's annotations, names or ports leave no room for it.
pub fn inject(pod: &Pod, context: &InjectionContext<'_>) -> Result<Injection, Denial> {
    let settings = context.settings;
    let overrides = Overrides::read(pod.annotations(), &settings.resources)?;
    let default = PodSpec::default();
    let spec = pod.spec.as_ref().unwrap_or(&default);
    let present = has_sidecar(pod);
    if !present {
        refuse_what_cannot_be(spec, &overrides)?;
    }

    let mut patch = Vec::new();
    // Before the container is put in front, which moves the others.
    urls(
        &mut patch,
        "initContainers",
        spec.init_containers.as_deref(),
        overrides.port,
    );
    urls(
        &mut patch,
        "containers",
        Some(&spec.containers),
        overrides.port,
    );
    if !spec
        .volumes
        .iter()
        .flatten()
        .any(|volume| volume.name == VOLUME)
    {
        append(
            &mut patch,
            &["spec", "volumes"],
            spec.volumes.is_some(),
            container::volume(settings),
        );
    }
    if !present {
        let as_root = { spec.security_context.as_ref() }.and_then(|pod| pod.run_as_user) == Some(0);
        let sidecar = container::container(settings, &overrides, context.tenant, as_root);
        match spec.init_containers {
            Some(_) => add(&mut patch, &["spec", "initContainers", "0"], sidecar),
            None => add(&mut patch, &["spec", "initContainers"], json!([sidecar])),
        }
        annotations(&mut patch, pod, spec, context.tenant);
    }
    Ok(Injection {
        patch: Patch(patch),
        present,
    })
}

fn refuse_what_cannot_be(spec: &PodSpec, overrides: &Overrides) -> Result<(), Denial> {
    if spec.host_network == Some(true) {
        return Err(Denial::HostNetwork);
    }
    if named(spec, CONTAINER) {
        return Err(Denial::NameTaken {
            what: "container",
            name: CONTAINER,
        });
    }
    if spec
        .volumes
        .iter()
        .flatten()
        .any(|volume| volume.name == VOLUME)
    {
        return Err(Denial::NameTaken {
            what: "volume",
            name: VOLUME,
        });
    }
    for container in spec
        .init_containers
        .iter()
        .flatten()
        .chain(&spec.containers)
    {
        for port in container.ports.iter().flatten() {
            for (taken, movable) in [(overrides.port, true), (HEALTH_PORT, false)] {
                if port.container_port == i32::from(taken) {
                    return Err(Denial::PortTaken {
                        container: container.name.clone(),
                        port: taken,
                        movable,
                    });
                }
            }
        }
    }
    Ok(())
}

fn urls(patch: &mut Vec<PatchOperation>, list: &str, containers: Option<&[Container]>, port: u16) {
    let containers = containers.unwrap_or_default().iter().enumerate();
    for (index, container) in containers.filter(|(_, container)| container.name != CONTAINER) {
        let variables = container.env.as_deref().unwrap_or_default();
        if !variables.iter().any(|variable| variable.name == SIGNET_URL) {
            append(
                patch,
                &["spec", list, &index.to_string(), "env"],
                container.env.is_some(),
                json!({ "name": SIGNET_URL, "value": format!("http://127.0.0.1:{port}") }),
            );
        }
    }
}

fn annotations(patch: &mut Vec<PatchOperation>, pod: &Pod, spec: &PodSpec, tenant: &str) {
    let mut wanted = BTreeMap::from([(INJECTED, tenant)]);
    if let Some(first) = spec.containers.first()
        && !pod.annotations().contains_key(DEFAULT_CONTAINER)
    {
        wanted.insert(DEFAULT_CONTAINER, &first.name);
    }
    if pod.metadata.annotations.is_none() {
        add(patch, &["metadata", "annotations"], json!({}));
    }
    for (key, value) in wanted {
        add(patch, &["metadata", "annotations", key], json!(value));
    }
}

fn append(patch: &mut Vec<PatchOperation>, list: &[&str], exists: bool, value: Value) {
    if exists {
        let end = [list, &["-"]].concat();
        add(patch, &end, value);
    } else {
        add(patch, list, json!([value]));
    }
}

fn add(patch: &mut Vec<PatchOperation>, path: &[&str], value: Value) {
    patch.push(PatchOperation::Add(AddOperation {
        path: PointerBuf::from_tokens(path.iter().copied()),
        value,
    }));
}
