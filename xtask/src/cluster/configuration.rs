//! The configuration files of containerd, the pod network, the kubelet and kube-proxy.

use std::fs;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::layout::{BRIDGE, CGROUP, DNS_SERVICE, Layout, NODE, NODE_ADDRESS, POD_NETWORK};
use crate::{components, process};

/// Writes all of them.
pub(super) fn write(layout: &Layout) -> Result<()> {
    fs::write(layout.path("containerd.toml"), containerd(layout)?)?;
    // The machine's own resolver is of no use to a pod: nothing outside the cluster is promised.
    fs::write(layout.path("resolv.conf"), "nameserver 127.0.0.1\n")?;
    let json = [
        ("cni/net.d/10-signet.conflist", pod_network(layout)),
        ("kubelet.yaml", kubelet(layout)),
        ("kube-proxy.yaml", kube_proxy(layout)),
    ];
    for (file, content) in json {
        fs::write(layout.path(file), serde_json::to_vec_pretty(&content)?)?;
    }
    Ok(())
}

fn containerd(layout: &Layout) -> Result<String> {
    let runc = process::find("runc").context("runc is missing")?;
    let pause = components::PAUSE
        .image_name()
        .context("the pause component has an image")?;
    Ok(format!(
        r#"version = 2
root = "{root}"
state = "{state}"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing",
]
[grpc]
  address = "{socket}"
[ttrpc]
  address = "{socket}.ttrpc"
[plugins."io.containerd.internal.v1.opt"]
  path = "{root}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  restrict_oom_score_adj = true
  disable_hugetlb_controller = true
  disable_apparmor = true
  enable_unprivileged_ports = true
  netns_mounts_under_state_dir = true
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{cni}"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
        BinaryName = "{runc}"
        Root = "{runc_root}"
"#,
        root = layout.text("containerd"),
        state = layout.text("run/containerd"),
        socket = layout.containerd_socket(),
        cni = layout.text("cni/net.d"),
        runc = runc.display(),
        runc_root = layout.text("run/runc"),
    ))
}

fn pod_network(layout: &Layout) -> Value {
    json!({
        "cniVersion": "1.0.0",
        "name": "signet",
        "plugins": [{
            "type": "bridge",
            "bridge": BRIDGE,
            "isGateway": true,
            "ipMasq": false,
            "hairpinMode": true,
            "ipam": {
                "type": "host-local",
                "dataDir": layout.text("cni/ipam"),
                "ranges": [[{ "subnet": POD_NETWORK, "gateway": NODE_ADDRESS }]],
                "routes": [{ "dst": "0.0.0.0/0" }],
            },
        }],
    })
}

fn kubelet(layout: &Layout) -> Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": NODE_ADDRESS,
        "authentication": {
            "anonymous": { "enabled": false },
            "webhook": { "enabled": true },
            "x509": { "clientCAFile": layout.text("pki/ca.crt") },
        },
        "authorization": { "mode": "Webhook" },
        "tlsCertFile": layout.text("pki/kubelet-server.crt"),
        "tlsPrivateKeyFile": layout.text("pki/kubelet-server.key"),
        "containerRuntimeEndpoint": format!("unix://{}", layout.containerd_socket()),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{CGROUP}"),
        "cgroupsPerQOS": true,
        "failCgroupV1": false,
        "enforceNodeAllocatable": [],
        "failSwapOn": false,
        "clusterDomain": "cluster.local",
        "clusterDNS": [DNS_SERVICE],
        "resolvConf": layout.text("resolv.conf"),
        "podLogsDir": layout.text("pod-logs"),
        "volumePluginDir": layout.text("kubelet/volume-plugins"),
        "makeIPTablesUtilChains": false,
        // An image that is collected cannot be pulled again.
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "1%",
            "imagefs.available": "1%",
            "nodefs.inodesFree": "1%",
        },
        "syncFrequency": "10s",
        "fileCheckFrequency": "0s",
        "nodeStatusUpdateFrequency": "5s",
        "serializeImagePulls": false,
        "registryPullQPS": 0,
        "eventRecordQPS": 0,
    })
}

fn kube_proxy(layout: &Layout) -> Value {
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        // Of the two modes the one that keeps to tables of its own.
        "mode": "nftables",
        "clusterCIDR": POD_NETWORK,
        "hostnameOverride": NODE,
        "clientConnection": { "kubeconfig": layout.kubeconfig("kube-proxy") },
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        // Zeros leave the machine's settings alone.
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
        },
        "nftables": { "minSyncPeriod": "100ms" },
    })
}
