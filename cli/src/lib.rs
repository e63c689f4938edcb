//! # cli
//!
//! The command `signet`: Signet in one process for development, the demonstration, and the
//! administration of a running central.
//!
//! **Here:** command lines, what is printed, and how central, the reconciler and sidecars are put
//! together in one process. **Never here:** a rule about tenants, roles or ids (the programs have
//! them), a second way to do what a program does.
//!
//! **The way through:** [`Cli`] → one of [`dev`], [`demo`], [`admin`], [`reference`]. `dev` starts the
//! programs as libraries and feeds the reconciler from YAML files; `demo` is `dev` with an application
//! that asks; `admin` is a client of `/api/v1`.

pub mod admin;
pub mod demo;
pub mod dev;
pub mod error;
pub mod output;
pub mod reference;

use clap::{Parser, Subcommand};

/// Who is calling, may they, and what is a fresh, unique id: answered beside the application.
#[derive(Debug, Parser)]
#[command(name = "signet", version, propagate_version = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands of `signet`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run central, the reconciler and a sidecar in one process on SQLite
    Dev(dev::Options),
    /// Tell the whole story in one process: tokens, decisions, ids, and an outage
    Demo(demo::Options),
    /// Show what a running central holds
    Get(admin::Options),
    /// List events, follow them as they come, and verify that nobody changed them
    Events(admin::events::Options),
    /// Replay events: count or verify them, with progress
    Replay(admin::replay::Options),
    /// Show which ids were given to whom
    Allocations(admin::records::AllocationOptions),
    /// Show the signatures over the events, to keep them elsewhere
    Checkpoints(admin::records::CheckpointOptions),
    /// Look after the read models that are built from events
    Projections(admin::projections::Options),
    /// Look after the subscriptions to events
    Subscriptions(admin::consumers::SubscriptionOptions),
    /// Look after events that handlers gave up
    DeadLetters(admin::consumers::DeadLetterOptions),
    /// Print reference documentation made from the programs' own types
    #[command(hide = true)]
    Reference(reference::Options),
}

/// Runs a parsed command line to its end.
///
/// # Errors
/// What failed, in a sentence for the person at the terminal.
pub async fn run(cli: Cli) -> Result<(), error::Error> {
    match cli.command {
        Command::Dev(options) => dev::run(options).await,
        Command::Demo(options) => demo::run(options).await,
        Command::Get(options) => admin::run(options).await,
        Command::Events(options) => admin::events::run(options).await,
        Command::Replay(options) => admin::replay::run(options).await,
        Command::Allocations(options) => admin::records::allocations(options).await,
        Command::Checkpoints(options) => admin::records::checkpoints(options).await,
        Command::Projections(options) => admin::projections::run(options).await,
        Command::Subscriptions(options) => admin::consumers::subscriptions(options).await,
        Command::DeadLetters(options) => admin::consumers::dead_letters(options).await,
        Command::Reference(options) => reference::run(&options),
    }
}
