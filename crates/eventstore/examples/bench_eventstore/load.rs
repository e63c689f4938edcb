//! Filling a store's tables past the store, as fast as the database can: what is measured there does
//! not look at hashes, and these are none.

use std::time::Instant;

use sqlx::{AssertSqlSafe, Connection, Executor};

use crate::report::{Outcome, say};
use crate::server::Database;

/// Events of each stream. They lie far apart, as those of a long-lived stream do.
pub(crate) const STREAM_EVENTS: u64 = 20;

/// Events of one statement.
const PIECE: u64 = 250_000;

/// Adds events `from + 1` to `to`, which make up streams `BLOCK-0`, `BLOCK-1` and so on, where `BLOCK`
/// is `from`.
pub(crate) async fn fill(database: &Database, from: u64, to: u64) -> Outcome<()> {
    let started = Instant::now();
    let mut connection = database.connection().await?;
    // What is being loaded need not survive anything.
    connection.execute("SET synchronous_commit = off").await?;
    let streams = streams(from, to);
    let mut first = from + 1;
    while first <= to {
        let last = to.min(first + PIECE - 1);
        let insert = format!(
            "INSERT INTO events (lane, position, event_id, tenant, stream_type, stream_id, \
               stream_version, event_type, schema_version, recorded_at, data, metadata, \
               tenant_sequence, hash) \
             SELECT 0, n, (lpad(to_hex(1700000000000 + n), 12, '0') || '7' \
                 || substr(md5(n::text), 1, 19))::uuid, \
               'tenant-' || lpad((stream % 16)::text, 2, '0'), 'order', '{from}-' || stream, \
               (n - {from} - 1) / {streams} + 1, 'OrderPlaced', 1, \
               to_timestamp(1700000000 + n / 1000.0), \
               ('{{\"order\":' || n || ',\"customer\":\"customer-' || n % 1000 || '\",\
                 \"address\":{{\"city\":\"Springfield\",\"street\":\"Evergreen Terrace 742\",\
                 \"zip\":\"58008\"}},\"lines\":[{{\"article\":\"A-1047\",\"count\":2,\
                 \"price\":12.5}},{{\"article\":\"B-2210\",\"count\":1,\"price\":99.0}}],\
                 \"total\":124.0,\"paid\":true}}')::json, \
               ('{{\"correlation_id\":\"' || (lpad(to_hex(1700000000000 + n), 12, '0') || '7' \
                 || substr(md5(n::text), 2, 19))::uuid \
                 || '\",\"actor\":\"spiffe://example.org/ns/shop/sa/user-' || n % 100 \
                 || '\",\"trace_id\":\"' || md5(n::text) || '\"}}')::json, \
               n, sha256(n::text::bytea) \
             FROM (SELECT n, (n - {from} - 1) % {streams} AS stream \
               FROM generate_series({first}::bigint, {last}) AS n) AS new"
        );
        connection.execute(AssertSqlSafe(insert)).await?;
        say(&format!("{last} events are loaded"));
        first = last + 1;
    }
    let head = format!("UPDATE event_lanes SET head = {to}, recorded_at = now() WHERE lane = 0");
    connection.execute(AssertSqlSafe(head)).await?;
    // Otherwise the next readers pay for the loading: they would mark every row as committed.
    connection.execute("VACUUM events").await?;
    connection.execute("CHECKPOINT").await?;
    connection.close().await?;
    let rate = (to - from) as f64 / started.elapsed().as_secs_f64();
    say(&format!("loaded and settled, {rate:.0} events/s"));
    Ok(())
}

/// Number of streams of a block.
pub(crate) fn streams(from: u64, to: u64) -> u64 {
    (to - from).div_ceil(STREAM_EVENTS).max(1)
}
