//! The Rust files of the checkout.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

/// Rust files by path relative to the checkout.
#[derive(Default)]
pub(super) struct Sources(pub(super) BTreeMap<PathBuf, String>);

impl Sources {
    /// Reads every `.rs` file below `root`, `target` folders and hidden ones left out.
    pub(super) fn read(root: &Path) -> Result<Self> {
        let mut sources = Self::default();
        sources.collect(root, root)?;
        Ok(sources)
    }

    fn collect(&mut self, root: &Path, folder: &Path) -> Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            if entry.file_type()?.is_dir() {
                if name != "target" && !name.starts_with('.') {
                    self.collect(root, &path)?;
                }
            } else if name.ends_with(".rs") {
                let relative = path.strip_prefix(root)?.to_owned();
                self.0.insert(relative, fs::read_to_string(&path)?);
            }
        }
        Ok(())
    }
}

/// Whether a file is a test's: under `tests`, `benches` or `examples`, or a module `tests`.
pub(super) fn is_test(path: &Path) -> bool {
    path.iter()
        .any(|part| part == "tests" || part == "benches" || part == "examples")
        || path.file_stem().is_some_and(|stem| stem == "tests")
}

/// The part of a file before its inline test module, which by custom stands last.
pub(super) fn without_test_module(text: &str) -> &str {
    match text.find("#[cfg(test)]\nmod tests {") {
        Some(start) => &text[..start],
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_told_from_the_rest() {
        assert!(is_test(Path::new("crates/iam/src/role/tests.rs")));
        assert!(is_test(Path::new("crates/iam/tests/contract.rs")));
        assert!(!is_test(Path::new("crates/iam/src/role/decide.rs")));
        assert_eq!(
            without_test_module("a\n#[cfg(test)]\nmod tests {\nb"),
            "a\n"
        );
        assert_eq!(
            without_test_module("a\n#[cfg(test)]\nmod tests;\nb"),
            "a\n#[cfg(test)]\nmod tests;\nb"
        );
    }
}
