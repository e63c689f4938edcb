//! A file one can hold in mind.

use super::sources::Sources;

const MOST_LINES: usize = 450;

pub(super) fn check(sources: &Sources) -> Vec<String> {
    let lines = sources
        .0
        .iter()
        .map(|(path, text)| (path, text.lines().count()));
    lines
        .filter(|(_, lines)| *lines > MOST_LINES)
        .map(|(path, lines)| {
            format!(
                "{} has {lines} lines, more than {MOST_LINES}: split it by meaning, not by length",
                path.display()
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_itself_passes() {
        let files = [("fits.rs", 450), ("long.rs", 451)];
        let sources = files.map(|(name, lines)| (name.into(), "x\n".repeat(lines)));
        let broken = check(&Sources(sources.into()));
        assert_eq!(broken.len(), 1);
        assert!(broken[0].starts_with("long.rs has 451 lines"));
    }
}
