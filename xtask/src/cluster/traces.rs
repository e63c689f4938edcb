//! What a cluster leaves on a machine, looked at from outside: by the kernel's own tables and the
//! folders that hold such things, not by the lists that `down` works from, so that what those lists
//! lack is seen, too.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::Value;

use super::layout::Layout;
use super::{cgroup, host};
use crate::{components, process};

/// Folders of the system in which components make folders of their own.
const SYSTEM_FOLDERS: [&str; 6] = [
    "/etc",
    "/opt",
    "/run",
    "/usr/libexec",
    "/var/lib",
    "/var/log",
];
/// Folders in the user's home that clients make.
const HOME_FOLDERS: [&str; 3] = [".kube", ".cache/helm", ".config/helm"];
/// Components whose processes are a cluster's; the clients among the components are not.
const SERVERS: [&str; 4] = ["node-", "etcd-", "coredns-", "pause-"];

/// How long what the kernel takes away on its own may take: links of an ended network namespace.
const PATIENCE: Duration = Duration::from_secs(5);

/// What there is, by kinds: sorted names, which say all that is compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Traces(BTreeMap<&'static str, BTreeSet<String>>);

impl Traces {
    /// Looks at the machine.
    ///
    /// # Errors
    /// When one of the kernel's tables cannot be read.
    pub(crate) fn look(layout: &Layout) -> Result<Self> {
        let addresses: Value = serde_json::from_str(&ip(&["-json", "address"])?)?;
        let (links, addresses) = links(&addresses);
        Ok(Self(BTreeMap::from([
            ("mounts", mounts(&fs::read_to_string("/proc/self/mounts")?)),
            ("links", links),
            ("addresses", addresses),
            ("routes", routes()?),
            ("packet filter", packet_filter()?),
            ("cgroups", paths(cgroup::ours())),
            ("settings", host::settings().into_iter().collect()),
            ("folders", folders(layout)),
            ("ports", ports()?),
            ("processes", processes(layout)?),
        ])))
    }

    /// What is there `after` that was not, and the reverse.
    pub(crate) fn differences(&self, after: &Self) -> Vec<String> {
        let none = BTreeSet::new();
        let kinds: BTreeSet<&str> = self.0.keys().chain(after.0.keys()).copied().collect();
        let mut found = Vec::new();
        for kind in kinds {
            let before = self.0.get(kind).unwrap_or(&none);
            let now = after.0.get(kind).unwrap_or(&none);
            found.extend(
                now.difference(before)
                    .map(|it| format!("{kind}: new: {it}")),
            );
            found.extend(
                before
                    .difference(now)
                    .map(|it| format!("{kind}: gone: {it}")),
            );
        }
        found
    }

    /// The kinds in which `after` has something that was not there.
    pub(crate) fn kinds_added(&self, after: &Self) -> BTreeSet<&'static str> {
        let added = |(kind, now): (&&'static str, &BTreeSet<String>)| {
            let known = self.0.get(kind);
            let new = now
                .iter()
                .any(|it| known.is_none_or(|known| !known.contains(it)));
            new.then_some(*kind)
        };
        after.0.iter().filter_map(added).collect()
    }

    /// The differences that stay when the kernel is given time to finish.
    ///
    /// # Errors
    /// As [`Traces::look`].
    pub(crate) fn lasting_differences(&self, layout: &Layout) -> Result<Vec<String>> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = self.differences(&Self::look(layout)?);
            if found.is_empty() || Instant::now() > deadline {
                return Ok(found);
            }
            thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Mount points with the kind of what is mounted there.
fn mounts(table: &str) -> BTreeSet<String> {
    table
        .lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace().skip(1);
            Some(format!("{} ({})", fields.next()?, fields.next()?))
        })
        .collect()
}

/// Names of links, and their addresses.
fn links(said: &Value) -> (BTreeSet<String>, BTreeSet<String>) {
    let mut found = (BTreeSet::new(), BTreeSet::new());
    for link in said.as_array().into_iter().flatten() {
        let name = link["ifname"].as_str().unwrap_or_default();
        found.0.insert(name.to_owned());
        for address in link["addr_info"].as_array().into_iter().flatten() {
            let local = address["local"].as_str().unwrap_or_default();
            found
                .1
                .insert(format!("{local}/{} on {name}", address["prefixlen"]));
        }
    }
    found
}

fn routes() -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for family in ["-4", "-6"] {
        let said = ip(&[family, "route", "show", "table", "all"])?;
        found.extend(said.lines().map(without_expiry));
    }
    Ok(found)
}

