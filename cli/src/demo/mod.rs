//! The story in one process: declarations, tokens, decisions, ids, and central away.

mod application;

use std::{collections::HashSet, path::PathBuf, time::Duration};

use clap::Args;
use serde_json::json;
use tokio::time::Instant;

use self::application::Application;
use crate::{
    dev::{Environment, ServiceAccount, Settings, start_logging, wait_for_interrupt},
    error::Error,
    output,
};

const GENERATOR: &str = "order-id";
const IDS_EACH_WAY: usize = 5_000;
const BATCH: usize = 500;

/// How to tell the story.
#[derive(Debug, Args)]
pub struct Options {
    /// The folder with the sample resources
    #[arg(value_name = "DIR", default_value = "config/samples")]
    pub resources: PathBuf,
    /// Leave it running at the end, the first sidecar on 127.0.0.1:7740, until Ctrl-C
    #[arg(long)]
    pub keep: bool,
    /// How many seconds central stays away in the middle
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    pub outage: u64,
    /// What to log on standard error, as tracing's filters
    #[arg(long, env = "SIGNET_LOG", default_value = "error")]
    pub log: String,
}

/// Tells the story.
///
/// # Errors
/// The first step that did not come out as told.
pub async fn run(options: Options) -> Result<(), Error> {
    start_logging(&options.log)?;
    let mut story = Story::begin(&options).await?;
    story.tokens().await?;
    story.decisions().await?;
    story.bad_tokens().await?;
    story.ids().await?;
    story.outage(Duration::from_secs(options.outage)).await?;
    output::line("");
    output::line("Done: every step came out as told.");
    if options.keep {
        story.keep().await?;
    }
    story.environment.stop().await;
    Ok(())
}

struct Story {
    environment: Environment,
    checkout: Application,
    warehouse: Application,
    token: String,
    seen: HashSet<u64>,
}

impl Story {
    async fn begin(options: &Options) -> Result<Self, Error> {
        chapter("One process: central on SQLite, the reconciler, and two sidecars");
        let mut settings = Settings::new(options.resources.clone());
        if !options.keep {
            settings = settings.on_free_ports();
        }
        let mut environment = Environment::start(settings).await?;
        for line in environment.resource_lines() {
            output::line(&format!("  {line}"));
        }
        environment.require_ready()?;
        let checkout = Application::new(environment.start_sidecar(account("checkout")?).await?);
        let warehouse = Application::new(environment.start_sidecar(account("warehouse")?).await?);
        let seen = HashSet::new();
        Ok(Self {
            environment,
            checkout,
            warehouse,
            token: String::new(),
            seen,
        })
    }

    async fn tokens(&mut self) -> Result<(), Error> {
        chapter("checkout asks its sidecar who it is: GET /v1/token");
        self.token = self.checkout.token().await.map_err(failed("the token"))?;
        let length = self.token.len();
        output::line(&format!("  a token of tenant acme, {length} characters"));
        Ok(())
    }

    async fn decisions(&self) -> Result<(), Error> {
        chapter("checkout calls warehouse, which asks its own sidecar: POST /v1/authorize");
        for (action, amount, expected) in [
            ("create", 10, true),
            ("create", 5000, false),
            ("read", 10, true),
            ("delete", 10, false),
        ] {
            let request = json!({ "amount": amount });
            let step = format!("{action} orders/42 with amount {amount}");
            let decision = self
                .warehouse
                .authorize(&self.token, action, "orders/42", request)
                .await
                .map_err(failed(&step))?;
            let verdict = if decision.allowed {
                "allowed"
            } else {
                "refused"
            };
            let by = decision
                .role
                .map_or_else(String::new, |role| format!(" ({role})"));
            output::line(&format!("  {step}: {verdict}{by}: {}", decision.reason));
            if decision.allowed != expected {
                return Err(unexpected(&step, &format!("it was {verdict}")));
            }
        }
        Ok(())
    }

    async fn bad_tokens(&self) -> Result<(), Error> {
        chapter("tokens that do not hold: POST /v1/token/verify");
        let tampered = tampered(&self.token);
        let cases = [
            ("garbage", "not-a-token"),
            ("a changed signature", tampered.as_str()),
        ];
        for (what, token) in cases {
            let (status, reason) = self.warehouse.verify(token).await.map_err(failed(what))?;
            output::line(&format!("  {what}: {status}: {reason}"));
            if status != 401 {
                return Err(unexpected(what, &format!("status {status}")));
            }
        }
        Ok(())
    }

