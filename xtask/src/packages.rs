//! Debian packages that a chore needs, installed when what they bring is missing.

use anyhow::{Result, bail};

use crate::process;

/// A Debian package and a file or program by which one sees that it is there.
pub(crate) struct Package {
    pub(crate) name: &'static str,
    pub(crate) brings: &'static str,
}

/// What the local cluster runs on.
pub(crate) const CLUSTER: &[Package] = &[
    Package {
        name: "containerd",
        brings: "containerd",
    },
    Package {
        name: "runc",
        brings: "runc",
    },
    Package {
        name: "containernetworking-plugins",
        brings: "/usr/lib/cni/bridge",
    },
    Package {
        name: "nftables",
        brings: "nft",
    },
    Package {
        name: "conntrack",
        brings: "conntrack",
    },
    Package {
        name: "iproute2",
        brings: "ip",
    },
    Package {
        name: "kmod",
        brings: "modprobe",
    },
];

/// The database that tests and the cluster's demo run on.
pub(crate) const DATABASE: &[Package] = &[Package {
    name: "postgresql",
    brings: "psql",
}];

/// Sees to it that every one of `packages` is there.
///
/// # Errors
/// When one is missing and cannot be installed: not root, no apt, no network.
pub(crate) fn require(packages: &[Package]) -> Result<()> {
    let missing: Vec<&str> = packages
        .iter()
        .filter(|package| process::find(package.brings).is_none())
        .map(|package| package.name)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.join(" ");
    if process::find("apt-get").is_none() {
        bail!("missing: {names}. These are names of Debian packages; install what they bring");
    }
    if !rustix::process::geteuid().is_root() {
        bail!("missing: {names}. Run as root: apt-get install --no-install-recommends {names}");
    }
    eprintln!("          installing {names}");
    let mut install = apt_get();
    install
        .args(["install", "--yes", "--no-install-recommends"])
        .args(&missing);
    // The lists may be as fresh as need be; fetching them anew is only the second thing to try.
    if process::output(&mut install).is_err() {
        process::output(apt_get().arg("update"))?;
        process::output(&mut install)?;
    }
    Ok(())
}

fn apt_get() -> std::process::Command {
    let mut command = process::command("apt-get");
    command.arg("-qq").env("DEBIAN_FRONTEND", "noninteractive");
    command
}
