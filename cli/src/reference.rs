//! Reference documentation, made from the types that are its source.

use clap::{Args, CommandFactory, Subcommand, ValueEnum};

use crate::{Cli, error::Error, output};

/// Which reference to print.
#[derive(Debug, Args)]
pub struct Options {
    #[command(subcommand)]
    topic: Topic,
}

#[derive(Debug, Subcommand)]
enum Topic {
    /// Every flag and environment variable of every program, as Markdown
    Configuration,
    /// The default configuration of a program, as a file of environment variables
    Environment {
        /// Whose
        program: Program,
    },
}

/// A program that is configured by its environment.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Program {
    Central,
    Operator,
    Sidecar,
}

impl Program {
    fn name(self) -> &'static str {
        match self {
            Self::Central => "central",
            Self::Operator => "operator",
            Self::Sidecar => "sidecar",
        }
    }

    fn command(self) -> clap::Command {
        match self {
            Self::Central => central::Config::command(),
            Self::Operator => operator::Config::command(),
            Self::Sidecar => sidecar::Config::command(),
        }
    }
}

/// Prints the chosen reference on standard output.
///
/// # Errors
/// None at present.
pub fn run(options: &Options) -> Result<(), Error> {
    match options.topic {
        Topic::Configuration => output::line(configuration().trim_end()),
        Topic::Environment { program } => output::line(environment(program).trim_end()),
    }
    Ok(())
}

fn configuration() -> String {
    let mut page = String::from(
        "# Configuration\n\n\
         Made from the programs' own types by `cargo xtask generate`; do not edit.\n\n\
         A flag wins over its environment variable. A wrong value stops the program at start with a \
         sentence that says how to mend it.\n",
    );
    for program in Program::value_variants() {
        let name = format!("signet-{}", program.name());
        section(&mut page, &name, &program.command());
    }
    for subcommand in Cli::command()
        .get_subcommands()
        .filter(|command| !command.is_hide_set())
    {
        let name = format!("signet {}", subcommand.get_name());
        section(&mut page, &name, subcommand);
        for nested in subcommand.get_subcommands() {
            section(&mut page, &format!("{name} {}", nested.get_name()), nested);
        }
    }
    page
}

fn section(page: &mut String, name: &str, command: &clap::Command) {
    page.push_str(&format!("\n## {name}\n\n"));
    if let Some(about) = command.get_about() {
        page.push_str(&format!("{about}\n\n"));
    }
    if command.get_arguments().next().is_none() {
        return;
    }
    page.push_str("| flag | environment | default | meaning |\n| --- | --- | --- | --- |\n");
    for argument in command
        .get_arguments()
        .filter(|argument| !argument.is_hide_set())
    {
        let flag = argument.get_long().map_or_else(
            || format!("`{}`", argument.get_id().as_str().to_uppercase()),
            |long| format!("`--{long}`"),
        );
        let environment = argument
            .get_env()
            .map_or_else(String::new, |name| format!("`{}`", name.to_string_lossy()));
        let default = match default_of(argument) {
            _ if argument.is_required_set() => "required".to_owned(),
            Some(default) => format!("`{default}`"),
            None => String::new(),
        };
        let meaning = one_line(&meaning_of(argument)).replace('|', "\\|");
        page.push_str(&format!(
            "| {flag} | {environment} | {default} | {meaning} |\n"
        ));
    }
}

/// What a program does when nothing is set. What has no default stands as a comment.
fn environment(program: Program) -> String {
    let name = program.name();
    let mut file = format!(
        "# The default configuration of signet-{name}, for `docker run --env-file` or systemd's\n\
         # EnvironmentFile. Made by `signet reference environment {name}`; change a copy of it.\n"
    );
    let command = program.command();
    let arguments = command.get_arguments();
    for argument in arguments.filter(|argument| !argument.is_hide_set()) {
        let Some(variable) = argument.get_env() else {
            continue;
        };
        let variable = variable.to_string_lossy();
        let required = if argument.is_required_set() {
            " Required."
        } else {
            ""
        };
        let meaning = one_line(&meaning_of(argument));
        let meaning = meaning.trim_end_matches('.');
        file.push_str(&format!("\n# {meaning}.{required}\n"));
        match default_of(argument) {
            Some(default) => file.push_str(&format!("{variable}={default}\n")),
            None => file.push_str(&format!("#{variable}=\n")),
        }
    }
    file
}

