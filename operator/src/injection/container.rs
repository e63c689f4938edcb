//! The sidecar as a container, and the volume with its token.

use serde_json::{Value, json};

use super::overrides::Overrides;
use super::quantity::Resources;

/// The name of the container.
pub const CONTAINER: &str = "signet";
/// The name of the volume that holds the projected token.
pub const VOLUME: &str = "signet-token";
/// Where the sidecar answers the application, on 127.0.0.1.
pub(super) const API_PORT: u16 = 7740;
/// Where the sidecar answers the kubelet and Prometheus.
pub const HEALTH_PORT: u16 = 7743;

const TOKEN_DIRECTORY: &str = "/var/run/secrets/signet.dev";
/// Any UID but root's. Used only where the pod itself says that all its containers run as root.
const UNPRIVILEGED: i64 = 65_532;

/// What all injected sidecars have in common.
#[derive(Clone, Debug, PartialEq)]
pub struct SidecarSettings {
    /// The image, unless the pod names another.
    pub image: String,
    /// Always, IfNotPresent or Never.
    pub image_pull_policy: String,
    /// What it requests and may use, unless the pod says otherwise.
    pub resources: Resources,
    /// Where central is.
    pub central_url: String,
    /// Certificates (PEM) to trust for central.
    pub central_ca: String,
    /// The audience of the projected token.
    pub token_audience: String,
    /// How long the projected token holds; the kubelet renews it ahead of expiry.
    pub token_expiration_seconds: u64,
    /// The log filter.
    pub log: String,
}

/// The container. It runs under the restricted Pod Security Standard, and as the image's own user
/// unless the pod forces root on all its containers.
pub(super) fn container(
    settings: &SidecarSettings,
    overrides: &Overrides,
    tenant: &str,
    pod_runs_as_root: bool,
) -> Value {
    let resources = &overrides.resources;
    let mut security = json!({
        "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true,
        "runAsNonRoot": true,
        "capabilities": { "drop": ["ALL"] },
        "seccompProfile": { "type": "RuntimeDefault" },
    });
    if pod_runs_as_root {
        security["runAsUser"] = UNPRIVILEGED.into();
    }
    json!({
        "name": CONTAINER,
        "image": overrides.image.as_ref().unwrap_or(&settings.image),
        "imagePullPolicy": settings.image_pull_policy,
        "restartPolicy": "Always",
        "env": environment(settings, overrides, tenant),
        "ports": [
            { "name": "signet-health", "containerPort": HEALTH_PORT, "protocol": "TCP" },
        ],
        "resources": {
            "requests": {
                "cpu": resources.cpu_request.as_str(),
                "memory": resources.memory_request.as_str(),
            },
            "limits": {
                "cpu": resources.cpu_limit.as_str(),
                "memory": resources.memory_limit.as_str(),
            },
        },
        "securityContext": security,
        // The application starts once this one has passed.
        "startupProbe": probe("/startup", 1, 300),
        "readinessProbe": probe("/ready", 5, 3),
        "livenessProbe": probe("/live", 10, 6),
        "volumeMounts": [
            { "name": VOLUME, "mountPath": TOKEN_DIRECTORY, "readOnly": true },
        ],
    })
}

fn probe(path: &str, period_seconds: u32, failures: u32) -> Value {
    json!({
        "httpGet": { "path": path, "port": HEALTH_PORT, "scheme": "HTTP" },
        "periodSeconds": period_seconds,
        "timeoutSeconds": 2,
        "failureThreshold": failures,
    })
}

fn environment(settings: &SidecarSettings, overrides: &Overrides, tenant: &str) -> Value {
    let from_field = |name: &str, path: &str| {
        json!({
            "name": name,
            "valueFrom": { "fieldRef": { "apiVersion": "v1", "fieldPath": path } },
        })
    };
    let value = |name: &str, value: &str| json!({ "name": name, "value": value });
    json!([
        value("SIGNET_TENANT", tenant),
        value("SIGNET_CENTRAL_URL", &settings.central_url),
        value("SIGNET_CENTRAL_CA", &settings.central_ca),
        value("SIGNET_TOKEN_FILE", &format!("{TOKEN_DIRECTORY}/token")),
        value("SIGNET_GENERATORS", &overrides.generators.join(",")),
        from_field("SIGNET_POD_NAME", "metadata.name"),
        from_field("SIGNET_NAMESPACE", "metadata.namespace"),
        value("SIGNET_PORT", &overrides.port.to_string()),
        value("SIGNET_HEALTH_PORT", &HEALTH_PORT.to_string()),
        value("SIGNET_LOG", &settings.log),
    ])
}

/// The volume with the token by which the sidecar proves itself to central.
pub(super) fn volume(settings: &SidecarSettings) -> Value {
    json!({
        "name": VOLUME,
        "projected": {
            "defaultMode": 0o644,
            "sources": [{
                "serviceAccountToken": {
                    "audience": settings.token_audience,
                    "expirationSeconds": settings.token_expiration_seconds,
                    "path": "token",
                },
            }],
        },
    })
}
