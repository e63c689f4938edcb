//! Which index answers a query. Pure.

use std::collections::BTreeSet;

use super::EventQuery;
use super::range::Range;
use super::statement::{Remaining, Statement, look, look_correlated};

/// How the events of a query are come by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Index<'q> {
    /// The versions of one stream, by its unique index.
    Stream([&'q str; 3]),
    /// Everything with one correlation id.
    Correlation,
    /// Some types of one tenant, each by the same index.
    Types(&'q str),
    /// Everything of one tenant.
    Tenant(&'q str),
    /// Everything, by the primary key.
    Positions,
}

/// An index, and what it does not make sure of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan<'q> {
    pub(super) index: Index<'q>,
    pub(super) remaining: Remaining<'q>,
    /// For [`Index::Types`].
    types: Vec<&'q str>,
    /// For [`Index::Correlation`].
    correlation_id: String,
}

impl<'q> Plan<'q> {
    /// Chooses the index that has the fewest events to look at.
    pub(super) fn choose(query: &'q EventQuery) -> Self {
        let types: BTreeSet<&str> = query.event_types.iter().map(String::as_str).collect();
        let types: Vec<&str> = types.into_iter().collect();
        let mut remaining = Remaining {
            tenant: query.tenant.as_deref(),
            stream_type: query.stream_type.as_deref(),
            stream_id: query.stream_id.as_deref(),
            event_types: types.clone(),
            correlation_id: query.correlation_id,
        };
        let parts = (
            query.tenant.as_deref(),
            query.stream_type.as_deref(),
            query.stream_id.as_deref(),
        );
        let index = match parts {
            (Some(tenant), Some(stream_type), Some(stream_id)) => {
                remaining.tenant = None;
                remaining.stream_type = None;
                remaining.stream_id = None;
                Index::Stream([tenant, stream_type, stream_id])
            }
            _ if query.correlation_id.is_some() => {
                remaining.correlation_id = None;
                Index::Correlation
            }
            (Some(tenant), ..) => {
                remaining.tenant = None;
                if types.is_empty() {
                    Index::Tenant(tenant)
                } else {
                    remaining.event_types = Vec::new();
                    Index::Types(tenant)
                }
            }
            _ => Index::Positions,
        };
        let correlation_id = query.correlation_id.unwrap_or_default();
        Self {
            index,
            remaining,
            types,
            correlation_id: correlation_id.hyphenated().to_string(),
        }
    }

    /// The statements that together give key and position of the first `limit` entries of the index
    /// within a range of its keys, each in order. None where the keys need no looking up.
    pub(super) fn looks(&self, range: Range, limit: u64) -> Vec<Statement> {
        match self.index {
            Index::Stream([tenant, stream_type, stream_id]) => {
                let equal = [
                    ("tenant", tenant),
                    ("stream_type", stream_type),
                    ("stream_id", stream_id),
                ];
                vec![look(&equal, "stream_version", range, limit)]
            }
            Index::Correlation => vec![look_correlated(&self.correlation_id, range, limit)],
            Index::Types(tenant) => {
                // One statement each: over several types at once the index is not in order.
                let of_type = |event_type: &&str| {
                    let equal = [("tenant", tenant), ("event_type", *event_type)];
                    look(&equal, "position", range, limit)
                };
                self.types.iter().map(of_type).collect()
            }
            Index::Tenant(tenant) => {
                vec![look(&[("tenant", tenant)], "position", range, limit)]
            }
            Index::Positions => Vec::new(),
        }
    }
}
