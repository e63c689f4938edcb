//! What the cluster changes on the machine itself, recorded before it is changed, so that it can be
//! put back: kernel settings, links and routes, packet filter tables, folders with fixed names.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::layout::{BRIDGE, Layout, NODE_ADDRESS, POD_NETWORK, SERVICE_NETWORK};
use crate::process;

/// Settings that the kubelet, kube-proxy or we may change.
const SETTINGS: &[&str] = &[
    "fs/inotify/max_user_instances",
    "kernel/keys/root_maxbytes",
    "kernel/keys/root_maxkeys",
    "kernel/panic",
    "kernel/panic_on_oops",
    "net/bridge/bridge-nf-call-ip6tables",
    "net/bridge/bridge-nf-call-iptables",
    "net/ipv4/conf/all/route_localnet",
    "net/ipv4/ip_forward",
    "net/ipv6/conf/all/forwarding",
    "net/netfilter/nf_conntrack_max",
    "net/netfilter/nf_conntrack_tcp_be_liberal",
    "net/netfilter/nf_conntrack_tcp_timeout_close_wait",
    "net/netfilter/nf_conntrack_tcp_timeout_established",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
];

/// Folders and files that components make wherever they are told to work.
const FIXED_PATHS: &[&str] = &[
    "/run/containerd",
    "/run/mount",
    "/run/netns",
    "/run/nri",
    "/run/xtables.lock",
    "/opt/cni",
    "/opt/containerd",
    "/etc/cni",
    "/usr/libexec/kubernetes",
    "/var/lib/cni",
    "/var/lib/containerd",
    "/var/lib/kubelet",
    "/var/log/containers",
    "/var/log/pods",
];

/// The tables kube-proxy makes.
const TABLES: &[(&str, &str)] = &[("ip", "kube-proxy"), ("ip6", "kube-proxy")];

/// The paths that components make wherever they are told to work.
pub(super) fn fixed_paths() -> impl Iterator<Item = PathBuf> {
    FIXED_PATHS.iter().map(PathBuf::from)
}

/// The settings that may be changed, as `name = value`.
pub(super) fn settings() -> Vec<String> {
    let now = |name: &&str| Some(format!("{name} = {}", setting(name).ok()?));
    SETTINGS.iter().filter_map(now).collect()
}

/// The machine before the cluster touched it.
#[derive(Serialize, Deserialize)]
pub(super) struct Before {
    boot: String,
    settings: BTreeMap<String, String>,
    absent: Vec<PathBuf>,
}

impl Before {
    /// Looks at the machine as it is now.
    pub(super) fn record() -> Result<Self> {
        let read = |name: &&str| Some(((*name).to_owned(), setting(name).ok()?));
        Ok(Self {
            boot: boot()?,
            settings: SETTINGS.iter().filter_map(read).collect(),
            absent: fixed_paths().filter(|path| !path.exists()).collect(),
        })
    }

    pub(super) fn save(&self, layout: &Layout) -> Result<()> {
        Ok(fs::write(
            layout.path("before.json"),
            serde_json::to_vec_pretty(self)?,
        )?)
    }

    /// What an earlier `up` recorded; none when it did not come that far.
    pub(super) fn load(layout: &Layout) -> Option<Self> {
        serde_json::from_slice(&fs::read(layout.path("before.json")).ok()?).ok()
    }

