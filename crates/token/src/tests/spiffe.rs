//! SPIFFE ids: the grammar, at its edges.

use crate::{SpiffeId, SpiffeIdError};

fn parse(text: &str) -> Result<SpiffeId, SpiffeIdError> {
    text.parse()
}

#[test]
fn a_workloads_id_is_read_and_written_the_same() {
    for text in [
        "spiffe://acme.cluster.local/ns/shop/sa/checkout",
        "spiffe://a_b-1.x/ns/A.b_c-1/sa/...",
    ] {
        assert_eq!(parse(text).unwrap().to_string(), text);
    }
}

#[test]
fn another_form_is_refused() {
    for text in [
        "",
        "acme.cluster.local/ns/shop/sa/checkout",
        "SPIFFE://acme/ns/shop/sa/checkout",
        "https://acme/ns/shop/sa/checkout",
        "spiffe://acme",
        "spiffe://acme/ns/shop/sa/checkout/",
        "spiffe://acme/ns/shop/sa/checkout/more",
        "spiffe://acme/sa/checkout/ns/shop",
        "spiffe://acme//ns/shop/sa/checkout",
    ] {
        assert_eq!(parse(text), Err(SpiffeIdError::Form), "{text}");
    }
}

#[test]
fn a_trust_domain_has_small_letters_and_nothing_else() {
    let long = "a".repeat(256);
    for domain in [
        "",
        "Acme",
        "acme:8080",
        "user@acme",
        "acme?",
        "acme%2e",
        "ácme",
        &long,
    ] {
        let text = format!("spiffe://{domain}/ns/shop/sa/checkout");
        assert_eq!(parse(&text), Err(SpiffeIdError::TrustDomain), "{text}");
    }
    assert!(parse(&format!("spiffe://{}/ns/shop/sa/checkout", "a".repeat(255))).is_ok());
}

#[test]
fn a_segment_cannot_climb_or_hide_another() {
    for segment in ["", ".", "..", "a%2fb", "a b", "a?b", "a#b", "ä"] {
        for text in [
            format!("spiffe://acme/ns/{segment}/sa/checkout"),
            format!("spiffe://acme/ns/shop/sa/{segment}"),
        ] {
            assert_eq!(parse(&text), Err(SpiffeIdError::PathSegment), "{text}");
        }
    }
    assert_eq!(
        SpiffeId::new("acme", "a/b", "c"),
        Err(SpiffeIdError::PathSegment)
    );
}

#[test]
fn an_id_has_at_most_2048_bytes() {
    let text = |length: usize| format!("spiffe://acme/ns/shop/sa/{}", "a".repeat(length - 25));
    assert!(parse(&text(2048)).is_ok());
    assert_eq!(parse(&text(2049)), Err(SpiffeIdError::TooLong));
    assert_eq!(
        SpiffeId::new("acme", "shop", "a".repeat(2024)),
        Err(SpiffeIdError::TooLong)
    );
}

#[test]
fn the_tenant_is_what_stands_before_the_installations_domain() {
    let id = SpiffeId::new("acme.cluster.local", "shop", "checkout").unwrap();
    assert_eq!(id.tenant("cluster.local"), Some("acme"));
    assert_eq!(id.tenant("local"), None);
    assert_eq!(id.tenant("acme.cluster.local"), None);
    assert_eq!(id.tenant("luster.local"), None);
    let bare = SpiffeId::new("cluster.local", "shop", "checkout").unwrap();
    assert_eq!(bare.tenant("cluster.local"), None);
}
