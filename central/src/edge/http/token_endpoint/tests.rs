use super::{ACCESS_TOKEN, ExchangeRequest, JWT, TOKEN_EXCHANGE};

const GOOD: [(&str, &str); 3] = [
    ("grant_type", TOKEN_EXCHANGE),
    ("subject_token", "t"),
    ("subject_token_type", JWT),
];

fn parse(fields: &[(&str, &str)]) -> Result<ExchangeRequest, (&'static str, String)> {
    let owned = fields
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    ExchangeRequest::parse(owned).map_err(|error| (error.error, error.description))
}

fn with(extra: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    GOOD.iter().chain(extra).copied().collect()
}

#[test]
fn the_least_request_asks_for_an_access_token_of_the_default_audience() {
    let request = parse(&GOOD).unwrap();

    assert_eq!(request.subject_token, "t");
    assert!(request.audiences.is_empty());
    assert_eq!(request.issued_token_type, ACCESS_TOKEN);
}

#[test]
fn several_audiences_and_a_jwt_may_be_asked_for() {
    let request = parse(&with(&[
        ("audience", "a"),
        ("audience", "b"),
        ("requested_token_type", JWT),
    ]))
    .unwrap();

    assert_eq!(request.audiences, ["a", "b"]);
    assert_eq!(request.issued_token_type, JWT);
}

#[test]
fn an_empty_parameter_counts_as_left_out() {
    assert!(parse(&with(&[("audience", ""), ("scope", "")])).is_ok());
}

#[test]
fn whatever_is_missing_is_named() {
    for (missing, _) in GOOD {
        let fields: Vec<_> = GOOD
            .into_iter()
            .filter(|(name, _)| *name != missing)
            .collect();
        let (error, description) = parse(&fields).unwrap_err();

        assert_eq!(error, "invalid_request");
        assert!(description.contains(missing), "{description}");
    }
}

#[test]
fn what_is_not_served_is_refused_by_its_code() {
    for (extra, code) in [
        (("grant_type", "password"), "invalid_request"),
        (("requested_token_type", "urn:x"), "invalid_request"),
        (("actor_token", "t"), "invalid_request"),
        (("resource", "https://x"), "invalid_target"),
        (("scope", "admin"), "invalid_scope"),
        (("subject_token", "twice"), "invalid_request"),
    ] {
        assert_eq!(parse(&with(&[extra])).unwrap_err().0, code, "{extra:?}");
    }
    assert_eq!(
        parse(&[("grant_type", "password")]).unwrap_err().0,
        "unsupported_grant_type"
    );
}
