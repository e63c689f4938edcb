//! Query parameters, refused in the shape of all errors.

use axum::{
    extract::{FromRequestParts, Query},
    response::{IntoResponse, Response},
};
use http::request::Parts;
use serde::de::DeserializeOwned;

use crate::error::ServiceError;

/// The query of a call.
pub(super) struct Parameters<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Parameters<T> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(parameters)) => Ok(Self(parameters)),
            Err(error) => {
                let message = error.body_text();
                Err(ServiceError::InvalidArgument {
                    name: "query",
                    message,
                }
                .into_response())
            }
        }
    }
}
