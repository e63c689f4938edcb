//! The words of Signet that users write into their manifests.

/// The API group of all resources.
pub const GROUP: &str = "signet.dev";
/// The version of all resources.
pub const VERSION: &str = "v1alpha1";
/// The finalizer that holds a resource until central has let go of it.
pub const FINALIZER: &str = "signet.dev/central";

/// Label of namespaces and pods: [`ENABLED`] asks for the sidecar, [`DISABLED`] opts a pod out.
pub const INJECTION: &str = "signet.dev/injection";
/// A value of [`INJECTION`].
pub const ENABLED: &str = "enabled";
/// A value of [`INJECTION`].
pub const DISABLED: &str = "disabled";

/// Pod annotation: the tenant the pod acts for, where its namespace admits several.
pub const TENANT: &str = "signet.dev/tenant";
/// Pod annotation: generators warmed before the pod is ready, a comma list.
pub const GENERATORS: &str = "signet.dev/generators";
/// Pod annotation: another image for the sidecar.
pub const IMAGE: &str = "signet.dev/image";
/// Pod annotation: the sidecar's CPU request, a quantity.
pub const CPU_REQUEST: &str = "signet.dev/cpu-request";
/// Pod annotation: the sidecar's CPU limit, a quantity.
pub const CPU_LIMIT: &str = "signet.dev/cpu-limit";
/// Pod annotation: the sidecar's memory request, a quantity.
pub const MEMORY_REQUEST: &str = "signet.dev/memory-request";
/// Pod annotation: the sidecar's memory limit, a quantity.
pub const MEMORY_LIMIT: &str = "signet.dev/memory-limit";
/// Pod annotation: another port on 127.0.0.1 for the sidecar's API.
pub const PORT: &str = "signet.dev/port";
/// Pod annotation of the reverse-proxy mode, which this release does not serve.
pub const PROXY_PORT: &str = "signet.dev/proxy-port";
/// Pod annotation of the reverse-proxy mode, which this release does not serve.
pub const UPSTREAM_PORT: &str = "signet.dev/upstream-port";
/// Pod annotation written by the webhook: which tenant's sidecar it put in.
pub const INJECTED: &str = "signet.dev/injected";
