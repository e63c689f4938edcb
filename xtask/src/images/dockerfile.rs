//! The final stages of the Dockerfile, read as far as they say what an image holds, and compared
//! with the table that the test images are packed by.

use std::collections::BTreeMap;
use std::fs;

use super::{IMAGES, Image};
use crate::paths;

/// What a stage says: for each path in the image what lies there, the user, the entry point.
#[derive(Debug, PartialEq, Eq, Default)]
struct Stage {
    base: String,
    /// From paths to what was copied there, as `stage:path`; without a stage it came from outside.
    files: BTreeMap<String, String>,
    user: String,
    entrypoint: Vec<String>,
}

/// Every named stage.
fn stages(dockerfile: &str) -> BTreeMap<String, Stage> {
    let mut stages = BTreeMap::new();
    let mut current: Option<(String, Stage)> = None;
    for line in dockerfile.replace("\\\n", " ").lines() {
        let line = line.trim();
        let (instruction, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        match instruction.to_ascii_uppercase().as_str() {
            "FROM" => {
                stages.extend(current.take());
                let words: Vec<&str> = rest.split_whitespace().collect();
                if let [base, _, name] = words.as_slice() {
                    let stage = Stage {
                        base: (*base).to_owned(),
                        ..Stage::default()
                    };
                    current = Some(((*name).to_owned(), stage));
                }
            }
            "COPY" | "ADD" => {
                let (options, words): (Vec<&str>, Vec<&str>) = rest
                    .split_whitespace()
                    .partition(|word| word.starts_with("--"));
                let from = options
                    .iter()
                    .find_map(|option| option.strip_prefix("--from="));
                if let (Some((_, stage)), Some((path, sources))) =
                    (&mut current, words.split_last())
                {
                    let copied = format!("{}:{}", from.unwrap_or_default(), sources.join(" "));
                    stage.files.insert((*path).to_owned(), copied);
                }
            }
            "USER" => {
                if let Some((_, stage)) = &mut current {
                    rest.trim().clone_into(&mut stage.user);
                }
            }
            "ENTRYPOINT" => {
                if let Some((_, stage)) = &mut current {
                    stage.entrypoint = serde_json::from_str(rest).expect("the exec form is JSON");
                }
            }
            _ => {}
        }
    }
    stages.extend(current);
    stages
}

fn expected(image: &Image) -> Stage {
    // The first stage leaves every program in /out, under its own name.
    let files = image
        .files
        .iter()
        .map(|(path, program)| ((*path).to_owned(), format!("build:/out/{program}")))
        .collect();
    Stage {
        base: "scratch".to_owned(),
        files,
        user: image.user.to_owned(),
        entrypoint: image
            .entrypoint
            .iter()
            .map(|&word| word.to_owned())
            .collect(),
    }
}

#[test]
fn the_dockerfile_builds_what_the_tests_run() {
    let text = fs::read_to_string(paths::checkout().join("Dockerfile")).unwrap();
    let mut found = stages(&text);
    for image in &IMAGES {
        let Some(name) = image.stage else { continue };
        let stage = found
            .remove(name)
            .unwrap_or_else(|| panic!("no stage {name}"));
        assert_eq!(stage, expected(image), "stage {name} of the Dockerfile");
    }
    let more: Vec<_> = found
        .iter()
        .filter(|(_, stage)| stage.base == "scratch")
        .collect();
    assert!(
        more.is_empty(),
        "the Dockerfile has images the tests do not know: {more:?}"
    );
}

#[test]
fn a_difference_is_seen() {
    let text = "FROM rust AS build\nRUN make\nFROM scratch AS central\n\
                COPY --from=build --chmod=0755 \\\n  /out/signet-central /signet-central\n\
                USER 65532:65532\nENTRYPOINT [\"/signet-central\"]\n";
    let central = |text: &str| stages(text).remove("central").unwrap();
    let expected = expected(&IMAGES[1]);
    assert_eq!(central(text), expected);
    for (from, to) in [
        ("/out/signet-central", "/out/signet-sidecar"),
        ("--from=build ", ""),
        (" /signet-central", " /central"),
        ("USER 65532:65532", "USER 0"),
        ("USER", "COPY /etc/passwd /etc/passwd\nUSER"),
        ("[\"/signet-central\"]", "[\"/signet-central\", \"--more\"]"),
        ("scratch", "debian"),
    ] {
        assert!(text.contains(from), "{from}");
        assert_ne!(central(&text.replace(from, to)), expected, "{to}");
    }
}
