//! A crate tells a stranger where they are: its first lines say what lives here, what never may, and
//! how data walks through it.

use std::path::Path;

use super::crates::Crate;
use super::sources::Sources;

pub(super) fn check(crates: &[Crate], sources: &Sources) -> Vec<String> {
    let mut broken = Vec::new();
    for krate in crates {
        match (&krate.library, krate.programs.as_slice()) {
            // A program beside a library is thin: the library's header tells it all.
            (Some(library), programs) => {
                broken.extend(check_file(library, sources, true));
                broken.extend(
                    programs
                        .iter()
                        .flat_map(|main| check_file(main, sources, false)),
                );
            }
            (None, programs) => {
                broken.extend(
                    programs
                        .iter()
                        .flat_map(|main| check_file(main, sources, true)),
                );
            }
        }
    }
    broken
}

fn check_file(path: &Path, sources: &Sources, whole: bool) -> Vec<String> {
    let text = sources.0.get(path).map_or("", String::as_str);
    let header: String = text
        .lines()
        .take_while(|line| line.starts_with("//!"))
        .collect();
    let name = path.display();
    if header.trim_start_matches("//!").trim().is_empty() {
        return vec![format!("{name} opens without a header (`//! …`)")];
    }
    let wanted = ["**Here:**", "**Never here:**", "**The way through:**"];
    wanted
        .iter()
        .filter(|part| whole && !header.contains(*part))
        .map(|part| format!("the header of {name} lacks {part} (CONTRIBUTING.md)"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn broken(library: bool, text: &str) -> Vec<String> {
        let file = PathBuf::from("x/src/file.rs");
        let sources = Sources([(file.clone(), text.to_owned())].into());
        let krate = Crate {
            name: "x".to_owned(),
            dependencies: Vec::new(),
            library: library.then(|| file.clone()),
            programs: if library { Vec::new() } else { vec![file] },
        };
        check(&[krate], &sources)
    }

    #[test]
    fn a_whole_header_passes() {
        let text =
            "//! # x\n//!\n//! **Here:** a. **Never here:** b.\n//!\n//! **The way through:** c.\n";
        assert!(broken(true, text).is_empty());
        assert!(broken(false, text).is_empty());
    }

    #[test]
    fn what_lacks_is_named() {
        let text = "//! # x\n//! **Here:** a.\n\n//! **Never here:** too late\n";
        let broken = broken(true, text);
        assert_eq!(broken.len(), 2, "{broken:?}");
        assert!(
            broken[0].contains("**Never here:**") && broken[1].contains("**The way through:**")
        );
    }

    #[test]
    fn no_header_at_all_is_one_defect() {
        assert_eq!(broken(true, "fn main() {}").len(), 1);
        assert_eq!(broken(true, "//!\nfn main() {}").len(), 1);
    }
}
