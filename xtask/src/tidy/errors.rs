//! Every error code that a program can answer with is explained in `docs/errors.md`, and nothing is
//! explained there that no program answers with.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::sources::{Sources, is_test, without_test_module};

const CATALOGUE: &str = "docs/errors.md";

pub(super) fn check(root: &Path, sources: &Sources) -> Vec<String> {
    let catalogue = match fs::read_to_string(root.join(CATALOGUE)) {
        Ok(text) => text,
        Err(error) => return vec![format!("{CATALOGUE} cannot be read: {error}")],
    };
    compare(&catalogue, sources)
}

fn compare(catalogue: &str, sources: &Sources) -> Vec<String> {
    let mut used: BTreeMap<&str, &Path> = BTreeMap::new();
    // This program has codes only to test itself by.
    let shipped = |path: &Path| !is_test(path) && !path.starts_with("xtask");
    for (path, text) in sources.0.iter().filter(|(path, _)| shipped(path)) {
        for code in codes(without_test_module(text)) {
            used.entry(code).or_insert(path);
        }
    }
    let explained = codes(catalogue);
    let missing = used.iter().filter(|(code, _)| !explained.contains(*code));
    let mut broken: Vec<String> = missing
        .map(|(code, path)| format!("{code} ({}) is not in {CATALOGUE}", path.display()))
        .collect();
    let unused = explained.iter().filter(|code| !used.contains_key(*code));
    broken.extend(unused.map(|code| format!("{CATALOGUE} has {code}, which no source has")));
    broken
}

/// The codes in a text: `SIGNET-AREA-0000` or `IDGEN-AREA-0000`, areas being capital letters.
fn codes(text: &str) -> BTreeSet<&str> {
    let mut found = BTreeSet::new();
    for prefix in ["SIGNET-", "IDGEN-"] {
        for (start, _) in text.match_indices(prefix) {
            let rest = &text[start + prefix.len()..];
            let area = rest.bytes().take_while(u8::is_ascii_uppercase).count();
            let number = rest[area..].strip_prefix('-').unwrap_or_default();
            let digits = number.bytes().take_while(u8::is_ascii_digit).count();
            if area > 0 && digits == 4 {
                found.insert(&text[start..start + prefix.len() + area + 1 + digits]);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read_whole() {
        let text =
            r#"a "SIGNET-TOKEN-0001", `IDGEN-SEG-1001`. SIGNET-TOKEN-12 SIGNET-X-00001 IDGEN-"#;
        assert_eq!(
            codes(text),
            BTreeSet::from(["IDGEN-SEG-1001", "SIGNET-TOKEN-0001"])
        );
    }

    #[test]
    fn source_and_catalogue_must_agree() {
        let sources = Sources(BTreeMap::from([
            (
                "central/src/error.rs".into(),
                "SIGNET-CENTRAL-0001 SIGNET-CENTRAL-0002".to_owned(),
            ),
            (
                "central/tests/http.rs".into(),
                "SIGNET-CENTRAL-0009".to_owned(),
            ),
        ]));
        let broken = compare("SIGNET-CENTRAL-0002 SIGNET-CENTRAL-0003", &sources);
        assert_eq!(
            broken,
            [
                "SIGNET-CENTRAL-0001 (central/src/error.rs) is not in docs/errors.md",
                "docs/errors.md has SIGNET-CENTRAL-0003, which no source has",
            ]
        );
    }
}
