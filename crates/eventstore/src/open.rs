//! From a URL to a running store.

use std::sync::Arc;

use crate::error::OpenError;
use crate::options::Options;
use crate::store::EventStore;
use crate::{postgres, sqlite};

/// Opens the store at `url` and brings its tables up to date.
///
/// * `postgres://user:password@host/database` (or `postgresql://`): for production. The tables, named
///   `event…` and `projection…`, are made in the schema that is first on the `search_path`; the user
///   needs the right to do that, at the first start of a release that brings some.
/// * `sqlite://path` (or `sqlite:path`): one file, made if it does not exist; its folder must.
/// * `sqlite::memory:`: gone when the store is closed.
///
/// Must be called inside a Tokio runtime, on which the store then keeps its tasks.
///
/// # Errors
/// [`OpenError`]: a URL that is not understood, an option out of bounds, a database that does not
/// answer or refuses to have its tables made.
pub async fn open(url: &str, options: Options) -> Result<Arc<dyn EventStore>, OpenError> {
    options.check()?;
    let store = match url.split_once(':').map(|(scheme, _)| scheme) {
        Some("postgres" | "postgresql") => postgres::open(url, &options).await?,
        Some("sqlite") if options.read_replica_url.is_some() => {
            return Err(OpenError::InvalidOption {
                option: "read_replica_url",
                message: "SQLite has no replicas; leave it out, or use PostgreSQL".into(),
            });
        }
        Some("sqlite") => sqlite::open(url, &options).await?,
        _ => {
            return Err(OpenError::UnsupportedUrl {
                message: "its scheme is unknown".into(),
            });
        }
    };
    Ok(Arc::new(store))
}
