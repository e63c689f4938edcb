//! Query strings, read strictly: an unknown, doubled or misspelt parameter is the caller's mistake,
//! and is said to be.

/// Parameters that carry tokens elsewhere. Here none may.
const TOKEN_PARAMETERS: [&str; 7] = [
    "token",
    "access_token",
    "id_token",
    "refresh_token",
    "bearer",
    "jwt",
    "authorization",
];

/// The decoded pairs of a query string. A query is read once per request and is short.
pub(super) fn pairs(query: &str) -> impl Iterator<Item = (String, String)> {
    query
        .split('&')
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            (decoded(name), decoded(value))
        })
}

/// The parameter that holds a token, by its name or by what it looks like.
pub(super) fn token_parameter(query: &str) -> Option<String> {
    let found = pairs(query).find(|(name, value)| {
        TOKEN_PARAMETERS.contains(&name.to_ascii_lowercase().as_str()) || looks_like_token(value)
    });
    // A token in the place of a name is not repeated in the answer.
    found.map(|(name, _)| {
        if name.len() <= 32 {
            name
        } else {
            "…".to_owned()
        }
    })
}

/// The header of every JWT begins with `{"`, which is `eyJ` in base64url.
fn looks_like_token(value: &str) -> bool {
    let value = value.strip_prefix("Bearer ").unwrap_or(value);
    value.starts_with("eyJ") && value.matches('.').count() == 2
}

/// Percent-decoded, `+` as a space. What is no UTF-8 is replaced: it then equals nothing expected.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let pair = tail
            .get(..2)
            .and_then(|pair| std::str::from_utf8(pair).ok());
        match (
            first,
            pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()),
        ) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &tail[2..];
                continue;
            }
            (b'+', _) => bytes.push(b' '),
            (byte, _) => bytes.push(*byte),
        }
        rest = tail;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pairs_are_decoded() {
        let all: Vec<_> = pairs("a=1&&b=x%20y+z&c&%61=%zz%4").collect();
        let expected = [("a", "1"), ("b", "x y z"), ("c", ""), ("a", "%zz%4")];
        assert_eq!(
            all,
            expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
    }

    #[test]
    fn tokens_are_found_by_name_and_by_look() {
        assert_eq!(
            token_parameter("count=1&access_token=x").as_deref(),
            Some("access_token")
        );
        assert_eq!(token_parameter("Token=").as_deref(), Some("Token"));
        assert_eq!(token_parameter("%74oken=x").as_deref(), Some("token"));
        assert_eq!(
            token_parameter("q=eyJhbGciOiJFUzI1NiJ9.e30.c2ln").as_deref(),
            Some("q")
        );
        assert_eq!(token_parameter("q=Bearer+eyJh.e30.").as_deref(), Some("q"));
        assert_eq!(
            token_parameter("count=10&as=ranges&audience=acme.b.c"),
            None
        );
    }

    proptest! {
        #[test]
        fn anything_can_be_read(query in ".*") {
            let _ = (pairs(&query).count(), token_parameter(&query));
        }

        #[test]
        fn what_is_encoded_comes_back(value in ".*") {
            let encoded: String = value.bytes().map(|byte| format!("%{byte:02x}")).collect();
            let query = format!("x={encoded}");
            let found: Vec<_> = pairs(&query).collect();
            prop_assert_eq!(found, vec![("x".to_owned(), value)]);
        }
    }
}
