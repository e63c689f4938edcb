//! The programs of Signet, put together in this process.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use central::{Caller, StaticAuthenticator, Workload};
use clap::Parser as _;

use super::{
    Declared, ResourceState, ServiceAccount, Settings, free_port, identities, read,
    reconcile::Reconciler,
    running_central::{self, RunningCentral},
    state_folder::StateFolder,
};
use crate::error::Error;

/// How long a sidecar may take to hold keys, roles and first ranges.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// Central, the reconciler and sidecars. State lies in a folder of its own.
pub struct Environment {
    settings: Settings,
    folder: StateFolder,
    callers: Arc<StaticAuthenticator>,
    central_address: SocketAddr,
    central: Option<RunningCentral>,
    reconciler: Reconciler,
    declared: Declared,
    states: Vec<ResourceState>,
    sidecars: Vec<sidecar::Running>,
}

impl Environment {
    /// Starts central and reconciles the files of the settings' folder once.
    ///
    /// # Errors
    /// The files cannot be read, state cannot be kept, or central did not start.
    pub async fn start(settings: Settings) -> Result<Self, Error> {
        let declared = read(&settings.resources)?;
        let folder = StateFolder::open(settings.data.as_deref())?;
        let callers = Arc::new(StaticAuthenticator::default());
        let operator = identities::new_bearer();
        callers.insert(&operator, Caller::Operator);
        let central_port = match settings.central_port {
            0 => free_port()?,
            port => port,
        };
        let central_address = SocketAddr::from(([127, 0, 0, 1], central_port));
        let operator_file = identities::write_secret(&folder.path, "operator.token", &operator)?;
        let reconciler = Reconciler::new(&url(central_address), operator_file)?;
        let mut environment = Self {
            settings,
            folder,
            callers,
            central_address,
            central: None,
            reconciler,
            declared: Declared::default(),
            states: Vec::new(),
            sidecars: Vec::new(),
        };
        environment.start_central().await?;
        environment.take(declared).await;
        Ok(environment)
    }

    /// Reads the files again and makes central hold what they declare now. A file that cannot be
    /// read is told among the states, and what was declared before stays.
    ///
    /// # Errors
    /// The folder itself cannot be read.
    pub async fn reload(&mut self) -> Result<(), Error> {
        let mut declared = read(&self.settings.resources)?;
        declared.keep(&self.declared);
        self.take(declared).await;
        Ok(())
    }

    async fn take(&mut self, declared: Declared) {
        self.states = self.reconciler.reconcile(&self.declared, &declared).await;
        self.declared = declared;
    }

    /// Starts central, at the address it had before, and waits until it takes work.
    ///
    /// # Errors
    /// Central did not start, or cannot read what it stored.
    pub async fn start_central(&mut self) -> Result<(), Error> {
        let master_key = identities::master_key_file(&self.folder.path)?;
        let secret = self.administrator_secret()?;
        let address = self.central_address.to_string();
        let base = url(self.central_address);
        let database = format!("sqlite://{}", self.folder.path.join("signet.db").display());
        let config = central::Config::try_parse_from([
            "signet-central".as_ref(),
            "--listen".as_ref(),
            address.as_ref(),
            "--base-url".as_ref(),
            base.as_ref(),
            "--database-url".as_ref(),
            database.as_ref(),
            "--master-key-file".as_ref(),
            master_key.as_os_str(),
            "--bootstrap-token-file".as_ref(),
            secret.as_os_str(),
            "--shutdown-grace".as_ref(),
            "2s".as_ref(),
        ])
        .map_err(|error| running_central::failed(error.to_string()))?;
        let running = central::start(config, self.callers.clone())
            .await
            .map_err(|error| running_central::failed(error.to_string()))?;
        let central = RunningCentral::begin(running).await?;
        self.central = Some(central);
        Ok(())
    }

    /// Returns when central ended although nobody had asked it to.
    ///
    /// # Errors
    /// Why it ended.
    pub async fn central_ended(&mut self) -> Result<(), Error> {
        let Some(central) = &mut self.central else {
            return std::future::pending().await;
        };
        let ended = central.end().await;
        self.central = None;
        ended
    }

    /// Stops central; sidecars stay.
    ///
    /// # Errors
    /// It did not end well.
    pub async fn stop_central(&mut self) -> Result<(), Error> {
        let Some(central) = self.central.take() else {
            return Ok(());
        };
        central.stop().await
    }

