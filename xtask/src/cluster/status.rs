//! What runs of the cluster.

use std::fmt::Write;
use std::process::ExitCode;

use anyhow::Result;

use super::layout::{Layout, NODE};
use super::{cgroup, control_plane, daemon, kubectl};
use crate::{output, process};

/// What was found.
pub(super) struct Status {
    daemons: Vec<(&'static str, Option<i32>)>,
    api_ready: bool,
    node_ready: bool,
}

impl Status {
    /// Whether everything lives and answers.
    pub(super) fn is_up(&self) -> bool {
        self.api_ready && self.node_ready && self.daemons.iter().all(|(_, pid)| pid.is_some())
    }
}

/// Looks at every daemon, the API server and the node.
pub(super) fn look(layout: &Layout) -> Result<Status> {
    let daemons = control_plane::NAMES.map(|name| {
        (
            name,
            daemon::pid(layout, name).filter(|_| daemon::alive(layout, name)),
        )
    });
    let api_alive = daemons
        .iter()
        .any(|(name, pid)| *name == "kube-apiserver" && pid.is_some());
    let ask = |arguments: &[&str]| -> Result<Option<String>> {
        let mut command = kubectl(layout)?;
        Ok(process::output(command.arg("--request-timeout=10s").args(arguments)).ok())
    };
    let api_ready = api_alive && ask(&["get", "--raw", "/readyz"])?.is_some();
    let ready = r#"--output=jsonpath={.status.conditions[?(@.type=="Ready")].status}"#;
    let node_ready = api_ready && ask(&["get", "node", NODE, ready])?.as_deref() == Some("True");
    Ok(Status {
        daemons: daemons.to_vec(),
        api_ready,
        node_ready,
    })
}

/// Prints it; failure when the cluster is not up.
pub(super) fn print(layout: &Layout) -> Result<ExitCode> {
    if !layout.exists() && !cgroup::exist() {
        output::line("there is no cluster")?;
        return Ok(ExitCode::FAILURE);
    }
    let status = look(layout)?;
    let mut text = String::new();
    for (name, pid) in &status.daemons {
        match pid {
            Some(pid) => writeln!(text, "{name:<24} runs as {pid}")?,
            None => writeln!(text, "{name:<24} does not run")?,
        }
    }
    let word = |good: bool| if good { "ready" } else { "not ready" };
    writeln!(text, "{:<24} {}", "API", word(status.api_ready))?;
    writeln!(text, "{:<24} {}", "node", word(status.node_ready))?;
    if status.api_ready {
        let arguments = ["get", "pods", "--all-namespaces", "--no-headers"];
        text += &process::output(kubectl(layout)?.args(arguments))?;
    }
    let (state, logs) = (layout.root().display(), layout.logs());
    write!(text, "state in {state}, logs in {}", logs.display())?;
    let whole = status.is_up() && layout.ready_mark().exists();
    if !whole {
        text += "\nthe cluster is broken: `cargo xtask cluster up` starts it anew";
    }
    output::line(&text)?;
    Ok(if whole {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
