//! Patterns of resources and of actions.
//!
//! ```text
//! resource = [ "/" ] segment *( "/" segment )
//! segment  = "**"                     ; any number of segments, also none
//!          / 1*( character / "*" )    ; "*" is a run of characters, and alone one whole segment
//! action   = 1*( character / "*" )    ; no "/"
//! character = anything but white space, control characters, "/", and ? [ ] { } \
//! ```
//!
//! Matching is by exact characters, letter case included: nothing is decoded or folded. A requested
//! resource must therefore be in normal form (no empty, `.` or `..` segment); one that is not is
//! refused, since the application might read it otherwise than the rules did.

use crate::limits::{
    MAX_ACTION_BYTES, MAX_PATTERN_BYTES, MAX_RESOURCE_BYTES, MAX_RESOURCE_SEGMENTS,
};

/// Characters that other pattern languages use; refused, so that nobody believes they work here.
const RESERVED: &[char] = &['?', '[', ']', '{', '}', '\\'];

/// What both kinds of pattern have in common.
pub(crate) trait Pattern: Sized {
    /// Reads a pattern; the error is a sentence that says how to mend it.
    fn parse(text: &str) -> Result<Self, String>;

    /// The pattern that covers everything.
    fn everything() -> Self;
}

/// A resource pattern, ready to match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ResourcePattern(Box<[Segment]>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    AnyDepth,
    One(Glob),
}

/// An action pattern, ready to match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ActionPattern(Glob);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Glob {
    Any,
    Literal(Box<str>),
    Runs(Box<str>),
}

impl Pattern for ResourcePattern {
    fn parse(text: &str) -> Result<Self, String> {
        check_characters(text)?;
        let text = text.strip_prefix('/').unwrap_or(text);
        let mut segments = Vec::new();
        for segment in text.split('/') {
            match segment {
                "" => {
                    return Err(
                        "has an empty segment; write one slash between segments and none at the end"
                            .to_owned(),
                    );
                }
                "." | ".." => {
                    return Err(format!(
                        "has the segment `{segment}`, which no request can have; write the path it leads to"
                    ));
                }
                // Two in a row say no more than one.
                "**" if segments.last() == Some(&Segment::AnyDepth) => {}
                "**" => segments.push(Segment::AnyDepth),
                segment if segment.contains("**") => {
                    return Err(format!(
                        "has `**` inside the segment `{segment}`; write `**` alone between slashes, or one `*` for a run of characters"
                    ));
                }
                segment => segments.push(Segment::One(Glob::new(segment))),
            }
        }
        Ok(Self(segments.into_boxed_slice()))
    }

    fn everything() -> Self {
        Self(Box::new([Segment::AnyDepth]))
    }
}

impl ResourcePattern {
    /// Whether it covers the resource with these segments.
    ///
    /// Goes back to the last `**` only, which is enough since a `**` further left could only take
    /// what the last one can take as well: at most (segments × pattern segments) steps.
    pub(crate) fn matches(&self, resource: &[&str]) -> bool {
        let pattern = &self.0;
        let (mut at, mut next) = (0, 0);
        let mut restart: Option<(usize, usize)> = None;
        while next < resource.len() {
            match pattern.get(at) {
                Some(Segment::AnyDepth) => {
                    restart = Some((at + 1, next));
                    at += 1;
                    continue;
                }
                Some(Segment::One(glob)) if glob.matches(resource[next]) => {
                    at += 1;
                    next += 1;
                    continue;
                }
                _ => {}
            }
            let Some((after, taken)) = restart else {
                return false;
            };
            restart = Some((after, taken + 1));
            at = after;
            next = taken + 1;
        }
        pattern[at..]
            .iter()
            .all(|segment| *segment == Segment::AnyDepth)
    }
}

impl Pattern for ActionPattern {
    fn parse(text: &str) -> Result<Self, String> {
        check_characters(text)?;
        if text.contains('/') {
            return Err("has a slash; an action is one word, such as `read`".to_owned());
        }
        if text.contains("**") {
            return Err("has `**`; write `*` for every action".to_owned());
        }
        Ok(Self(Glob::new(text)))
    }

    fn everything() -> Self {
        Self(Glob::Any)
    }
}

impl ActionPattern {
    /// Whether it covers the action.
    pub(crate) fn matches(&self, action: &str) -> bool {
        self.0.matches(action)
    }
}

impl Glob {
    fn new(text: &str) -> Self {
        match text {
            "*" => Self::Any,
            text if text.contains('*') => Self::Runs(text.into()),
            text => Self::Literal(text.into()),
        }
    }

    fn matches(&self, text: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Literal(literal) => **literal == *text,
            Self::Runs(pattern) => matches_runs(pattern.as_bytes(), text.as_bytes()),
        }
    }
}

/// Whether `text` matches `pattern`, in which `*` is any run of bytes. UTF-8 is self-synchronising,
/// so that bytes do as well as characters.
fn matches_runs(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut next) = (0, 0);
    let mut restart: Option<(usize, usize)> = None;
    while next < text.len() {
        if pattern.get(at) == Some(&b'*') {
            at += 1;
            restart = Some((at, next));
        } else if pattern.get(at) == Some(&text[next]) {
            at += 1;
            next += 1;
        } else if let Some((after, taken)) = restart {
            restart = Some((after, taken + 1));
            at = after;
            next = taken + 1;
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

fn check_characters(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("is empty; write `**` for every resource or `*` for every action".to_owned());
    }
    if text.len() > MAX_PATTERN_BYTES {
        return Err(format!(
            "is {} bytes long; at most {MAX_PATTERN_BYTES} are allowed",
            text.len()
        ));
    }
    if let Some(character) = text.chars().find(|character| RESERVED.contains(character)) {
        return Err(format!(
            "has the character `{character}`; the only wildcards are `*` and `**`"
        ));
    }
    if text
        .chars()
        .any(|character| character.is_whitespace() || character.is_control())
    {
        return Err("has white space or a control character; remove it".to_owned());
    }
    Ok(())
}

/// The segments of a requested resource, or why it is not in normal form.
pub(crate) fn resource_segments(resource: &str) -> Result<Vec<&str>, &'static str> {
    if resource.len() > MAX_RESOURCE_BYTES {
        return Err("it is longer than 1024 bytes");
    }
    let resource = resource.strip_prefix('/').unwrap_or(resource);
    if resource.is_empty() {
        return Err("it is empty");
    }
    if resource.chars().any(char::is_control) {
        return Err("it has a control character");
    }
    let segments: Vec<&str> = resource.split('/').collect();
    if segments.len() > MAX_RESOURCE_SEGMENTS {
        return Err("it has more than 64 segments");
    }
    if segments.iter().any(|segment| segment.is_empty()) {
        return Err("it has an empty segment");
    }
    if segments
        .iter()
        .any(|segment| matches!(*segment, "." | ".."))
    {
        return Err("it has a `.` or `..` segment");
    }
    Ok(segments)
}

/// Whether a requested action is one, or why it is not.
pub(crate) fn check_action(action: &str) -> Result<(), &'static str> {
    if action.is_empty() {
        return Err("it is empty");
    }
    if action.len() > MAX_ACTION_BYTES {
        return Err("it is longer than 256 bytes");
    }
    if action.chars().any(char::is_control) {
        return Err("it has a control character");
    }
    Ok(())
}
