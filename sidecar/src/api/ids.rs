//! `GET /v1/ids/{generator}`

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse, Json, Response};
use http::HeaderMap;
use idgen::Range;
use serde_json::{Value, json};

use super::accept::wants_json;
use super::query::pairs;
use super::{ApiError, Parts};
use crate::ids::{IdError, LARGEST_BATCH};

/// One id, or `count` of them; as text, as JSON, or as ranges.
pub(super) async fn take(
    State(parts): State<Arc<Parts>>,
    generator: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    // What cannot be a name is not repeated: it may be a secret that went into the wrong place.
    let name = generator.ok().map(|Path(name)| name);
    let name = name
        .filter(|name| may_be_a_name(name))
        .ok_or_else(|| IdError::Unknown {
            name: "…".to_owned(),
        })?;
    let asked = Asked::parse(query.as_deref().unwrap_or_default())?;
    let ranges = parts
        .generators
        .take(&name, asked.count.unwrap_or(1))
        .await?;
    Ok(match (asked.as_ranges, asked.count, wants_json(&headers)) {
        (true, ..) => Json(json!({ "ranges": rendered_ranges(&ranges) })).into_response(),
        (false, None, true) => Json(json!({ "id": one(&ranges) })).into_response(),
        (false, Some(_), true) => Json(json!({ "ids": strings(&ranges) })).into_response(),
        (false, _, false) => lines(&ranges).into_response(),
    })
}

/// A Kubernetes resource is called like a DNS subdomain (RFC 1123).
fn may_be_a_name(name: &str) -> bool {
    let sound = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.');
    name.len() <= 253 && name.bytes().all(sound)
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Asked {
    count: Option<u64>,
    as_ranges: bool,
}

impl Asked {
    fn parse(query: &str) -> Result<Self, ApiError> {
        let (mut count, mut kind) = (None, None);
        for (name, value) in pairs(query) {
            let (parameter, slot) = match name.as_str() {
                "count" => ("count", &mut count),
                "as" => ("as", &mut kind),
                _ => {
                    let problem = "there are two parameters here: count, and as=ranges";
                    return Err(invalid("query", problem.to_owned()));
                }
            };
            if slot.replace(value).is_some() {
                return Err(invalid(parameter, format!("{parameter} is given twice")));
            }
        }
        let count = count
            .map(|count| {
                let number = count
                    .parse()
                    .ok()
                    .filter(|n| (1..=LARGEST_BATCH).contains(n));
                number.ok_or_else(|| {
                    let problem = format!("count must be a number from 1 to {LARGEST_BATCH}");
                    invalid("count", problem)
                })
            })
            .transpose()?;
        let as_ranges = match kind.as_deref() {
            None | Some("ids") => false,
            Some("ranges") => true,
            Some(_) => return Err(invalid("as", "as must be ranges or ids".to_owned())),
        };
        Ok(Self { count, as_ranges })
    }
}

fn invalid(parameter: &'static str, problem: String) -> ApiError {
    ApiError::InvalidIdRequest { problem, parameter }
}

fn all(ranges: &[Range]) -> impl Iterator<Item = u64> {
    ranges.iter().flat_map(Range::ids)
}

// Strings, because ids pass 2^53 and a JSON number in JavaScript does not.
fn one(ranges: &[Range]) -> Option<String> {
    all(ranges).next().map(|id| id.to_string())
}

fn strings(ranges: &[Range]) -> Vec<String> {
    all(ranges).map(|id| id.to_string()).collect()
}

fn rendered_ranges(ranges: &[Range]) -> Vec<Value> {
    let range = |range: &Range| {
        json!({
            "start": range.start.to_string(), "count": range.len(), "stride": range.stride
        })
    };
    ranges.iter().map(range).collect()
}

/// One a line, with no line end after the last, so that a single id is nothing but the id.
fn lines(ranges: &[Range]) -> String {
    let mut text = String::new();
    for id in all(ranges) {
        if !text.is_empty() {
            text.push('\n');
        }
        let _ = write!(text, "{id}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(query: &str) -> &'static str {
        match Asked::parse(query) {
            Err(ApiError::InvalidIdRequest { parameter, .. }) => parameter,
            other => panic!("{query}: {other:?}"),
        }
    }

    #[test]
    fn parameters_are_read_strictly() {
        assert_eq!(Asked::parse("").unwrap(), Asked::default());
        let asked = Asked::parse("as=ranges&count=10000").unwrap();
        assert_eq!(
            asked,
            Asked {
                count: Some(10_000),
                as_ranges: true
            }
        );
        for wrong in [
            "count=0",
            "count=10001",
            "count=-1",
            "count=",
            "count=1e3",
            "count=ten",
        ] {
            assert_eq!(refused(wrong), "count");
        }
        assert_eq!(refused("count=1&count=2"), "count");
        assert_eq!(refused("as=xml"), "as");
        assert_eq!(refused("cuont=10"), "query");
    }

    #[test]
    fn ids_are_written_in_each_form() {
        let ranges = [
            Range::new(5, 8, 1, 1).unwrap(),
            Range::new(100, 105, 2, 2).unwrap(),
        ];
        assert_eq!(lines(&ranges), "5\n6\n7\n100\n102\n104");
        assert_eq!(strings(&ranges), ["5", "6", "7", "100", "102", "104"]);
        assert_eq!(one(&ranges).as_deref(), Some("5"));
        let rendered = rendered_ranges(&ranges);
        assert_eq!(rendered[0], json!({"start": "5", "count": 3, "stride": 1}));
        assert_eq!(
            rendered[1],
            json!({"start": "100", "count": 3, "stride": 2})
        );
    }
}
