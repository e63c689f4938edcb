//! The house rules, as far as a program can see them. Each rule is a pure function from what it
//! reads to the list of what breaks it; all are checked before any is reported.

mod crates;
mod dependencies;
mod errors;
mod forbidden;
mod headers;
mod sizes;
mod sources;

use anyhow::{Result, bail};

use crate::{generate, paths};
use sources::Sources;

/// Checks every rule.
///
/// # Errors
/// When any is broken, after all were printed.
pub(crate) fn run() -> Result<()> {
    let root = paths::checkout();
    let crates = crates::read()?;
    let sources = Sources::read(&root)?;
    let mut broken = Vec::new();
    broken.extend(dependencies::check(&crates));
    broken.extend(headers::check(&crates, &sources));
    broken.extend(sizes::check(&sources));
    broken.extend(forbidden::check(&sources));
    broken.extend(errors::check(&root, &sources));
    if let Err(error) = generate::run(true) {
        broken.push(format!("generated files: {error:#}"));
    }
    for rule in &broken {
        println!("tidy: {rule}");
    }
    match broken.len() {
        0 => Ok(()),
        count => bail!("{count} house rules are broken"),
    }
}
