//! Runs the tests: some alone, the others side by side, and says what came of it.
//!
//! The standard harness cannot keep a test that scales central away from the others, nor run none at all
//! when there is no cluster. The arguments are the standard harness's: `[--exact] [--skip S] [--list] [NAME…]`.

#![allow(clippy::print_stderr, clippy::print_stdout)]

use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures::future::LocalBoxFuture;
use futures::{FutureExt, StreamExt};

use crate::cluster::Cluster;
use crate::environment::{Environment, HOW_TO_RUN, cluster_is_required};
use crate::installation::install_signet;
use crate::namespace::panic_message;

/// How many tests run side by side.
const SIDE_BY_SIDE: usize = 4;
/// When a test is given up. Every wait inside has its own bound; this one is for what was forgotten.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(900);

/// Whether a test bears others beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Company {
    /// It disturbs Signet itself: nothing else runs meanwhile.
    Alone,
    /// It keeps to its own namespaces and tenants.
    Together,
}

/// A test.
pub struct Test {
    /// What it shows, such as `story::works`.
    pub name: &'static str,
    /// Whether it bears others beside it.
    pub company: Company,
    /// Runs it.
    pub run: fn(Cluster) -> LocalBoxFuture<'static, Result<()>>,
}

/// Lists tests as `Company: module::function`.
#[macro_export]
macro_rules! tests {
    ($($company:ident: $module:ident::$function:ident),+ $(,)?) => {
        vec![$($crate::runner::Test {
            name: concat!(stringify!($module), "::", stringify!($function)),
            company: $crate::runner::Company::$company,
            run: |cluster| Box::pin(async move { $module::$function(&cluster).await }),
        }),+]
    };
}

/// What the command line asks for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Arguments {
    list: bool,
    exact: bool,
    names: Vec<String>,
    skip: Vec<String>,
}

impl Arguments {
    fn parse(arguments: impl IntoIterator<Item = String>) -> Self {
        let mut parsed = Self::default();
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--list" => parsed.list = true,
                "--exact" => parsed.exact = true,
                "--skip" => parsed.skip.extend(arguments.next()),
                // The standard harness's, with a value that is no test's name.
                "--test-threads" | "--format" | "--color" | "--logfile" | "--shuffle-seed"
                | "-Z" => {
                    arguments.next();
                }
                flag if flag.starts_with('-') => {}
                name => parsed.names.push(name.to_owned()),
            }
        }
        parsed
    }

    fn wants(&self, test: &str) -> bool {
        let matches = |name: &String| {
            if self.exact {
                test == name
            } else {
                test.contains(name.as_str())
            }
        };
        (self.names.is_empty() || self.names.iter().any(matches)) && !self.skip.iter().any(matches)
    }
}

