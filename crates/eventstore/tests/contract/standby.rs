//! PostgreSQL servers of a test's own, to be stopped and started: a primary and a streaming replica.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use tempfile::TempDir;

/// The server refuses to run as root; the package makes this user.
const USER: &str = "postgres";

/// One server; stopped and removed when it is dropped, after a panic too.
pub(crate) struct Server {
    programs: PathBuf,
    folder: TempDir,
    port: u16,
}

/// The folder of the server's programs; none where there is none and none is required.
pub(crate) fn programs() -> Option<PathBuf> {
    let named = std::env::var_os("SIGNET_TEST_POSTGRES_BIN").map(PathBuf::from);
    let found = named.or_else(|| {
        let versions = fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
        let number = |folder: &fs::DirEntry| folder.file_name().to_str()?.parse::<u32>().ok();
        let newest = versions.max_by_key(number)?;
        Some(newest.path().join("bin"))
    });
    let found = found.filter(|folder| folder.join("pg_ctl").exists());
    if found.is_none() {
        let required = std::env::var("SIGNET_TEST_REQUIRE").unwrap_or_default();
        assert!(
            !required.split([',', ' ']).any(|part| part == "postgres"),
            "PostgreSQL is required; set SIGNET_TEST_POSTGRES_BIN to the folder of its programs"
        );
        eprintln!("not tested: no programs of a PostgreSQL server found");
    }
    found
}

impl Server {
    /// A new server, running, that lets replicas follow.
    pub(crate) fn primary(programs: &Path) -> Self {
        let server = Self::new(programs);
        let data = server.data();
        server.run(
            "initdb",
            &[
                "--username",
                USER,
                "--auth=trust",
                "--no-sync",
                "-E",
                "UTF8",
                "-D",
                &data,
            ],
        );
        server.start();
        server
    }

    /// A replica of a server as it is now, running.
    pub(crate) fn replica_of(primary: &Self) -> Self {
        let server = Self::new(&primary.programs);
        let source = format!("host=127.0.0.1 port={} user={USER}", primary.port);
        let data = server.data();
        server.run(
            "pg_basebackup",
            &[
                "-D",
                &data,
                "-d",
                &source,
                "-R",
                "--checkpoint=fast",
                "--no-sync",
            ],
        );
        server.start();
        server
    }

    fn new(programs: &Path) -> Self {
        let folder = TempDir::new().unwrap();
        if is_root() {
            let passwd = fs::read_to_string("/etc/passwd").unwrap();
            let entry = passwd.lines().find(|line| line.starts_with("postgres:"));
            let id = entry.unwrap().split(':').nth(2).unwrap().parse().unwrap();
            chown(folder.path(), Some(id), None).unwrap();
        }
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        Self {
            programs: programs.to_owned(),
            port: free.local_addr().unwrap().port(),
            folder,
        }
    }

    fn data(&self) -> String {
        self.folder.path().join("data").display().to_string()
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://{USER}@127.0.0.1:{}/postgres", self.port)
    }

    pub(crate) fn start(&self) {
        let folder = self.folder.path().display();
        let options = format!(
            "-c listen_addresses=127.0.0.1 -c port={} -c unix_socket_directories={folder} \
             -c fsync=off -c max_wal_senders=4 -c hot_standby_feedback=on -c max_connections=50",
            self.port
        );
        let log = format!("{folder}/log");
        self.run(
            "pg_ctl",
            &[
                "-D",
                &self.data(),
                "-l",
                &log,
                "-o",
                &options,
                "-w",
                "-t",
                "60",
                "start",
            ],
        );
    }

    /// Ends the server as a crash would.
    pub(crate) fn kill(&self) {
        self.run(
            "pg_ctl",
            &["-D", &self.data(), "-m", "immediate", "-w", "stop"],
        );
    }

    pub(crate) async fn execute(&self, sql: &'static str) {
        let mut connection = self.connect().await;
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }

    pub(crate) async fn number(&self, sql: &str) -> i64 {
        let mut connection = self.connect().await;
        let sql = AssertSqlSafe(sql.to_owned());
        let number = sqlx::query_scalar(sql).fetch_one(&mut connection).await;
        connection.close().await.unwrap();
        number.unwrap()
    }

    async fn connect(&self) -> PgConnection {
        let options: PgConnectOptions = self.url().parse().unwrap();
        options.connect().await.unwrap()
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let output = self.command(program, arguments).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} failed: {told}");
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let program = self.programs.join(program);
        let mut command = if is_root() {
            let mut command = Command::new("runuser");
            command.args(["-u", USER, "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        // The server keeps what it inherits: it must not hold a pipe of ours open.
        command
            .args(arguments)
            .current_dir("/")
            .stdin(Stdio::null());
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let data = self.data();
        let stop = ["-D", &data, "-m", "immediate", "-w", "stop"];
        // It may be down already.
        let _ = self
            .command("pg_ctl", &stop)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}
