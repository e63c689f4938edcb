//! `signet allocations` and `signet checkpoints`: lists that are only looked at.

use clap::Args;
use serde_json::Value;

use super::{
    Shared,
    client::Client,
    number::number,
    path::{of, with_query},
    table::{self, Column},
};
use crate::{error::Error, output};

const ALLOCATIONS: &[Column] = &[
    ("time", "/recorded_at"),
    ("tenant", "/tenant"),
    ("generator", "/generator"),
    ("start", "/start"),
    ("end", "/end"),
    ("count", "/count"),
    ("owner", "/owner"),
    ("position", "/position"),
];
const CHECKPOINTS: &[Column] = &[
    ("tenant", "/tenant"),
    ("position", "/position"),
    ("sequence", "/tenant_sequence"),
    ("signed", "/signed_at"),
    ("key", "/key_id"),
];

/// Which ranges of ids.
#[derive(Debug, Args)]
pub struct AllocationOptions {
    /// Name of the tenant; without it those of all
    tenant: Option<String>,
    /// Only those of this generator
    #[arg(long)]
    generator: Option<String>,
    /// Only those of generators of this namespace
    #[arg(long)]
    namespace: Option<String>,
    /// Only those that this id lies in
    #[arg(long, value_parser = number, allow_negative_numbers = true)]
    id: Option<u64>,
    /// Given at this time or later (RFC 3339)
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Given before this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Only if everything up to this position is known
    #[arg(long, value_name = "POSITION", value_parser = number, allow_negative_numbers = true)]
    min_position: Option<u64>,
    /// Begin behind the page that named this
    #[arg(long, value_name = "NEXT")]
    after: Option<String>,
    /// How many at most
    #[arg(long, default_value_t = 100, value_parser = number, allow_negative_numbers = true)]
    limit: u64,
    #[command(flatten)]
    shared: Shared,
}

/// Which checkpoints.
#[derive(Debug, Args)]
pub struct CheckpointOptions {
    /// Only those of this tenant
    #[arg(long)]
    tenant: Option<String>,
    /// Only positions below this one
    #[arg(long, value_name = "POSITION", value_parser = number, allow_negative_numbers = true)]
    after: Option<u64>,
    /// How many at most
    #[arg(long, default_value_t = 100, value_parser = number, allow_negative_numbers = true)]
    limit: u64,
    /// As the lines that are to be kept elsewhere
    #[arg(long, conflicts_with = "output")]
    lines: bool,
    #[command(flatten)]
    shared: Shared,
}

impl AllocationOptions {
    fn path(&self) -> String {
        let number = |number: Option<u64>| number.map(|number| number.to_string());
        let parameters = [
            ("generator", self.generator.clone()),
            ("namespace", self.namespace.clone()),
            ("id", number(self.id)),
            ("from", self.from.clone()),
            ("until", self.until.clone()),
            ("min_position", number(self.min_position)),
            ("after", self.after.clone()),
            ("limit", Some(self.limit.to_string())),
        ];
        with_query(&of(self.tenant.as_deref(), "allocations"), &parameters)
    }
}

impl CheckpointOptions {
    fn path(&self) -> String {
        let parameters = [
            ("after", self.after.map(|after| after.to_string())),
            ("limit", Some(self.limit.to_string())),
        ];
        with_query(&of(self.tenant.as_deref(), "checkpoints"), &parameters)
    }
}

/// Shows what was asked for, the youngest first.
///
/// # Errors
/// Central cannot be reached, or refuses.
pub async fn allocations(options: AllocationOptions) -> Result<(), Error> {
    let client = Client::new(&options.shared.connection)?;
    let answer = client.get(&options.path()).await?;
    table::list(&answer, "allocations", ALLOCATIONS, options.shared.output);
    table::tell_more(&answer, "--after");
    Ok(())
}

/// Shows what was asked for, the newest first.
///
/// # Errors
/// Central cannot be reached, or refuses.
pub async fn checkpoints(options: CheckpointOptions) -> Result<(), Error> {
    let client = Client::new(&options.shared.connection)?;
    let answer = client.get(&options.path()).await?;
    if options.lines {
        for line in lines(&answer) {
            output::line(&line);
        }
    } else {
        table::list(&answer, "checkpoints", CHECKPOINTS, options.shared.output);
    }
    if let Some(damaged) = damaged(&answer) {
        output::note(&damaged);
    }
    table::tell_more(&answer, "--after");
    Ok(())
}

/// That some of them cannot be read, and so are not shown.
fn damaged(answer: &Value) -> Option<String> {
    let positions = answer["damaged"].as_array()?.iter().map(Value::to_string);
    let positions: Vec<_> = positions.collect();
    (!positions.is_empty()).then(|| {
        format!(
            "not shown, because they cannot be read: the checkpoints at positions {}; \
             `signet events verify` tells what else was changed",
            positions.join(", ")
        )
    })
}

fn lines(answer: &Value) -> Vec<String> {
    let checkpoints = answer["checkpoints"].as_array().into_iter().flatten();
    checkpoints.map(Value::to_string).collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use serde_json::json;

    use super::{damaged, lines};
    use crate::{Cli, Command};

    fn path(line: &str) -> Result<String, clap::Error> {
        match Cli::try_parse_from(line.split(' '))?.command {
            Command::Allocations(options) => Ok(options.path()),
            Command::Checkpoints(options) => Ok(options.path()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_filter_becomes_a_parameter() {
        let all = "signet allocations acme --generator order-id --namespace shop --id 7 \
                   --from 2026-01-01T00:00:00Z --until 2026-01-02T00:00:00Z --min-position 9 \
                   --after x --limit 3";
        assert_eq!(
            path(all).unwrap(),
            "/api/v1/tenants/acme/allocations?generator=order-id&namespace=shop&id=7\
             &from=2026-01-01T00%3A00%3A00Z&until=2026-01-02T00%3A00%3A00Z&min_position=9\
             &after=x&limit=3"
        );
        let of_all = path("signet allocations").unwrap();
        assert_eq!(of_all, "/api/v1/allocations?limit=100");
        let checkpoints = path("signet checkpoints --tenant acme --after 9 --limit 3").unwrap();
        assert_eq!(
            checkpoints,
            "/api/v1/tenants/acme/checkpoints?after=9&limit=3"
        );
    }

    #[test]
    fn what_is_wrong_is_refused() {
        for wrong in [
            "signet allocations --id x",
            "signet allocations acme bank",
            "signet checkpoints acme",
            "signet checkpoints --after x",
            "signet checkpoints --lines -o json",
        ] {
            assert!(path(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_checkpoint_is_one_line_to_be_kept() {
        let answer = json!({ "checkpoints": [{ "tenant": "acme", "position": 7 }, {}] });
        let lines = lines(&answer);
        assert_eq!(lines, [r#"{"position":7,"tenant":"acme"}"#, "{}"]);
    }

    #[test]
    fn checkpoints_that_cannot_be_read_are_told_of() {
        let told = damaged(&json!({ "checkpoints": [], "damaged": [9, 3] })).unwrap();
        assert!(told.contains("positions 9, 3;"), "{told}");
        assert_eq!(damaged(&json!({ "checkpoints": [], "damaged": [] })), None);
        assert_eq!(damaged(&json!({ "checkpoints": [] })), None);
    }
}
