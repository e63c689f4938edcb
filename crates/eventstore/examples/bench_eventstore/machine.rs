//! What it ran on.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Instant;

use serde_json::{Map, Value, json};
use sqlx::{AssertSqlSafe, PgConnection};

use crate::report::{Outcome, median};
use crate::server::Server;

/// Writes of the disk's measurement.
const SYNCS: usize = 100;

pub(crate) async fn facts(folder: &Path, server: &Server) -> Outcome<Map<String, Value>> {
    let mut connection = server.connect().await?;
    let mut facts = Map::new();
    let mut add = |name: &str, value: Value| facts.insert(name.to_owned(), value);
    let now = time::OffsetDateTime::now_utc();
    add("date", json!(now.date().to_string()));
    add("processor", json!(field("/proc/cpuinfo", "model name")));
    add("cores", json!(thread::available_parallelism()?.get()));
    add("memory", json!(field("/proc/meminfo", "MemTotal")));
    add("kernel", json!(said("uname", &["-sr"])));
    add(
        "load_at_start",
        json!(fs::read_to_string("/proc/loadavg")?.trim()),
    );
    add("disk_sync_microseconds", json!(sync(folder)?));
    for name in [
        "server_version",
        "fsync",
        "synchronous_commit",
        "wal_sync_method",
        "shared_buffers",
    ] {
        let value = setting(&mut connection, name).await?;
        add(&format!("postgres_{name}"), json!(value));
    }
    Ok(facts)
}

async fn setting(connection: &mut PgConnection, name: &str) -> Outcome<String> {
    let show = AssertSqlSafe(format!("SHOW {name}"));
    Ok(sqlx::query_scalar(show).fetch_one(connection).await?)
}

/// Median time until 8 KiB more are on the disk, in microseconds.
fn sync(folder: &Path) -> Outcome<f64> {
    let mut file = File::create(folder.join("sync"))?;
    let mut times = Vec::new();
    for _ in 0..SYNCS {
        file.write_all(&[1; 8192])?;
        let started = Instant::now();
        file.sync_data()?;
        times.push(started.elapsed().as_secs_f64() * 1e6);
    }
    Ok(median(times).round())
}

/// Bytes that are free where `folder` lies.
pub(crate) fn free_bytes(folder: &Path) -> u64 {
    let folder = folder.to_string_lossy();
    let said = said("df", &["--output=avail", "-B1", &folder]);
    let last = said.lines().last().unwrap_or_default();
    last.trim().parse().unwrap_or(0)
}

fn field(file: &str, name: &str) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(name));
    let value = line.and_then(|line| line.split_once(':'));
    value.map_or_else(String::new, |(_, value)| value.trim().to_owned())
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map_or_else(
        |_| String::new(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}
