//! Any single change of any column of any row is found, and named where it is.

use std::sync::Arc;

use eventstore::RecordedEvent;
use eventstore::integrity::Checkpoint;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use uuid::Uuid;

use super::{bytes_literal, everything, fill, microseconds, report, sign_all, time_literal};
use crate::database::{Database, Outside, contract};

contract!(any_single_change_is_named_where_it_is);

const MUTATIONS: usize = 150;
/// The last but two is one of SQLite's.
const COLUMNS: [&str; 17] = [
    "lane",
    "position",
    "event_id",
    "tenant",
    "stream_type",
    "stream_id",
    "stream_version",
    "event_type",
    "schema_version",
    "recorded_at",
    "data",
    "metadata",
    "tenant_sequence",
    "hash",
    "correlation_id",
    "(deleted)",
    "(swapped)",
];
const CHECKPOINT_COLUMNS: [&str; 9] = [
    "tenant",
    "tenant_sequence",
    "position",
    "hash",
    "store_id",
    "signed_at",
    "key_id",
    "algorithm",
    "signature",
];

/// What is changed: the row and the column by their numbers, and something to make the new value of.
#[derive(Debug, Clone)]
struct Mutation {
    row: usize,
    column: usize,
    of_checkpoint: bool,
    number: u8,
    text: String,
}

fn mutations() -> impl Strategy<Value = Mutation> {
    let parts = (
        any::<prop::sample::Index>(),
        0..COLUMNS.len(),
        prop::bool::weighted(0.2),
        any::<u8>(),
        // No name in use ends like this, so that it is a change, and one that the database takes.
        "[a-zA-Z0-9 é]{1,6}~",
    );
    parts.prop_map(|(row, column, of_checkpoint, number, text)| Mutation {
        row: row.index(1000),
        column,
        of_checkpoint,
        number,
        text,
    })
}

/// The bytes with one bit of them turned, or one byte more.
fn changed_bytes(bytes: &[u8], number: u8) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let at = usize::from(number / 8);
    match bytes.get_mut(at) {
        Some(byte) => *byte ^= 1 << (number % 8),
        None => bytes.push(number),
    }
    bytes
}

/// The text of a JSON object with something else in it, which may be nothing but a space.
fn changed_json(text: &str, mutation: &Mutation) -> String {
    let Mutation {
        number, text: new, ..
    } = mutation;
    match number % 3 {
        0 => format!("{text} "),
        1 => text.replacen('{', "{ ", 1),
        _ => format!("{{\"changed\":\"{new}\"}}"),
    }
}

/// The statement, and the position that the first fault has to have.
fn of_event(outside: &Outside, events: &[RecordedEvent], mutation: &Mutation) -> (String, u64) {
    let event = &events[mutation.row % events.len()];
    let position = event.position.0;
    let (number, text) = (u64::from(mutation.number), &mutation.text);
    let column = match (COLUMNS[mutation.column], outside) {
        ("correlation_id", Outside::Postgres(_)) => "metadata",
        (column, _) => column,
    };
    let stored = serde_json::to_string(&event.data).unwrap();
    let value = match column {
        "lane" => (1 + number).to_string(),
        "position" => (1000 + number).to_string(),
        "event_id" => format!("'{}'", Uuid::from_u128(u128::from(number))),
        "tenant" | "stream_type" | "stream_id" | "event_type" | "correlation_id" => {
            format!("'{text}'")
        }
        "stream_version" => (1000 + number).to_string(),
        "schema_version" => (2 + number).to_string(),
        "recorded_at" => {
            let later = microseconds(event.recorded_at) + 1 + i64::from(mutation.number);
            time_literal(outside, later)
        }
        "data" => format!("'{}'", changed_json(&stored, mutation)),
        "metadata" => format!("'{}'", changed_json("{}", mutation)),
        "tenant_sequence" => (1000 + number).to_string(),
        "hash" => bytes_literal(outside, &changed_bytes(&event.hash.0, mutation.number)),
        "(deleted)" => {
            let delete = format!("DELETE FROM events WHERE position = {position}");
            return (delete, position);
        }
        _ => {
            let other = &events[(mutation.row + 1 + usize::from(mutation.number)) % events.len()];
            let other = other.position.0;
            if other == position {
                let delete = format!("DELETE FROM events WHERE position = {position}");
                return (delete, position);
            }
            let swap = format!(
                "UPDATE events SET position = 5000 WHERE position = {position}; \
                 UPDATE events SET position = {position} WHERE position = {other}; \
                 UPDATE events SET position = {other} WHERE position = 5000"
            );
            return (swap, position.min(other));
        }
    };
    let set = format!("UPDATE events SET {column} = {value} WHERE position = {position}");
    (set, position)
}

