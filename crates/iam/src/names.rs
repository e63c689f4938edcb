//! What Kubernetes accepts as names (RFC 1123).

/// A DNS label: lower case letters, digits and inner hyphens, 1 to 63 characters.
pub(crate) fn is_dns_label(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&name.len())
        && name.bytes().all(inner)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::is_dns_label;

    #[test]
    fn labels() {
        for good in ["a", "acme", "acme-2", "2"] {
            assert!(is_dns_label(good), "{good}");
        }
        let long = "a".repeat(64);
        for bad in ["", "-a", "a-", "A", "a.b", "a_b", "ä", long.as_str()] {
            assert!(!is_dns_label(bad), "{bad}");
        }
    }
}
