//! What the event store costs, against a raw baseline measured in turn with it, and the figures that
//! it has to reach. Prints the JSON that `cargo xtask bench` reads; progress goes to standard error.
//!
//! `SIGNET_BENCH_POSTGRES_URL` names a PostgreSQL server that may be filled with databases and is
//! thrown away afterwards; `cargo xtask bench eventstore` starts one with durable settings. See
//! docs/eventstore-performance.md.

#![allow(clippy::print_stdout, reason = "the result is what this prints")]
#![allow(clippy::print_stderr, reason = "progress goes there")]

mod aggregate;
mod batches;
mod callers;
mod load;
mod machine;
mod projection;
mod raw_postgres;
mod raw_sqlite;
mod replay;
mod report;
mod sample;
mod server;
mod settings;
mod size;
mod wake;

use report::{Outcome, Report};
use settings::Settings;

#[tokio::main]
async fn main() -> Outcome<()> {
    let settings = Settings::from_arguments()?;
    let folder = tempfile::Builder::new().prefix("signet-bench-").tempdir()?;
    let mut report = Report::new();
    let server = server::Server::from_environment()?;
    report.facts = machine::facts(folder.path(), &server).await?;
    if settings.wants("append") {
        callers::postgres(&server, &settings, &mut report).await?;
    }
    if settings.wants("batches") {
        batches::run(&server, &mut report).await?;
    }
    if settings.wants("sqlite") {
        callers::sqlite(folder.path(), &settings, &mut report).await?;
    }
    if settings.wants("wake") {
        wake::run(&server, &mut report).await?;
    }
    if settings.wants("replay") {
        replay::run(&server, &mut report).await?;
    }
    if settings.wants("projection") {
        projection::run(&server, &mut report).await?;
    }
    if settings.wants("aggregate") {
        aggregate::run(&server, &mut report).await?;
    }
    if settings.wants("size") {
        size::run(&server, &settings, &mut report).await?;
    }
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}
