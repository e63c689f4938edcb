//! Where a page ended: an opaque text that the next question brings along.

use serde::{Deserialize, Serialize};

use super::ProjectionError;

/// The last document of a page, by everything that the pages are ordered by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cursor {
    /// What the pages are ordered by; a cursor of another order is refused.
    pub(crate) order: String,
    /// Kind, number and text of the field, if they are ordered by one.
    pub(crate) rank: Option<(i64, String, String)>,
    pub(crate) tenant: String,
    pub(crate) key: String,
}

impl Cursor {
    pub(crate) fn encode(&self) -> Result<String, ProjectionError> {
        let json = serde_json::to_vec(self)
            .map_err(|error| ProjectionError::invalid("cursor", error.to_string()))?;
        Ok(json.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    pub(crate) fn decode(text: &str, order: &str) -> Result<Self, ProjectionError> {
        let refuse = |what: &str| {
            let message = format!("{what}; give the one of the page before, or none");
            ProjectionError::invalid("cursor", message)
        };
        let bytes = unhex(text).ok_or_else(|| refuse("it is not a cursor"))?;
        let cursor: Self =
            serde_json::from_slice(&bytes).map_err(|_| refuse("it is not a cursor"))?;
        if cursor.order != order {
            return Err(refuse("it belongs to a question with another order"));
        }
        let is_number = |text: &String| {
            let number = serde_json::from_str::<serde_json::Number>(text);
            number.is_ok_and(|number| number.to_string() == *text)
        };
        let rank = cursor.rank.as_ref();
        let is_sound = rank.is_none_or(|(_, number, text)| is_number(number) && is_text(text));
        if !is_sound || !is_text(&cursor.tenant) || !is_text(&cursor.key) {
            return Err(refuse("it is not a cursor"));
        }
        Ok(cursor)
    }
}

fn is_text(text: &str) -> bool {
    !text.contains('\0')
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    let digits = text.as_bytes().chunks_exact(2);
    let byte = |digits: &[u8]| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok();
    digits.map(byte).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Cursor;

    proptest! {
        #[test]
        fn a_cursor_comes_back_as_it_went(tenant in "[^\0]{1,9}", key in "[^\0]{1,9}") {
            let rank = Some((2, "1.5".to_owned(), String::new()));
            let cursor = Cursor { order: "/a asc".into(), rank, tenant, key };
            let text = cursor.encode().unwrap();
            prop_assert_eq!(Cursor::decode(&text, "/a asc").unwrap(), cursor);
            prop_assert!(Cursor::decode(&text, "/b asc").is_err());
        }

        #[test]
        fn anything_else_is_refused(text in ".{0,40}") {
            prop_assert!(Cursor::decode(&text, "key asc").is_err());
        }
    }

    #[test]
    fn a_number_that_is_none_is_refused() {
        let rank = Some((2, "1; DROP TABLE events".to_owned(), String::new()));
        let (tenant, key) = ("t".to_owned(), "k".to_owned());
        let forged = Cursor {
            order: "k".into(),
            rank,
            tenant,
            key,
        };
        assert!(Cursor::decode(&forged.encode().unwrap(), "k").is_err());
    }
}
