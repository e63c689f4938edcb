//! What a path names: whose things it is about, and which of them.

use std::sync::Arc;

use axum::extract::{FromRequestParts, RawPathParams};
use http::request::Parts;

use crate::{edge::Application, error::ServiceError};

/// The parts of a path that change, so that one handler serves `/api/v1/replays/{id}` and
/// `/api/v1/tenants/{tenant}/replays/{id}`. Asking for it makes sure that the tenant exists.
pub(super) struct Place(Vec<(String, String)>);

impl Place {
    /// The tenant that the path is below; none of the paths that are about all of them.
    pub(super) fn tenant(&self) -> Option<&str> {
        self.find("tenant")
    }

    /// A part by its name in the route.
    pub(super) fn part(&self, name: &str) -> &str {
        self.find(name).unwrap_or_default()
    }

    fn find(&self, wanted: &str) -> Option<&str> {
        let mut parts = self.0.iter();
        parts.find_map(|(name, value)| (name == wanted).then_some(value.as_str()))
    }
}

impl FromRequestParts<Arc<Application>> for Place {
    type Rejection = ServiceError;

    async fn from_request_parts(
        parts: &mut Parts,
        application: &Arc<Application>,
    ) -> Result<Self, Self::Rejection> {
        let path = RawPathParams::from_request_parts(parts, application)
            .await
            .map_err(|_| ServiceError::NoSuchRoute)?;
        let place = Self(
            path.iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        );
        if let Some(tenant) = place.tenant() {
            application.existing(tenant)?;
        }
        // No name has such a character, and PostgreSQL cannot be asked for one.
        if let Some((_, value)) = place.0.iter().find(|(_, value)| value.contains('\0')) {
            return Err(ServiceError::missing("thing called", value));
        }
        Ok(place)
    }
}
