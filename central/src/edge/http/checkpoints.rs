//! Signed checkpoints over the hash chains, to be kept elsewhere, with the keys to verify them.

use std::{fmt::Write as _, sync::Arc};

use axum::{Json, extract::State};
use eventstore::{
    Position,
    integrity::{ED25519, IntegrityError, newest},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    events::tenant_of,
    parameters::{Parameters, page_length},
    place::Place,
};
use crate::{edge::Application, error::ServiceError};

const MOST: usize = 1000;

/// Which ones.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    tenant: Option<String>,
    after: Option<u64>,
    limit: Option<usize>,
}

/// `GET …/checkpoints`: the newest first, each as the line that is kept elsewhere. `next` is what to
/// give as `after` to go on.
pub(super) async fn list(
    State(application): State<Arc<Application>>,
    place: Place,
    Parameters(asked): Parameters<Asked>,
) -> Result<Json<Value>, ServiceError> {
    let tenant = tenant_of(&place, asked.tenant)?;
    let limit = page_length(asked.limit, MOST)?;
    let store = application.store.as_ref();
    let listed = newest(store, tenant.as_deref(), asked.after.map(Position), limit).await?;
    let next = listed.last().map(|last| last.position);
    let keys = application.checkpoint_keys.iter().map(
        |(id, key)| json!({ "key_id": id, "algorithm": ED25519, "public_key": hexadecimal(key) }),
    );
    Ok(Json(json!({
        "store": store.id(),
        "keys": keys.collect::<Vec<_>>(),
        "checkpoints": listed,
        "next": next,
        "end": listed.len() < limit,
    })))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl From<IntegrityError> for ServiceError {
    fn from(error: IntegrityError) -> Self {
        match error {
            IntegrityError::Read(error) => error.into(),
            error => Self::Internal(error.to_string()),
        }
    }
}
