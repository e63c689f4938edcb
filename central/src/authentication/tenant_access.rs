//! Who may look at what a tenant owns: administrators, and whoever holds a token of the tenant that
//! its roles allow to.

use http::HeaderMap;
use policy::Request;
use serde_json::{Value, json};
use time::OffsetDateTime;
use token::Verifier;

use super::{Gate, gate::bearer};
use crate::{directory::Realm, error::ServiceError};

/// Somebody who was let through, for the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Principal {
    /// The holder of the bootstrap secret.
    Administrator,
    /// The subject of a token of the tenant.
    Subject(String),
}

impl Principal {
    /// The actor that events and logs name.
    pub(crate) fn actor(&self) -> &str {
        match self {
            Self::Administrator => "administrator",
            Self::Subject(subject) => subject,
        }
    }
}

/// What is to be done, in the words of roles: resource `signet/events`, action `read`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deed {
    pub(crate) resource: &'static str,
    pub(crate) action: &'static str,
}

/// Lets an administrator through, or a token that this tenant issued for its own issuer as audience
/// and whose subject the tenant's roles allow the deed.
///
/// A token for any other audience is not taken: an application that was given one could use it here
/// in its bearer's name.
pub(crate) fn admit(
    gate: &Gate,
    headers: &HeaderMap,
    realm: Option<&Realm>,
    issuer: &str,
    now: OffsetDateTime,
    deed: Deed,
) -> Result<Principal, ServiceError> {
    if gate.administrator(headers).is_ok() {
        return Ok(Principal::Administrator);
    }
    let token = bearer(headers)?;
    // Whether the tenant does not exist, is closed or is another's, the answer is the same.
    let refused = |reason: &str| ServiceError::Unauthenticated(reason.to_owned());
    let realm = realm
        .filter(|realm| realm.is_open())
        .ok_or_else(|| refused("the token does not hold for this tenant"))?;
    let verifier = Verifier::new(issuer, vec![issuer.to_owned()], &realm.jwks())
        .map_err(|error| ServiceError::Internal(error.to_string()))?;
    let claims = verifier
        .verify(token, None, now.unix_timestamp())
        .map_err(|rejection| refused(rejection.reason()))?;
    // The role that allowed it may be gone by now.
    realm.follows()?;
    let subject = iam::subject_of(&claims, realm.name());
    let decision = realm.policy().decide(&Request {
        subject: &subject,
        resource: deed.resource,
        action: deed.action,
        request: &Value::Null,
        environment: &json!({}),
    });
    if decision.allowed {
        Ok(Principal::Subject(claims.sub))
    } else {
        tracing::info!(
            tenant = realm.name(),
            subject = claims.sub,
            resource = deed.resource,
            action = deed.action,
            "a tenant's roles do not allow a call"
        );
        Err(ServiceError::Forbidden(
            "the tenant's roles do not allow this; a role with the resource signet/… and the action \
             it asks for does",
        ))
    }
}
