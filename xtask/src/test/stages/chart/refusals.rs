//! Values that would install something that cannot work, and what helm says to whoever gives them.

use std::path::Path;
use std::process::Output;

use anyhow::{Result, bail};

use super::{DATABASE, Helm};

const SQLITE: &str = "database.url=sqlite:///var/lib/signet/signet.db";
const CLAIM: &str = "database.sqlite.existingClaim=signet";

struct Refusal {
    what: &'static str,
    /// As `--set` takes them.
    values: &'static [&'static str],
    /// What tells how to mend it.
    says: &'static [&'static str],
}

const REFUSALS: [Refusal; 7] = [
    Refusal {
        what: "no database",
        values: &[],
        says: &["give database.url (postgres://…) or database.existingSecret"],
    },
    Refusal {
        what: "two databases",
        values: &[DATABASE, "database.existingSecret=signet"],
        says: &["give either database.url or database.existingSecret, not both"],
    },
    Refusal {
        what: "SQLite with two replicas",
        values: &[SQLITE, CLAIM, "central.replicas=2"],
        says: &["use postgres://… or set central.replicas to 1"],
    },
    Refusal {
        what: "SQLite on no volume",
        values: &[SQLITE],
        says: &["set database.sqlite.existingClaim to a PersistentVolumeClaim"],
    },
    Refusal {
        what: "a misspelt value",
        values: &[DATABASE, "central.replica=2"],
        says: &["/central", "'replica' not allowed"],
    },
    Refusal {
        what: "a misspelt section",
        values: &[DATABASE, "webhooks.timeoutSeconds=3"],
        says: &["'webhooks' not allowed"],
    },
    Refusal {
        what: "a webhook that may take too long",
        values: &[DATABASE, "webhook.timeoutSeconds=10"],
        says: &["/webhook/timeoutSeconds", "maximum: got 10, want 5"],
    },
];

/// What is near each refusal and must be taken: else any failure of helm would pass for one.
const TAKEN: [&[&str]; 3] = [
    &["database.existingSecret=signet"],
    &[SQLITE, CLAIM, "central.replicas=1"],
    &[DATABASE, "central.replicas=2", "webhook.timeoutSeconds=5"],
];

/// Gives helm each of them.
///
/// # Errors
/// When one is taken, or refused in other words.
pub(super) fn verify(helm: &Helm<'_>, chart: &Path) -> Result<()> {
    for values in TAKEN {
        let output = template(helm, chart, values)?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("{values:?} is refused, and should not be:\n{said}");
        }
    }
    for refusal in &REFUSALS {
        let output = template(helm, chart, refusal.values)?;
        let said = String::from_utf8_lossy(&output.stderr);
        if let Some(defect) = defect(refusal, output.status.success(), &said) {
            bail!("{defect}");
        }
        println!("refused, and how to mend it said: {}", refusal.what);
    }
    Ok(())
}

fn template(helm: &Helm<'_>, chart: &Path, values: &[&str]) -> Result<Output> {
    let mut template = helm.template(chart);
    for value in values {
        template.args(["--set", value]);
    }
    Ok(template.output()?)
}

fn defect(refusal: &Refusal, taken: bool, said: &str) -> Option<String> {
    let what = refusal.what;
    if taken {
        return Some(format!("{what} is not refused"));
    }
    let missing = refusal.says.iter().find(|words| !said.contains(*words))?;
    Some(format!("{what} is refused without {missing:?}:\n{said}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_must_say_all_of_it() {
        let refusal = &REFUSALS[4];
        let whole = "- at '/central': additional properties 'replica' not allowed";
        assert_eq!(defect(refusal, false, whole), None);
        assert!(defect(refusal, true, whole).is_some());
        assert!(defect(refusal, false, "- at '/central': wrong").is_some());
        assert!(defect(refusal, false, "cannot reach the chart").is_some());
    }
}
