//! Numbers of a command line.

use std::num::{IntErrorKind, ParseIntError};

/// A position, version, id or length: clap's own parser would tell of digits that are invalid.
pub(super) fn number(text: &str) -> Result<u64, &'static str> {
    text.parse()
        .map_err(|error: ParseIntError| match error.kind() {
            IntErrorKind::PosOverflow => "give a smaller number",
            _ => "give a whole number that is not below 0",
        })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use crate::Cli;

    #[test]
    fn a_number_that_is_none_is_said_to_be_so() {
        for line in [
            "signet events list --after -1",
            "signet events list --before -1",
            "signet events list --limit -1",
            "signet events tail --after x",
            "signet get events acme --after -1",
            "signet allocations --id -1",
            "signet allocations --min-position -1",
            "signet checkpoints --after -7",
            "signet replay start count --after -1",
            "signet replay start count --until 1.5",
        ] {
            let refused = Cli::try_parse_from(line.split(' ')).unwrap_err();
            let text = refused.to_string();
            assert!(text.contains("give a whole number"), "{line}: {text}");
        }
    }

    #[test]
    fn a_number_that_is_too_large_is_said_to_be_so() {
        let line = "signet events list --after 99999999999999999999";
        let refused = Cli::try_parse_from(line.split(' ')).unwrap_err();
        let text = refused.to_string();
        assert!(text.contains("give a smaller number"), "{text}");
    }
}
