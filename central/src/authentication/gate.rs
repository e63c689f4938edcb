//! From the headers of a call to its caller; the same for HTTP and gRPC.

use std::sync::Arc;

use http::{HeaderMap, header::AUTHORIZATION};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::{AuthenticationError, Authenticator, Caller};
use crate::error::ServiceError;

/// Longer than any token Kubernetes projects.
const MAX_BEARER_BYTES: usize = 16 * 1024;

/// Identifies callers.
pub(crate) struct Gate {
    bootstrap_token: SecretString,
    authenticator: Arc<dyn Authenticator>,
}

impl Gate {
    pub(crate) fn new(
        bootstrap_token: SecretString,
        authenticator: Arc<dyn Authenticator>,
    ) -> Self {
        Self {
            bootstrap_token,
            authenticator,
        }
    }

    /// Lets nobody but an administrator through.
    ///
    /// The bootstrap secret is all it takes; a token of anybody else is not even looked at.
    pub(crate) fn administrator(&self, headers: &HeaderMap) -> Result<(), ServiceError> {
        if self.is_bootstrap_token(bearer(headers)?) {
            Ok(())
        } else {
            Err(ServiceError::Unauthenticated(
                "this is not the administrators' token".into(),
            ))
        }
    }

    /// Who is calling, whoever it is.
    pub(crate) async fn identify(&self, headers: &HeaderMap) -> Result<Caller, ServiceError> {
        let bearer = bearer(headers)?;
        if self.is_bootstrap_token(bearer) {
            return Ok(Caller::Administrator);
        }
        self.bearer_of(bearer).await.map_err(|error| match error {
            AuthenticationError::Refused(reason) => ServiceError::Unauthenticated(reason),
            AuthenticationError::Unavailable(reason) => {
                tracing::warn!(reason, "a caller could not be identified");
                ServiceError::AuthenticationUnavailable
            }
        })
    }

    /// Who bears a ServiceAccount token, wherever in the call it was given.
    pub(crate) async fn bearer_of(&self, bearer: &str) -> Result<Caller, AuthenticationError> {
        if bearer.is_empty() || bearer.len() > MAX_BEARER_BYTES {
            return Err(AuthenticationError::Refused(
                "the token is empty or too long".into(),
            ));
        }
        self.authenticator.authenticate(bearer).await
    }

    fn is_bootstrap_token(&self, bearer: &str) -> bool {
        // Hashes have one length, so that the comparison takes the same time for every bearer.
        let given = Sha256::digest(bearer.as_bytes());
        let known = Sha256::digest(self.bootstrap_token.expose_secret().as_bytes());
        given.as_slice().ct_eq(known.as_slice()).into()
    }
}

/// The bearer token of a call (RFC 6750 section 2.1). It counts in the header only, never in a query.
pub(super) fn bearer(headers: &HeaderMap) -> Result<&str, ServiceError> {
    let refuse = |reason: &str| ServiceError::Unauthenticated(reason.into());
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let header = given
        .next()
        .ok_or_else(|| refuse("give a token: authorization: Bearer TOKEN"))?;
    if given.next().is_some() {
        return Err(refuse("there is more than one authorization header"));
    }
    let (scheme, token) = header
        .to_str()
        .ok()
        .and_then(|text| text.split_once(' '))
        .ok_or_else(|| refuse("the authorization header is not of the form Bearer TOKEN"))?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(refuse(
            "the authorization header is not of the form Bearer TOKEN",
        ));
    }
    Ok(token.trim())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};

    use super::Gate;
    use crate::authentication::{Caller, StaticAuthenticator};

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn gate() -> Gate {
        let known = StaticAuthenticator::new([("t-operator".to_owned(), Caller::Operator)]);
        Gate::new(SECRET.to_owned().into(), Arc::new(known))
    }

    fn headers(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[tokio::test]
    async fn the_bootstrap_secret_makes_an_administrator() {
        let headers = headers(&[&format!("bearer {SECRET}")]);

        assert!(gate().administrator(&headers).is_ok());
        assert_eq!(
            gate().identify(&headers).await.unwrap(),
            Caller::Administrator
        );
    }

    #[tokio::test]
    async fn an_operator_is_no_administrator() {
        let headers = headers(&["Bearer t-operator"]);

        assert_eq!(gate().identify(&headers).await.unwrap(), Caller::Operator);
        assert!(gate().administrator(&headers).is_err());
    }

    #[test]
    fn anything_but_one_bearer_header_is_refused() {
        let bearer = format!("Bearer {SECRET}");
        for values in [
            vec![],
            vec!["Bearer"],
            vec!["Bearer "],
            vec!["Basic dXNlcjpwYXNz"],
            vec![SECRET],
            vec![bearer.as_str(), bearer.as_str()],
        ] {
            let error = gate().administrator(&headers(&values)).unwrap_err();
            assert_eq!(error.code(), "SIGNET-CENTRAL-0001", "{values:?}");
        }
    }
}
