//! How far a replay is, in words, and whether it came to a good end.

use serde_json::Value;

use crate::{admin::table::Format, error::Error};

/// How fast it is, and how long it will take.
pub(in crate::admin) fn pace(replay: &Value) -> String {
    let rate = replay["events_per_second"].as_f64().unwrap_or(0.0);
    match replay["seconds_left"].as_f64() {
        Some(left) => format!("{rate:.0} events/s, {left:.0} s left"),
        None => format!("{rate:.0} events/s"),
    }
}

/// A replay in a few lines.
pub(in crate::admin) fn shown(replay: &Value, format: Format) -> String {
    if format == Format::Json {
        return format!("{replay:#}");
    }
    let text = |value: &Value| match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let mut name = text(&replay["purpose"]);
    if let Some(id) = replay["id"].as_str() {
        name = format!("{name} {id}");
    }
    let mut lines = vec![format!(
        "{name}: {}, {} of {} events read, at position {}",
        text(&replay["state"]),
        text(&replay["read"]),
        text(&replay["total"]),
        text(&replay["position"]),
    )];
    for (kind, count) in replay["result"]["by_type"]
        .as_object()
        .into_iter()
        .flatten()
    {
        lines.push(format!("{:>12} {kind}", text(count)));
    }
    let report = &replay["result"]["report"];
    for fault in report["faults"].as_array().into_iter().flatten() {
        lines.push(format!(
            "{} at position {}, tenant {}: {}",
            text(&fault["kind"]),
            text(&fault["position"]),
            text(&fault["tenant"]),
            text(&fault["message"]),
        ));
    }
    if replay["result"]["sound"] == true {
        lines.push(format!(
            "sound: {} events of {} tenants, {} checkpoints{}{}",
            report["events"],
            report["tenants"],
            report["checkpoints"],
            match report["kept_checkpoints"].as_u64() {
                Some(kept) if kept > 0 => format!(" and {kept} that were kept outside"),
                _ => String::new(),
            },
            match report["signatures_checked"].as_bool() {
                Some(true) => "",
                _ => " (no keys to check signatures with)",
            },
        ));
    }
    lines.join("\n")
}

/// Whether it came to a good end: read to its end, and, if it verified, found sound. Whatever else it
/// says is no such end.
pub(in crate::admin) fn verdict(replay: &Value) -> Result<(), Error> {
    if let Some(message) = replay["failure"]["message"].as_str() {
        return Err(Error::Central(format!("the replay failed: {message}")));
    }
    let (purpose, state, result) = (&replay["purpose"], &replay["state"], &replay["result"]);
    // A fault is one however far it came.
    if let Some(position) = result["first_fault"]["position"].as_u64() {
        return Err(Error::Tampered { position });
    }
    let what = match (purpose.as_str(), state.as_str()) {
        (Some("verify"), Some("done")) if result["sound"] == true => return Ok(()),
        (Some("count"), Some("done")) => return Ok(()),
        (Some("verify"), Some("done")) => "central does not say that the events are sound",
        (Some("verify"), Some("cancelled")) => {
            "somebody cancelled the verification: the events were not verified to their end"
        }
        (_, Some("cancelled")) => "somebody cancelled the replay: not all events were read",
        _ => "the replay did not come to its end",
    };
    Err(Error::Unfinished(format!("{what}; start it again")))
}
