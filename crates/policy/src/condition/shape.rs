//! Bounds a condition's text before the parser sees it.
//!
//! The parser, the evaluator and the release of an expression all recurse as deep as the expression
//! is nested, so depth is measured here, in one pass without recursion, from above: the result is
//! never less than the depth of the expression the parser would make.

use crate::limits::{MAX_CONDITION_BYTES, MAX_CONDITION_DEPTH};

/// What stands between two brackets, or in the whole text.
struct Group {
    closer: Option<u8>,
    /// Operators, selections and brackets since the last separator.
    links: usize,
    /// Deepest bracket since the last separator.
    inner: usize,
    /// Deepest part before the last separator.
    deepest: usize,
    /// `&&` and `||`, which the parser makes a balanced tree of.
    terms: usize,
}

impl Group {
    fn new(closer: Option<u8>) -> Self {
        Self {
            closer,
            links: 0,
            inner: 0,
            deepest: 0,
            terms: 0,
        }
    }

    fn separate(&mut self) {
        self.deepest = self.deepest.max(self.links + self.inner);
        self.links = 0;
        self.inner = 0;
    }

    fn depth(&self) -> usize {
        let levels = usize::BITS - self.terms.leading_zeros();
        self.deepest.max(self.links + self.inner) + 1 + levels as usize
    }
}

/// Refuses a text that is empty, too long, too deep, or that has brackets or quotes left open.
pub(super) fn check(source: &str) -> Result<(), String> {
    if source.trim().is_empty() {
        return Err("is empty; leave `when` out, or write a condition".to_owned());
    }
    if source.len() > MAX_CONDITION_BYTES {
        return Err(format!(
            "is {} bytes long; at most {MAX_CONDITION_BYTES} are allowed: split it into several rules",
            source.len()
        ));
    }
    if source.contains('\0') {
        return Err(
            "has a NUL character, which no database stores; write it as \\u0000".to_owned(),
        );
    }
    let depth = depth(source.as_bytes())?;
    if depth > MAX_CONDITION_DEPTH {
        return Err(format!(
            "is nested {depth} levels deep; at most {MAX_CONDITION_DEPTH} are allowed: split it into several rules"
        ));
    }
    Ok(())
}

fn depth(text: &[u8]) -> Result<usize, String> {
    let mut groups = vec![Group::new(None)];
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let byte = rest[0];
        let Some(group) = groups.last_mut() else {
            return Err("closes a bracket that is not open".to_owned());
        };
        let mut width = 1;
        match byte {
            b'"' | b'\'' => width = string_width(text, at)?,
            b'/' if rest.starts_with(b"//") => {
                width = rest
                    .iter()
                    .position(|byte| *byte == b'\n')
                    .unwrap_or(rest.len());
            }
            b'(' | b'[' | b'{' => {
                group.links += 1;
                let closer = match byte {
                    b'(' => b')',
                    b'[' => b']',
                    _ => b'}',
                };
                groups.push(Group::new(Some(closer)));
            }
            b')' | b']' | b'}' => {
                if group.closer != Some(byte) {
                    return Err(format!(
                        "has a `{}` that closes no bracket",
                        char::from(byte)
                    ));
                }
                let inner = group.depth();
                groups.pop();
                if let Some(outer) = groups.last_mut() {
                    outer.inner = outer.inner.max(inner);
                }
            }
            b',' => group.separate(),
            b'&' | b'|' if rest.get(1) == Some(&byte) => {
                group.separate();
                group.terms += 1;
                width = 2;
            }
            b'.' | b'!' | b'-' | b'+' | b'*' | b'/' | b'%' | b'<' | b'>' | b'=' | b'?' | b':' => {
                group.links += 1;
                width = if rest.get(1) == Some(&b'=') { 2 } else { 1 };
            }
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => {
                let word = rest
                    .iter()
                    .position(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_')
                    .unwrap_or(rest.len());
                if &rest[..word] == b"in" {
                    group.links += 1;
                }
                width = word;
            }
            b' ' | b'\t' | b'\r' | b'\n' | b'0'..=b'9' | b'&' | b'|' => {}
            byte if byte.is_ascii_graphic() => {
                return Err(format!(
                    "has the character `{}`, which CEL does not know",
                    char::from(byte)
                ));
            }
            _ => {
                return Err(
                    "has a character outside of quotes that CEL does not know; names are made of ASCII letters, digits and `_`"
                        .to_owned(),
                );
            }
        }
        at += width;
        // A text that opens more brackets than may be nested is not worth reading to its end.
        if groups.len() > MAX_CONDITION_DEPTH {
            return Ok(groups.len());
        }
    }
    match groups.pop() {
        Some(group) if groups.is_empty() => Ok(group.depth() - 1),
        Some(Group {
            closer: Some(closer),
            ..
        }) => Err(format!("is missing a `{}`", char::from(closer))),
        _ => Err("closes a bracket that is not open".to_owned()),
    }
}

/// Bytes of the string literal that opens at `at`, quotes included. A letter before the quote that
/// makes it raw (`r"\"`) has been read as a word.
fn string_width(text: &[u8], at: usize) -> Result<usize, String> {
    let rest = &text[at..];
    let quote = rest[0];
    let triple = [quote; 3];
    let closing: &[u8] = if rest.starts_with(&triple) {
        &triple
    } else {
        &triple[..1]
    };
    let raw = is_raw(&text[..at]);
    let mut next = closing.len();
    while next < rest.len() {
        if rest[next..].starts_with(closing) {
            return Ok(next + closing.len());
        }
        if closing.len() == 1 && matches!(rest[next], b'\n' | b'\r') {
            break;
        }
        next += if rest[next] == b'\\' && !raw { 2 } else { 1 };
    }
    Err(format!(
        "has a text in quotes that is not closed with `{}`",
        String::from_utf8_lossy(closing)
    ))
}

fn is_raw(before: &[u8]) -> bool {
    let start = before
        .iter()
        .rposition(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_')
        .map_or(0, |at| at + 1);
    let prefix = &before[start..];
    prefix.len() <= 2
        && prefix.iter().any(|byte| matches!(byte, b'r' | b'R'))
        && prefix
            .iter()
            .all(|byte| matches!(byte, b'r' | b'R' | b'b' | b'B'))
}
