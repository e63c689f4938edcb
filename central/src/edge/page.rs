//! The API as pages: whoever opens a path of it in a browser sees what the API answers, as tables.
//!
//! Nothing is shown here that the API would not give to the same caller. A browser knows no bearer
//! tokens, so the token may be the password of HTTP's basic authentication (any user name), for pages
//! only: those are only ever read, and whatever changes something wants a bearer token, which no page
//! of somebody else can make a browser send.

use axum::{
    body::{Body, to_bytes},
    extract::Request,
    http::{
        HeaderMap, HeaderValue, Method, Response, StatusCode, Uri,
        header::{
            ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, VARY,
            WWW_AUTHENTICATE,
        },
    },
    middleware::Next,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Map, Value};

/// Larger answers stay JSON.
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// The paths that every page leads to.
const PATHS: [&str; 8] = [
    "tenants",
    "events",
    "allocations",
    "projections",
    "subscriptions",
    "dead-letters",
    "replays",
    "checkpoints",
];

const STYLE: &str = "body{font:14px/1.5 system-ui,sans-serif;margin:2rem;color:#1a1a1a}\
    nav a{margin-right:1rem}table{border-collapse:collapse;margin:.5rem 0}\
    th,td{border:1px solid #ccc;padding:.2rem .6rem;text-align:left;vertical-align:top}\
    th{background:#f3f3f3}pre{margin:0;white-space:pre-wrap;overflow-wrap:anywhere}\
    @media(prefers-color-scheme:dark){body{background:#16181c;color:#e6e6e6}\
    th{background:#25282e}th,td{border-color:#444}a{color:#8ab4f8}}";

/// Shows the API's answers, errors included, as pages to those who ask for HTML.
pub(super) async fn pages(mut request: Request, next: Next) -> Response<Body> {
    let is_page = request.method() == Method::GET
        && request.uri().path().starts_with("/api/v1/")
        && prefers_html(request.headers());
    if !is_page {
        return next.run(request).await;
    }
    if let Some(bearer) = password(request.headers()) {
        request.headers_mut().insert(AUTHORIZATION, bearer);
    }
    let uri = request.uri().clone();
    let mut response = show(&uri, next.run(request).await).await;
    if response.status() == StatusCode::UNAUTHORIZED {
        let challenge = HeaderValue::from_static("Basic realm=\"Signet\", charset=\"UTF-8\"");
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    let accept = HeaderValue::from_static("accept");
    response.headers_mut().append(VARY, accept);
    response
}

/// Whether HTML is named before any other type that is served here, as browsers do.
fn prefers_html(headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    let types = accept.unwrap_or_default().split(',');
    let first = types
        .map(|one| one.split(';').next().unwrap_or_default().trim())
        .find(|one| ["text/html", "application/json", "*/*"].contains(one));
    first == Some("text/html")
}

/// The password of basic authentication (RFC 7617), as a bearer token.
fn password(headers: &HeaderMap) -> Option<HeaderValue> {
    let (scheme, encoded) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = BASE64_STANDARD.decode(encoded.trim()).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (_, password) = text.split_once(':')?;
    let mut bearer = HeaderValue::from_str(&format!("Bearer {password}")).ok()?;
    bearer.set_sensitive(true);
    Some(bearer)
}

async fn show(uri: &Uri, response: Response<Body>) -> Response<Body> {
    let is_json = response
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    let length = response
        .headers()
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse().ok());
    if !is_json || length.is_some_and(|length: usize| length > MAX_BYTES) {
        return response;
    }
    let (mut head, body) = response.into_parts();
    let Ok(bytes) = to_bytes(body, MAX_BYTES).await else {
        head.status = StatusCode::INTERNAL_SERVER_ERROR;
        return Response::from_parts(head, Body::empty());
    };
    let Ok(value) = serde_json::from_slice(&bytes) else {
        return Response::from_parts(head, Body::from(bytes));
    };
    head.headers.remove(CONTENT_LENGTH);
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    head.headers.insert(CONTENT_TYPE, html);
    let policy =
        "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'";
    let policy = HeaderValue::from_static(policy);
    head.headers.insert(CONTENT_SECURITY_POLICY, policy);
    Response::from_parts(head, Body::from(page(uri, &value)))
}

fn page(uri: &Uri, value: &Value) -> String {
    let title = escape(uri.path());
    let links: String = PATHS
        .iter()
        .map(|path| format!("<a href=\"/api/v1/{path}\">{path}</a>"))
        .collect();
    let mut body = String::new();
    render(value, &mut body);
    if let Some(more) = more(uri, value) {
        body.push_str(&format!("<p><a href=\"{}\">more</a></p>", escape(&more)));
    }
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title} - Signet</title>\
         <style>{STYLE}</style></head><body><nav>{links}</nav><h1>{title}</h1>{body}</body></html>"
    )
}

