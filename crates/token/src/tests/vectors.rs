//! The examples of the RFCs, and another implementation on the other side.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk as ForeignJwk;
use serde_json::json;

use super::{ISSUER, NOW, claims, key, verifier};
use crate::compact::Compact;
use crate::verifier::Key;
use crate::{Algorithm, Claims, Jwk, PrivateKey, Rejection, sign};

/// The payload of RFC 7515 A.2 and A.3.
const PAYLOAD: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

fn checks(jwk: serde_json::Value, token: &str) -> Result<(), Rejection> {
    let jwk: Jwk = serde_json::from_value(jwk).unwrap();
    let (algorithm, decoding) = jwk.decoding_key().unwrap();
    Key {
        algorithm,
        decoding,
    }
    .check(&Compact::parse(token).unwrap())
}

fn es256() -> (serde_json::Value, String) {
    let jwk = json!({
        "kty": "EC", "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        "d": "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI",
    });
    let signature =
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    (jwk, format!("eyJhbGciOiJFUzI1NiJ9.{PAYLOAD}.{signature}"))
}

#[test]
fn the_es256_example_of_rfc_7515_a3_holds() {
    let (jwk, token) = es256();
    assert_eq!(checks(jwk, &token), Ok(()));
}

#[test]
fn the_rs256_example_of_rfc_7515_a2_holds() {
    let jwk = json!({
        "kty": "RSA",
        "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ",
        "e": "AQAB",
    });
    let signature = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
    let token = format!("eyJhbGciOiJSUzI1NiJ9.{PAYLOAD}.{signature}");
    assert_eq!(checks(jwk, &token), Ok(()));
}

#[test]
fn an_example_with_the_signature_of_another_does_not_hold() {
    let (jwk, token) = es256();
    let foreign = key(Algorithm::Es256).sign_bytes(token.as_bytes()).unwrap();
    let (message, _) = token.rsplit_once('.').unwrap();
    let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(foreign));
    assert_eq!(checks(jwk, &token), Err(Rejection::BadSignature));
}

#[test]
fn the_eddsa_example_of_rfc_8037_a_holds_and_is_made_again() {
    let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": x });
    let message = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    let signature =
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    assert_eq!(
        checks(jwk.clone(), &format!("{message}.{signature}")),
        Ok(())
    );

    let seed = URL_SAFE_NO_PAD
        .decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A")
        .unwrap();
    // PKCS#8 version 1 around an Ed25519 seed, RFC 8410 §7.
    let mut pkcs8 = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20".to_vec();
    pkcs8.extend(seed);
    let key = PrivateKey::from_pkcs8("rfc", Algorithm::EdDsa, &pkcs8).unwrap();
    assert_eq!(key.public_jwk().x.as_deref(), Some(x));
    let made = key.sign_bytes(message.as_bytes()).unwrap();
    assert_eq!(URL_SAFE_NO_PAD.encode(made), signature);
}

#[test]
fn thumbprints_are_those_of_rfc_7638_and_rfc_8037() {
    let rsa: Jwk = serde_json::from_value(json!({
        "kty": "RSA", "e": "AQAB", "alg": "RS256", "kid": "2011-04-29",
        "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
    }))
    .unwrap();
    assert_eq!(
        rsa.thumbprint().unwrap(),
        "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    );
    let ed = Jwk {
        kty: "OKP".into(),
        crv: Some("Ed25519".into()),
        x: Some("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo".into()),
        ..Jwk::default()
    };
    assert_eq!(
        ed.thumbprint().unwrap(),
        "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    );
}

#[test]
fn another_implementation_takes_our_tokens_and_we_take_its_own() {
    let verifier = verifier();
    for algorithm in Algorithm::ALL {
        let key = key(algorithm);
        let foreign_algorithm = algorithm
            .as_str()
            .parse::<jsonwebtoken::Algorithm>()
            .unwrap();

        let jwk: ForeignJwk =
            serde_json::from_value(serde_json::to_value(key.public_jwk()).unwrap()).unwrap();
        let decoding = jsonwebtoken::DecodingKey::from_jwk(&jwk).unwrap();
        let mut validation = jsonwebtoken::Validation::new(foreign_algorithm);
        validation.set_audience(&["acme"]);
        validation.set_issuer(&[ISSUER]);
        validation.validate_exp = false;
        let ours = sign(key, &claims()).unwrap();
        let read = jsonwebtoken::decode::<Claims>(&ours, &decoding, &validation).unwrap();
        assert_eq!(read.claims, claims(), "{algorithm}");

        let der = key.to_pkcs8();
        let encoding = match algorithm {
            Algorithm::Es256 => jsonwebtoken::EncodingKey::from_ec_der(&der),
            Algorithm::EdDsa => jsonwebtoken::EncodingKey::from_ed_der(&der),
            // It reads RSA keys as PKCS#1 only; its reading of ours is shown above.
            Algorithm::Rs256 => continue,
        };
        let mut header = jsonwebtoken::Header::new(foreign_algorithm);
        header.kid = Some(key.kid().into());
        let theirs = jsonwebtoken::encode(&header, &claims(), &encoding).unwrap();
        assert_eq!(
            verifier.verify(&theirs, Some("acme"), NOW),
            Ok(claims()),
            "{algorithm}"
        );
    }
}
