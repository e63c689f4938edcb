//! Names, addresses and files of the local cluster. There is one a machine: its ports are fixed.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

/// Name of the node, the bridge, the cgroup and the kubeconfig's context: by them we know what is
/// ours.
pub(super) const NODE: &str = "signet-node";
pub(super) const BRIDGE: &str = "signet0";
pub(super) const CGROUP: &str = "signet-cluster";
pub(super) const CONTEXT: &str = "signet";

/// The bridge's address is the node's: nothing depends on the machine's own links.
pub(crate) const NODE_ADDRESS: &str = "10.244.0.1";
pub(super) const POD_NETWORK: &str = "10.244.0.0/24";
pub(super) const SERVICE_NETWORK: &str = "10.96.0.0/16";
pub(super) const API_SERVICE: &str = "10.96.0.1";
pub(super) const DNS_SERVICE: &str = "10.96.0.10";

/// Ports on this machine that the cluster takes.
pub(super) const PORTS: [u16; 9] = [6443, 2379, 2380, 10248, 10249, 10250, 10256, 10257, 10259];

/// Where everything the cluster writes lies: one folder, outside the checkout and any home, so
/// that whoever is root finds it again.
#[derive(Clone)]
pub(crate) struct Layout {
    root: PathBuf,
}

impl Layout {
    /// `SIGNET_CLUSTER_STATE`, else `/var/lib/signet-cluster`.
    ///
    /// # Errors
    /// When the path is relative, or too long for the sockets under it.
    pub(crate) fn find() -> Result<Self> {
        let root = env::var_os("SIGNET_CLUSTER_STATE")
            .map_or_else(|| PathBuf::from("/var/lib/signet-cluster"), PathBuf::from);
        // A socket's path has at most 107 bytes; the longest tail of ours has about 60.
        if !root.is_absolute() || root.as_os_str().len() > 45 {
            bail!(
                "SIGNET_CLUSTER_STATE must be an absolute path of at most 45 bytes, not {}",
                root.display()
            );
        }
        Ok(Self { root })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn exists(&self) -> bool {
        self.root.exists()
    }

    pub(super) fn path(&self, inside: &str) -> PathBuf {
        self.root.join(inside)
    }

    /// A path as text, for configuration files and arguments.
    pub(super) fn text(&self, inside: &str) -> String {
        self.path(inside).display().to_string()
    }

    /// Written last by `up`: with it, the cluster was once whole.
    pub(super) fn ready_mark(&self) -> PathBuf {
        self.path("ready")
    }

    pub(super) fn log(&self, daemon: &str) -> PathBuf {
        self.path("log").join(format!("{daemon}.log"))
    }

    pub(super) fn pid_file(&self, daemon: &str) -> PathBuf {
        self.path("run").join(format!("{daemon}.pid"))
    }

    /// A kubeconfig by the name of its user.
    pub(super) fn kubeconfig(&self, user: &str) -> PathBuf {
        self.path(&format!("{user}.conf"))
    }

    /// The kubeconfig of an administrator.
    pub(crate) fn admin_kubeconfig(&self) -> PathBuf {
        self.kubeconfig("admin")
    }

    /// The folder of the components' logs.
    pub(crate) fn logs(&self) -> PathBuf {
        self.path("log")
    }

    /// The folder of the containers' logs.
    pub(crate) fn pod_logs(&self) -> PathBuf {
        self.path("pod-logs")
    }

    pub(super) fn containerd_socket(&self) -> String {
        self.text("run/containerd.sock")
    }
}
