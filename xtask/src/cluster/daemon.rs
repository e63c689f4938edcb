//! Starting the cluster's long-running programs, and watching that they live while one waits for
//! them.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::cgroup::{self, Cgroups};
use super::layout::Layout;
use crate::process::{self, THIS_PROGRAM};

/// A program of the cluster and how it is called.
pub(super) struct Daemon {
    pub(super) name: &'static str,
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<String>,
}

/// The daemons that were started so far.
pub(super) struct Daemons<'a> {
    layout: &'a Layout,
    entrances: Vec<PathBuf>,
    started: Vec<&'static str>,
}

impl<'a> Daemons<'a> {
    pub(super) fn new(layout: &'a Layout, cgroups: &Cgroups) -> Self {
        Self {
            layout,
            entrances: cgroups.entrances(),
            started: Vec::new(),
        }
    }

    /// Starts `daemon` in the cluster's cgroups, in a session of its own, its output in its log.
    pub(super) fn start(&mut self, daemon: Daemon) -> Result<()> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.layout.log(daemon.name))?;
        // This program steps into the cgroups and then becomes the daemon: see `become_daemon`.
        let mut command = Command::new(THIS_PROGRAM);
        command.args(["cluster", "become"]);
        for entrance in &self.entrances {
            command.arg("--cgroup").arg(entrance);
        }
        command
            .arg("--")
            .arg(&daemon.program)
            .args(&daemon.arguments);
        command.env_clear().env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        );
        command
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let mut child = command
            .spawn()
            .with_context(|| format!("{} cannot be started", daemon.name))?;
        fs::write(self.layout.pid_file(daemon.name), child.id().to_string())?;
        self.started.push(daemon.name);
        // Should it end before this program does, nothing of it stays behind.
        thread::spawn(move || child.wait());
        Ok(())
    }

    /// Waits until `done`, for `limit` at most.
    ///
    /// # Errors
    /// When the limit is over, with the end of the log of the daemon that is waited for; when any
    /// daemon has ended meanwhile, with the end of its log.
    pub(super) fn wait(
        &self,
        blame: &str,
        limit: Duration,
        mut done: impl FnMut() -> Result<bool>,
    ) -> Result<()> {
        let deadline = Instant::now() + limit;
        loop {
            if done()? {
                return Ok(());
            }
            if let Some(dead) = self.started.iter().find(|name| !alive(self.layout, name)) {
                bail!(
                    "{dead} has ended\n{}",
                    process::tail(&self.layout.log(dead))
                );
            }
            if Instant::now() > deadline {
                let log = process::tail(&self.layout.log(blame));
                bail!("not within {} seconds\n{log}", limit.as_secs());
            }
            thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Whether the process that was started as `name` lives.
pub(super) fn alive(layout: &Layout, name: &str) -> bool {
    pid(layout, name).is_some_and(|pid| {
        // Numbers are given out again; only a process in our cgroups can be ours. Between start and
        // its first step it is not there yet, but still this very program. It enters before it becomes
        // another, so the order of these two matters: the other way round misses one that does both
        // in between.
        is_this_program(pid) || cgroup::pids().contains(&pid)
    })
}

/// The process number written when `name` was started.
pub(super) fn pid(layout: &Layout, name: &str) -> Option<i32> {
    fs::read_to_string(layout.pid_file(name)).ok()?.parse().ok()
}

fn is_this_program(pid: i32) -> bool {
    // By what it is rather than where: the file may have been replaced since.
    let identity = |exe: &str| fs::metadata(exe).map(|exe| (exe.dev(), exe.ino()));
    let theirs = identity(&format!("/proc/{pid}/exe"));
    theirs.is_ok_and(|theirs| identity(THIS_PROGRAM).is_ok_and(|ours| ours == theirs))
}

/// Called in the new process: enters the cgroups, leaves the session, becomes `program`.
///
/// # Errors
/// Only: a success does not return.
pub(super) fn become_daemon(cgroups: &[PathBuf], program: &[String]) -> Result<()> {
    for procs in cgroups {
        fs::write(procs, "0").with_context(|| format!("cannot enter {}", procs.display()))?;
    }
    rustix::process::setsid().context("cannot leave the session")?;
    let (name, arguments) = program.split_first().context("no program is named")?;
    let error = Command::new(name).args(arguments).exec();
    Err(error).with_context(|| format!("cannot become {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_told_by_its_program() {
        let other = Command::new("sleep").arg("60").spawn();
        let mut other = other.unwrap();
        // Until it has become `sleep` it is still this program.
        let name = || fs::read_to_string(format!("/proc/{}/comm", other.id())).unwrap();
        while name().trim() != "sleep" {
            thread::yield_now();
        }

        assert!(is_this_program(i32::try_from(std::process::id()).unwrap()));
        assert!(!is_this_program(i32::try_from(other.id()).unwrap()));

        other.kill().unwrap();
        other.wait().unwrap();
    }
}
