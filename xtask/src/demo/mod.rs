//! The story of the product, told by the product: in one process, or on a cluster.

mod cluster;

use std::process::Command;

use anyhow::{Result, bail};

use crate::{generate, paths, process};

pub(crate) use cluster::run as run_on_cluster;

/// What a whole telling says, in this order.
const MARKS: [&str; 10] = [
    "a token of tenant",
    "allowed",
    "refused",
    "garbage: 401",
    "a changed signature: 401",
    "ids in",
    "no id twice",
    "meanwhile, no id twice",
    "central is back",
    "Done: every step",
];

/// Builds the programs and lets `signet demo` tell the story, with SQLite and nothing but cargo.
///
/// # Errors
/// When a step does not come out as told.
pub(crate) fn run(keep: bool) -> Result<()> {
    generate::build_programs()?;
    let mut command = demo();
    if keep {
        command.arg("--keep");
    }
    process::run(&mut command)
}

/// Runs the demo and checks what it says.
///
/// # Errors
/// When it fails, or passes without having shown every part of the story.
pub(crate) fn verify() -> Result<()> {
    generate::build_programs()?;
    check(&process::watched(&mut demo())?)
}

fn demo() -> Command {
    let mut command = Command::new(paths::built("signet"));
    command.arg("demo").current_dir(paths::checkout());
    command
}

fn check(said: &str) -> Result<()> {
    let mut rest = said;
    for mark in MARKS {
        let Some(at) = rest.find(mark) else {
            bail!("the demo ended well but did not say {mark:?} in its place");
        };
        rest = &rest[at + mark.len()..];
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_story_with_a_part_missing_is_not_the_story() {
        let whole = "a token of tenant acme\ncreate: allowed\ncreate: refused\ngarbage: 401: malformed\n\
                     a changed signature: 401: bad\n9 ids in 1 s, no id twice\n\
                     3 decisions and 60 ids meanwhile, no id twice\ncentral is back\nDone: every step came out";
        assert!(check(whole).is_ok());
        for mark in MARKS {
            // The last of its place: an earlier one of the same words must not stand in for it.
            let (before, after) = whole.rsplit_once(mark).unwrap();
            assert!(check(&format!("{before}…{after}")).is_err(), "{mark}");
        }
        let (first, last) = whole.split_once("9 ids").unwrap();
        assert!(
            check(&format!("9 ids{last}\n{first}")).is_err(),
            "the order"
        );
    }
}
