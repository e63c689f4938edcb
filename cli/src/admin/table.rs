//! Answers as a person reads them: columns, or the JSON itself.

use clap::ValueEnum;
use serde_json::Value;

use crate::output;

/// How to print an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Table,
    Json,
}

/// Where a cell of the table lies in an item.
pub(super) type Column = (&'static str, &'static str);

/// Prints a list of an answer.
pub(super) fn list(answer: &Value, name: &str, columns: &[Column], format: Format) {
    if format == Format::Json {
        output::line(&format!("{answer:#}"));
        return;
    }
    let headings: Vec<&str> = columns.iter().map(|(heading, _)| *heading).collect();
    let items = answer[name]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let rows: Vec<Vec<String>> = items.iter().map(|item| row(item, columns)).collect();
    output::table(&headings, &rows);
}

/// Says what to give for the next page, if there may be one.
pub(super) fn tell_more(answer: &Value, flag: &str) {
    if let Some(next) = going_on(answer) {
        output::note(&format!("there may be more: {flag} {next}"));
    }
}

fn going_on(answer: &Value) -> Option<String> {
    if answer["end"] == true {
        return None;
    }
    match &answer["next"] {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// The cells of an item.
pub(super) fn row(item: &Value, columns: &[Column]) -> Vec<String> {
    let cells = columns.iter();
    cells
        .map(|(_, pointer)| cell(item.pointer(pointer)))
        .collect()
}

/// A value as a person reads it in a table.
fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) if items.is_empty() => "-".to_owned(),
        Some(Value::Array(items)) => items
            .iter()
            .map(|item| cell(Some(item)))
            .collect::<Vec<_>>()
            .join(","),
        // A subject of a role: what it is called is what matters.
        Some(Value::Object(fields)) if fields.contains_key("name") => cell(fields.get("name")),
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{cell, going_on};

    #[test]
    fn cells_are_for_people() {
        assert_eq!(cell(None), "-");
        assert_eq!(cell(Some(&json!([]))), "-");
        assert_eq!(cell(Some(&json!(["shop", "depot"]))), "shop,depot");
        assert_eq!(cell(Some(&json!([{"kind": "User", "name": "ann"}]))), "ann");
        assert_eq!(cell(Some(&json!(7))), "7");
    }

    #[test]
    fn the_next_page_is_named_until_the_end() {
        let next = |next, end| going_on(&json!({ "next": next, "end": end }));
        assert_eq!(next(json!("a"), false), Some("a".to_owned()));
        assert_eq!(next(json!(7), false), Some("7".to_owned()));
        assert_eq!(next(json!(7), true), None);
        assert_eq!(next(json!(null), false), None);
        assert_eq!(going_on(&json!({ "tenants": [] })), None);
    }
}
