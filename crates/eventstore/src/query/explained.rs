//! Every statement goes by the index it is made for: on a table that is empty and was never analysed,
//! and on one with many rows; whether or not the planner knows the arguments.

use std::str::FromStr;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row as _};
use uuid::Uuid;

use super::plan::Plan;
use super::range::Range;
use super::statement::{Statement, fetch_listed, fetch_range};
use super::{Direction, EventQuery, time, versions};
use crate::database::Argument;
use crate::options::Options;

/// Every kind of statement that queries send, with the index it has to use.
fn statements() -> Vec<(&'static str, Statement)> {
    let text = |text: &str| Some(text.to_owned());
    let stream = EventQuery {
        tenant: text("t1"),
        stream_type: text("order"),
        stream_id: text("s1"),
        ..EventQuery::default()
    };
    let correlation = EventQuery {
        correlation_id: Some(Uuid::from_u128(1)),
        tenant: text("t1"),
        ..EventQuery::default()
    };
    let types = EventQuery {
        event_types: vec!["A".into()],
        stream_type: text("order"),
        ..EventQuery::of_tenant("t1")
    };
    let tenant = EventQuery {
        stream_type: text("order"),
        ..EventQuery::of_tenant("t1")
    };
    let all = EventQuery {
        tenant: None,
        correlation_id: None,
        event_types: vec!["A".into(), "B".into()],
        ..stream.clone()
    };
    let mut statements = Vec::new();
    for direction in [Direction::Forward, Direction::Backward] {
        let range = Range {
            after: 10,
            up_to: 15_000,
            direction,
        };
        let indexes = [
            ("events_stream", &stream),
            ("events_correlation", &correlation),
            ("events_type", &types),
            ("events_tenant", &tenant),
            ("none", &all),
        ];
        for (index, query) in indexes {
            let plan = Plan::choose(query);
            let looks = plan.looks(range, 100);
            statements.extend(looks.into_iter().map(|look| (index, look)));
            let listed = fetch_listed(&plan.remaining, vec![3, 700, 9000], direction, 100);
            let ranged = fetch_range(&plan.remaining, range, 100);
            statements.extend([("events_position", listed), ("events_position", ranged)]);
        }
    }
    let key = ["t1", "order", "s1"];
    statements.push(("events_position", time::times(&[5, 500, 10_000])));
    statements.push(("events_stream", versions::last(key)));
    statements.push(("events_stream", versions::positions(key, &[1, 2])));
    statements
}

/// Events of some tenants and streams; with 1 for `kinds`, all of one.
fn fill(count: usize, kinds: usize) -> String {
    format!(
        "TRUNCATE events; INSERT INTO events (lane, position, event_id, tenant, stream_type, \
           stream_id, stream_version, event_type, schema_version, recorded_at, data, metadata, \
           tenant_sequence, hash) \
         SELECT 0, n, gen_random_uuid(), 't' || n % {kinds}, 'order', 's' || n % {kinds}, n, \
           chr(65 + n % {kinds}), 1, to_timestamp(n), '{{}}', json_build_object( \
             'correlation_id', lpad(to_hex(n % ({kinds} * {kinds})), 32, '0')::uuid), n, '' \
         FROM generate_series(1, {count}) AS n"
    )
}

