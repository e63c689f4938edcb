//! Makes certificates. ECDSA on P-256, which every client speaks.

use rand::RngExt;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SerialNumber,
};
use time::{Duration, OffsetDateTime};

use super::{CertificateError, Pair};

/// How long the authority holds.
pub const AUTHORITY_LIFETIME: Duration = Duration::days(3650);
/// How long the webhook's and central's certificates hold.
pub const LEAF_LIFETIME: Duration = Duration::days(90);
/// Clocks of a cluster differ.
const BACKDATED: Duration = Duration::minutes(5);

/// A new authority with a new key.
///
/// # Errors
/// When no key can be made.
pub fn authority(now: OffsetDateTime) -> Result<Pair, CertificateError> {
    self_signed(&KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?, now)
}

/// The authority for another lifetime, with the key it has: whoever trusts the older certificate
/// still trusts what the newer one signs, as pods that were given it at their injection do.
///
/// # Errors
/// When its key cannot be read.
pub fn renewed_authority(before: &Pair, now: OffsetDateTime) -> Result<Pair, CertificateError> {
    self_signed(&KeyPair::from_pem(&before.key)?, now)
}

fn self_signed(key: &KeyPair, now: OffsetDateTime) -> Result<Pair, CertificateError> {
    let mut parameters = parameters("Signet", now, AUTHORITY_LIFETIME);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    parameters.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    Ok(Pair {
        certificate: parameters.self_signed(key)?.pem(),
        key: key.serialize_pem(),
    })
}

/// A server's certificate for `names`, the first of which is its common name.
///
/// # Errors
/// When the authority cannot be read, or a name is none.
pub fn leaf(
    authority: &Pair,
    names: &[String],
    now: OffsetDateTime,
) -> Result<Pair, CertificateError> {
    let authority_key = KeyPair::from_pem(&authority.key)?;
    let issuer = Issuer::from_ca_cert_pem(&authority.certificate, authority_key)?;
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let common_name = names.first().map_or("signet", String::as_str);
    let mut parameters = parameters(common_name, now, LEAF_LIFETIME);
    parameters.subject_alt_names = CertificateParams::new(names)?.subject_alt_names;
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    parameters.use_authority_key_identifier_extension = true;
    Ok(Pair {
        certificate: parameters.signed_by(&key, &issuer)?.pem(),
        key: key.serialize_pem(),
    })
}

fn parameters(common_name: &str, now: OffsetDateTime, lifetime: Duration) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    let mut name = DistinguishedName::new();
    // RFC 5280 allows a common name 64 characters; the alternative names are what counts.
    name.push(
        DnType::CommonName,
        common_name.chars().take(64).collect::<String>(),
    );
    parameters.distinguished_name = name;
    parameters.not_before = now - BACKDATED;
    parameters.not_after = now + lifetime;
    let mut serial: [u8; 16] = rand::rng().random();
    // A positive number, without a leading zero.
    serial[0] = serial[0] & 0x7f | 0x40;
    parameters.serial_number = Some(SerialNumber::from(serial.to_vec()));
    parameters
}
