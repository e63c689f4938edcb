//! A real one-machine Kubernetes: every component a process of this machine, no registry, no
//! virtual machine. `up` and `down` are idempotent; nothing of it stays after `down`.

mod cgroup;
mod configuration;
mod containerd;
mod control_plane;
mod daemon;
mod database;
mod down;
mod host;
mod layout;
mod pki;
mod status;
mod traces;
mod up;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

pub(crate) use database::new_database;
pub(crate) use layout::Layout;
pub(crate) use traces::Traces;

use crate::progress::Steps;
use crate::{components, output};

/// Of the machine, and emptied when it starts.
const LOCKS: &str = "/run/lock";

/// Commands of `cargo xtask cluster`.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Start it; does nothing when it is up, starts anew when it is broken
    Up,
    /// Take it away without a trace
    Down,
    /// Say what runs; ends with 1 when the cluster is not up
    Status,
    /// Give images to its container runtime
    Load {
        /// Docker-archives, as `docker save` and `cargo xtask images` write them
        #[arg(required = true)]
        archives: Vec<PathBuf>,
    },
    /// Print the address of a new, empty PostgreSQL database that pods reach
    Database,
    /// Print what a shell must export: eval "$(cargo xtask cluster env)"
    Env,
    /// Enter the cgroups and become the program (what a daemon is started through)
    #[command(hide = true)]
    Become {
        #[arg(long)]
        cgroup: Vec<PathBuf>,
        #[arg(last = true, required = true)]
        program: Vec<String>,
    },
}

/// Does `command`.
pub(crate) fn run(command: Command) -> Result<ExitCode> {
    let layout = Layout::find()?;
    match command {
        Command::Up => up(&layout)?,
        Command::Down => down(&layout)?,
        Command::Status => return status::print(&layout),
        Command::Load { archives } => load(&layout, &archives)?,
        Command::Database => {
            need_up(&layout)?;
            output::line(&new_database(&layout, &Steps::new())?)?;
        }
        Command::Env => print_environment(&layout)?,
        Command::Become { cgroup, program } => daemon::become_daemon(&cgroup, &program)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Brings the cluster up, whatever state it is in.
///
/// # Errors
/// See [`up::up`].
pub(crate) fn up(layout: &Layout) -> Result<()> {
    need_root()?;
    let _lock = lock_changes()?;
    let steps = Steps::new();
    if is_up(layout) {
        steps.say("the cluster is up already");
        return Ok(());
    }
    if down::needed(layout) {
        steps.say("what is left of a broken cluster is taken away first");
        down::down(layout, &steps)?;
    }
    up::up(layout, &steps)?;
    steps.say("the cluster is up: eval \"$(cargo xtask cluster env)\"");
    Ok(())
}

/// Takes the cluster away.
///
/// # Errors
/// See [`down::down`].
pub(crate) fn down(layout: &Layout) -> Result<()> {
    need_root()?;
    let _lock = lock_changes()?;
    let steps = Steps::new();
    if !down::needed(layout) {
        steps.say("there is no cluster");
        return Ok(());
    }
    down::down(layout, &steps)
}

/// Whether the cluster was started whole and every part of it lives and answers.
pub(crate) fn is_up(layout: &Layout) -> bool {
    layout.ready_mark().exists() && status::look(layout).is_ok_and(|status| status.is_up())
}

/// Whether an `up` came as far as containerd and not to its end.
pub(crate) fn is_half_up(layout: &Layout) -> bool {
    daemon::alive(layout, "containerd")
        && Path::new(&layout.containerd_socket()).exists()
        && !layout.ready_mark().exists()
}

/// Installs and builds what `up` needs, which stays.
///
/// # Errors
/// When a package or component cannot be had.
pub(crate) fn provide(steps: &Steps) -> Result<()> {
    up::provide(steps)
}

/// Imports docker-archives.
///
/// # Errors
/// When the cluster is not up or an archive is not taken.
pub(crate) fn load(layout: &Layout, archives: &[PathBuf]) -> Result<()> {
    need_up(layout)?;
    archives
        .iter()
        .try_for_each(|archive| containerd::import(layout, archive))
}

/// kubectl for an administrator of the cluster.
///
/// # Errors
/// When kubectl cannot be built.
pub(crate) fn kubectl(layout: &Layout) -> Result<std::process::Command> {
    let mut command = client(&components::KUBECTL)?;
    command.env("KUBECONFIG", layout.admin_kubeconfig());
    command.env("KUBECACHEDIR", layout.path("client/kube"));
    Ok(command)
}

/// A client program among the components.
///
/// # Errors
/// When it cannot be built.
pub(crate) fn client(component: &components::Component) -> Result<std::process::Command> {
    Ok(std::process::Command::new(
        components::get(component, &Steps::new())?.program(),
    ))
}

fn print_environment(layout: &Layout) -> Result<()> {
    need_up(layout)?;
    let steps = Steps::new();
    let kubectl = components::get(&components::KUBECTL, &steps)?;
    let helm = components::get(&components::HELM, &steps)?;
    let mut lines = vec![
        format!("export KUBECONFIG={}", layout.admin_kubeconfig().display()),
        format!("export KUBECACHEDIR={}", layout.text("client/kube")),
    ];
    for name in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
        lines.push(format!("export {name}={}", layout.text("client/helm")));
    }
    let (kubectl, helm) = (kubectl.folder.display(), helm.folder.display());
    lines.push(format!("export PATH={kubectl}:{helm}:$PATH"));
    output::line(&lines.join("\n"))
}

fn need_up(layout: &Layout) -> Result<()> {
    if !is_up(layout) {
        bail!("the cluster is not up: cargo xtask cluster up");
    }
    Ok(())
}

fn need_root() -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!(
            "the local cluster needs root: run as root, or name another cluster with --kubeconfig"
        );
    }
    Ok(())
}

/// Keeps others who ask for it off the cluster until what this gives is dropped: two runs of tests
/// would take it from under each other.
///
/// # Errors
/// When the caller is not root, or the lock's file cannot be made.
pub(crate) fn reserve() -> Result<File> {
    need_root()?;
    lock("use", "another run that uses the cluster")
}

/// One `up` or `down` at a time.
fn lock_changes() -> Result<File> {
    lock("change", "another `cargo xtask cluster`")
}

fn lock(name: &str, holder: &str) -> Result<File> {
    // Where any run of this machine finds it, whatever its cache or home: there is one cluster.
    let place = Path::new(LOCKS).join(format!("signet-cluster-{name}.lock"));
    let file = File::create(&place)
        .with_context(|| format!("the lock {} cannot be made", place.display()))?;
    if file.try_lock().is_err() {
        eprintln!("          waiting for {holder}");
        file.lock()?;
    }
    Ok(file)
}