/// Where the list goes on, if it does.
fn more(uri: &Uri, value: &Value) -> Option<String> {
    let next = match value.get("next")? {
        Value::Null => return None,
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if value.get("end") == Some(&Value::Bool(true)) {
        return None;
    }
    let mut kept: Vec<(String, String)> =
        form_urlencoded::parse(uri.query().unwrap_or("").as_bytes())
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
    let is_backward = kept
        .iter()
        .any(|(name, value)| name == "direction" && value == "backward");
    let cursor = if is_backward { "before" } else { "after" };
    kept.retain(|(name, _)| name != cursor);
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(kept).append_pair(cursor, &next);
    Some(format!("{}?{}", uri.path(), query.finish()))
}

fn render(value: &Value, out: &mut String) {
    match value {
        Value::Object(members) => members_of(members, out),
        Value::Array(items) if items.iter().all(Value::is_object) && !items.is_empty() => {
            table(items, out);
        }
        Value::Array(items) if items.is_empty() => out.push_str("none"),
        Value::Array(items) => {
            for item in items {
                render(item, out);
                out.push_str("<br>");
            }
        }
        Value::Null => {}
        Value::String(text) => out.push_str(&format!("<pre>{}</pre>", escape(text))),
        other => out.push_str(&escape(&other.to_string())),
    }
}

fn members_of(members: &Map<String, Value>, out: &mut String) {
    out.push_str("<table>");
    for (name, value) in members {
        out.push_str(&format!("<tr><th>{}</th><td>", escape(name)));
        render(value, out);
        out.push_str("</td></tr>");
    }
    out.push_str("</table>");
}

fn table(items: &[Value], out: &mut String) {
    let mut columns: Vec<&String> = Vec::new();
    for name in items
        .iter()
        .filter_map(Value::as_object)
        .flat_map(Map::keys)
    {
        if !columns.contains(&name) {
            columns.push(name);
        }
    }
    out.push_str("<table><tr>");
    for column in &columns {
        out.push_str(&format!("<th>{}</th>", escape(column)));
    }
    out.push_str("</tr>");
    for item in items {
        out.push_str("<tr>");
        for column in &columns {
            out.push_str("<td>");
            render(item.get(column.as_str()).unwrap_or(&Value::Null), out);
            out.push_str("</td>");
        }
        out.push_str("</tr>");
    }
    out.push_str("</table>");
}

fn escape(text: &str) -> String {
    text.chars()
        .fold(String::with_capacity(text.len()), |mut out, one| {
            match one {
                '&' => out.push_str("&amp;"),
                '<' => out.push_str("&lt;"),
                '>' => out.push_str("&gt;"),
                '"' => out.push_str("&quot;"),
                '\'' => out.push_str("&#39;"),
                other => out.push(other),
            }
            out
        })
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue, Uri, header::ACCEPT};
    use serde_json::json;

    use super::{page, prefers_html};

    #[test]
    fn what_is_shown_cannot_become_markup() {
        let value = json!({ "events": [{ "data": "<script>alert('x')</script>", "a\"b": 1 }] });

        let page = page(&Uri::from_static("/api/v1/events"), &value);

        assert!(!page.contains("<script>"));
        assert!(page.contains("&lt;script&gt;alert(&#39;x&#39;)"));
        assert!(page.contains("a&quot;b"));
    }

    #[test]
    fn a_list_leads_to_its_next_page_and_keeps_its_filter() {
        let uri = Uri::from_static("/api/v1/events?after=3&tenant=a%26b");

        let going_on = page(&uri, &json!({ "events": [], "next": 7, "end": false }));
        let at_its_end = page(&uri, &json!({ "events": [], "next": 7, "end": true }));

        assert!(going_on.contains("/api/v1/events?tenant=a%26b&amp;after=7"));
        assert!(!at_its_end.contains("more"));
    }

    #[test]
    fn a_list_that_goes_backward_goes_on_before() {
        let uri = Uri::from_static("/api/v1/events?direction=backward&before=9&after=2");
        let page = page(&uri, &json!({ "events": [], "next": 7, "end": false }));
        let more = "/api/v1/events?direction=backward&amp;after=2&amp;before=7";
        assert!(page.contains(more), "{page}");
    }

    #[test]
    fn only_those_who_name_html_first_get_a_page() {
        let accepts = |value| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static(value));
            prefers_html(&headers)
        };
        assert!(accepts("text/html,application/xhtml+xml,*/*;q=0.8"));
        assert!(!accepts("application/json, text/html"));
        assert!(!accepts("*/*"));
        assert!(!prefers_html(&HeaderMap::new()));
    }
}
