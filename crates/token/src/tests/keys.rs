//! Keys and key sets: what is read, what is refused, what is never shown.

use serde_json::{Value, json};

use super::{ISSUER, NOW, claims, key};
use crate::{Algorithm, Jwk, Jwks, KeyError, PrivateKey, Verifier, sign};

#[test]
fn a_key_survives_being_stored() {
    for algorithm in Algorithm::ALL {
        let key = key(algorithm);
        let stored = key.to_pkcs8();
        let read = PrivateKey::from_pkcs8(key.kid(), algorithm, &stored).unwrap();
        assert_eq!(read.public_jwk(), key.public_jwk());
        let keys = Jwks {
            keys: vec![key.public_jwk()],
        };
        let verifier = Verifier::new(ISSUER, vec!["acme".into()], &keys).unwrap();
        let token = sign(&read, &claims()).unwrap();
        assert_eq!(
            verifier.verify(&token, None, NOW),
            Ok(claims()),
            "{algorithm}"
        );
    }
}

#[test]
fn a_key_of_another_algorithm_is_not_taken() {
    for (algorithm, other) in [
        (Algorithm::Es256, Algorithm::EdDsa),
        (Algorithm::EdDsa, Algorithm::Rs256),
        (Algorithm::Rs256, Algorithm::Es256),
    ] {
        let stored = key(algorithm).to_pkcs8();
        let read = PrivateKey::from_pkcs8("k", other, &stored);
        assert_eq!(read.err(), Some(KeyError::InvalidPrivateKey(other)));
        let cut = PrivateKey::from_pkcs8("k", algorithm, &stored[..stored.len() - 1]);
        assert_eq!(cut.err(), Some(KeyError::InvalidPrivateKey(algorithm)));
        let nothing = PrivateKey::from_pkcs8("k", algorithm, &[]);
        assert_eq!(nothing.err(), Some(KeyError::InvalidPrivateKey(algorithm)));
    }
}

#[test]
fn a_key_id_is_printable() {
    for kid in ["", "a b", "a\n", "schlüssel", &"k".repeat(129)] {
        let made = PrivateKey::generate(kid, Algorithm::EdDsa);
        assert_eq!(made.err(), Some(KeyError::InvalidKeyId), "{kid:?}");
    }
}

#[test]
fn debug_shows_the_id_and_nothing_secret() {
    let shown = format!("{:?}", key(Algorithm::EdDsa));
    assert_eq!(
        shown,
        r#"PrivateKey { kid: "key-EdDSA", algorithm: EdDsa, .. }"#
    );
}

#[test]
fn a_public_key_has_exactly_the_members_of_its_type() {
    let members = |algorithm| {
        let Value::Object(object) = json!(key(algorithm).public_jwk()) else {
            panic!()
        };
        let mut names: Vec<String> = object.keys().cloned().collect();
        names.sort();
        names.join(" ")
    };
    assert_eq!(members(Algorithm::Es256), "alg crv kid kty use x y");
    assert_eq!(members(Algorithm::EdDsa), "alg crv kid kty use x");
    assert_eq!(members(Algorithm::Rs256), "alg e kid kty n use");
}

#[test]
fn a_private_member_is_dropped_when_read() {
    let mut published = json!(key(Algorithm::EdDsa).public_jwk());
    published["d"] = json!("c2VjcmV0");
    let set = Jwks::parse(&json!({ "keys": [published] }).to_string()).unwrap();
    assert_eq!(set.keys, vec![key(Algorithm::EdDsa).public_jwk()]);
}

#[test]
fn a_set_is_read_past_what_it_does_not_know() {
    let good = key(Algorithm::Es256).public_jwk();
    let text = json!({ "keys": [7, { "kty": 1 }, { "kty": "AKP", "kid": "pq" }, good], "x": 1 });
    let set = Jwks::parse(&text.to_string()).unwrap();
    assert_eq!(set.keys.len(), 2);
    assert_eq!(set.find("key-ES256"), Some(&good));
    assert_eq!(set.find("other"), None);
    for text in [
        "",
        "[]",
        "{}",
        r#"{"keys": {}}"#,
        r#"{"keys": null}"#,
        "{\"keys\": []",
    ] {
        assert!(
            matches!(Jwks::parse(text), Err(KeyError::InvalidKeySet(_))),
            "{text}"
        );
    }
    let large = format!(r#"{{"keys": [], "x": "{}"}}"#, "x".repeat(512 * 1024));
    assert!(matches!(
        Jwks::parse(&large),
        Err(KeyError::InvalidKeySet(_))
    ));
}

#[test]
fn bad_material_is_left_out_and_told() {
    let ec = key(Algorithm::Es256).public_jwk();
    let ed = key(Algorithm::EdDsa).public_jwk();
    let rsa = key(Algorithm::Rs256).public_jwk();
    let broken = [
        Jwk {
            x: ec.y.clone(),
            y: ec.x.clone(),
            ..ec.clone()
        },
        Jwk {
            x: Some("AAAA".into()),
            ..ec.clone()
        },
        Jwk {
            y: None,
            ..ec.clone()
        },
        Jwk {
            crv: Some("P-384".into()),
            ..ec.clone()
        },
        Jwk {
            alg: Some("HS256".into()),
            ..ec.clone()
        },
        Jwk {
            alg: Some("EdDSA".into()),
            ..ec.clone()
        },
        Jwk {
            use_: Some("enc".into()),
            ..ec.clone()
        },
        Jwk {
            x: Some(format!("{}=", ed.x.clone().unwrap())),
            ..ed.clone()
        },
        Jwk {
            x: Some(String::new()),
            ..ed.clone()
        },
        Jwk {
            n: Some("AQAB".into()),
            ..rsa.clone()
        },
        Jwk {
            n: Some(String::new()),
            ..rsa.clone()
        },
        Jwk {
            e: Some(String::new()),
            ..rsa.clone()
        },
        Jwk {
            e: Some("AQ".into()),
            ..rsa.clone()
        },
        Jwk {
            e: Some("Ag".into()),
            ..rsa.clone()
        },
        Jwk {
            e: Some("AQAAAAAAAAAB".into()),
            ..rsa.clone()
        },
        Jwk {
            kty: "oct".into(),
            ..rsa.clone()
        },
        Jwk { kid: None, ..rsa },
    ];
    let count = broken.len();
    for (position, jwk) in broken.iter().enumerate() {
        let keys = Jwks {
            keys: vec![jwk.clone()],
        };
        let verifier = Verifier::new(ISSUER, vec!["acme".into()], &keys).unwrap();
        assert_eq!(verifier.ignored_keys().len(), 1, "{position}: {jwk:?}");
    }
    let mut keys: Vec<Jwk> = broken.into();
    keys.push(ec);
    let verifier = Verifier::new(ISSUER, vec!["acme".into()], &Jwks { keys }).unwrap();
    assert_eq!(verifier.ignored_keys().len(), count);
    assert_eq!(verifier.key_ids().collect::<Vec<_>>(), ["key-ES256"]);
    let token = sign(key(Algorithm::Es256), &claims()).unwrap();
    assert_eq!(verifier.verify(&token, None, NOW), Ok(claims()));
}
