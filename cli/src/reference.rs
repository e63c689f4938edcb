//! Reference documentation, made from the types that are its source.

use clap::{Args, CommandFactory, Subcommand};

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
}

/// Prints the chosen reference on standard output.
///
/// # Errors
/// None at present.
pub fn run(options: &Options) -> Result<(), Error> {
    match options.topic {
        Topic::Configuration => output::line(configuration().trim_end()),
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
    let programs = [
        ("signet-central", central::Config::command()),
        ("signet-operator", operator::Config::command()),
        ("signet-sidecar", sidecar::Config::command()),
    ];
    for (name, command) in programs {
        section(&mut page, name, &command);
    }
    for subcommand in Cli::command()
        .get_subcommands()
        .filter(|command| !command.is_hide_set())
    {
        section(
            &mut page,
            &format!("signet {}", subcommand.get_name()),
            subcommand,
        );
    }
    page
}

fn section(page: &mut String, name: &str, command: &clap::Command) {
    page.push_str(&format!("\n## {name}\n\n"));
    if let Some(about) = command.get_about() {
        page.push_str(&format!("{about}\n\n"));
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
        let defaults: Vec<_> = argument
            .get_default_values()
            .iter()
            .map(|value| value.to_string_lossy())
            .collect();
        let default = if argument.is_required_set() {
            "required".to_owned()
        } else if defaults.is_empty() || !argument.get_action().takes_values() {
            String::new()
        } else {
            format!("`{}`", defaults.join(","))
        };
        let help = argument.get_long_help().or(argument.get_help());
        let meaning = help.map_or_else(String::new, |help| one_line(&help.to_string()));
        page.push_str(&format!(
            "| {flag} | {environment} | {default} | {meaning} |\n"
        ));
    }
}

/// Table cells hold neither line breaks nor bare bars.
fn one_line(text: &str) -> String {
    text.split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::configuration;

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
        ] {
            assert!(page.contains(&format!("## {name}\n")), "{name} is missing");
        }
    }
}