fn default_of(argument: &clap::Arg) -> Option<String> {
    let defaults: Vec<_> = argument
        .get_default_values()
        .iter()
        .map(|value| value.to_string_lossy())
        .collect();
    let takes = argument.get_action().takes_values();
    (takes && !defaults.is_empty()).then(|| defaults.join(","))
}

fn meaning_of(argument: &clap::Arg) -> String {
    let help = argument.get_long_help().or(argument.get_help());
    help.map_or_else(String::new, ToString::to_string)
}

/// Neither table cells nor comments hold line breaks.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::{Parser, ValueEnum as _};

    use super::{Program, configuration, environment};

    #[test]
    fn every_flag_of_every_program_has_a_meaning() {
        let page = configuration();

        let without: Vec<_> = page.lines().filter(|line| line.ends_with("|  |")).collect();

        assert_eq!(without, Vec::<&str>::new());
        for name in [
            "signet-central",
            "signet-operator",
            "signet-sidecar",
            "signet dev",
            "signet events list",
        ] {
            assert!(page.contains(&format!("## {name}\n")), "{name} is missing");
        }
    }

    #[test]
    fn the_default_configuration_is_the_programs_own() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/defaults");
        for program in Program::value_variants() {
            let name = program.name();
            let kept = std::fs::read_to_string(folder.join(format!("{name}.env"))).unwrap();
            assert!(
                kept == environment(*program),
                "stale: signet reference environment {name} > config/defaults/{name}.env"
            );
        }
    }

    /// Setting everything that the file sets is setting nothing.
    fn changes_nothing<C: Parser + std::fmt::Debug>(program: Program, required: &[&str]) {
        let mut flags = vec!["program".to_owned()];
        flags.extend(required.iter().map(|&flag| flag.to_owned()));
        let bare = C::try_parse_from(&flags).unwrap();
        let command = program.command();
        for line in environment(program).lines() {
            let Some((variable, value)) = line.split_once('=').filter(|_| !line.starts_with('#'))
            else {
                continue;
            };
            let argument = command
                .get_arguments()
                .find(|argument| argument.get_env().is_some_and(|env| env == variable))
                .unwrap();
            flags.push(format!("--{}={value}", argument.get_long().unwrap()));
        }
        assert!(flags.len() > required.len() + 5, "{flags:?}");

        let set = C::try_parse_from(&flags).unwrap();

        assert_eq!(format!("{set:?}"), format!("{bare:?}"));
    }

    #[test]
    fn the_default_configuration_changes_nothing() {
        changes_nothing::<central::Config>(
            Program::Central,
            &[
                "--base-url=http://127.0.0.1:7750",
                "--database-url=sqlite://signet.db",
                "--master-key-file=master.key",
                "--bootstrap-token-file=bootstrap.token",
            ],
        );
        changes_nothing::<operator::Config>(
            Program::Operator,
            &["--namespace=n", "--pod-name=p", "--sidecar-image=i"],
        );
        changes_nothing::<sidecar::Config>(
            Program::Sidecar,
            &["--tenant=acme", "--central-url=http://127.0.0.1:7750"],
        );
    }

    #[test]
    fn the_chart_sets_what_the_programs_read_and_all_they_require() {
        let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/signet/templates");
        for program in [Program::Central, Program::Operator] {
            let file = chart.join(program.name()).join("deployment.yaml");
            let template = std::fs::read_to_string(file).unwrap();
            let set: Vec<_> = template
                .lines()
                .filter_map(|line| line.trim().strip_prefix("- name: "))
                .filter(|name| name.starts_with("SIGNET_"))
                .collect();
            let command = program.command();
            let variables = |only_required: bool| -> Vec<String> {
                let wanted = |one: &&clap::Arg| one.is_required_set() || !only_required;
                let known = command.get_arguments().filter(wanted);
                known
                    .filter_map(|one| Some(one.get_env()?.to_string_lossy().into_owned()))
                    .collect()
            };
            let known = variables(false);
            assert!(set.len() > 8, "{program:?}: {set:?}");
            for name in &set {
                let name = (*name).to_owned();
                assert!(known.contains(&name), "{program:?} does not read {name}");
            }
            for name in variables(true) {
                assert!(set.contains(&name.as_str()), "{program:?} needs {name}");
            }
        }
    }
}
