//! # xtask
//!
//! The project's own chores, called as `cargo xtask …`.
//!
//! **Here:** the demo, the test stages, the local cluster, the images, what is generated, the
//! benches, the house rules (`tidy`). **Never here:** anything a shipped program needs; no crate
//! of this workspace is linked in, so that `cargo xtask` starts quickly and works while they do
//! not compile; no async runtime; no shell script hides behind it.
//!
//! **The way through:** a command of [`Command`] calls the module of its name. `test` runs a table
//! of stages, each of which calls the same modules. What is slow to make (the cluster's
//! components, tools) is kept in a cache outside the checkout, under the hash of what made it.

#![allow(clippy::print_stdout, clippy::print_stderr)] // a program for a terminal

mod archive;
mod cluster;
mod components;
mod packages;
mod paths;
mod process;
mod progress;

use std::process::ExitCode;

use clap::Parser;

/// The project's own chores.
#[derive(Parser)]
#[command(name = "cargo xtask", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// A real one-machine Kubernetes
    Cluster {
        #[command(subcommand)]
        command: cluster::Command,
    },
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Cluster { command } => cluster::run(command),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
