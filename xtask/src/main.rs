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
mod bench;
mod cluster;
mod components;
mod demo;
mod generate;
mod http;
mod images;
mod output;
mod packages;
mod paths;
mod postgres;
mod process;
mod progress;
mod test;
mod tidy;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use crate::progress::Steps;

/// The project's own chores.
#[derive(Parser)]
#[command(name = "cargo xtask", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Show the main job: tokens, decisions and ids for an application, on localhost
    Demo {
        /// Leave it running at the end
        #[arg(long)]
        keep: bool,
        /// On a real cluster instead of in one process
        #[arg(long)]
        cluster: bool,
    },
    /// Run the test stages; what they need is installed
    Test(test::Options),
    /// A real one-machine Kubernetes
    Cluster {
        #[command(subcommand)]
        command: cluster::Command,
    },
    /// Build the programs statically and pack them into images
    Images,
    /// Write the files that are made from the source
    Generate {
        /// Write nothing; fail when a file is stale
        #[arg(long)]
        check: bool,
    },
    /// Run benchmarks; all when none is named
    Bench {
        /// Names of benchmarks
        names: Vec<String>,
        /// Put the figures and the plots into docs/
        #[arg(long)]
        document: bool,
        /// Measure large stores, too: half an hour and 20 GB
        #[arg(long)]
        full: bool,
        /// Measure only this part of a benchmark that has parts
        #[arg(long)]
        only: Vec<String>,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Demo {
            keep,
            cluster: true,
        } => demo::run_on_cluster(keep)?,
        Command::Demo {
            keep,
            cluster: false,
        } => demo::run(keep)?,
        Command::Test(options) => {
            if !test::run(&options)? {
                return Ok(ExitCode::FAILURE);
            }
        }
        Command::Cluster { command } => return cluster::run(command),
        Command::Images => {
            let listing = images::build(&Steps::new())?;
            for packed in listing.images.values() {
                output::line(&format!(
                    "{:<48} {}",
                    packed.image,
                    packed.archive.display()
                ))?;
            }
        }
        Command::Generate { check } => generate::run(check)?,
        Command::Bench {
            names,
            document,
            full,
            only,
        } => bench::run(&bench::Wanted {
            names,
            document,
            full,
            only,
        })?,
    }
    Ok(ExitCode::SUCCESS)
}
