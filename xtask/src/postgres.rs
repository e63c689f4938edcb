//! Real PostgreSQL servers for tests, from the Debian package: their own folder and port, a
//! password, never as root (the server refuses that).

use std::ffi::OsString;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::{archive, packages, process};

const SUPERUSER: &str = "postgres";
/// The Debian package makes this user; the server runs as it when we are root.
const UNIX_USER: &str = "postgres";

/// A database folder and how to serve it.
pub(crate) struct Site {
    folder: PathBuf,
    password: String,
    address: String,
    port: u16,
    durable: bool,
}

impl Site {
    /// Makes a new database folder, to be served on `address` at a port that is free now.
    /// `networks` may connect besides this machine.
    ///
    /// # Errors
    /// When the package cannot be installed or `initdb` fails.
    pub(crate) fn create(folder: &Path, address: &str, networks: &[&str]) -> Result<Self> {
        packages::require(packages::DATABASE)?;
        let port = TcpListener::bind((address, 0))
            .with_context(|| format!("this machine has no address {address}"))?
            .local_addr()?
            .port();
        let mut random = [0; 16];
        std::io::Read::read_exact(&mut fs::File::open("/dev/urandom")?, &mut random)?;
        let site = Self {
            folder: folder.to_owned(),
            password: archive::hex(&random),
            address: address.to_owned(),
            port,
            durable: false,
        };
        site.initialize(networks)?;
        Ok(site)
    }

