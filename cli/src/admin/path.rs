//! Paths of the API with their queries.

/// A path with those parameters that have a value.
pub(super) fn with_query(path: &str, parameters: &[(&str, Option<String>)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in parameters {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    match query.finish() {
        query if query.is_empty() => path.to_owned(),
        query => format!("{path}?{query}"),
    }
}

/// The path of a list: that of one tenant, which a token of the tenant opens as well, or that of all.
pub(super) fn of(tenant: Option<&str>, list: &str) -> String {
    match tenant {
        Some(tenant) => format!("/api/v1/tenants/{}/{list}", segment(tenant)),
        None => format!("/api/v1/{list}"),
    }
}

/// A name as one segment of a path.
pub(super) fn segment(name: &str) -> String {
    // Of a path, a plus is a plus and no space.
    let encoded: String = form_urlencoded::byte_serialize(name.as_bytes()).collect();
    match encoded.as_str() {
        // The way to another path, even if a dot is written as %2E: so it becomes a name that nothing has.
        "." | ".." => encoded.replace('.', "%252E"),
        _ => encoded.replace('+', "%20"),
    }
}

#[cfg(test)]
mod tests {
    use super::{of, segment, with_query};

    #[test]
    fn what_is_not_given_is_not_asked_for() {
        let none = with_query("/api/v1/events", &[("tenant", None)]);
        assert_eq!(none, "/api/v1/events");
        let parameters = [
            ("tenant", None),
            ("type", Some("A,B".to_owned())),
            ("from", Some("2026-11-21T17:00:00+01:00".to_owned())),
        ];
        assert_eq!(
            with_query("/e", &parameters),
            "/e?type=A%2CB&from=2026-11-21T17%3A00%3A00%2B01%3A00"
        );
    }

    #[test]
    fn a_tenant_has_paths_of_its_own() {
        assert_eq!(of(None, "events"), "/api/v1/events");
        assert_eq!(of(Some("a/b"), "events"), "/api/v1/tenants/a%2Fb/events");
    }

    #[test]
    fn a_name_stays_one_segment() {
        assert_eq!(segment("a b/c:7+"), "a%20b%2Fc%3A7%2B");
        for name in [".", "..", "%2e%2e"] {
            let url = format!("http://localhost{}", of(Some(name), "events"));
            let url = reqwest::Url::parse(&url).unwrap();
            assert!(url.path().starts_with("/api/v1/tenants/%25"), "{url}");
        }
    }
}
