//! Positions as versions of one stream: its index knows versions, a cursor is a position.

use super::Direction;
use super::bisection::Bisection;
use super::range::Range;
use super::statement::{Statement, look};
use crate::backend::{read_error, to_i64};
use crate::database::{Sql, arguments};
use crate::error::ReadError;
use crate::reader::Source;

/// The versions of a stream that lie within a range of positions.
pub(super) async fn within(
    stream: [&str; 3],
    positions: Range,
    source: &mut Source<'_>,
) -> Result<Range, ReadError> {
    let mut versions = Range {
        after: 0,
        up_to: 0,
        ..positions
    };
    let Statement { sql, arguments } = last(stream);
    let Some(row) = source.fetch(sql, arguments).await?.into_iter().next() else {
        return Ok(versions);
    };
    let number = |column| row.int(column).map(i64::unsigned_abs).map_err(read_error);
    let (last_version, last_position) = (number(0)?, number(1)?);
    versions.up_to = if last_position <= positions.up_to {
        last_version
    } else {
        last_up_to(stream, positions.up_to, last_version, source).await?
    };
    if positions.after > 0 {
        versions.after = last_up_to(stream, positions.after, versions.up_to, source).await?;
    }
    Ok(versions)
}

/// The last version of a stream at `position` or before it, given that it has `versions`.
async fn last_up_to(
    stream: [&str; 3],
    position: u64,
    versions: u64,
    source: &mut Source<'_>,
) -> Result<u64, ReadError> {
    let mut bisection = Bisection::new(0, versions);
    loop {
        let probes = bisection.probes();
        if probes.is_empty() {
            return Ok(bisection.border());
        }
        let Statement { sql, arguments } = positions(stream, &probes);
        for row in source.fetch(sql, arguments).await? {
            let probe = row.int(0).map_err(read_error)?.unsigned_abs();
            let found = row.optional_int(1).map_err(read_error)?;
            let is_below = found.is_some_and(|found| found.unsigned_abs() <= position);
            bisection.narrow(probe, is_below);
        }
    }
}

/// Version and position of the last event of a stream.
pub(super) fn last([tenant, stream_type, stream_id]: [&str; 3]) -> Statement {
    let equal = [
        ("tenant", tenant),
        ("stream_type", stream_type),
        ("stream_id", stream_id),
    ];
    let all = Range {
        after: 0,
        up_to: u64::MAX,
        direction: Direction::Backward,
    };
    look(&equal, "stream_version", all, 1)
}

/// For each probe the position of that version, or of the next one where events were archived.
pub(super) fn positions([tenant, stream_type, stream_id]: [&str; 3], probes: &[u64]) -> Statement {
    let text = |probes: &str| {
        format!(
            "SELECT probe.value, (SELECT position FROM events \
               WHERE tenant = $2 AND stream_type = $3 AND stream_id = $4 \
                 AND stream_version >= probe.value ORDER BY stream_version LIMIT 1) \
             FROM {probes}"
        )
    };
    let probes: Vec<i64> = probes.iter().copied().map(to_i64).collect();
    Statement {
        sql: Sql::each(
            text("unnest($1::bigint[]) AS probe (value)"),
            text("json_each($1) AS probe"),
        ),
        arguments: arguments![probes, tenant, stream_type, stream_id],
    }
}
