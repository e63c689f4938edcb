//! The table of stages, and the short ones.

mod chart;
mod cluster;
mod deny;
mod e2e;

use anyhow::{Context, Result};

use super::{Options, Stage, Verdict};
use crate::postgres::Server;
use crate::{demo, generate, process, tidy};

pub(super) const STAGES: &[Stage] = &[
    Stage {
        name: "format",
        shows: "the code is formatted",
        needs: &[],
        run: format,
    },
    Stage {
        name: "build",
        shows: "the workspace compiles, with the lock file as it is",
        needs: &[],
        run: build,
    },
    Stage {
        name: "tidy",
        shows: "the house rules hold, what is generated is fresh",
        needs: &["build"],
        run: tidy,
    },
    Stage {
        name: "lint",
        shows: "clippy has nothing to say",
        needs: &["build"],
        run: lint,
    },
    Stage {
        name: "unit",
        shows: "each crate keeps its word, with a real PostgreSQL",
        needs: &["build"],
        run: unit,
    },
    Stage {
        name: "demo",
        shows: "the story in one process, as a newcomer sees it",
        needs: &["build"],
        run: demo,
    },
    Stage {
        name: "deny",
        shows: "licences, banned crates and sources of what we depend on",
        needs: &[],
        run: deny::run,
    },
    Stage {
        name: "chart",
        shows: "the chart lints, renders what it promises, refuses what cannot work",
        needs: &[],
        run: chart::run,
    },
    Stage {
        name: "cluster",
        shows: "the local cluster starts, and goes without a trace, also after a crash half way",
        needs: &[],
        run: cluster::run,
    },
    Stage {
        name: "e2e",
        shows: "the story on a real Kubernetes",
        needs: &["build", "chart"],
        run: e2e::run,
    },
];

/// The table, for `--help`.
pub(super) fn listing() -> String {
    let lines = STAGES
        .iter()
        .map(|stage| format!("\n  {:<8} {}", stage.name, stage.shows));
    format!("Stages:{}", lines.collect::<String>())
}

fn format(_: &Options) -> Result<Verdict> {
    // Only the names of the files: `cargo fmt` mends them.
    process::run(process::cargo().args(["fmt", "--all", "--check", "--", "-l"]))
        .context("these files are not as `cargo fmt` writes them")?;
    Ok(Verdict::Passed)
}

fn build(_: &Options) -> Result<Verdict> {
    generate::build_programs()?;
    Ok(Verdict::Passed)
}

fn tidy(_: &Options) -> Result<Verdict> {
    tidy::run()?;
    Ok(Verdict::Passed)
}

fn lint(_: &Options) -> Result<Verdict> {
    let mut cargo = process::cargo();
    cargo.args([
        "clippy",
        "--locked",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]);
    process::run(&mut cargo)?;
    Ok(Verdict::Passed)
}

fn unit(options: &Options) -> Result<Verdict> {
    let mut cargo = process::cargo();
    cargo.args(["test", "--locked", "--workspace", "--no-fail-fast"]);
    // The end-to-end tests are a stage of their own; without this they have nothing to run on.
    cargo.env_remove("SIGNET_E2E_KUBECONFIG");
    if options.quick {
        process::run(&mut cargo)?;
        return Ok(Verdict::Passed);
    }
    let server = Server::start()?;
    cargo.env("SIGNET_TEST_POSTGRES_URL", server.url());
    cargo.env("SIGNET_TEST_REQUIRE", "postgres");
    process::run(&mut cargo)?;
    Ok(Verdict::Passed)
}

fn demo(_: &Options) -> Result<Verdict> {
    demo::verify()?;
    Ok(Verdict::Passed)
}