/// The main function of a test binary.
#[must_use]
pub fn main(mut tests: Vec<Test>) -> ExitCode {
    let arguments = Arguments::parse(std::env::args().skip(1));
    tests.retain(|test| arguments.wants(test.name));
    if arguments.list {
        for test in &tests {
            println!("{}: test", test.name);
        }
        return ExitCode::SUCCESS;
    }
    match start(tests) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("e2e: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(tests: Vec<Test>) -> Result<bool> {
    let Some(environment) = Environment::from_variables()? else {
        eprintln!("{HOW_TO_RUN}");
        println!(
            "\ntest result: ok. 0 passed; 0 failed; {} without a cluster",
            tests.len()
        );
        let required = cluster_is_required();
        if required {
            eprintln!("e2e: SIGNET_TEST_REQUIRE asks for a cluster: that is a failure");
        }
        return Ok(!required);
    };
    if tests.is_empty() {
        println!("\ntest result: ok. 0 passed; 0 failed");
        return Ok(true);
    }
    // A second provider cannot be installed; one is enough.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("starting the runtime")?;
    runtime.block_on(run_all(environment, tests))
}

async fn run_all(environment: Environment, tests: Vec<Test>) -> Result<bool> {
    let begun = Instant::now();
    let cluster = Cluster::connect(environment).await?;
    println!("\nrunning {} tests", tests.len());
    if let Err(error) = install_signet(&cluster).await {
        crate::diagnostics::dump(&cluster, "installation", &format!("{error:#}")).await;
        return Err(error.context("installing Signet"));
    }
    println!("Signet installed ({:.0?})", begun.elapsed());
    let total = tests.len();
    let mut failures = Vec::new();
    for group in groups(tests) {
        let side_by_side = group.first().map_or(1, |test| match test.company {
            Company::Alone => 1,
            Company::Together => SIDE_BY_SIDE,
        });
        let mut outcomes = futures::stream::iter(group)
            .map(|test| run_one(cluster.clone(), test))
            .buffer_unordered(side_by_side);
        while let Some((name, outcome)) = outcomes.next().await {
            failures.extend(outcome.err().map(|failure| (name, failure)));
        }
    }
    if !failures.is_empty() {
        println!("\nfailures:");
    }
    for (name, failure) in &failures {
        println!("\n---- {name}\n{failure}");
    }
    println!(
        "\ntest result: {}. {} passed; {} failed; finished in {:.0?}",
        if failures.is_empty() { "ok" } else { "FAILED" },
        total - failures.len(),
        failures.len(),
        begun.elapsed()
    );
    Ok(failures.is_empty())
}

/// Runs of tests that bear each other, in the order given.
fn groups(tests: Vec<Test>) -> Vec<Vec<Test>> {
    let mut groups: Vec<Vec<Test>> = Vec::new();
    for test in tests {
        match groups.last_mut() {
            Some(group)
                if group
                    .last()
                    .is_some_and(|last| last.company == test.company) =>
            {
                group.push(test);
            }
            _ => groups.push(vec![test]),
        }
    }
    groups
}

async fn run_one(cluster: Cluster, test: Test) -> (&'static str, Result<(), String>) {
    let begun = Instant::now();
    let run = AssertUnwindSafe((test.run)(cluster)).catch_unwind();
    let outcome = match tokio::time::timeout(GIVEN_UP_AFTER, run).await {
        Ok(Ok(Ok(()))) => Ok(()),
        Ok(Ok(Err(error))) => Err(format!("{error:#}")),
        Ok(Err(panic)) => Err(panic_message(panic.as_ref())),
        Err(_) => Err(format!("given up after {} s", GIVEN_UP_AFTER.as_secs())),
    };
    let word = if outcome.is_ok() { "ok" } else { "FAILED" };
    println!("test {} ... {word} ({:.1?})", test.name, begun.elapsed());
    (test.name, outcome)
}

#[cfg(test)]
mod tests {
    use super::{Arguments, Company, Test, groups};

    fn parse(arguments: &[&str]) -> Arguments {
        Arguments::parse(arguments.iter().map(|&argument| argument.to_owned()))
    }

    fn test(name: &'static str, company: Company) -> Test {
        Test {
            name,
            company,
            run: |_| Box::pin(async { Ok(()) }),
        }
    }

    #[test]
    fn names_are_parts_unless_exact() {
        assert!(parse(&[]).wants("story::works"));
        assert!(parse(&["story"]).wants("story::works"));
        assert!(!parse(&["--exact", "story"]).wants("story::works"));
        assert!(!parse(&["--skip", "works"]).wants("story::works"));
        assert!(parse(&["--nocapture", "--test-threads", "1", "story"]).wants("story::works"));
        assert!(!parse(&["--test-threads", "1", "story"]).wants("webhook::1"));
    }

    #[test]
    fn order_is_kept_and_neighbours_run_together() {
        use Company::{Alone, Together};
        let tests = vec![
            test("a", Alone),
            test("b", Together),
            test("c", Together),
            test("d", Alone),
        ];
        let names: Vec<Vec<&str>> = groups(tests)
            .iter()
            .map(|group| group.iter().map(|test| test.name).collect())
            .collect();
        assert_eq!(names, [vec!["a"], vec!["b", "c"], vec!["d"]]);
    }
}
