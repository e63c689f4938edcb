//! Reads what matters of a certificate.

use std::collections::BTreeSet;

use rcgen::{KeyPair, PublicKeyData};
use time::OffsetDateTime;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::pem::Pem;

use super::{CertificateError, Pair};

/// What matters of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspected {
    /// When it begins to hold.
    pub not_before: OffsetDateTime,
    /// When it ends.
    pub not_after: OffsetDateTime,
    /// Its DNS names.
    pub names: BTreeSet<String>,
    /// Whether it may sign others.
    pub is_authority: bool,
    /// Whether the key beside it is its key.
    pub key_matches: bool,
    /// The identifier of its own key, when it is an authority.
    pub subject_key: Option<Vec<u8>>,
    /// The identifier of the key that signed it.
    pub authority_key: Option<Vec<u8>>,
}

/// Reads the first certificate of `pair`, and whether its key belongs to it.
///
/// # Errors
/// When either cannot be read.
pub fn inspect(pair: &Pair) -> Result<Inspected, CertificateError> {
    let unreadable = |what: String| CertificateError::Unreadable(what);
    let pem = Pem::iter_from_buffer(pair.certificate.as_bytes())
        .next()
        .ok_or_else(|| unreadable("there is no PEM block in it".into()))?
        .map_err(|error| unreadable(error.to_string()))?;
    let certificate = pem
        .parse_x509()
        .map_err(|error| unreadable(error.to_string()))?;
    let key =
        KeyPair::from_pem(&pair.key).map_err(|error| unreadable(format!("its key: {error}")))?;
    let mut inspected = Inspected {
        not_before: certificate.validity().not_before.to_datetime(),
        not_after: certificate.validity().not_after.to_datetime(),
        names: BTreeSet::new(),
        is_authority: certificate.is_ca(),
        key_matches: certificate.public_key().subject_public_key.data.as_ref() == key.der_bytes(),
        subject_key: None,
        authority_key: None,
    };
    for extension in certificate.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(alternative) => {
                let names = alternative
                    .general_names
                    .iter()
                    .filter_map(|name| match name {
                        GeneralName::DNSName(name) => Some((*name).to_owned()),
                        _ => None,
                    });
                inspected.names.extend(names);
            }
            ParsedExtension::SubjectKeyIdentifier(key) => {
                inspected.subject_key = Some(key.0.to_vec());
            }
            ParsedExtension::AuthorityKeyIdentifier(authority) => {
                inspected.authority_key =
                    authority.key_identifier.as_ref().map(|key| key.0.to_vec());
            }
            _ => {}
        }
    }
    Ok(inspected)
}
