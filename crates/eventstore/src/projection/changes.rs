//! What a fold changed, ready to be written.

use super::fold::Stop;

/// Greatest size of a document, in bytes of its JSON.
const MAX_DOCUMENT_BYTES: usize = 16 * 1024 * 1024;

/// A document that is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Upsert {
    pub(crate) tenant: String,
    pub(crate) key: String,
    /// Position of the last event applied.
    pub(crate) position: u64,
    /// Its JSON.
    pub(crate) data: String,
}

/// Documents to be written and deleted, each named once.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    pub(crate) upserts: Vec<Upsert>,
    /// Tenants and keys.
    pub(crate) deletes: Vec<(String, String)>,
    /// By how many the number of documents grows.
    pub(crate) grows: i64,
}

/// Writes a document out.
///
/// # Errors
/// What the databases would refuse, as if the last event could not be applied.
pub(crate) fn encode(
    document: &serde_json::Value,
    key: &str,
    position: u64,
) -> Result<String, Stop> {
    let stop = |message: String| Stop { position, message };
    let text = serde_json::to_string(document).map_err(|error| stop(error.to_string()))?;
    if text.len() > MAX_DOCUMENT_BYTES {
        return Err(stop(format!(
            "document {key} has {} bytes, more than {MAX_DOCUMENT_BYTES}; make it smaller",
            text.len()
        )));
    }
    // The text alone does not tell: a backslash may be one of the content.
    if text.contains("\\u0000") && has_nul(document) {
        return Err(stop(format!(
            "document {key} has a NUL character; leave it out"
        )));
    }
    Ok(text)
}

fn has_nul(value: &serde_json::Value) -> bool {
    use serde_json::Value;
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(values) => values.iter().any(has_nul),
        Value::Object(members) => {
            let mut members = members.iter();
            members.any(|(name, value)| name.contains('\0') || has_nul(value))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::encode;

    #[test]
    fn a_nul_is_refused_and_an_escaped_backslash_is_not() {
        assert!(encode(&json!({ "a": ["x\0"] }), "k", 1).is_err());
        assert!(encode(&json!({ "a\0": 1 }), "k", 1).is_err());
        assert!(encode(&json!({ "a": "\\u0000" }), "k", 1).is_ok());
    }
}
