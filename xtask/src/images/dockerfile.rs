//! The final stages of the Dockerfile, read as far as they say what an image holds, and compared
//! with the table that the test images are packed by.

use std::collections::BTreeMap;
use std::fs;

use super::{IMAGES, Image};
use crate::paths;

/// What a stage says: sorted paths in the image, the user, the entry point.
#[derive(Debug, PartialEq, Eq, Default)]
struct Stage {
    base: String,
    files: Vec<String>,
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
                let mut words = rest
                    .split_whitespace()
                    .filter(|word| !word.starts_with("--"));
                if let (Some((_, stage)), Some(path)) = (&mut current, words.next_back()) {
                    stage.files.push(path.to_owned());
                    stage.files.sort();
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
    let mut files: Vec<String> = image
        .files
        .iter()
        .map(|(path, _)| (*path).to_owned())
        .collect();
    files.sort();
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
    let text = "FROM rust AS build\nRUN make\nFROM scratch AS central\nCOPY --from=build /a /signet-central\n\
                COPY --from=build /b \\\n  /more\nUSER 0\nENTRYPOINT [\"/signet-central\"]\n";
    let found = stages(text);
    assert_eq!(found["central"].files, ["/more", "/signet-central"]);
    assert_eq!(found["central"].user, "0");
    assert_ne!(found["central"], expected(&IMAGES[1]));
}
