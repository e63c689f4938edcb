//! How each program of the cluster is called.

use std::fmt::Display;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::daemon::Daemon;
use super::layout::{Layout, NODE, NODE_ADDRESS, SERVICE_NETWORK};
use crate::components::Built;
use crate::process;

pub(super) const ETCD_ADDRESS: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 2379);

/// The programs of the cluster, in the order they start in.
pub(super) const NAMES: [&str; 7] = [
    "etcd",
    "containerd",
    "kube-apiserver",
    "kubelet",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-proxy",
];

fn flag(name: &str, value: impl Display) -> String {
    format!("--{name}={value}")
}

pub(super) fn etcd(layout: &Layout, program: PathBuf) -> Daemon {
    let arguments = vec![
        flag("name", NODE),
        flag("data-dir", layout.text("etcd")),
        flag("listen-client-urls", format!("http://{ETCD_ADDRESS}")),
        flag("advertise-client-urls", format!("http://{ETCD_ADDRESS}")),
        flag("listen-peer-urls", "http://127.0.0.1:2380"),
        flag("initial-advertise-peer-urls", "http://127.0.0.1:2380"),
        flag("initial-cluster", format!("{NODE}=http://127.0.0.1:2380")),
        // Nothing in this cluster outlives the machine.
        "--unsafe-no-fsync".to_owned(),
    ];
    Daemon {
        name: "etcd",
        program,
        arguments,
    }
}

pub(super) fn containerd(layout: &Layout) -> Result<Daemon> {
    let program = process::find("containerd").context("containerd is missing")?;
    let arguments = vec!["--config".to_owned(), layout.text("containerd.toml")];
    Ok(Daemon {
        name: "containerd",
        program,
        arguments,
    })
}

pub(super) fn api_server(layout: &Layout, node: &Built) -> Daemon {
    let pki = |file: &str| layout.path("pki").join(file).display().to_string();
    let arguments = vec![
        flag("etcd-servers", format!("http://{ETCD_ADDRESS}")),
        flag("bind-address", "0.0.0.0"),
        flag("secure-port", 6443),
        flag("advertise-address", NODE_ADDRESS),
        flag("tls-cert-file", pki("apiserver.crt")),
        flag("tls-private-key-file", pki("apiserver.key")),
        flag("client-ca-file", pki("ca.crt")),
        flag("authorization-mode", "Node,RBAC"),
        flag("enable-admission-plugins", "NodeRestriction"),
        flag("allow-privileged", true),
        flag(
            "service-account-issuer",
            "https://kubernetes.default.svc.cluster.local",
        ),
        flag("service-account-key-file", pki("sa.pub")),
        flag("service-account-signing-key-file", pki("sa.key")),
        flag("service-cluster-ip-range", SERVICE_NETWORK),
        // Webhooks are called at their pods' addresses and so do not wait for kube-proxy.
        flag("enable-aggregator-routing", true),
        flag("requestheader-client-ca-file", pki("front-proxy-ca.crt")),
        flag("requestheader-allowed-names", "front-proxy-client"),
        flag("requestheader-username-headers", "X-Remote-User"),
        flag("requestheader-group-headers", "X-Remote-Group"),
        flag("requestheader-extra-headers-prefix", "X-Remote-Extra-"),
        flag("proxy-client-cert-file", pki("front-proxy-client.crt")),
        flag("proxy-client-key-file", pki("front-proxy-client.key")),
        flag(
            "kubelet-client-certificate",
            pki("apiserver-kubelet-client.crt"),
        ),
        flag("kubelet-client-key", pki("apiserver-kubelet-client.key")),
        flag("kubelet-certificate-authority", pki("ca.crt")),
        flag("kubelet-preferred-address-types", "InternalIP"),
        flag("shutdown-delay-duration", "0s"),
        flag("profiling", false),
    ];
    of_node(node, "kube-apiserver", arguments)
}

pub(super) fn kubelet(layout: &Layout, node: &Built) -> Daemon {
    let arguments = vec![
        flag("config", layout.text("kubelet.yaml")),
        flag("kubeconfig", layout.kubeconfig("kubelet").display()),
        flag("hostname-override", NODE),
        flag("node-ip", NODE_ADDRESS),
        flag("root-dir", layout.text("kubelet")),
        flag("cert-dir", layout.text("kubelet/pki")),
        flag("v", 1),
    ];
    of_node(node, "kubelet", arguments)
}

pub(super) fn controller_manager(layout: &Layout, node: &Built) -> Daemon {
    let name = "kube-controller-manager";
    let pki = |file: &str| layout.path("pki").join(file).display().to_string();
    let mut arguments = client_flags(layout, name);
    arguments.extend([
        flag("use-service-account-credentials", true),
        flag("service-account-private-key-file", pki("sa.key")),
        flag("root-ca-file", pki("ca.crt")),
        flag("client-ca-file", pki("ca.crt")),
        flag("requestheader-client-ca-file", pki("front-proxy-ca.crt")),
        flag("cluster-signing-cert-file", pki("ca.crt")),
        flag("cluster-signing-key-file", pki("ca.key")),
        flag(
            "flex-volume-plugin-dir",
            layout.text("kubelet/volume-plugins"),
        ),
        flag("allocate-node-cidrs", false),
        // It makes some forty clients one by one, each asking: at the default rate the first pod
        // waits four seconds for them.
        flag("kube-api-qps", 500),
        flag("kube-api-burst", 1000),
    ]);
    of_node(node, name, arguments)
}

pub(super) fn scheduler(layout: &Layout, node: &Built) -> Daemon {
    of_node(
        node,
        "kube-scheduler",
        client_flags(layout, "kube-scheduler"),
    )
}

pub(super) fn proxy(layout: &Layout, node: &Built) -> Daemon {
    let arguments = vec![flag("config", layout.text("kube-proxy.yaml"))];
    of_node(node, "kube-proxy", arguments)
}

fn client_flags(layout: &Layout, user: &str) -> Vec<String> {
    let file = layout.kubeconfig(user);
    let kubeconfig = file.display();
    vec![
        flag("kubeconfig", &kubeconfig),
        flag("authentication-kubeconfig", &kubeconfig),
        flag("authorization-kubeconfig", &kubeconfig),
        flag("bind-address", "127.0.0.1"),
        flag("leader-elect", false),
        flag("profiling", false),
    ]
}

fn of_node(node: &Built, name: &'static str, arguments: Vec<String>) -> Daemon {
    Daemon {
        name,
        program: node.alias(name),
        arguments,
    }
}
