//! What a running central holds, for administrators.

mod client;

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::Value;

use self::client::Client;
use crate::{error::Error, output};

/// What to show, and of which central.
#[derive(Debug, Args)]
pub struct Options {
    #[command(subcommand)]
    what: What,
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
    /// File with the administrators' secret
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

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Table,
    Json,
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
        #[arg(long, default_value_t = 0)]
        after: u64,
        /// How many at most
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
}

#[derive(Debug, Args)]
struct Tenant {
    /// Name of the tenant
    tenant: String,
}

/// Where a cell of the table lies in an item.
type Column = (&'static str, &'static str);

impl What {
    fn path(&self) -> String {
        match self {
            Self::Tenants => "/api/v1/tenants".to_owned(),
            Self::Roles(Tenant { tenant }) => format!("/api/v1/tenants/{tenant}/roles"),
            Self::Generators(Tenant { tenant }) => format!("/api/v1/tenants/{tenant}/generators"),
            Self::Keys(Tenant { tenant }) => format!("/api/v1/tenants/{tenant}/keys"),
            Self::Events {
                tenant,
                after,
                limit,
            } => {
                let tenant = &tenant.tenant;
                format!("/api/v1/tenants/{tenant}/events?after={after}&limit={limit}")
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
    let answer = Client::new(&options.connection)?
        .get(&options.what.path())
        .await?;
    if matches!(options.output, Format::Json) {
        output::line(&format!("{answer:#}"));
        return Ok(());
    }
    let (list, columns) = options.what.list();
    let headings: Vec<&str> = columns.iter().map(|(heading, _)| *heading).collect();
    let items = answer[list]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let row = |item: &Value| -> Vec<String> {
        columns
            .iter()
            .map(|(_, pointer)| cell(item.pointer(pointer)))
            .collect()
    };
    let rows: Vec<Vec<String>> = items.iter().map(row).collect();
    output::table(&headings, &rows);
    Ok(())
}

/// A value as a person reads it in a table.
fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) if items.is_empty() => "-".to_owned(),
        Some(Value::Array(items)) => items
            .iter()
            .map(|item| cell(Some(item)))
            .collect::<Vec<_>>()
            .join(","),
        // A subject of a role: what it is called is what matters.
        Some(Value::Object(fields)) if fields.contains_key("name") => cell(fields.get("name")),
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::cell;

    #[test]
    fn cells_are_for_people() {
        assert_eq!(cell(None), "-");
        assert_eq!(cell(Some(&json!([]))), "-");
        assert_eq!(cell(Some(&json!(["shop", "depot"]))), "shop,depot");
        assert_eq!(cell(Some(&json!([{"kind": "User", "name": "ann"}]))), "ann");
        assert_eq!(cell(Some(&json!(7))), "7");
    }
}