    fn initialize(&self, networks: &[&str]) -> Result<()> {
        fs::create_dir_all(&self.folder)?;
        fs::set_permissions(&self.folder, fs::Permissions::from_mode(0o700))?;
        let password_file = self.folder.join("password");
        fs::write(&password_file, &self.password)?;
        if is_root() {
            let user = id("-u")?;
            chown(&self.folder, Some(user), None)?;
            chown(&password_file, Some(user), None)?;
        }
        let mut initdb = as_server_user(&program("initdb")?, &[]);
        initdb.current_dir("/").arg("--pgdata").arg(self.data());
        initdb.args(["--username", SUPERUSER, "--auth=scram-sha-256", "--pwfile"]);
        initdb
            .arg(password_file)
            .args(["--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]);
        process::output(&mut initdb)?;
        let mut rules = fs::read_to_string(self.data().join("pg_hba.conf"))?;
        for network in networks {
            rules.push_str(&format!("host all all {network} scram-sha-256\n"));
        }
        Ok(fs::write(self.data().join("pg_hba.conf"), rules)?)
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// The server's command; `options` go to `setpriv`, through which root becomes its user.
    fn server(&self, options: &[&str]) -> Result<Command> {
        let mut command = as_server_user(&program("postgres")?, options);
        command.current_dir("/").arg("-D").arg(self.data());
        let settings = [
            format!("listen_addresses={}", self.address),
            format!("port={}", self.port),
            format!("unix_socket_directories={}", self.folder.display()),
            "max_connections=300".to_owned(),
        ];
        let durable = if self.durable {
            ["fsync=on", "synchronous_commit=on", "full_page_writes=on"].as_slice()
        } else {
            // What these servers hold is worth nothing after the run.
            &["fsync=off"]
        };
        let durable = durable.iter().map(|setting| (*setting).to_owned());
        for setting in settings.into_iter().chain(durable) {
            command.arg("-c").arg(setting);
        }
        Ok(command)
    }

    /// The server's program and arguments, for one who starts it by other means.
    ///
    /// # Errors
    /// When the server's program is not found.
    pub(crate) fn server_line(&self) -> Result<(PathBuf, Vec<String>)> {
        let command = self.server(&[])?;
        let text = |word: &std::ffi::OsStr| word.to_string_lossy().into_owned();
        Ok((
            command.get_program().into(),
            command.get_args().map(text).collect(),
        ))
    }

    /// Whether the server answers.
    pub(crate) fn answers(&self) -> Result<bool> {
        let mut command = Command::new(program("pg_isready")?);
        command.args([
            "--quiet",
            "--host",
            &self.address,
            "--port",
            &self.port.to_string(),
        ]);
        Ok(command.status()?.success())
    }

    /// The address of one of its databases.
    pub(crate) fn url(&self, database: &str) -> String {
        let Self {
            password,
            address,
            port,
            ..
        } = self;
        format!("postgres://{SUPERUSER}:{password}@{address}:{port}/{database}")
    }
}

/// Makes a new, empty database on the server that `url` (of any of its databases) names; gives the
/// new one's address.
///
/// # Errors
/// When the server does not take it.
pub(crate) fn new_database(url: &str) -> Result<String> {
    let (server, _) = url
        .rsplit_once('/')
        .context("an address of a database has a path")?;
    let name = format!(
        "signet_{}",
        time::OffsetDateTime::now_utc().unix_timestamp_nanos()
    );
    let mut command = process::command("psql");
    command.args(["--quiet", "--no-psqlrc", "--dbname", url, "--command"]);
    process::output(command.arg(format!("CREATE DATABASE {name}")))?;
    Ok(format!("{server}/{name}"))
}

/// A server for one run: ends, and its folder goes, when this is dropped; ends with this program,
/// too, when that is killed.
pub(crate) struct Server {
    site: Site,
    process: Child,
    log: PathBuf,
    _folder: TempDir,
}

impl Server {
    /// Starts a server on this machine's loopback. To be called from the main thread: the kernel
    /// ends the server when the thread that started it does.
    ///
    /// # Errors
    /// When the server does not answer within a minute.
    pub(crate) fn start() -> Result<Self> {
        Self::start_as(false)
    }

    /// As [`start`](Self::start), but what it commits is on the disk: for measuring.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub(crate) fn start_durable() -> Result<Self> {
        Self::start_as(true)
    }

    fn start_as(durable: bool) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("signet-postgres-")
            .tempdir()?;
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
        let mut site = Site::create(&folder.path().join("site"), "127.0.0.1", &[])?;
        site.durable = durable;
        let log = folder.path().join("log");
        let file = fs::File::create(&log)?;
        let process = site
            .server(&["--pdeathsig=INT"])?
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .context("PostgreSQL cannot be started")?;
        let mut server = Self {
            site,
            process,
            log,
            _folder: folder,
        };
        server.wait()?;
        Ok(server)
    }

    fn wait(&mut self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !self.site.answers()? {
            if self.process.try_wait()?.is_some() || Instant::now() > deadline {
                bail!("PostgreSQL does not answer\n{}", process::tail(&self.log));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// The address of the database `postgres`.
    pub(crate) fn url(&self) -> String {
        self.site.url("postgres")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        use rustix::process::{Pid, Signal, kill_process};
        // SIGINT ends sessions and stops; what does not end so is killed.
        let _ = kill_process(Pid::from_child(&self.process), Signal::INT);
        for _ in 0..100 {
            if !matches!(self.process.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn as_server_user(program: &Path, options: &[&str]) -> Command {
    let mut command = process::command("setpriv");
    command.args(options);
    if is_root() {
        let user = [
            format!("--reuid={UNIX_USER}"),
            format!("--regid={UNIX_USER}"),
        ];
        command.args(user).arg("--init-groups");
    }
    command.arg("--").arg(program);
    command
}

fn id(what: &str) -> Result<u32> {
    Ok(
        process::output(process::command("id").args([what, UNIX_USER]))?
            .trim()
            .parse()?,
    )
}

/// A program of the newest installed server: Debian keeps those off the PATH.
fn program(name: &str) -> Result<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((version(&entry.file_name())?, entry.path())))
        .collect();
    versions.sort();
    let installed = versions
        .pop()
        .map(|(_, folder)| folder.join("bin").join(name));
    installed
        .filter(|program| program.is_file())
        .or_else(|| process::find(name))
        .with_context(|| format!("PostgreSQL's `{name}` is not found"))
}

fn version(folder: &OsString) -> Option<u32> {
    folder.to_str()?.parse().ok()
}
