//! Who may ask at all. Localhost is not trust: a browser on the same machine can be made to send
//! requests here, by a page of another origin or by a name that was rebound to 127.0.0.1.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Uri, header, uri::Authority};

use super::query::token_parameter;
use super::{ApiError, Parts};

/// The hosts that requests may be addressed to: those of localhost, and one more if configured.
#[derive(Debug, Clone)]
pub struct AllowedHosts {
    configured: Option<String>,
}

impl AllowedHosts {
    /// `configured`: the host of `SIGNET_URL`, in lower case.
    #[must_use]
    pub fn new(configured: Option<String>) -> Self {
        Self { configured }
    }

    fn allows(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        matches!(host.as_str(), "localhost" | "127.0.0.1" | "[::1]")
            || self.configured.as_deref() == Some(host.as_str())
    }

    /// `host` or `host:port`; `user@host` is in no header of an honest client.
    fn allows_authority(&self, text: &str) -> bool {
        let Ok(authority) = text.parse::<Authority>() else {
            return false;
        };
        let host = authority.host();
        let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
        let rest = text.strip_prefix(host);
        let rest_is_port =
            |rest: &str| rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port);
        self.allows(host) && rest.is_some_and(rest_is_port)
    }

    /// Whether the request is addressed to us and does not come from elsewhere.
    fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), ApiError> {
        let mut addressed = false;
        for host in headers.get_all(header::HOST) {
            addressed = true;
            if !host.to_str().is_ok_and(|host| self.allows_authority(host)) {
                return Err(ApiError::ForeignHost);
            }
        }
        if let Some(authority) = uri.authority() {
            addressed = true;
            if !self.allows_authority(authority.as_str()) {
                return Err(ApiError::ForeignHost);
            }
        }
        if !addressed {
            return Err(ApiError::ForeignHost);
        }
        for origin in headers.get_all(header::ORIGIN) {
            if !origin
                .to_str()
                .is_ok_and(|origin| self.allows_origin(origin))
            {
                return Err(ApiError::ForeignOrigin);
            }
        }
        // Browsers set it, pages cannot: https://www.w3.org/TR/fetch-metadata
        match headers
            .get("sec-fetch-site")
            .map(http::HeaderValue::as_bytes)
        {
            Some(b"cross-site" | b"same-site") => Err(ApiError::ForeignOrigin),
            _ => Ok(()),
        }
    }

    fn allows_origin(&self, origin: &str) -> bool {
        let authority = origin
            .strip_prefix("http://")
            .or_else(|| origin.strip_prefix("https://"));
        authority.is_some_and(|authority| self.allows_authority(authority))
    }
}

/// Lets a request in: addressed to us, from no foreign page, with no token in its query.
pub(super) async fn admit(
    State(parts): State<Arc<Parts>>,
    request: Request,
    next: Next,
) -> Response {
    if let Err(error) = parts.hosts.check(request.uri(), request.headers()) {
        return error.into_response();
    }
    if let Some(parameter) = request.uri().query().and_then(token_parameter) {
        return ApiError::TokenInQuery { parameter }.into_response();
    }
    next.run(request).await
}

/// Lets a request through once the sidecar has started.
pub(super) async fn started(
    State(parts): State<Arc<Parts>>,
    request: Request,
    next: Next,
) -> Response {
    if parts.startup.is_started() {
        return next.run(request).await;
    }
    let reason = parts
        .startup
        .progress()
        .borrow()
        .reason
        .clone()
        .unwrap_or_default();
    ApiError::Starting { reason }.into_response()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(uri: &str, headers: &[(&'static str, &str)]) -> Result<(), &'static str> {
        let hosts = AllowedHosts::new(Some("signet.test".to_owned()));
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()))
            .collect();
        hosts
            .check(&uri.parse().unwrap(), &headers)
            .map_err(|error| error.code())
    }

    #[test]
    fn requests_to_localhost_are_let_in() {
        for host in [
            "localhost",
            "localhost:7740",
            "LOCALHOST",
            "127.0.0.1:7740",
            "[::1]:7740",
            "signet.test:1",
        ] {
            assert_eq!(check("/v1/status", &[("host", host)]), Ok(()), "{host}");
        }
    }

    #[test]
    fn requests_to_other_names_are_not() {
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.nip.io:7740",
            "127.0.0.2",
            "localhost@evil.example",
            "evil.example@localhost",
            "",
        ] {
            assert_eq!(
                check("/", &[("host", host)]),
                Err("SIGNET-SIDECAR-0003"),
                "{host}"
            );
        }
        assert_eq!(check("/", &[]), Err("SIGNET-SIDECAR-0003"));
        let both = check("http://evil.example/", &[("host", "localhost")]);
        assert_eq!(both, Err("SIGNET-SIDECAR-0003"));
        let two = check("/", &[("host", "localhost"), ("host", "evil.example")]);
        assert_eq!(two, Err("SIGNET-SIDECAR-0003"));
    }

    #[test]
    fn pages_of_other_origins_are_not_let_in() {
        let from = |name, value| check("/", &[("host", "localhost"), (name, value)]);
        assert_eq!(from("origin", "http://localhost:3000"), Ok(()));
        assert_eq!(from("sec-fetch-site", "same-origin"), Ok(()));
        assert_eq!(from("sec-fetch-site", "none"), Ok(()));
        for origin in ["https://evil.example", "null", "file://", "localhost"] {
            assert_eq!(
                from("origin", origin),
                Err("SIGNET-SIDECAR-0004"),
                "{origin}"
            );
        }
        assert_eq!(
            from("sec-fetch-site", "cross-site"),
            Err("SIGNET-SIDECAR-0004")
        );
    }

    proptest! {
        /// Whatever is added to our name makes it another one, unless it is a port.
        #[test]
        fn no_other_host_is_ours(before in "[a-z0-9.@-]{0,12}", after in "[a-z0-9.@:-]{1,12}") {
            let hosts = AllowedHosts::new(None);
            for ours in ["localhost", "127.0.0.1"] {
                let host = format!("{before}{ours}{after}");
                let port = after.strip_prefix(':').or(after.strip_prefix(".:"));
                let is_port = port.is_some_and(|port| port.bytes().all(|b| b.is_ascii_digit()));
                let is_ours = before.is_empty() && (is_port || after == ".");
                prop_assert!(!hosts.allows_authority(&host) || is_ours, "{}", host);
            }
        }
    }
}