    /// Starts a sidecar that stands for `who` and waits until it is ready. The first one is given
    /// the settings' ports, the others any that are free. Gives the URL of its API.
    ///
    /// # Errors
    /// No tenant takes the namespace, or the sidecar did not become ready.
    pub async fn start_sidecar(&mut self, who: ServiceAccount) -> Result<String, Error> {
        let failed = |reason: String| Error::Program {
            program: "the sidecar",
            reason,
        };
        let tenant = self.tenant_of(&who.namespace)?;
        let bearer = identities::new_bearer();
        self.callers.insert(
            &bearer,
            Caller::Workload(Workload {
                namespace: who.namespace.clone(),
                service_account: who.name.clone(),
                pod: None,
                pod_uid: None,
            }),
        );
        let number = self.sidecars.len();
        let token_file = identities::write_secret(
            &self.folder.path,
            &format!("workload-{number}.token"),
            &bearer,
        )?;
        let (port, health_port) = if number == 0 {
            (self.settings.port, self.settings.health_port)
        } else {
            (0, 0)
        };
        let generators: Vec<&str> = self
            .declared
            .id_generators
            .keys()
            .filter(|(namespace, _)| *namespace == who.namespace)
            .filter(|key| self.is_ready("IdGenerator", key))
            .map(|(_, name)| name.as_str())
            .collect();
        let config = sidecar::Config::try_parse_from([
            "signet-sidecar".as_ref(),
            "--tenant".as_ref(),
            tenant.as_ref(),
            "--central-url".as_ref(),
            url(self.central_address).as_ref(),
            "--token-file".as_ref(),
            token_file.as_os_str(),
            "--generators".as_ref(),
            generators.join(",").as_ref(),
            "--pod-name".as_ref(),
            format!("{}-{number}", who.name).as_ref(),
            "--namespace".as_ref(),
            who.namespace.as_ref(),
            "--port".as_ref(),
            port.to_string().as_ref(),
            "--health-port".as_ref(),
            health_port.to_string().as_ref(),
            "--health-address".as_ref(),
            "127.0.0.1".as_ref(),
        ])
        .map_err(|error| failed(error.to_string()))?;
        let running = sidecar::start(config)
            .await
            .map_err(|error| failed(error.to_string()))?;
        if tokio::time::timeout(READY_WITHIN, running.ready())
            .await
            .is_err()
        {
            let seconds = READY_WITHIN.as_secs();
            return Err(failed(format!("it was not ready within {seconds} s")));
        }
        let url = url(running.api_address);
        self.sidecars.push(running);
        Ok(url)
    }

    /// Stops everything.
    pub async fn stop(mut self) {
        for sidecar in std::mem::take(&mut self.sidecars) {
            sidecar.stop().await;
        }
        if let Err(error) = self.stop_central().await {
            tracing::warn!(%error, "central did not end well");
        }
    }

    /// A line for each resource and each document that could not be taken.
    #[must_use]
    pub fn resource_lines(&self) -> Vec<String> {
        let broken = self
            .declared
            .broken
            .iter()
            .map(|reason| format!("cannot take {reason}"));
        self.states
            .iter()
            .map(ToString::to_string)
            .chain(broken)
            .collect()
    }

    /// Every resource is ready and every document was taken.
    ///
    /// # Errors
    /// The ones that are not.
    pub fn require_ready(&self) -> Result<(), Error> {
        let waiting: Vec<String> = self
            .states
            .iter()
            .filter(|state| !state.is_ready())
            .map(ToString::to_string)
            .collect();
        let problems: Vec<String> = waiting
            .into_iter()
            .chain(self.declared.broken.iter().cloned())
            .collect();
        if problems.is_empty() {
            Ok(())
        } else {
            Err(Error::NotReady(problems.join("; ")))
        }
    }

    /// The states of all resources after the last reconciliation.
    #[must_use]
    pub fn states(&self) -> &[ResourceState] {
        &self.states
    }

    /// Where central answers.
    #[must_use]
    pub fn central_url(&self) -> String {
        url(self.central_address)
    }

    /// Where the sidecars answer, in the order they were started.
    #[must_use]
    pub fn sidecar_urls(&self) -> Vec<String> {
        self.sidecars
            .iter()
            .map(|sidecar| url(sidecar.api_address))
            .collect()
    }

    /// The file with the administrator's secret.
    #[must_use]
    pub fn secret_file(&self) -> String {
        self.folder
            .path
            .join("bootstrap.token")
            .display()
            .to_string()
    }

    fn administrator_secret(&self) -> Result<PathBuf, Error> {
        let path = self.folder.path.join("bootstrap.token");
        if path.exists() {
            return Ok(path);
        }
        identities::write_secret(
            &self.folder.path,
            "bootstrap.token",
            &identities::new_bearer(),
        )
    }

    fn is_ready(&self, kind: &str, key: &(String, String)) -> bool {
        self.states
            .iter()
            .any(|state| state.is_ready() && state.is(kind, &key.0, &key.1))
    }

    fn tenant_of(&self, namespace: &str) -> Result<String, Error> {
        if let Some(tenant) = &self.settings.tenant {
            return Ok(tenant.clone());
        }
        let labels: BTreeMap<String, String> = self
            .declared
            .namespaces
            .get(namespace)
            .cloned()
            .unwrap_or_default();
        let tenants: Vec<&String> = self
            .declared
            .tenants
            .iter()
            .filter(|(_, tenant)| operator::admits(tenant, &labels))
            .map(|(name, _)| name)
            .collect();
        match tenants.as_slice() {
            [one] => Ok((*one).clone()),
            [] => Err(Error::NotReady(format!(
                "no Tenant takes namespace {namespace}; declare the Namespace with the labels that \
                 a Tenant's spec.namespaces selects"
            ))),
            several => Err(Error::NotReady(format!(
                "namespace {namespace} is taken by {} tenants; choose one with --tenant",
                several.len()
            ))),
        }
    }
}

/// Logs of the programs, on standard error.
///
/// # Errors
/// The filter is wrong.
pub fn start_logging(filter: &str) -> Result<(), Error> {
    let filter = tracing_subscriber::EnvFilter::try_new(filter)
        .map_err(|error| Error::Usage(format!("--log: {error}; write it like `info`")))?;
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    subscriber.try_init().map_err(|error| Error::Program {
        program: "logging",
        reason: error.to_string(),
    })
}

fn url(address: SocketAddr) -> String {
    format!("http://{address}")
}