    async fn ids(&mut self) -> Result<(), Error> {
        chapter("both ask for ids: GET /v1/ids/order-id, one by one and in batches");
        let started = Instant::now();
        for application in [self.checkout.clone(), self.warehouse.clone()] {
            for _ in 0..IDS_EACH_WAY / 2 {
                let id = application.id(GENERATOR).await.map_err(failed("one id"))?;
                self.note([id])?;
            }
            for _ in 0..IDS_EACH_WAY / 2 / BATCH {
                let ids = application
                    .ids(GENERATOR, BATCH)
                    .await
                    .map_err(failed("a batch"))?;
                self.note(ids)?;
            }
        }
        let count = self.seen.len();
        let seconds = started.elapsed().as_secs_f64();
        output::line(&format!("  {count} ids in {seconds:.1} s, no id twice"));
        Ok(())
    }

    async fn outage(&mut self, length: Duration) -> Result<(), Error> {
        let seconds = length.as_secs();
        chapter(&format!(
            "central is away for {seconds} s; the applications go on"
        ));
        self.environment.stop_central().await?;
        let before = self.seen.len();
        let mut decisions = 0;
        let end = Instant::now() + length;
        while Instant::now() < end || decisions == 0 {
            let request = json!({ "amount": 1 });
            let decision = self
                .warehouse
                .authorize(&self.token, "create", "orders/1", request)
                .await
                .map_err(failed("a decision while central is away"))?;
            if !decision.allowed {
                return Err(unexpected(
                    "a decision while central is away",
                    &decision.reason,
                ));
            }
            decisions += 1;
            for application in [self.checkout.clone(), self.warehouse.clone()] {
                let ids = application
                    .ids(GENERATOR, 10)
                    .await
                    .map_err(failed("ids while central is away"))?;
                self.note(ids)?;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let ids = self.seen.len() - before;
        output::line(&format!(
            "  {decisions} decisions and {ids} ids meanwhile, no id twice"
        ));
        self.environment.start_central().await?;
        let sidecar = self.environment.start_sidecar(account("checkout")?).await?;
        let ids = Application::new(sidecar)
            .ids(GENERATOR, BATCH)
            .await
            .map_err(failed("ids after central came back"))?;
        self.note(ids)?;
        output::line("  central is back: a new sidecar got a range that nobody had");
        Ok(())
    }

    async fn keep(&self) -> Result<(), Error> {
        output::line("");
        output::line("It is left running; in another terminal:");
        for url in self.environment.sidecar_urls().iter().take(1) {
            output::line(&format!("  curl {url}/v1/ids/{GENERATOR}"));
            output::line(&format!("  curl -H 'Signet-Request: true' {url}/v1/token"));
        }
        output::line("Ctrl-C ends it.");
        wait_for_interrupt().await
    }

    fn note(&mut self, ids: impl IntoIterator<Item = u64>) -> Result<(), Error> {
        for id in ids {
            if !self.seen.insert(id) {
                return Err(unexpected("unique ids", &format!("{id} was given twice")));
            }
        }
        Ok(())
    }
}

fn chapter(title: &str) {
    output::line("");
    output::line(title);
}

fn account(name: &str) -> Result<ServiceAccount, Error> {
    format!("shop/{name}").parse()
}

/// The same token with another first character of its signature.
fn tampered(token: &str) -> String {
    let Some(dot) = token.rfind('.') else {
        return token.to_owned();
    };
    let (head, signature) = token.split_at(dot + 1);
    let first = if signature.starts_with('A') { 'B' } else { 'A' };
    format!("{head}{first}{}", signature.get(1..).unwrap_or_default())
}

fn unexpected(step: &str, reason: &str) -> Error {
    Error::Demonstration {
        step: step.to_owned(),
        reason: reason.to_owned(),
    }
}

fn failed(step: &str) -> impl FnOnce(application::Unexpected) -> Error + use<'_> {
    move |reason| unexpected(step, &reason)
}

#[cfg(test)]
mod tests {
    use super::tampered;

    #[test]
    fn tampering_changes_the_signature_only() {
        assert_eq!(tampered("a.b.Axyz"), "a.b.Bxyz");
        assert_eq!(tampered("a.b.xyz"), "a.b.Ayz");
    }
}
