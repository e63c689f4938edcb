//! Times as positions. `recorded_at` never decreases along the positions, whatever the clocks do, so
//! a time is found by bisection over the primary key, without an index of its own.

use time::OffsetDateTime;

use super::bisection::Bisection;
use super::statement::Statement;
use crate::backend::LANE;
use crate::database::{Sql, arguments};
use crate::error::ReadError;
use crate::reader::Source;

/// The last position above `after` and up to `up_to` whose event was recorded before `at`; `after` if
/// there is none.
pub(super) async fn last_before(
    at: OffsetDateTime,
    after: u64,
    up_to: u64,
    source: &mut Source<'_>,
) -> Result<u64, ReadError> {
    let at = microseconds_up(at);
    let mut bisection = Bisection::new(after, up_to);
    loop {
        let probes = bisection.probes();
        if probes.is_empty() {
            return Ok(bisection.border());
        }
        let Statement { sql, arguments } = times(&probes);
        for row in source.fetch(sql, arguments).await? {
            let probe = row.int(0).map_err(crate::backend::read_error)?;
            let recorded_at = row.optional_int(1).map_err(crate::backend::read_error)?;
            let is_before = recorded_at.is_some_and(|recorded_at| recorded_at < at);
            bisection.narrow(probe.unsigned_abs(), is_before);
        }
    }
}

/// For each probe the time of the event there, or of the next one where events were archived.
pub(super) fn times(probes: &[u64]) -> Statement {
    let text = |time: &str, probes: &str| {
        format!(
            "SELECT probe.value, (SELECT {time} FROM events \
               WHERE lane = $2 AND position >= probe.value ORDER BY position LIMIT 1) \
             FROM {probes}"
        )
    };
    let probes: Vec<i64> = probes.iter().copied().map(crate::backend::to_i64).collect();
    Statement {
        sql: Sql::each(
            text(
                "(extract(epoch FROM recorded_at) * 1000000)::bigint",
                "unnest($1::bigint[]) AS probe (value)",
            ),
            text("recorded_at", "json_each($1) AS probe"),
        ),
        arguments: arguments![probes, i64::from(LANE)],
    }
}

/// Microseconds since 1970, rounded up: an event is before a time exactly if it is before that.
fn microseconds_up(at: OffsetDateTime) -> i64 {
    let nanoseconds = at.unix_timestamp_nanos();
    let microseconds = nanoseconds.div_euclid(1000) + i128::from(nanoseconds.rem_euclid(1000) > 0);
    i64::try_from(microseconds).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::microseconds_up;

    #[test]
    fn parts_of_a_microsecond_are_rounded_up_before_1970_too() {
        let at = |nanoseconds| OffsetDateTime::from_unix_timestamp_nanos(nanoseconds).unwrap();
        assert_eq!(microseconds_up(at(1_000)), 1);
        assert_eq!(microseconds_up(at(1_001)), 2);
        assert_eq!(microseconds_up(at(-1_001)), -1);
        assert_eq!(microseconds_up(at(-1_000)), -1);
    }
}
