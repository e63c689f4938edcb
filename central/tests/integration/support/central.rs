//! A central in this process.

use std::{fs, sync::Arc};

use ::central::{Caller, Clock, Config, Running, StaticAuthenticator, Workload};
use clap::Parser as _;
use tonic::transport::Channel;

use super::Database;
use protocol::v1::{provision_client::ProvisionClient, sync_client::SyncClient};

pub(crate) const ADMINISTRATOR: &str = "administrator-0123456789abcdef0123";
pub(crate) const OPERATOR: &str = "token-of-the-operator";
/// Pod checkout-1 of shop/checkout.
pub(crate) const CHECKOUT: &str = "token-of-checkout";
/// Pod billing-1 of bank/billing: another tenant's namespace.
pub(crate) const BILLING: &str = "token-of-billing";
/// Pod x-1 of nowhere/x: no tenant's namespace.
pub(crate) const STRANGER: &str = "token-of-a-stranger";

pub(crate) const BASE_URL: &str = "https://signet.test";

/// The secret files of an installation; they outlive its processes.
#[derive(Clone)]
pub(crate) struct Secrets(Arc<tempfile::TempDir>);

impl Secrets {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = ::central::generate_master_key().unwrap();
        fs::write(folder.path().join("master.key"), key.as_str()).unwrap();
        fs::write(folder.path().join("token"), format!("{ADMINISTRATOR}\n")).unwrap();
        Self(Arc::new(folder))
    }

    pub(crate) fn path(&self, file: &str) -> String {
        self.0.path().join(file).display().to_string()
    }

    /// The flags of a central on a database.
    pub(crate) fn flags(&self, database: &Database, extra: &[&str]) -> Vec<String> {
        let (key, token) = (self.path("master.key"), self.path("token"));
        let mut flags = vec!["signet-central"];
        let usual = [
            ("--listen", "127.0.0.1:0"),
            ("--base-url", BASE_URL),
            ("--database-url", database.url.as_str()),
            ("--master-key-file", key.as_str()),
            ("--bootstrap-token-file", token.as_str()),
            ("--shutdown-grace", "2s"),
        ];
        for (flag, value) in usual.iter().filter(|(flag, _)| !extra.contains(flag)) {
            flags.extend([*flag, *value]);
        }
        flags.extend(extra);
        flags.into_iter().map(str::to_owned).collect()
    }

    pub(crate) fn config(&self, database: &Database, extra: &[&str]) -> Config {
        Config::try_parse_from(self.flags(database, extra)).unwrap()
    }
}

/// Everybody the tests act as.
pub(crate) fn callers() -> Vec<(String, Caller)> {
    let workload = |namespace: &str, account: &str| {
        Caller::Workload(Workload {
            namespace: namespace.into(),
            service_account: account.into(),
            pod: Some(format!("{account}-1")),
            pod_uid: Some(format!("uid-of-{account}-1")),
        })
    };
    vec![
        (OPERATOR.into(), Caller::Operator),
        (CHECKOUT.into(), workload("shop", "checkout")),
        (BILLING.into(), workload("bank", "billing")),
        (STRANGER.into(), workload("nowhere", "x")),
    ]
}

/// A central that serves.
pub(crate) struct Central {
    pub(crate) running: Running,
    pub(crate) callers: Arc<StaticAuthenticator>,
    pub(crate) http: reqwest::Client,
    /// Keeps a database that is a file from going while it is in use.
    _database: Database,
}

impl Central {
    /// One on a database of its own installation.
    pub(crate) async fn on(database: &Database) -> Self {
        Self::start(&Secrets::new(), database, &[]).await
    }

    /// One of an installation, with more flags.
    pub(crate) async fn start(secrets: &Secrets, database: &Database, extra: &[&str]) -> Self {
        let clock: Clock = Arc::new(time::OffsetDateTime::now_utc);
        Self::start_with_clock(secrets, database, extra, clock).await
    }

    pub(crate) async fn start_with_clock(
        secrets: &Secrets,
        database: &Database,
        extra: &[&str],
        clock: Clock,
    ) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let callers = Arc::new(StaticAuthenticator::new(callers()));
        let config = secrets.config(database, extra);
        let running = ::central::start_with_clock(config, Arc::clone(&callers) as _, clock)
            .await
            .unwrap();
        running.ready().await;
        Self {
            running,
            callers,
            http: reqwest::Client::new(),
            _database: database.clone(),
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.running.address())
    }

    pub(crate) async fn channel(&self) -> Channel {
        Channel::from_shared(self.url(""))
            .unwrap()
            .connect()
            .await
            .unwrap()
    }

    pub(crate) async fn provision(&self) -> ProvisionClient<Channel> {
        ProvisionClient::new(self.channel().await)
    }

    pub(crate) async fn sync(&self) -> SyncClient<Channel> {
        SyncClient::new(self.channel().await)
    }

    /// What an administrator sees at a path.
    pub(crate) async fn look(&self, path: &str) -> serde_json::Value {
        let answer = self
            .http
            .get(self.url(path))
            .bearer_auth(ADMINISTRATOR)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        answer.json().await.unwrap()
    }

    /// What anybody sees at a path.
    pub(crate) async fn public(&self, path: &str) -> reqwest::Response {
        self.http.get(self.url(path)).send().await.unwrap()
    }
}