/// The statement, and the positions that the first fault may have.
fn of_checkpoint(
    outside: &Outside,
    checkpoints: &[Checkpoint],
    mutation: &Mutation,
) -> (String, [u64; 2]) {
    let checkpoint = &checkpoints[mutation.row % checkpoints.len()];
    let position = checkpoint.position.0;
    let (number, text) = (u64::from(mutation.number), &mutation.text);
    let column = CHECKPOINT_COLUMNS[mutation.column % CHECKPOINT_COLUMNS.len()];
    let mut named = [position; 2];
    let value = match column {
        "tenant_sequence" => (1000 + number).to_string(),
        "position" => {
            named[1] = if number == position {
                position + 1
            } else {
                number.max(1)
            };
            if named[1] == position {
                named[1] = 1000;
            }
            named[1].to_string()
        }
        "hash" => bytes_literal(outside, &changed_bytes(&checkpoint.hash.0, mutation.number)),
        "signature" => bytes_literal(
            outside,
            &changed_bytes(&checkpoint.signature, mutation.number),
        ),
        "signed_at" => {
            (microseconds(checkpoint.signed_at) + 1 + i64::from(mutation.number)).to_string()
        }
        "store_id" => format!("'{}'", Uuid::from_u128(u128::from(number))),
        _ => format!("'{text}'"),
    };
    let set =
        format!("UPDATE event_checkpoints SET {column} = {value} WHERE position = {position}");
    (set, named)
}

async fn any_single_change_is_named_where_it_is(database: Arc<Database>) {
    let store = database.open().await;
    fill(&*store, 4).await;
    let mut checkpoints = sign_all(&store).await;
    let events = fill(&*store, 4).await;
    checkpoints.extend(sign_all(&store).await);
    let mut outside = database.connect().await;
    let save = "CREATE TABLE saved AS SELECT * FROM events; \
        CREATE TABLE saved_checkpoints AS SELECT * FROM event_checkpoints";
    outside.execute(save).await;
    // In the order of the table's columns, which is that of the copy.
    let restore = "DELETE FROM events; INSERT INTO events SELECT * FROM saved; \
        DELETE FROM event_checkpoints; \
        INSERT INTO event_checkpoints SELECT * FROM saved_checkpoints";
    let mut runner = TestRunner::default();
    for _ in 0..MUTATIONS {
        let mutation = mutations().new_tree(&mut runner).unwrap().current();
        let (sql, named) = if mutation.of_checkpoint {
            of_checkpoint(&outside, &checkpoints, &mutation)
        } else {
            let (sql, named) = of_event(&outside, &events, &mutation);
            (sql, [named; 2])
        };
        outside.execute(&sql).await;
        let found = report(&store, everything()).await;
        let first = found.first().map(|fault| fault.position.0);
        let right = first.is_some_and(|first| named.contains(&first));
        assert!(
            right,
            "{sql}: not named at {named:?} but {:?}",
            found.faults
        );
        outside.execute(restore).await;
    }
    let mended = report(&store, everything()).await;
    assert!(mended.is_sound(), "{:?}", mended.faults);
    outside.close().await;
}
