//! What a running central holds, for administrators.

mod client;
pub mod consumers;
pub mod events;
mod interruption;
mod number;
mod path;
pub mod projections;
pub mod records;
pub mod replay;
#[cfg(test)]
mod scripted;
mod table;
mod verify;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use self::{
    client::Client,
    number::number,
    table::{Column, Format},
};
use crate::error::Error;

/// What to show, and of which central.
#[derive(Debug, Args)]
pub struct Options {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    shared: Shared,
}

/// What every command takes that asks a central.
#[derive(Debug, Args)]
struct Shared {
    #[command(flatten)]
    connection: Connection,
    /// How to print it
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Table)]
    output: Format,
}

/// Where central is, and who asks.
#[derive(Debug, Args)]
pub struct Connection {
    /// Where central answers
    #[arg(
        long,
        global = true,
        env = "SIGNET_CENTRAL_URL",
        default_value = "http://127.0.0.1:7750"
    )]
    pub server: String,
    /// File with the administrators' secret; where a tenant is named, a token of that tenant serves too
    #[arg(
        long,
        global = true,
        env = "SIGNET_BOOTSTRAP_TOKEN_FILE",
        value_name = "FILE"
    )]
    pub token_file: Option<PathBuf>,
    /// File with the certificates (PEM) that signed central's
    #[arg(
        long,
        global = true,
        env = "SIGNET_CENTRAL_CA_FILE",
        value_name = "FILE"
    )]
    pub ca_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// All tenants
    Tenants,
    /// The roles of a tenant
    Roles(Tenant),
    /// The id generators of a tenant, with what is left
    Generators(Tenant),
    /// The public keys of a tenant
    Keys(Tenant),
    /// The events of a tenant, oldest first
    Events {
        #[command(flatten)]
        tenant: Tenant,
        /// Position to begin after
        #[arg(long, default_value_t = 0, value_name = "POSITION", value_parser = number, allow_negative_numbers = true)]
        after: u64,
        /// How many at most
        #[arg(long, default_value_t = 100, value_parser = number, allow_negative_numbers = true)]
        limit: u64,
    },
}

#[derive(Debug, Args)]
struct Tenant {
    /// Name of the tenant
    tenant: String,
}

impl Tenant {
    fn path(&self, what: &str) -> String {
        path::of(Some(&self.tenant), what)
    }
}

impl What {
    fn path(&self) -> String {
        match self {
            Self::Tenants => "/api/v1/tenants".to_owned(),
            Self::Roles(tenant) => tenant.path("roles"),
            Self::Generators(tenant) => tenant.path("generators"),
            Self::Keys(tenant) => tenant.path("keys"),
            Self::Events {
                tenant,
                after,
                limit,
            } => {
                let path = tenant.path("events");
                format!("{path}?after={after}&limit={limit}")
            }
        }
    }

    fn list(&self) -> (&'static str, &'static [Column]) {
        match self {
            Self::Tenants => (
                "tenants",
                &[
                    ("tenant", "/name"),
                    ("standing", "/standing"),
                    ("key", "/active_key"),
                    ("namespaces", "/namespaces"),
                    ("issuer", "/issuer"),
                ],
            ),
            Self::Roles(_) => (
                "roles",
                &[
                    ("namespace", "/namespace"),
                    ("role", "/name"),
                    ("inherits", "/inherits"),
                    ("subjects", "/subjects"),
                ],
            ),
            Self::Generators(_) => (
                "generators",
                &[
                    ("namespace", "/namespace"),
                    ("generator", "/name"),
                    ("next", "/next"),
                    ("remaining", "/remaining"),
                ],
            ),
            Self::Keys(_) => (
                "keys",
                &[
                    ("key", "/kid"),
                    ("algorithm", "/algorithm"),
                    ("phase", "/phase"),
                ],
            ),
            Self::Events { .. } => (
                "events",
                &[
                    ("position", "/position"),
                    ("time", "/recorded_at"),
                    ("event", "/event_type"),
                    ("stream", "/stream_type"),
                    ("id", "/stream_id"),
                    ("version", "/stream_version"),
                ],
            ),
        }
    }
}

/// Shows what was asked for.
///
/// # Errors
/// Central cannot be reached, or refuses.
pub async fn run(options: Options) -> Result<(), Error> {
    let answer = Client::new(&options.shared.connection)?
        .get(&options.what.path())
        .await?;
    let (list, columns) = options.what.list();
    table::list(&answer, list, columns, options.shared.output);
    table::tell_more(&answer, "--after");
    Ok(())
}
