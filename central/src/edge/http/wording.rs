//! What the readers of queries and bodies say, in words for whoever wrote them: what it must be.

const NUMBER: &str = "give a whole number that is not below 0";
const TIME: &str = "give a time as 2026-11-21T17:00:00Z (RFC 3339)";

/// How what is said of a number, time or other value begins or ends, and what to give instead.
const VALUES: &[(&str, &str)] = &[
    ("invalid digit found", NUMBER),
    ("number too large", "give a smaller number"),
    ("number too small", NUMBER),
    ("cannot parse integer", NUMBER),
    ("expected u64", NUMBER),
    ("expected u32", NUMBER),
    ("expected usize", NUMBER),
    ("RFC3339", TIME),
    ("component could not be parsed", TIME),
    ("UUID parsing failed", "give an id as the lists show it"),
    ("expected a string", "give a text"),
    ("expected a sequence", "give a list"),
    ("expected a boolean", "give true or false"),
    ("not `true` or `false`", "give true or false"),
    ("expected a map", "give a JSON object"),
    ("expected struct", "give a JSON object"),
    ("length limit exceeded", "give less"),
];

/// What is to be given instead of what was refused for `why`, as the value of `name` if that is known. Of
/// members that have to be given, `required` says what they must be.
pub(super) fn mend(name: Option<&str>, why: &str, required: &[(&str, &str)]) -> String {
    let why = why.split_once(" at line ").map_or(why, |(why, _)| why);
    let names = quoted(why);
    if why.starts_with("missing field") {
        let named = required.iter().find(|(name, _)| names.contains(name));
        return match named {
            Some((_, what)) => format!("it has to be given: {what}"),
            None => "it has to be given".to_owned(),
        };
    }
    if why.starts_with("duplicate field") {
        return "give it once".to_owned();
    }
    let known = names.get(1..).unwrap_or_default();
    if why.starts_with("unknown field") {
        return match known {
            [] => "it is not known here, where nothing is taken".to_owned(),
            known => format!("it is not known here; give any of {}", known.join(", ")),
        };
    }
    if why.starts_with("unknown variant") {
        return format!("give {}", known.join(" or "));
    }
    let required = required.iter().find(|(of, _)| Some(*of) == name);
    if let Some((_, what)) = required.filter(|_| why.starts_with("invalid type")) {
        return format!("give {what}");
    }
    let value = VALUES.iter().find(|(said, _)| why.contains(said));
    value.map_or_else(|| why.to_owned(), |(_, what)| (*what).to_owned())
}

/// That something is no JSON, and where that shows.
pub(super) fn no_json(why: &str) -> String {
    match why
        .split_once(" at line ")
        .and_then(|(_, place)| place.split_once(" column "))
    {
        Some((line, column)) => format!("it is no JSON; look at line {line}, column {column}"),
        None => "it is no JSON".to_owned(),
    }
}

/// The names that stand between backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

#[cfg(test)]
mod tests {
    use super::{mend, no_json};

    #[test]
    fn what_is_wrong_is_told_by_what_it_must_be() {
        let required = [("purpose", "count or verify")];
        for (why, expected) in [
            (
                "missing field `purpose` at line 1 column 2",
                "it has to be given: count or verify",
            ),
            ("missing field `name`", "it has to be given"),
            ("duplicate field `limit`", "give it once"),
            (
                "unknown field `x`, expected `a` or `b`",
                "it is not known here; give any of a, b",
            ),
            (
                "unknown field `x`, there are no fields",
                "it is not known here, where nothing is taken",
            ),
            (
                "unknown variant `x`, expected one of `a`, `b` at line 1 column 9",
                "give a or b",
            ),
            (
                "invalid digit found in string",
                "give a whole number that is not below 0",
            ),
            (
                "invalid value: integer `-1`, expected u64 at line 1 column 9",
                "give a whole number that is not below 0",
            ),
            (
                "invalid type: integer `7`, expected a string at line 1 column 9",
                "give a text",
            ),
            ("something else at line 1 column 2", "something else"),
        ] {
            assert_eq!(mend(Some("name"), why, &required), expected, "{why}");
        }
        let null = "invalid type: null, expected a string at line 1 column 15";
        let mended = mend(Some("purpose"), null, &required);
        assert_eq!(mended, "give count or verify");
        let syntax = no_json("EOF while parsing an object at line 1 column 17");
        assert_eq!(syntax, "it is no JSON; look at line 1, column 17");
    }
}
