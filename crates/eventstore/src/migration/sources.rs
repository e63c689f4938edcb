//! Finding the streams of a selection. Each step is a look-up in an index.

use crate::database::{Database, arguments};
use crate::error::ReadError;
use crate::event::{RecordedEvent, StreamKey};
use crate::reader::{columns, recorded};

use super::Selection;
use super::marker::StreamMigrated;
use crate::backend::read_error;
use crate::store::EventStore;

/// Events looked at at once behind a closing one. As a rule there are none but further closing ones.
const LATE: usize = 64;

/// Goes through the streams of a selection, by tenant and id.
pub(super) struct Sources<'s> {
    database: &'s Database,
    selection: &'s Selection,
    /// Whose streams are gone through; none before the first.
    tenant: Option<String>,
    /// Last stream given.
    stream_id: Option<String>,
    /// How many of the ids of the selection were given, of the present tenant.
    ids: usize,
    ended: bool,
}

impl<'s> Sources<'s> {
    pub(super) fn new(database: &'s Database, selection: &'s Selection) -> Self {
        Self {
            database,
            selection,
            tenant: None,
            stream_id: None,
            ids: 0,
            ended: false,
        }
    }

    /// The next stream. One that the selection names is given whether it has events or not.
    pub(super) async fn next(&mut self) -> Result<Option<StreamKey>, ReadError> {
        if self.tenant.is_none() {
            self.next_tenant().await?;
        }
        while !self.ended {
            let Some(tenant) = self.tenant.clone() else {
                break;
            };
            let stream_id = match &self.selection.stream_ids {
                Some(ids) => ids.get(self.ids).cloned(),
                None => self.stream_after(&tenant).await?,
            };
            let Some(stream_id) = stream_id else {
                self.next_tenant().await?;
                continue;
            };
            self.ids += 1;
            self.stream_id = Some(stream_id.clone());
            let stream_type = self.selection.stream_type.clone();
            return Ok(Some(StreamKey::new(tenant, stream_type, stream_id)));
        }
        Ok(None)
    }

    async fn next_tenant(&mut self) -> Result<(), ReadError> {
        (self.stream_id, self.ids) = (None, 0);
        let next = match (&self.selection.tenant, &self.tenant) {
            (Some(only), None) => Some(only.clone()),
            (Some(_), Some(_)) => None,
            (None, after) => {
                const NEXT: &str =
                    "SELECT tenant FROM events WHERE tenant > $1 ORDER BY tenant, position LIMIT 1";
                let after = after.as_deref().unwrap_or_default();
                let rows = self.database.fetch(NEXT, arguments![after]).await;
                let rows = rows.map_err(read_error)?;
                let next = rows.first().map(|row| row.text(0)).transpose();
                next.map_err(read_error)?
            }
        };
        self.ended = next.is_none();
        self.tenant = next;
        Ok(())
    }

    async fn stream_after(&self, tenant: &str) -> Result<Option<String>, ReadError> {
        const NEXT: &str = "SELECT stream_id FROM events \
            WHERE tenant = $1 AND stream_type = $2 AND stream_id > $3 \
            ORDER BY stream_id, stream_version LIMIT 1";
        let after = self.stream_id.as_deref().unwrap_or_default();
        let arguments = arguments![tenant, self.selection.stream_type.as_str(), after];
        let rows = self.database.fetch(NEXT, arguments).await;
        let rows = rows.map_err(read_error)?;
        let next = rows.first().map(|row| row.text(0)).transpose();
        next.map_err(read_error)
    }
}

/// The last event of a stream, if it has one.
pub(super) async fn last_event(
    database: &Database,
    stream: &StreamKey,
) -> Result<Option<RecordedEvent>, ReadError> {
    const LAST: &str = concat!(
        "SELECT ",
        columns!(),
        " FROM events WHERE tenant = $1 AND stream_type = $2 AND stream_id = $3 \
          ORDER BY stream_version DESC LIMIT 1"
    );
    let arguments = arguments![
        stream.tenant.as_str(),
        stream.stream_type.as_str(),
        stream.stream_id.as_str(),
    ];
    let rows = database.fetch(LAST, arguments).await;
    let rows = rows.map_err(read_error)?;
    rows.first().map(recorded).transpose()
}

/// Whether a stream has events above a version that close nothing. A catch-up that broke off between two
/// of its pieces leaves such events before the last event, which is its own.
pub(super) async fn has_events_after(
    store: &dyn EventStore,
    stream: &StreamKey,
    version: u64,
) -> Result<bool, ReadError> {
    let mut after = version;
    loop {
        let page = store.stream_page(stream, after, LATE).await?;
        for event in &page.events {
            if StreamMigrated::of(event).is_none() {
                return Ok(true);
            }
            after = event.stream_version;
        }
        if page.end {
            return Ok(false);
        }
    }
}
