//! Queries: events by tenant, stream, type, time and correlation id, in pages.
//!
//! A query is answered by what one index has in the order of positions ([`plan`]), looked through in
//! windows until the page is full or enough was looked at ([`run`]). Time bounds become position
//! bounds first ([`time`]), for the times never decrease along the positions.

mod bisection;
#[cfg(test)]
mod explained;
#[cfg(test)]
mod model;
mod plan;
mod range;
mod run;
mod statement;
mod time;
mod versions;

use ::time::OffsetDateTime;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::ReadError;
use crate::event::{Position, RecordedEvent, StreamKey};

pub(crate) use run::run;

/// Which way a query goes along the positions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Oldest first.
    #[default]
    Forward,
    /// Newest first.
    Backward,
}

/// Which events are asked for; what is not given does not matter, what is given must all hold.
///
/// ```
/// # async fn show(store: &dyn eventstore::EventStore) -> Result<(), eventstore::ReadError> {
/// use eventstore::{Direction, EventQuery};
///
/// let mut query = EventQuery {
///     tenant: Some("acme".into()),
///     event_types: vec!["OrderPlaced".into(), "OrderPaid".into()],
///     direction: Direction::Backward,
///     ..EventQuery::default()
/// };
/// loop {
///     let page = store.query(&query).await?;
///     // … page.events: newest first, perhaps none …
///     match page.next {
///         Some(next) if !page.end => query = query.continued(next),
///         _ => break,
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EventQuery {
    /// Whose events.
    pub tenant: Option<String>,
    /// Kind of aggregate.
    pub stream_type: Option<String>,
    /// Which aggregate. With tenant and kind it names one stream, which is the fastest query.
    pub stream_id: Option<String>,
    /// Any of these types, at most [`MAX_EVENT_TYPES`](Self::MAX_EVENT_TYPES); of all types if empty.
    pub event_types: Vec<String>,
    /// Recorded at this time or later.
    #[serde(with = "::time::serde::rfc3339::option")]
    pub recorded_from: Option<OffsetDateTime>,
    /// Recorded before this time.
    #[serde(with = "::time::serde::rfc3339::option")]
    pub recorded_until: Option<OffsetDateTime>,
    /// Caused by this request from outside.
    pub correlation_id: Option<Uuid>,
    /// Behind this position. Forward it is the cursor, and may not lie beyond the end of the store.
    pub after: Option<Position>,
    /// At this position or before it. Backward it is the cursor, and may not lie beyond the end.
    pub at_most: Option<Position>,
    /// Greatest number of events on the page: 1 to [`MAX_LIMIT`](Self::MAX_LIMIT).
    pub limit: usize,
    /// Which way to go.
    pub direction: Direction,
}

impl Default for EventQuery {
    fn default() -> Self {
        Self {
            tenant: None,
            stream_type: None,
            stream_id: None,
            event_types: Vec::new(),
            recorded_from: None,
            recorded_until: None,
            correlation_id: None,
            after: None,
            at_most: None,
            limit: Self::DEFAULT_LIMIT,
            direction: Direction::Forward,
        }
    }
}

impl EventQuery {
    /// Length of a page unless told otherwise.
    pub const DEFAULT_LIMIT: usize = 100;
    /// Greatest length of a page.
    pub const MAX_LIMIT: usize = 1000;
    /// How many types may be asked for at once.
    pub const MAX_EVENT_TYPES: usize = 20;

    /// The events of one stream.
    pub fn of_stream(stream: &StreamKey) -> Self {
        Self {
            tenant: Some(stream.tenant.clone()),
            stream_type: Some(stream.stream_type.clone()),
            stream_id: Some(stream.stream_id.clone()),
            ..Self::default()
        }
    }

    /// The events of one tenant.
    pub fn of_tenant(tenant: impl Into<String>) -> Self {
        Self {
            tenant: Some(tenant.into()),
            ..Self::default()
        }
    }

    /// The same query from where a page of it ended ([`EventPage::next`]).
    #[must_use]
    pub fn continued(mut self, next: Position) -> Self {
        match self.direction {
            Direction::Forward => self.after = Some(next),
            Direction::Backward => self.at_most = Some(next),
        }
        self
    }

    /// The position that the caller claims to have come from.
    pub(crate) fn cursor(&self) -> Option<Position> {
        match self.direction {
            Direction::Forward => self.after,
            Direction::Backward => self.at_most,
        }
    }

    /// Refuses what can never be answered.
    pub(crate) fn check(&self) -> Result<(), ReadError> {
        let invalid = |field, message: String| Err(ReadError::Invalid { field, message });
        if self.limit == 0 || self.limit > Self::MAX_LIMIT {
            let message = format!("must be 1 to {}, not {}", Self::MAX_LIMIT, self.limit);
            return invalid("limit", message);
        }
        if self.event_types.len() > Self::MAX_EVENT_TYPES {
            let message = format!("must be at most {}", Self::MAX_EVENT_TYPES);
            return invalid("event_types", message);
        }
        let texts = [
            ("tenant", &self.tenant),
            ("stream_type", &self.stream_type),
            ("stream_id", &self.stream_id),
        ];
        let texts = texts
            .into_iter()
            .filter_map(|(field, text)| Some((field, text.as_ref()?)))
            .chain(self.event_types.iter().map(|text| ("event_types", text)));
        for (field, text) in texts {
            if text.is_empty() {
                return invalid(field, "is empty; leave it out to ask for all".into());
            }
            if text.contains('\0') {
                return invalid(field, "contains a NUL character, which no event has".into());
            }
        }
        if let (Some(from), Some(until)) = (self.recorded_from, self.recorded_until)
            && from > until
        {
            return invalid("recorded_until", "lies before recorded_from".into());
        }
        if let (Some(after), Some(at_most)) = (self.after, self.at_most)
            && after > at_most
        {
            return invalid("at_most", "lies before after".into());
        }
        Ok(())
    }
}

/// Part of the answer to a query.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EventPage {
    /// Events in the direction asked for. There may be fewer than the limit, even none, and more to
    /// come: one call looks at a bounded number of events, and ends a page at 8 MiB of JSON.
    pub events: Vec<RecordedEvent>,
    /// Where to go on, see [`EventQuery::continued`]; none when no event will ever follow. At the
    /// end of a forward query it is where to look again later.
    pub next: Option<Position>,
    /// Whether nothing follows for now.
    pub end: bool,
}

#[cfg(test)]
mod tests;
