//! From nothing to a cluster that answers names, in a few seconds.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::cgroup::Cgroups;
use super::daemon::Daemons;
use super::host::{self, Before};
use super::layout::{Layout, PORTS};
use super::{configuration, containerd, control_plane, kubectl, pki};
use crate::components::{self, Built};
use crate::progress::Steps;
use crate::{http, packages, paths, process};

/// The components a cluster runs on.
struct Parts {
    node: Built,
    etcd: Built,
    coredns: Built,
    pause: Built,
}

/// Starts the cluster on a machine where there is none.
///
/// # Errors
/// When a package or component cannot be had, a port is taken, or a daemon fails; then the state is
/// left as it is for a look at the logs, and `down` cleans it.
pub(super) fn up(layout: &Layout, steps: &Steps) -> Result<()> {
    provide(steps)?;
    let parts = Parts {
        node: components::get(&components::NODE, steps)?,
        etcd: components::get(&components::ETCD, steps)?,
        coredns: components::get(&components::COREDNS, steps)?,
        pause: components::get(&components::PAUSE, steps)?,
    };
    let cgroups = Cgroups::detect()?;
    free_ports()?;

    steps.run("host prepared", || {
        make_folders(layout)?;
        Before::record()?.save(layout)?;
        cgroups.create()?;
        host::prepare()
    })?;
    steps.run("keys, certificates, configuration", || {
        pki::make(layout)?;
        configuration::write(layout)
    })?;
    let mut daemons = Daemons::new(layout, &cgroups);
    start(layout, steps, &parts, &mut daemons)?;
    fs::write(layout.ready_mark(), "")?;
    Ok(())
}

/// Installs the packages and builds the components.
///
/// # Errors
/// When one cannot be had.
pub(super) fn provide(steps: &Steps) -> Result<()> {
    steps.run("Debian packages", || packages::require(packages::CLUSTER))?;
    components::build_all(steps)
}

fn start(layout: &Layout, steps: &Steps, parts: &Parts, daemons: &mut Daemons<'_>) -> Result<()> {
    daemons.start(control_plane::etcd(layout, parts.etcd.program()))?;
    daemons.start(control_plane::containerd(layout)?)?;
    steps.run("etcd healthy", || {
        daemons.wait("etcd", Duration::from_secs(60), || Ok(etcd_healthy()))
    })?;
    daemons.start(control_plane::api_server(layout, &parts.node))?;
    steps.run("containerd answers", || {
        daemons.wait("containerd", Duration::from_secs(60), || {
            Ok(containerd::answers(layout))
        })
    })?;
    steps.run("images of the cluster imported", || {
        containerd::import(layout, &parts.pause.archive())?;
        containerd::import(layout, &parts.coredns.archive())
    })?;
    steps.run("API server ready", || {
        daemons.wait("kube-apiserver", Duration::from_secs(120), || {
            api_server_ready(layout)
        })
    })?;
    daemons.start(control_plane::kubelet(layout, &parts.node))?;
    daemons.start(control_plane::controller_manager(layout, &parts.node))?;
    daemons.start(control_plane::scheduler(layout, &parts.node))?;
    daemons.start(control_plane::proxy(layout, &parts.node))?;
    steps.run("CoreDNS available", || {
        let manifest = paths::checkout().join("xtask/components/coredns/manifest.yaml");
        process::output(
            kubectl(layout)?
                .arg("apply")
                .arg("--filename")
                .arg(manifest),
        )?;
        dns_available(layout, daemons)
    })
}

fn make_folders(layout: &Layout) -> Result<()> {
    let mut private = fs::DirBuilder::new();
    private.recursive(true).mode(0o700);
    fs::create_dir_all(layout.root())
        .with_context(|| format!("cannot make {}", layout.root().display()))?;
    // The database's user walks through it.
    fs::set_permissions(layout.root(), fs::Permissions::from_mode(0o755))?;
    for folder in ["pki", "etcd"] {
        private.create(layout.path(folder))?;
    }
    let folders = [
        "log",
        "run/containerd",
        "kubelet",
        "pod-logs",
        "cni/net.d",
        "containerd/opt",
        "client",
    ];
    folders
        .iter()
        .try_for_each(|folder| Ok(fs::create_dir_all(layout.path(folder))?))
}

fn free_ports() -> Result<()> {
    for port in PORTS {
        if let Err(error) = TcpListener::bind(("127.0.0.1", port)) {
            bail!(
                "port {port} cannot be had ({error}); a local cluster needs {PORTS:?}. If another \
                 cluster has them, end it or name it with --kubeconfig"
            );
        }
    }
    Ok(())
}

fn etcd_healthy() -> bool {
    let health = http::get(control_plane::ETCD_ADDRESS.into(), "/health");
    health.is_ok_and(|answer| answer.contains(r#""health":"true""#))
}

fn api_server_ready(layout: &Layout) -> Result<bool> {
    if TcpStream::connect(("127.0.0.1", 6443)).is_err() {
        return Ok(false);
    }
    Ok(
        process::output(kubectl(layout)?.args(["--request-timeout=2s", "get", "--raw", "/readyz"]))
            .is_ok(),
    )
}

fn dns_available(layout: &Layout, daemons: &Daemons<'_>) -> Result<()> {
    let log = layout.log("coredns-wait");
    let file = fs::File::create(&log)?;
    let mut waiting = kubectl(layout)?
        .args([
            "--namespace=kube-system",
            "wait",
            "--for=condition=Available",
        ])
        .args(["--timeout=180s", "deployment/coredns"])
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .spawn()?;
    let outcome = daemons.wait("kubelet", Duration::from_secs(180), || {
        match waiting.try_wait()? {
            None => Ok(false),
            Some(status) if status.success() => Ok(true),
            Some(_) => bail!("{}\n{}", process::tail(&log), blame(layout)),
        }
    });
    if outcome.is_err() {
        // It may have ended already.
        let _ = waiting.kill();
        let _ = waiting.wait();
    }
    outcome
}

/// What the node and the pods say when the cluster does not come to life.
fn blame(layout: &Layout) -> String {
    let said = |arguments: &[&str]| match kubectl(layout) {
        Ok(mut command) => process::output(command.args(arguments)).unwrap_or_default(),
        Err(error) => error.to_string(),
    };
    let pods = said(&["get", "nodes,pods", "--all-namespaces", "--output=wide"]);
    let events = said(&["get", "events", "--all-namespaces"]);
    format!(
        "{pods}\n{events}\n{}",
        process::tail(Path::new(&layout.log("kubelet")))
    )
}