#[tokio::test]
async fn every_statement_goes_by_its_index_on_postgres() {
    let Ok(url) = std::env::var("SIGNET_TEST_POSTGRES_URL") else {
        return;
    };
    let admin = PgConnectOptions::from_str(&url).unwrap();
    let mut server = admin.connect().await.unwrap();
    let name = format!("signet_explain_{}", Uuid::new_v4().simple());
    run(&mut server, &format!("CREATE DATABASE {name}")).await;
    let own = admin.clone().database(&name);

    let wrong = tokio::spawn(async move {
        let url = own.to_url_lossy().to_string();
        let store = crate::open(&url, Options::default()).await.unwrap();
        store.close().await;
        let mut connection = own.connect().await.unwrap();
        run(&mut connection, crate::postgres::READING_SESSION).await;
        let mut wrong = bad_plans(&mut connection, "empty").await;
        run(&mut connection, &fill(20_000, 20)).await;
        wrong.extend(bad_plans(&mut connection, "filled, never analysed").await);
        for (count, kinds) in [(20_000, 20), (20_000, 1), (20, 5)] {
            run(&mut connection, &fill(count, kinds)).await;
            run(&mut connection, "ANALYZE events").await;
            let table = format!("{count} events of {kinds} kinds, analysed");
            wrong.extend(bad_plans(&mut connection, &table).await);
        }
        connection.close().await.unwrap();
        wrong
    })
    .await;

    run(&mut server, &format!("DROP DATABASE {name} WITH (FORCE)")).await;
    let wrong = wrong.unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// The plans that do not go by the index expected, or sort more than they were told to fetch.
async fn bad_plans(connection: &mut PgConnection, table: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for mode in ["force_generic_plan", "force_custom_plan"] {
        run(connection, &format!("SET plan_cache_mode = {mode}")).await;
        for (index, Statement { sql, arguments }) in statements() {
            let values: Vec<String> = arguments.iter().map(literal).collect();
            let kinds: Vec<&str> = arguments.iter().map(kind).collect();
            let (sql, kinds) = (sql.postgres(), kinds.join(", "));
            run(connection, &format!("PREPARE explained ({kinds}) AS {sql}")).await;
            let explain = format!("EXPLAIN EXECUTE explained ({})", values.join(", "));
            let rows = sqlx::raw_sql(AssertSqlSafe(explain))
                .fetch_all(&mut *connection)
                .await
                .unwrap();
            let lines: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
            run(connection, "DEALLOCATE explained").await;
            let plan = lines.join("\n");
            let scans = lines.iter().filter(|line| line.contains(" on events"));
            let mut by_index = lines
                .iter()
                .filter(|line| line.contains("Scan") && line.contains("events"));
            let all_by_index =
                by_index.all(|line| line.contains(&format!("using {index} on events")));
            // What a look gives is in order already, without reading all there is.
            let sorts = plan.contains("Sort") && !sql.contains("looked_at");
            if scans.count() == 0 || !all_by_index || sorts || plan.contains("Seq Scan") {
                wrong.push(format!("{table}, {mode}, {index} expected:\n{sql}\n{plan}"));
            }
        }
    }
    wrong
}

fn literal(argument: &Argument) -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let list = |items: Vec<String>| format!("'{{{}}}'", items.join(","));
    match argument {
        Argument::Integer(Some(value)) => value.to_string(),
        Argument::Text(Some(value)) => quoted(value),
        Argument::Texts(values) => list(values.clone()),
        Argument::Integers(values) => list(values.iter().map(ToString::to_string).collect()),
        Argument::Uuid(value) => quoted(&value.to_string()),
        Argument::Integer(None) | Argument::Text(None) | Argument::Bytes(_) => "NULL".into(),
    }
}

fn kind(argument: &Argument) -> &'static str {
    match argument {
        Argument::Integer(_) => "bigint",
        Argument::Text(_) => "text",
        Argument::Bytes(_) => "bytea",
        Argument::Texts(_) => "text[]",
        Argument::Integers(_) => "bigint[]",
        Argument::Uuid(_) => "uuid",
    }
}

async fn run(connection: &mut PgConnection, sql: &str) {
    let sql = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
    sql.execute(connection).await.unwrap();
}

#[tokio::test]
async fn every_statement_goes_by_its_index_on_sqlite() {
    let store = crate::open("sqlite::memory:", Options::default())
        .await
        .unwrap();
    // SQLite names the index of a constraint by the table and a number, in their order there.
    let indexes = [
        ("events_position", "sqlite_autoindex_events_2"),
        ("events_stream", "sqlite_autoindex_events_3"),
    ];
    let mut wrong = Vec::new();
    for (index, Statement { sql, arguments }) in statements() {
        let known = indexes.iter().find(|(name, _)| *name == index);
        let index = known.map_or(index, |(_, name)| name);
        let explain = format!("EXPLAIN QUERY PLAN {}", sql.sqlite());
        let rows = store.database().fetch(explain, arguments).await.unwrap();
        let lines: Vec<String> = rows.iter().map(|row| row.text(3).unwrap()).collect();
        let plan = lines.join("\n");
        let by_index = lines
            .iter()
            .filter(|line| line.contains("events"))
            .all(|line| {
                line.contains(&format!("SEARCH events USING INDEX {index} "))
                    || line.contains(&format!("SEARCH events USING COVERING INDEX {index} "))
            });
        let sorts = plan.contains("TEMP B-TREE") && !sql.sqlite().contains("looked_at");
        if !plan.contains("SEARCH events") || !by_index || sorts {
            wrong.push(format!("{index} expected:\n{}\n{plan}", sql.sqlite()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
