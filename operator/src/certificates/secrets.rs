//! Certificates in Secrets, shared by all replicas.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::{Api, ObjectMeta, PostParams};

use super::plan::{Cause, Plan};
use super::{CertificateError, Pair};

const ATTEMPTS: usize = 8;

/// Where one certificate lives.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) secret: &'static str,
    pub(super) certificate: &'static str,
    pub(super) key: &'static str,
    pub(super) type_: &'static str,
}

pub(super) const AUTHORITY: Place = Place {
    secret: "signet-ca",
    certificate: "ca.crt",
    key: "ca.key",
    type_: "Opaque",
};

pub(super) const fn leaf(secret: &'static str) -> Place {
    Place {
        secret,
        certificate: "tls.crt",
        key: "tls.key",
        type_: "kubernetes.io/tls",
    }
}

/// A certificate as it is to be kept, with what else belongs into its Secret.
pub(super) struct Contents {
    pub(super) pair: Pair,
    pub(super) others: Vec<(&'static str, String)>,
}

pub(super) struct Secrets {
    api: Api<Secret>,
}

impl Secrets {
    pub(super) fn new(client: Client, namespace: &str) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
        }
    }

    /// The certificate at `place`, made or renewed first when `plan` says so. Whoever comes first
    /// makes it; the others take what they find.
    pub(super) async fn ensure(
        &self,
        place: Place,
        plan: impl Fn(Option<&Pair>) -> Plan,
        make: impl Fn(Option<&Pair>, Cause) -> Result<Contents, CertificateError>,
    ) -> Result<Pair, CertificateError> {
        for _ in 0..ATTEMPTS {
            let found = self.api.get_opt(place.secret).await;
            let found = found.map_err(|source| failed("reading", place, source))?;
            let existing = found.as_ref().and_then(|secret| read(secret, place));
            let cause = match (plan(existing.as_ref()), existing.as_ref()) {
                (Plan::Keep, Some(existing)) => return Ok(existing.clone()),
                (Plan::Keep, None) => Cause::Missing,
                (Plan::Renew(cause), _) => cause,
            };
            let contents = make(existing.as_ref(), cause)?;
            let written = match found {
                None => {
                    let secret = fill(new(place), place, &contents);
                    self.api.create(&PostParams::default(), &secret).await
                }
                // Carries the resourceVersion that was read.
                Some(secret) => {
                    let secret = fill(secret, place, &contents);
                    self.api
                        .replace(place.secret, &PostParams::default(), &secret)
                        .await
                }
            };
            match written {
                Ok(_) => {
                    tracing::info!(secret = place.secret, ?cause, "certificate made");
                    return Ok(contents.pair);
                }
                Err(kube::Error::Api(error)) if error.code == 409 || error.code == 404 => {}
                Err(source) => return Err(failed("writing", place, source)),
            }
        }
        Err(CertificateError::Contended(place.secret.into()))
    }
}

/// The certificate in a Secret, if both halves are there.
pub(super) fn read(secret: &Secret, place: Place) -> Option<Pair> {
    let text = |key: &str| {
        let bytes = &secret.data.as_ref()?.get(key)?.0;
        String::from_utf8(bytes.clone()).ok()
    };
    Some(Pair {
        certificate: text(place.certificate)?,
        key: text(place.key)?,
    })
}

fn new(place: Place) -> Secret {
    Secret {
        metadata: ObjectMeta {
            name: Some(place.secret.into()),
            labels: Some(BTreeMap::from([
                ("app.kubernetes.io/name".into(), "signet".into()),
                (
                    "app.kubernetes.io/managed-by".into(),
                    "signet-operator".into(),
                ),
            ])),
            ..ObjectMeta::default()
        },
        type_: Some(place.type_.into()),
        ..Secret::default()
    }
}

fn fill(mut secret: Secret, place: Place, contents: &Contents) -> Secret {
    let data = secret.data.get_or_insert_default();
    let mut put = |key: &str, value: &str| {
        data.insert(key.into(), ByteString(value.as_bytes().to_vec()));
    };
    put(place.certificate, &contents.pair.certificate);
    put(place.key, &contents.pair.key);
    for (key, value) in &contents.others {
        put(key, value);
    }
    secret
}

fn failed(what: &str, place: Place, source: kube::Error) -> CertificateError {
    CertificateError::Kubernetes {
        what: format!("{what} the Secret {}", place.secret),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_back_and_what_else_was_there_stays() {
        let pair = Pair {
            certificate: "certificate".into(),
            key: "key".into(),
        };
        let contents = Contents {
            pair: pair.clone(),
            others: vec![("ca.crt", "authority".into())],
        };
        let place = leaf("signet-webhook-tls");
        let mut secret = new(place);
        secret
            .data
            .get_or_insert_default()
            .insert("note".into(), ByteString(b"mine".to_vec()));
        assert_eq!(read(&secret, place), None);
        let secret = fill(secret, place, &contents);
        assert_eq!(read(&secret, place), Some(pair));
        let data = secret.data.unwrap();
        assert_eq!(data["ca.crt"].0, b"authority");
        assert_eq!(data["note"].0, b"mine");
        assert_eq!(secret.type_.as_deref(), Some("kubernetes.io/tls"));
    }
}
