//! The trace that a call belongs to, as its caller says (W3C Trace Context).

use http::HeaderName;

/// The header with version, trace, span and flags.
pub(super) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The trace id of a `traceparent`; none of one that is not well-formed, which is to be ignored.
pub(super) fn trace_id(traceparent: &str) -> Option<&str> {
    let mut parts = traceparent.split('-');
    let [version, trace, span, flags] = [(); 4].map(|()| parts.next().unwrap_or_default());
    let is_whole = is_hexadecimal(version, 2)
        && version != "ff"
        && is_hexadecimal(trace, 32)
        && is_hexadecimal(span, 16)
        && is_hexadecimal(flags, 2)
        // Only versions to come may have more parts.
        && (version != "00" || parts.next().is_none());
    let is_zero = |id: &str| id.bytes().all(|byte| byte == b'0');
    (is_whole && !is_zero(trace) && !is_zero(span)).then_some(trace)
}

fn is_hexadecimal(text: &str, length: usize) -> bool {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.len() == length && text.bytes().all(is_digit)
}

#[cfg(test)]
mod tests {
    use super::trace_id;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn the_trace_is_the_second_part() {
        for traceparent in [
            format!("00-{TRACE}-00f067aa0ba902b7-01"),
            format!("cc-{TRACE}-00f067aa0ba902b7-00-what-comes-later"),
        ] {
            assert_eq!(trace_id(&traceparent), Some(TRACE), "{traceparent}");
        }
    }

    #[test]
    fn what_is_not_well_formed_is_ignored() {
        let zeros = "0".repeat(32);
        for wrong in [
            String::new(),
            TRACE.to_owned(),
            format!("ff-{TRACE}-00f067aa0ba902b7-01"),
            format!("00-{TRACE}-00f067aa0ba902b7-01-more"),
            format!("00-{TRACE}-00f067aa0ba902b7"),
            format!("00-{}-00f067aa0ba902b7-01", TRACE.to_uppercase()),
            format!("00-{zeros}-00f067aa0ba902b7-01"),
            format!("00-{TRACE}-0000000000000000-01"),
            format!("00-{TRACE}0-00f067aa0ba902b7-01"),
        ] {
            assert_eq!(trace_id(&wrong), None, "{wrong}");
        }
    }
}
