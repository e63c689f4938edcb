//! Durations as people write them: `20s`, `1m30s`, `24h`.

use std::time::Duration;

/// Parses a duration of hours, minutes, seconds and milliseconds, such as `1h30m` or `250ms`.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
    const HINT: &str = "give a number with a unit (ms, s, m, h), such as 20s or 1h30m";
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(HINT.into());
    }
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or(HINT)?;
        let number: u64 = rest[..digits].parse().map_err(|_| HINT)?;
        rest = &rest[digits..];
        let letters = rest
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(rest.len());
        let milliseconds: u64 = match &rest[..letters] {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(HINT.into()),
        };
        rest = &rest[letters..];
        let part = number
            .checked_mul(milliseconds)
            .ok_or("the duration is too long")?;
        total = total
            .checked_add(Duration::from_millis(part))
            .ok_or("the duration is too long")?;
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::{any, proptest};

    use super::parse;

    #[test]
    fn units_add_up() {
        assert_eq!(parse("20s"), Ok(Duration::from_secs(20)));
        assert_eq!(parse("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(parse("1s250ms"), Ok(Duration::from_millis(1250)));
        assert_eq!(parse("0s"), Ok(Duration::ZERO));
    }

    #[test]
    fn what_is_not_a_duration_is_refused() {
        for text in [
            "",
            "20",
            "s",
            "-1s",
            "1.5h",
            "20 s",
            "1d",
            "18446744073709551615h",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused_without_a_panic(text in any::<String>()) {
            let _ = parse(&text);
        }

        #[test]
        fn what_is_written_is_what_is_read(minutes in 0u32..100_000, milliseconds in 0u32..60_000) {
            let expected = Duration::from_secs(u64::from(minutes) * 60)
                + Duration::from_millis(u64::from(milliseconds));
            assert_eq!(parse(&format!("{minutes}m{milliseconds}ms")), Ok(expected));
        }
    }
}
