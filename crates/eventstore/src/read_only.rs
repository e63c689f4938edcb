//! A store that is only looked at: nothing is made, brought up to date, sealed or appended.

use std::sync::Arc;

use async_trait::async_trait;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::backend::{CommitFailure, Committed, Writer};
use crate::error::OpenError;
use crate::head::Head;
use crate::options::Options;
use crate::reader::Reader;
use crate::request::Request;
use crate::store::{EventStore, Store};
use crate::{identity, postgres, sqlite};

/// Opens the store at `url` as it is, for looking at and [verifying](crate::integrity) it: also one that was
/// damaged, and beside processes that write to it. The URL is as for [`open`](crate::open), but the store
/// has to be there already, and appends are refused.
///
/// Must be called inside a Tokio runtime, on which the store then keeps its tasks.
///
/// # Errors
/// [`OpenError`]: a URL that is not understood, a database that does not answer, or no store in it that this
/// release could read as it is.
pub async fn open_to_read(url: &str) -> Result<Arc<dyn EventStore>, OpenError> {
    let database = match url.split_once(':').map(|(scheme, _)| scheme) {
        Some("postgres" | "postgresql") => postgres::open_to_read(url).await?,
        Some("sqlite") => sqlite::open_to_read(url).await?,
        _ => {
            return Err(OpenError::UnsupportedUrl {
                message: "its scheme is unknown".into(),
            });
        }
    };
    let (id, sealed) = identity::read(&database).await.map_err(no_store)?;
    if !sealed {
        return Err(OpenError::NoStore {
            message: "its events have no hashes yet, which the first start of this release makes"
                .into(),
        });
    }
    let reader = Reader::new(database);
    let head = reader.head().await.map_err(|error| OpenError::NoStore {
        message: error.to_string(),
    })?;
    Ok(Arc::new(Store::start(
        id,
        Refusing,
        reader,
        Head::new(head),
        &Options::default(),
        TaskTracker::new(),
        CancellationToken::new(),
    )))
}

/// What the database says about a table that is not there is no outage.
fn no_store(error: sqlx::Error) -> OpenError {
    match error {
        sqlx::Error::Database(_) | sqlx::Error::RowNotFound => OpenError::NoStore {
            message: format!("{error}; name the database that has one"),
        },
        source => OpenError::Unavailable { source },
    }
}

/// Stores nothing.
struct Refusing;

#[async_trait]
impl Writer for Refusing {
    async fn commit(
        &mut self,
        _requests: &[Request],
        _now: OffsetDateTime,
    ) -> Result<Committed, CommitFailure> {
        Err(CommitFailure::Unavailable {
            message: "the store was opened for reading only".into(),
        })
    }

    async fn close(&mut self) {}
}
