//! The local cluster itself: up, down without a trace, also after a crash half way.

use std::collections::BTreeSet;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::super::{Options, Verdict};
use crate::cluster::{self, Layout, Traces};
use crate::process::THIS_PROGRAM;
use crate::progress::Steps;

/// How long an `up` may take to come half way, once everything is built.
const HALF_WAY: Duration = Duration::from_secs(120);

/// Kinds of traces that a cluster has when it is half up, and when it is up: a comparison that does
/// not see them would not see them stay either.
const HALF_UP: [&str; 5] = ["addresses", "cgroups", "folders", "links", "processes"];
const UP: [&str; 9] = [
    "addresses",
    "cgroups",
    "folders",
    "links",
    "mounts",
    "packet filter",
    "ports",
    "processes",
    "routes",
];

pub(super) fn run(options: &Options) -> Result<Verdict> {
    let skipped = |why: &str| Ok(Verdict::Skipped(why.to_owned()));
    if options.quick {
        return skipped("needs to start a cluster");
    }
    if options.kubeconfig.is_some() {
        return skipped("another cluster is given");
    }
    let layout = Layout::find()?;
    let _reserved = cluster::reserve()?;
    if options.keep && cluster::is_up(&layout) {
        return skipped("a cluster runs and is kept: it is left alone");
    }
    let steps = Steps::new();
    cluster::down(&layout)?;
    // What is installed and built once is no trace.
    cluster::provide(&steps)?;
    let before = Traces::look(&layout)?;

    let outcome = crash_half_way(&layout, &before, &steps);
    // Whatever came of it, the machine is left as it was found.
    cluster::down(&layout)?;
    outcome?;
    compare(&layout, &before, "a crash half way and `down`")?;

    let outcome = start_whole(&layout, &before);
    cluster::down(&layout)?;
    outcome?;
    compare(&layout, &before, "`up` and `down`")?;
    Ok(Verdict::Passed)
}

/// Kills an `up` when containerd is there and before the cluster is.
fn crash_half_way(layout: &Layout, before: &Traces, steps: &Steps) -> Result<()> {
    let mut up = Command::new(THIS_PROGRAM)
        .args(["cluster", "up"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("`cluster up` cannot be started")?;
    let half = wait_half_way(layout, &mut up);
    // It may have ended already: that is told by the wait.
    let _ = up.kill();
    up.wait()?;
    half?;
    steps.say("`cluster up` killed when containerd was running");
    ensure!(
        !cluster::is_up(layout),
        "the cluster was up before it was killed"
    );
    see(before, &Traces::look(layout)?, &HALF_UP)
}

fn wait_half_way(layout: &Layout, up: &mut Child) -> Result<()> {
    let deadline = Instant::now() + HALF_WAY;
    while !cluster::is_half_up(layout) {
        if let Some(status) = up.try_wait()? {
            bail!("`cluster up` ended with {status} before it could be killed: run it by itself");
        }
        if Instant::now() > deadline {
            bail!(
                "containerd is not there after {} seconds",
                HALF_WAY.as_secs()
            );
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn start_whole(layout: &Layout, before: &Traces) -> Result<()> {
    cluster::up(layout)?;
    ensure!(
        cluster::is_up(layout),
        "`up` ended well, and the cluster is not up"
    );
    see(before, &Traces::look(layout)?, &UP)
}

/// That the traces of a cluster are seen at all.
fn see(before: &Traces, now: &Traces, kinds: &[&'static str]) -> Result<()> {
    let added = before.kinds_added(now);
    let unseen: BTreeSet<&str> = kinds
        .iter()
        .copied()
        .filter(|kind| !added.contains(kind))
        .collect();
    ensure!(
        unseen.is_empty(),
        "a running cluster shows nothing new among {unseen:?}"
    );
    Ok(())
}

fn compare(layout: &Layout, before: &Traces, after_what: &str) -> Result<()> {
    let differences = before.lasting_differences(layout)?;
    if !differences.is_empty() {
        bail!(
            "after {after_what} the machine is another:\n  {}",
            differences.join("\n  ")
        );
    }
    println!("after {after_what} the machine is as it was");
    Ok(())
}
