//! Putting a statement together, in the words of either database.

use crate::database::Argument;

/// A statement that grows together with its arguments.
pub(crate) struct Text {
    pub(crate) arguments: Vec<Argument>,
    pub(crate) sqlite: bool,
}

impl Text {
    pub(crate) fn new(arguments: Vec<Argument>, sqlite: bool) -> Self {
        Self { arguments, sqlite }
    }

    /// Takes an argument, and gives the way to name it.
    pub(crate) fn argument(&mut self, argument: impl Into<Argument>) -> String {
        let argument = argument.into();
        let kind = match (&argument, self.sqlite) {
            (_, true) => "",
            (Argument::Integer(_), false) => "::bigint",
            (Argument::Texts(_), false) => "::text[]",
            _ => "::text",
        };
        self.arguments.push(argument);
        format!("${}{kind}", self.arguments.len())
    }

    /// Takes a number as its JSON text, which both databases read in the way they read documents.
    pub(crate) fn number(&mut self, number: String) -> String {
        let text = self.argument(number);
        match self.sqlite {
            true => format!("json_extract({text}, '$')"),
            false => format!("({text})::numeric"),
        }
    }

    /// A part of a document as kind, number and text, as [`rank`](super::field::rank) does it: of a type each, so that
    /// no comparison depends on how a database compares types.
    pub(crate) fn ranks(&self, path: &str) -> [String; 3] {
        if self.sqlite {
            let kind = format!("json_type(data, {path})");
            let value = format!("json_extract(data, {path})");
            return [
                format!(
                    "(CASE {kind} WHEN 'true' THEN 1 WHEN 'false' THEN 1 WHEN 'integer' THEN 2 \
                     WHEN 'real' THEN 2 WHEN 'text' THEN 3 WHEN 'array' THEN 4 \
                     WHEN 'object' THEN 4 ELSE 0 END)"
                ),
                format!(
                    "(CASE {kind} WHEN 'true' THEN 1 WHEN 'integer' THEN {value} \
                     WHEN 'real' THEN {value} ELSE 0 END)"
                ),
                format!("(CASE {kind} WHEN 'text' THEN {value} ELSE '' END)"),
            ];
        }
        let kind = format!("json_typeof(data::json #> {path})");
        let value = format!("(data::json #>> {path})");
        [
            format!(
                "(CASE {kind} WHEN 'boolean' THEN 1 WHEN 'number' THEN 2 WHEN 'string' THEN 3 \
                 WHEN 'array' THEN 4 WHEN 'object' THEN 4 ELSE 0 END)::bigint"
            ),
            format!(
                "(CASE {kind} WHEN 'boolean' THEN CASE {value} WHEN 'true' THEN 1 ELSE 0 END \
                 WHEN 'number' THEN {value}::numeric ELSE 0 END)"
            ),
            format!("(CASE {kind} WHEN 'string' THEN {value} ELSE '' END) COLLATE \"C\""),
        ]
    }
}

/// The least text that is greater than all that begin with `prefix`.
pub(crate) fn successor(prefix: &str) -> Option<String> {
    let mut text = prefix.to_owned();
    while let Some(last) = text.pop() {
        // Between the two there are code points that are not characters.
        let next = match last {
            '\u{d7ff}' => Some('\u{e000}'),
            _ => char::from_u32(last as u32 + 1),
        };
        if let Some(next) = next {
            text.push(next);
            return Some(text);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::successor;

    proptest! {
        #[test]
        fn what_begins_with_a_prefix_lies_below_its_successor(prefix in ".{1,4}", rest in ".{0,4}") {
            if let Some(successor) = successor(&prefix) {
                let text = format!("{prefix}{rest}");
                prop_assert!(text < successor);
                // And nothing else lies in between.
                prop_assert!(!successor.starts_with(&prefix) || successor == prefix);
            }
        }
    }

    #[test]
    fn the_last_character_has_no_successor() {
        assert_eq!(successor("\u{10ffff}"), None);
        assert_eq!(successor("a\u{10ffff}").unwrap(), "b");
        assert_eq!(successor("\u{d7ff}").unwrap(), "\u{e000}");
    }
}
