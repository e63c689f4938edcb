//! A PostgreSQL of the test's own, to stop, kill and freeze, and replicas of it.

use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;
use tempfile::TempDir;

use crate::database::{Database, PATIENCE};

/// A server with a folder of its own; it and its folder are gone when this is dropped.
pub(crate) struct Server {
    folder: TempDir,
    port: u16,
    programs: PathBuf,
    settings: Vec<String>,
}

impl Server {
    /// Makes and starts a server with `settings` (`name=value`); none if PostgreSQL is not installed.
    pub(crate) fn start(settings: &[&str]) -> Option<Self> {
        let Some(programs) = programs() else {
            let required = std::env::var("SIGNET_TEST_REQUIRE").unwrap_or_default();
            assert!(
                !required.split([',', ' ']).any(|part| part == "postgres"),
                "PostgreSQL is required; install it or set SIGNET_TEST_POSTGRES_BIN"
            );
            eprintln!("not tested: there is no PostgreSQL to start");
            return None;
        };
        let mut all = vec!["listen_addresses=127.0.0.1".to_owned(), "fsync=off".into()];
        all.extend(settings.iter().map(|&setting| setting.to_owned()));
        let server = Self::stopped(programs, all);
        let mut initdb = server.program("initdb");
        initdb.args(["--username=postgres", "--auth=trust", "--encoding=UTF8"]);
        initdb.args(["--locale=C", "--no-sync", "--pgdata"]);
        run(initdb.arg(server.data()));
        server.start_again();
        Some(server)
    }

    /// A streaming replica of a server as it is now, running, with the same settings.
    pub(crate) fn replica_of(primary: &Self) -> Self {
        let replica = Self::stopped(primary.programs.clone(), primary.settings.clone());
        let source = format!("host=127.0.0.1 port={} user=postgres", primary.port);
        let mut copy = replica.program("pg_basebackup");
        copy.args(["-R", "--checkpoint=fast", "--no-sync", "-d", &source]);
        run(copy.arg("-D").arg(replica.data()));
        replica.start_again();
        replica
    }

    /// A server without a database yet, and a port for it.
    fn stopped(programs: PathBuf, settings: Vec<String>) -> Self {
        let folder = TempDir::new().unwrap();
        if is_root() {
            run(Command::new("chown").arg("postgres").arg(folder.path()));
        }
        Self {
            folder,
            port: free_port(),
            programs,
            settings,
        }
    }

    /// The database of the server.
    pub(crate) fn database(&self) -> Database {
        let admin = PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(self.port)
            .username("postgres")
            .disable_statement_logging();
        Database::Postgres {
            admin: Box::new(admin),
            name: "postgres".into(),
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        self.database().url()
    }

    pub(crate) async fn execute(&self, sql: &str) {
        let mut outside = self.database().connect().await;
        outside.execute(sql).await;
        outside.close().await;
    }

    pub(crate) async fn number(&self, sql: &str) -> i64 {
        let mut outside = self.database().connect().await;
        let number = outside.number(sql).await;
        outside.close().await;
        number
    }

    /// Starts it after it was stopped; it recovers what it has to before this returns.
    pub(crate) fn start_again(&self) {
        let folder = self.folder.path().display();
        let mut options = format!("-c port={} -c unix_socket_directories={folder}", self.port);
        for setting in &self.settings {
            options.push_str(&format!(" -c {setting}"));
        }
        let log = self.folder.path().join("log");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut start = self.program("pg_ctl");
            start.arg("start").arg("-D").arg(self.data());
            start.arg("-w").arg("-o").arg(&options).arg("-l").arg(&log);
            if output(&mut start).status.success() {
                return;
            }
            // Processes of the killed server may still be there.
            let log = || std::fs::read_to_string(&log).unwrap_or_default();
            assert!(
                Instant::now() < deadline,
                "the server does not start: {}",
                log()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Stops it in the mode `fast` or `immediate`.
    pub(crate) fn stop(&self, mode: &str) {
        let mut stop = self.program("pg_ctl");
        run(stop.args(["stop", "-w", "-m", mode, "-D"]).arg(self.data()));
    }

    /// Kills all of its processes at once, as a power cut does.
    pub(crate) fn kill(&self) {
        let processes = self.processes();
        signal("-KILL", &processes);
        let deadline = Instant::now() + PATIENCE;
        let alive = |process: &String| Path::new("/proc").join(process).join("exe").exists();
        while processes.iter().any(alive) {
            assert!(Instant::now() < deadline, "{processes:?} cannot be killed");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Stops all of its processes where they are, until [`thaw`](Self::thaw).
    pub(crate) fn freeze(&self) {
        signal("-STOP", &self.processes());
    }

    pub(crate) fn thaw(&self) {
        signal("-CONT", &self.processes());
    }

    /// Ids of the server's processes, its first one first.
    fn processes(&self) -> Vec<String> {
        let Ok(file) = std::fs::read_to_string(self.data().join("postmaster.pid")) else {
            return Vec::new();
        };
        let first = file.lines().next().unwrap().to_owned();
        let children = output(Command::new("pgrep").args(["-P", &first])).stdout;
        let children = String::from_utf8(children).unwrap();
        let children = children.lines().map(str::to_owned);
        std::iter::once(first).chain(children).collect()
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A program of PostgreSQL, which refuses to be run by root.
    fn program(&self, name: &str) -> Command {
        let program = self.programs.join(name);
        let mut command = if is_root() {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.current_dir("/");
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.data().join("postmaster.pid").exists() {
            self.thaw();
            let mut stop = self.program("pg_ctl");
            output(
                stop.args(["stop", "-w", "-m", "immediate", "-D"])
                    .arg(self.data()),
            );
        }
    }
}

/// Folder with the programs of the newest PostgreSQL of this machine.
fn programs() -> Option<PathBuf> {
    if let Ok(folder) = std::env::var("SIGNET_TEST_POSTGRES_BIN") {
        return Some(folder.into());
    }
    let installed = std::fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
    let version = |name: &std::ffi::OsStr| name.to_str()?.parse::<u32>().ok();
    let newest = installed
        .filter_map(|entry| Some((version(&entry.file_name())?, entry.path().join("bin"))))
        .filter(|(_, folder)| folder.join("initdb").exists());
    Some(newest.max()?.1)
}

/// Whether this process is root's.
fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}

/// A free port, below those that the system gives to outgoing connections: it has to be free again
/// when the server is started again.
fn free_port() -> u16 {
    let candidates = std::iter::repeat_with(|| {
        let [high, low, ..] = *uuid::Uuid::new_v4().as_bytes();
        20_000 + u16::from_be_bytes([high, low]) % 10_000
    });
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    candidates.take(1000).find(free).expect("no port is free")
}

fn signal(signal: &str, processes: &[String]) {
    // One that ended by itself meanwhile is no failure.
    output(Command::new("kill").arg(signal).args(processes));
}

fn run(command: &mut Command) {
    let output = output(command);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}

fn output(command: &mut Command) -> Output {
    // Not a pipe: a server that is started keeps it open for as long as it runs.
    command.stdin(Stdio::null());
    if command.get_args().any(|argument| argument == "start") {
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let status = command.status().unwrap();
        return Output {
            status,
            stdout: Vec::new(),
            stderr: Vec::new(),
        };
    }
    command.output().unwrap()
}