/// A learnt route counts down.
fn without_expiry(route: &str) -> String {
    let words: Vec<&str> = route.split_whitespace().collect();
    match words.iter().position(|word| *word == "expires") {
        Some(at) => [&words[..at], &words[words.len().min(at + 2)..]]
            .concat()
            .join(" "),
        None => words.join(" "),
    }
}

fn packet_filter() -> Result<BTreeSet<String>> {
    let mut nft = process::command("nft");
    // Without what it has counted.
    Ok(rules(&process::output(nft.args([
        "--stateless",
        "list",
        "ruleset",
    ]))?))
}

/// Each line of the rules, headed by its table and chain.
fn rules(ruleset: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut within: Vec<&str> = Vec::new();
    for line in ruleset
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
    {
        if line == "}" {
            within.pop();
            continue;
        }
        let head = line.strip_suffix('{').map(str::trim);
        let place: Vec<&str> = within
            .iter()
            .copied()
            .chain([head.unwrap_or(line)])
            .collect();
        found.insert(place.join(", "));
        within.extend(head);
    }
    found
}

/// Folders next to others of the system, and what lies in those that components share.
fn folders(layout: &Layout) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for folder in SYSTEM_FOLDERS {
        let folders = entries(Path::new(folder)).into_iter();
        found.extend(paths(folders.filter(|path| path.is_dir())));
    }
    let home = std::env::home_dir().unwrap_or_default();
    let in_home = HOME_FOLDERS.iter().map(|name| home.join(name));
    let known = host::fixed_paths()
        .chain(in_home)
        .chain([layout.root().to_owned()]);
    for path in known.filter(|path| path.exists()) {
        found.extend(paths(entries(&path)));
        found.extend(paths([path]));
    }
    found
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

fn paths(all: impl IntoIterator<Item = PathBuf>) -> BTreeSet<String> {
    all.into_iter()
        .map(|path| path.display().to_string())
        .collect()
}

/// Ports that are listened on, save those that are given to any program that asks for none.
fn ports() -> Result<BTreeSet<String>> {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")?;
    let first = range
        .split_whitespace()
        .next()
        .unwrap_or_default()
        .parse()?;
    let mut found = BTreeSet::new();
    for table in ["tcp", "tcp6"] {
        let text = fs::read_to_string(format!("/proc/net/{table}")).unwrap_or_default();
        found.extend(listening(&text).filter(|port| *port < first));
    }
    Ok(found.iter().map(u16::to_string).collect())
}

/// Ports of `/proc/net/tcp` in the state LISTEN, 0A.
fn listening(table: &str) -> impl Iterator<Item = u16> {
    table.lines().skip(1).filter_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let (local, state) = (fields.next()?, fields.nth(1)?);
        let port = local.rsplit(':').next()?;
        u16::from_str_radix(port, 16).ok().filter(|_| state == "0A")
    })
}

/// Processes in our cgroups, and those of our components and of containerd with our folder wherever
/// they are.
fn processes(layout: &Layout) -> Result<BTreeSet<String>> {
    let shelf = components::shelf()?;
    let in_cgroups = cgroup::pids();
    let mut found = BTreeSet::new();
    for folder in entries(Path::new("/proc")) {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let Ok(pid) = name.parse::<i32>() else {
            continue;
        };
        // Processes end while one looks at them.
        let exe = fs::read_link(folder.join("exe")).unwrap_or_default();
        let called = fs::read(folder.join("cmdline")).unwrap_or_default();
        let called = String::from_utf8_lossy(&called).replace('\0', " ");
        let ours = in_cgroups.contains(&pid)
            || is_server(&exe, &shelf)
            || is_of_containerd(&exe, &called, layout.root());
        if ours {
            found.insert(format!("{pid} {}", called.trim()));
        }
    }
    Ok(found)
}

fn is_server(exe: &Path, shelf: &Path) -> bool {
    let component = exe
        .strip_prefix(shelf)
        .ok()
        .and_then(|path| path.iter().next());
    component.is_some_and(|folder| {
        let folder = folder.to_string_lossy();
        SERVERS.iter().any(|server| folder.starts_with(server))
    })
}

fn is_of_containerd(exe: &Path, called: &str, root: &Path) -> bool {
    let name = exe.file_name().unwrap_or_default().to_string_lossy();
    (name.starts_with("containerd") || name == "runc" || name == "ctr")
        && called.contains(&root.display().to_string())
}

fn ip(arguments: &[&str]) -> Result<String> {
    process::output(process::command("ip").args(arguments))
}

#[cfg(test)]
mod tests;
