//! The cgroups of the cluster. Every process of it, pods included, lives below one cgroup of our
//! name in each hierarchy: that is how teardown ends all of them and nothing else.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::layout::CGROUP;

const ROOT: &str = "/sys/fs/cgroup";

/// How this machine arranges cgroups.
pub(super) enum Cgroups {
    /// A hierarchy for each controller (or a few).
    V1(Vec<Hierarchy>),
    /// One hierarchy for all.
    V2,
}

pub(super) struct Hierarchy {
    mount: PathBuf,
    controllers: Vec<String>,
}

impl Cgroups {
    /// Looks at what is mounted.
    ///
    /// # Errors
    /// When neither kind is there.
    pub(super) fn detect() -> Result<Self> {
        if Path::new(ROOT).join("cgroup.controllers").exists() {
            return Ok(Self::V2);
        }
        let hierarchies = v1_hierarchies(&fs::read_to_string("/proc/self/mounts")?);
        let pids = |hierarchy: &Hierarchy| hierarchy.controllers.iter().any(|c| c == "pids");
        if !hierarchies.iter().any(pids) {
            bail!("no cgroup hierarchy with the pids controller is mounted under {ROOT}");
        }
        Ok(Self::V1(hierarchies))
    }

    /// Makes our cgroups and, within, the one for the daemons. The kubelet refuses a root that is
    /// missing in any hierarchy.
    pub(super) fn create(&self) -> Result<()> {
        match self {
            Self::V1(hierarchies) => hierarchies.iter().try_for_each(create_v1),
            Self::V2 => create_v2(),
        }
    }

    /// Files a process writes its number to, to live among the daemons.
    pub(super) fn entrances(&self) -> Vec<PathBuf> {
        let counted = ["pids", "memory", "cpuacct"];
        match self {
            Self::V1(hierarchies) => hierarchies
                .iter()
                .filter(|hierarchy| {
                    hierarchy
                        .controllers
                        .iter()
                        .any(|c| counted.contains(&&**c))
                })
                .map(|hierarchy| hierarchy.mount.join(CGROUP).join("host/cgroup.procs"))
                .collect(),
            Self::V2 => vec![Path::new(ROOT).join(CGROUP).join("host/cgroup.procs")],
        }
    }
}

fn create_v1(hierarchy: &Hierarchy) -> Result<()> {
    let ours = hierarchy.mount.join(CGROUP);
    for folder in [ours.clone(), ours.join("host")] {
        fs::create_dir_all(&folder)
            .with_context(|| format!("cannot make the cgroup {}", folder.display()))?;
        if hierarchy
            .controllers
            .iter()
            .any(|controller| controller == "cpuset")
        {
            // A new cpuset is empty and takes no process before it has processors and memory.
            for file in ["cpuset.cpus", "cpuset.mems"] {
                fs::write(folder.join(file), fs::read(hierarchy.mount.join(file))?)?;
            }
        }
    }
    Ok(())
}

fn create_v2() -> Result<()> {
    let root = Path::new(ROOT);
    let ours = root.join(CGROUP);
    fs::create_dir_all(ours.join("host"))?;
    let offered = fs::read_to_string(root.join("cgroup.controllers"))?;
    for controller in offered.split_whitespace() {
        for folder in [root, &ours] {
            let control = folder.join("cgroup.subtree_control");
            fs::write(&control, format!("+{controller}")).with_context(|| {
                format!(
                    "the controller {controller} cannot be passed on in {}",
                    folder.display()
                )
            })?;
        }
    }
    Ok(())
}

fn v1_hierarchies(mounts: &str) -> Vec<Hierarchy> {
    mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace().skip(1);
            let (mount, kind, options) = (fields.next()?, fields.next()?, fields.next()?);
            (kind == "cgroup" && mount.starts_with(ROOT)).then(|| Hierarchy {
                mount: PathBuf::from(mount),
                controllers: options.split(',').map(str::to_owned).collect(),
            })
        })
        .collect()
}

/// Our cgroup in every hierarchy there is, as far as it exists.
pub(super) fn ours() -> Vec<PathBuf> {
    let hierarchies = fs::read_dir(ROOT)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    std::iter::once(PathBuf::from(ROOT))
        .chain(hierarchies)
        .map(|hierarchy| hierarchy.join(CGROUP))
        .filter(|folder| folder.is_dir())
        .collect()
}

/// Whether anything of ours is left.
pub(super) fn exist() -> bool {
    !ours().is_empty()
}

/// Every process in our cgroups.
pub(super) fn pids() -> BTreeSet<i32> {
    let mut found = BTreeSet::new();
    for folder in ours() {
        collect(&folder, &mut found);
    }
    found
}

fn collect(folder: &Path, into: &mut BTreeSet<i32>) {
    // Cgroups vanish while one walks them.
    let procs = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    into.extend(procs.lines().filter_map(|line| line.parse::<i32>().ok()));
    for child in children(folder) {
        collect(&child, into);
    }
}

fn children(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|e| e.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|e| e.path())
        .collect()
}

/// Ends every process in our cgroups, and those that these start meanwhile.
///
/// # Errors
/// When some are still there after twenty seconds.
pub(super) fn kill_all() -> Result<usize> {
    let mut ended = BTreeSet::new();
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let alive = pids();
        if alive.is_empty() {
            return Ok(ended.len());
        }
        if Instant::now() > deadline {
            bail!("these processes do not end: {alive:?}");
        }
        for pid in alive {
            if let Some(known) = Pid::from_raw(pid) {
                // It may have ended by itself.
                let _ = kill_process(known, Signal::KILL);
            }
            ended.insert(pid);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Removes our cgroups, deepest first.
///
/// # Errors
/// When one is still in use after five seconds.
pub(super) fn remove() -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let Some(error) = ours().iter().find_map(|folder| remove_tree(folder).err()) else {
            return Ok(());
        };
        if Instant::now() > deadline {
            return Err(error).context("a cgroup cannot be removed");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn remove_tree(folder: &Path) -> io::Result<()> {
    for child in children(folder) {
        remove_tree(&child)?;
    }
    match fs::remove_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_are_read_from_the_mounts() {
        let mounts = "\
proc /proc proc rw 0 0
cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,relatime,cpu,cpuacct 0 0
cgroup /sys/fs/cgroup/pids cgroup rw,relatime,pids 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0
";
        let found = v1_hierarchies(mounts);
        let names: Vec<_> = found
            .iter()
            .map(|h| h.mount.display().to_string())
            .collect();
        assert_eq!(names, ["/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup/pids"]);
        assert!(found[0].controllers.contains(&"cpuacct".to_owned()));
    }
}
