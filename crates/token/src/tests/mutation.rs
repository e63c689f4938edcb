//! Properties: what is signed is read back, what is changed is not believed, nothing panics.

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use serde_json::{Map, Value};

use super::{ISSUER, NOW, all_keys, claims, key, verifier};
use crate::claims::RESERVED;
use crate::{Algorithm, Claims, Jwks, SpiffeId, Verifier, sign};

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            btree_map(".{0,6}", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn extra() -> impl Strategy<Value = Map<String, Value>> {
    btree_map(".{1,12}", value(), 0..4).prop_map(|members| {
        members
            .into_iter()
            .filter(|(name, _)| !RESERVED.contains(&name.as_str()))
            .collect()
    })
}

fn any_claims() -> impl Strategy<Value = Claims> {
    (
        (
            ".{0,40}",
            vec(".{0,12}", 0..3),
            option::of(".{0,20}"),
            option::of(".{0,20}"),
        ),
        (1_i64..1 << 40, 0_i64..=NOW, option::of(0_i64..=NOW)),
        (vec(".{0,20}", 0..3), extra()),
    )
        .prop_map(
            |((sub, aud, jti, tenant_id), (life, iat, nbf), (roles, extra))| Claims {
                iss: ISSUER.into(),
                sub,
                aud: aud.into_iter().chain(["acme".to_owned()]).collect(),
                exp: NOW + life,
                iat,
                nbf,
                jti,
                tenant_id,
                roles,
                extra,
            },
        )
}

fn round_trip(algorithm: Algorithm, claims: &Claims) -> Result<(), TestCaseError> {
    let token = sign(key(algorithm), claims).unwrap();
    prop_assert_eq!(
        &verifier().verify(&token, Some("acme"), NOW).unwrap(),
        claims
    );
    prop_assert!(verifier().verify(&token, Some("billing"), NOW).is_err());
    Ok(())
}

/// Changes one byte; what comes of it is refused or says exactly the same.
fn mutation(algorithm: Algorithm, place: usize, byte: u8) -> Result<(), TestCaseError> {
    let token = sign(key(algorithm), &claims()).unwrap();
    let mut bytes = token.into_bytes();
    let place = place % bytes.len();
    prop_assume!(bytes[place] != byte);
    bytes[place] = byte;
    let text = String::from_utf8_lossy(&bytes);
    if let Ok(read) = verifier().verify(&text, None, NOW) {
        prop_assert_eq!(read, claims());
    }
    Ok(())
}

proptest! {
    #[test]
    fn es256_claims_come_back(claims in any_claims()) {
        round_trip(Algorithm::Es256, &claims)?;
    }

    #[test]
    fn eddsa_claims_come_back(claims in any_claims()) {
        round_trip(Algorithm::EdDsa, &claims)?;
    }

    #[test]
    fn a_changed_es256_token_says_nothing_new(place: usize, byte: u8) {
        mutation(Algorithm::Es256, place, byte)?;
    }

    #[test]
    fn a_changed_eddsa_token_says_nothing_new(place: usize, byte in 0x2d_u8..0x7b) {
        mutation(Algorithm::EdDsa, place, byte)?;
    }

    #[test]
    fn any_text_is_answered(text: String, audience: Option<String>, now: i64) {
        prop_assert!(verifier().verify(&text, audience.as_deref(), now).is_err());
    }

    #[test]
    fn any_text_of_the_right_shape_is_answered(text in "[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,40}") {
        prop_assert!(verifier().verify(&text, None, NOW).is_err());
    }

    #[test]
    fn any_claims_set_under_a_true_signature_is_answered(payload in value(), now: i64) {
        let key = key(Algorithm::EdDsa);
        let header = r#"{"alg":"EdDSA","kid":"key-EdDSA"}"#;
        let token = super::signed(key, header, &payload.to_string());
        prop_assert!(verifier().verify(&token, None, now).is_err());
    }

    #[test]
    fn any_header_is_answered(header in value()) {
        let token = super::signed(key(Algorithm::EdDsa), &header.to_string(), "{}");
        prop_assert!(verifier().verify(&token, None, NOW).is_err());
    }

    #[test]
    fn any_key_set_is_answered(place: usize, byte in 0x20_u8..0x7f) {
        let mut bytes = serde_json::to_vec(&all_keys()).unwrap();
        let place = place % bytes.len();
        bytes[place] = byte;
        let text = String::from_utf8(bytes).unwrap();
        if let Ok(keys) = Jwks::parse(&text) {
            let _ = Verifier::new(ISSUER, vec!["acme".into()], &keys);
        }
    }

    #[test]
    fn any_text_is_a_spiffe_id_or_not_and_if_so_the_same(text: String, near in "spiffe://[a-z.]{1,8}/ns/[a-zA-Z.-]{1,5}/sa/[a-z.]{1,5}") {
        for text in [text, near] {
            if let Ok(id) = text.parse::<SpiffeId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }
}

proptest! {
    // RSA signing is slow without optimisation.
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn rs256_claims_come_back(claims in any_claims()) {
        round_trip(Algorithm::Rs256, &claims)?;
    }

    #[test]
    fn a_changed_rs256_token_says_nothing_new(place: usize, byte in 0x2d_u8..0x7b) {
        mutation(Algorithm::Rs256, place, byte)?;
    }
}
