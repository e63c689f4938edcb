//! Text or JSON: what the caller would rather have.

use http::{HeaderMap, header};

/// Whether JSON is to be answered where text is the default: it is accepted, and text is not
/// preferred to it. Between equals the one named first counts (RFC 9110 §12.5.1 leaves it to us).
pub(super) fn wants_json(headers: &HeaderMap) -> bool {
    let (mut json, mut text) = ((0.0, usize::MAX), (0.0, usize::MAX));
    let mut place = 0;
    for value in headers.get_all(header::ACCEPT) {
        for range in value.to_str().unwrap_or_default().split(',') {
            let (kind, quality) = media_range(range);
            let slot = match kind.as_str() {
                "application/json" | "application/*" => &mut json,
                "text/plain" | "text/*" => &mut text,
                _ => continue,
            };
            if quality > slot.0 {
                *slot = (quality, place);
            }
            place += 1;
        }
    }
    let (quality, first) = json;
    quality > 0.0 && (quality > text.0 || (quality == text.0 && first < text.1))
}

fn media_range(range: &str) -> (String, f32) {
    let mut parts = range.split(';').map(str::trim);
    let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
    let quality = parts
        .find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")))
        .map_or(1.0, |quality| quality.parse().unwrap_or(0.0));
    (kind, quality)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_answered_when_it_is_asked_for() {
        let wants = |accept: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().unwrap());
            wants_json(&headers)
        };
        assert!(wants("application/json"));
        assert!(wants("application/json, text/plain, */*"));
        assert!(wants("text/plain;q=0.5, application/json"));
        assert!(wants("text/html, Application/JSON; q=0.9"));
        assert!(!wants("*/*"));
        assert!(!wants("text/plain, application/json"));
        assert!(!wants("application/json;q=0"));
        assert!(!wants("application/json;q=0.2, text/plain;q=0.3"));
        assert!(!wants("nonsense;;;, q=1"));
        assert!(!wants_json(&HeaderMap::new()));
    }
}
