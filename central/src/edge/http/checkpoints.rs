//! Signed checkpoints over the hash chains, to be kept elsewhere, with the keys to verify them.

use std::{fmt::Write as _, sync::Arc};

use axum::{Json, extract::State};
use eventstore::{
    EventStore, Position, ReadError,
    integrity::{Checkpoint, ED25519, IntegrityError, newest},
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
/// Damaged ones that are looked around for one page: each costs a few questions.
const MOST_DAMAGED: usize = 20;

/// Which ones.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    tenant: Option<String>,
    after: Option<u64>,
    limit: Option<usize>,
}

/// `GET …/checkpoints`: the newest first, each as the line that is kept elsewhere. `next` is what to
/// give as `after` to go on. Those that cannot be read hide no others: their positions are told.
pub(super) async fn list(
    State(application): State<Arc<Application>>,
    place: Place,
    Parameters(asked): Parameters<Asked>,
) -> Result<Json<Value>, ServiceError> {
    let tenant = tenant_of(&application, &place, asked.tenant).await?;
    let limit = page_length(asked.limit, MOST)?;
    let store = application.store.as_ref();
    let page = Page::read(store, tenant.as_deref(), asked.after.map(Position), limit).await?;
    let keys = application.checkpoint_keys.iter().map(
        |(id, key)| json!({ "key_id": id, "algorithm": ED25519, "public_key": hexadecimal(key) }),
    );
    Ok(Json(json!({
        "store": store.id(),
        "keys": keys.collect::<Vec<_>>(),
        "checkpoints": page.readable,
        "damaged": page.damaged,
        "next": page.next,
        "end": page.end,
    })))
}

/// Checkpoints in a row, the newest first.
#[derive(Debug, Default)]
struct Page {
    readable: Vec<Checkpoint>,
    /// Positions of those that cannot be read.
    damaged: Vec<Position>,
    /// Position of the last one of either.
    next: Option<Position>,
    /// Whether there are no more.
    end: bool,
}

impl Page {
    /// Up to `limit` of them below a position. The store refuses a row of them as a whole when one is
    /// damaged, so shorter rows are asked for until that one is alone.
    async fn read(
        store: &dyn EventStore,
        tenant: Option<&str>,
        below: Option<Position>,
        limit: usize,
    ) -> Result<Self, IntegrityError> {
        let mut page = Self {
            next: below,
            ..Self::default()
        };
        let mut asked = limit;
        while page.length() < limit && page.damaged.len() < MOST_DAMAGED {
            asked = asked.min(limit - page.length());
            match newest(store, tenant, page.next, asked).await {
                Ok(row) => {
                    page.end = row.len() < asked;
                    page.next = row.last().map(|last| last.position).or(page.next);
                    page.readable.extend(row);
                    if page.end {
                        break;
                    }
                }
                Err(IntegrityError::Read(ReadError::Corrupt { position, .. }))
                    if asked == 1 && page.next.is_none_or(|next| position < next) =>
                {
                    page.damaged.push(position);
                    page.next = Some(position);
                    asked = limit;
                }
                Err(IntegrityError::Read(ReadError::Corrupt { .. })) if asked > 1 => asked /= 2,
                Err(error) => return Err(error),
            }
        }
        if page.length() == 0 {
            page.next = None;
        }
        Ok(page)
    }

    fn length(&self) -> usize {
        self.readable.len() + self.damaged.len()
    }
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