    /// Puts settings and folders back.
    pub(super) fn restore(&self) -> Result<()> {
        // A machine started since has its own settings again.
        if boot()? == self.boot {
            for (name, value) in &self.settings {
                if setting(name).is_ok_and(|now| now != *value) {
                    set(name, value)?;
                }
            }
        }
        for path in &self.absent {
            if path.is_dir() {
                remove_folder(path)?;
            } else if path.exists() {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }
}

/// Modules, kernel settings, the bridge and the route to the services.
pub(super) fn prepare() -> Result<()> {
    for module in ["overlay", "br_netfilter", "nf_tables"] {
        // Often built in, and then there is no module; what is really missing shows below.
        let _ = process::output(process::command("modprobe").args(["--quiet", module]));
    }
    if setting("net/bridge/bridge-nf-call-iptables").is_err() {
        bail!("the kernel has no br_netfilter: services would not answer pods of the same node");
    }
    set("net/ipv4/ip_forward", "1")?;
    set("net/bridge/bridge-nf-call-iptables", "1")?;
    if setting("fs/inotify/max_user_instances")?.parse::<u32>()? < 1024 {
        set("fs/inotify/max_user_instances", "1024")?;
    }
    let (length, bridge) = (POD_NETWORK.rsplit('/').next().unwrap_or("24"), BRIDGE);
    ip(&["link", "add", bridge, "type", "bridge"])?;
    ip(&[
        "address",
        "add",
        &format!("{NODE_ADDRESS}/{length}"),
        "dev",
        bridge,
    ])?;
    ip(&["link", "set", bridge, "up"])?;
    // With a route of its own, a service's address is reached without a default route, too.
    ip(&[
        "route",
        "add",
        SERVICE_NETWORK,
        "dev",
        bridge,
        "src",
        NODE_ADDRESS,
    ])
}

/// Takes away links, routes, packet filter tables and tracked connections.
pub(super) fn undo_network() -> Result<()> {
    if Path::new("/sys/class/net").join(BRIDGE).exists() {
        ip(&["link", "delete", BRIDGE])?;
    }
    for (family, table) in TABLES {
        let there = process::output(nft().args(["list", "table", family, table])).is_ok();
        if there {
            process::output(nft().args(["delete", "table", family, table]))?;
        }
    }
    for (direction, network) in [("-s", POD_NETWORK), ("-d", SERVICE_NETWORK)] {
        // It answers with an error when nothing was tracked.
        let _ = process::output(process::command("conntrack").args(["-D", direction, network]));
    }
    Ok(())
}

/// Unmounts everything below `root`, deepest first.
///
/// # Errors
/// When something stays mounted: then `root` must not be removed.
pub(super) fn unmount_below(root: &Path) -> Result<()> {
    use rustix::mount::{UnmountFlags, unmount};
    for _ in 0..3 {
        let mounts = mounts_below(root, &fs::read_to_string("/proc/self/mountinfo")?);
        if mounts.is_empty() {
            return Ok(());
        }
        for mount in mounts {
            if unmount(&mount, UnmountFlags::empty()).is_err() {
                let _ = unmount(&mount, UnmountFlags::DETACH);
            }
        }
    }
    bail!("something stays mounted below {}", root.display())
}

/// Mount points at or below `root`, deepest first.
fn mounts_below(root: &Path, mountinfo: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = mountinfo
        .lines()
        .filter_map(|line| line.split_whitespace().nth(4))
        .map(|mount| PathBuf::from(mount.replace("\\040", " ")))
        .filter(|mount| mount.starts_with(root))
        .collect();
    found.sort();
    found.reverse();
    found
}

/// Removes a folder in which nothing is mounted.
pub(super) fn remove_folder(folder: &Path) -> Result<()> {
    unmount_below(folder)?;
    fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))
}

fn ip(arguments: &[&str]) -> Result<()> {
    process::output(process::command("ip").args(arguments)).map(drop)
}

fn nft() -> std::process::Command {
    process::command("nft")
}

fn boot() -> Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?
        .trim()
        .to_owned())
}

fn setting(name: &str) -> Result<String> {
    Ok(fs::read_to_string(Path::new("/proc/sys").join(name))?
        .trim()
        .to_owned())
}

fn set(name: &str, value: &str) -> Result<()> {
    fs::write(Path::new("/proc/sys").join(name), value)
        .with_context(|| format!("the kernel setting {name} cannot be set to {value}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_come_deepest_first_and_only_below() {
        let mountinfo = "\
1 0 8:1 / / rw - ext4 /dev/vda rw
2 1 0:5 / /var/lib/x/a rw - tmpfs tmpfs rw
3 1 0:5 / /var/lib/x/a/b rw - tmpfs tmpfs rw
4 1 0:5 / /var/lib/xy rw - tmpfs tmpfs rw
";
        let found = mounts_below(Path::new("/var/lib/x"), mountinfo);
        assert_eq!(
            found,
            [Path::new("/var/lib/x/a/b"), Path::new("/var/lib/x/a")]
        );
    }
}
