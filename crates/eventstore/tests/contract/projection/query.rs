//! Asking for documents: filters, order, pages, on both databases alike.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;

use eventstore::projection::{Compare, DocumentQuery, Field, Filter, Sort, Tenants};
use eventstore::{
    NewEvent, Options, Projection, ProjectionError, Projections, RecordedEvent, StreamKey,
    StreamWrite,
};
use serde_json::{Value, json};

use crate::database::{Database, contract};
use crate::projection::samples::append;

contract!(
    filters_find_what_a_scan_in_memory_finds,
    pages_are_in_order_and_have_everything_once,
    a_tenant_sees_its_own_documents,
    text_that_looks_like_sql_is_only_text,
    questions_that_make_no_sense_are_refused,
);

/// Every event is a document: its data, by the id of its stream.
struct Copy;

impl Projection for Copy {
    fn name(&self) -> &str {
        "copy"
    }

    fn version(&self) -> u32 {
        1
    }

    fn selects(&self, _: &RecordedEvent) -> bool {
        true
    }

    fn keys(&self, event: &RecordedEvent) -> Vec<String> {
        vec![event.stream.stream_id.clone()]
    }

    fn apply(
        &self,
        _: Option<Value>,
        _: &str,
        event: &RecordedEvent,
    ) -> Result<Option<Value>, String> {
        Ok(Some(event.data.clone()))
    }
}

const INJECTION: &str = "x' OR '1'='1'; DROP TABLE projections; --";

/// What a document may have in its part `a`.
fn values() -> Vec<Value> {
    vec![
        json!(null),
        json!(true),
        json!(false),
        json!(0),
        json!(-3),
        json!(7),
        json!(7.5),
        json!(1e300),
        json!(9_007_199_254_740_993_i64),
        json!(""),
        json!("7"),
        json!("a"),
        json!("B"),
        json!("ä"),
        json!("日本"),
        json!("%"),
        json!(INJECTION),
        json!([1]),
        json!({ "b": 1 }),
    ]
}

async fn filled(database: &Database, tenants: &[&str]) -> (Projections, Vec<(String, Value)>) {
    let store = database
        .open_with(Options {
            inline_projections: vec![Arc::new(Copy)],
            ..Options::default()
        })
        .await;
    let mut documents: Vec<(String, Value)> = Vec::new();
    for (n, value) in values().into_iter().enumerate() {
        let odd = if n % 2 == 1 { "odd" } else { "even" };
        documents.push((
            format!("{odd}-{n:02}"),
            json!({ "a": value, "in": { "n-1": n } }),
        ));
    }
    documents.push(("none".into(), json!({ "other": 1 })));
    documents.push((INJECTION.into(), json!([1, 2])));
    documents.push(("text".into(), json!("a")));
    for tenant in tenants {
        let writes = documents.iter().map(|(key, data)| StreamWrite {
            stream: StreamKey::new(*tenant, "copied", key),
            expected: eventstore::ExpectedVersion::Any,
            events: vec![NewEvent::new("Copied", 1, data.clone())],
        });
        append(&store, writes.collect()).await;
    }
    (crate::projection::samples::projections(&store), documents)
}

fn field(text: &str) -> Field {
    text.parse().unwrap()
}

fn of_acme() -> DocumentQuery {
    DocumentQuery::new("copy", Tenants::One("acme".into()))
}

async fn keys(projections: &Projections, query: &DocumentQuery) -> Vec<String> {
    let answer = projections.list(query).await.unwrap();
    let documents = answer.value.documents.into_iter();
    documents.map(|document| document.key).collect()
}

/// How two scalars of one kind compare; none if they are not.
fn compared(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => match (left.as_i64(), right.as_i64()) {
            (Some(left), Some(right)) => Some(left.cmp(&right)),
            _ => left.as_f64()?.partial_cmp(&right.as_f64()?),
        },
        (Value::String(left), Value::String(right)) => Some(left.as_bytes().cmp(right.as_bytes())),
        (Value::Bool(left), Value::Bool(right)) => Some(left.cmp(right)),
        (Value::Null, Value::Null) => Some(Ordering::Equal),
        _ => None,
    }
}

async fn filters_find_what_a_scan_in_memory_finds(database: Arc<Database>) {
    let (projections, documents) = filled(&database, &["acme", "globex"]).await;
    let holds = |compare: Compare, ordering: Ordering| match compare {
        Compare::Less => ordering.is_lt(),
        Compare::LessOrEqual => ordering.is_le(),
        Compare::Equal => ordering.is_eq(),
        Compare::GreaterOrEqual => ordering.is_ge(),
        Compare::Greater => ordering.is_gt(),
    };
    let all = [
        Compare::Less,
        Compare::LessOrEqual,
        Compare::Equal,
        Compare::GreaterOrEqual,
        Compare::Greater,
    ];
    for value in values() {
        for compare in all {
            let is_scalar = matches!(value, Value::Number(_) | Value::String(_));
            let is_equality = compare == Compare::Equal && !value.is_array() && !value.is_object();
            if !is_scalar && !is_equality {
                continue;
            }
            let mut query = of_acme();
            query.filters = vec![Filter {
                field: field("/a"),
                compare,
                value: value.clone(),
            }];
            let found: BTreeSet<_> = keys(&projections, &query).await.into_iter().collect();
            let wanted = documents.iter().filter(|(_, data)| {
                let part = data.get("a").unwrap_or(&Value::Null);
                compared(part, &value).is_some_and(|ordering| holds(compare, ordering))
            });
            let wanted: BTreeSet<_> = wanted.map(|(key, _)| key.clone()).collect();
            assert_eq!(found, wanted, "{compare:?} {value}");
            let count = projections.count(&query).await.unwrap().value;
            assert_eq!(count, wanted.len() as u64);
        }
    }
    let mut query = of_acme();
    query.key_prefix = Some("odd-".into());
    query.filters = vec![
        Filter {
            field: field("/in/n-1"),
            compare: Compare::Greater,
            value: json!(4),
        },
        Filter {
            field: field("/in/n-1"),
            compare: Compare::LessOrEqual,
            value: json!(9),
        },
    ];
    assert_eq!(
        keys(&projections, &query).await,
        ["odd-05", "odd-07", "odd-09"]
    );
}

async fn pages_are_in_order_and_have_everything_once(database: Arc<Database>) {
    let (projections, documents) = filled(&database, &["acme", "globex"]).await;
    let sorts = [
        Sort::Key,
        Sort::Field(field("/a")),
        Sort::Field(field("/in/n-1")),
    ];
    for tenants in [Tenants::One("acme".into()), Tenants::All] {
        for sort in &sorts {
            let mut orders: Vec<Vec<(String, String)>> = Vec::new();
            for (descending, limit) in [(false, 1000), (false, 3), (true, 1000), (true, 4)] {
                let mut query = DocumentQuery::new("copy", tenants.clone());
                (query.sort, query.descending, query.limit) = (sort.clone(), descending, limit);
                let mut found = Vec::new();
                loop {
                    let page = projections.list(&query).await.unwrap().value;
                    assert!(page.documents.len() <= limit as usize);
                    let names = page.documents.into_iter();
                    found.extend(names.map(|document| (document.tenant, document.key)));
                    query.cursor = page.next;
                    if query.cursor.is_none() {
                        break;
                    }
                }
                if descending {
                    found.reverse();
                }
                orders.push(found);
            }
            assert!(
                orders.iter().all(|order| *order == orders[0]),
                "{sort:?}: {orders:?}"
            );
            let distinct: BTreeSet<_> = orders[0].iter().collect();
            let copies = if tenants == Tenants::All { 2 } else { 1 };
            assert_eq!(distinct.len(), documents.len() * copies);
            assert_eq!(orders[0].len(), distinct.len());
        }
    }
    // Kinds of values come in the order that is promised, and each kind in its own.
    let mut query = of_acme();
    query.sort = Sort::Field(field("/a"));
    query.key_prefix = Some("odd".into());
    let answer = projections.list(&query).await.unwrap();
    let found = answer
        .value
        .documents
        .into_iter()
        .map(|document| document.data["a"].clone());
    let wanted = [
        json!(true),
        json!(0),
        json!(7),
        json!(1e300),
        json!(""),
        json!("%"),
        json!("a"),
        json!("ä"),
        json!([1]),
    ];
    assert_eq!(found.collect::<Vec<_>>(), wanted);
}

async fn a_tenant_sees_its_own_documents(database: Arc<Database>) {
    let (projections, documents) = filled(&database, &["acme", "globex"]).await;
    let page = projections.list(&of_acme()).await.unwrap().value;
    assert_eq!(page.documents.len(), documents.len());
    assert!(
        page.documents
            .iter()
            .all(|document| document.tenant == "acme")
    );
    let nobody = DocumentQuery::new("copy", Tenants::One(String::new()));
    assert_eq!(projections.count(&nobody).await.unwrap().value, 0);
    // A cursor brings nobody across.
    let mut all = DocumentQuery::new("copy", Tenants::All);
    all.limit = 30;
    let cursor = projections.list(&all).await.unwrap().value.next;
    let mut query = of_acme();
    query.cursor = cursor;
    let page = projections.list(&query).await.unwrap().value;
    assert!(
        page.documents
            .iter()
            .all(|document| document.tenant == "acme")
    );
}

async fn text_that_looks_like_sql_is_only_text(database: Arc<Database>) {
    let (projections, _) = filled(&database, &["acme"]).await;
    let get = projections
        .get("copy", "acme", INJECTION, None)
        .await
        .unwrap();
    assert_eq!(get.value.unwrap().data, json!([1, 2]));
    assert_eq!(
        projections
            .get("copy", INJECTION, INJECTION, None)
            .await
            .unwrap()
            .value,
        None
    );
    let unknown = projections
        .get(INJECTION, "acme", "k", None)
        .await
        .unwrap_err();
    assert!(matches!(unknown, ProjectionError::Unknown { .. }));

    let mut query = of_acme();
    query.filters = vec![Filter::equals(field("/a"), INJECTION)];
    assert_eq!(keys(&projections, &query).await, ["even-16"]);
    let mut query = of_acme();
    query.key_prefix = Some("x' OR".into());
    assert_eq!(keys(&projections, &query).await, [INJECTION]);
    query.tenants = Tenants::One("acme' OR 'a'='a".into());
    assert!(keys(&projections, &query).await.is_empty());
    for path in [
        "/a') OR 1=1 --",
        "/a\"",
        "/a.b",
        "$.a",
        "/a'",
        "/a}",
        "/a,b",
        "/a/0",
    ] {
        let refused = path.parse::<Field>().unwrap_err();
        assert_eq!(refused.code(), "SIGNET-EVENTS-0073", "{path}");
    }
    let mut outside = database.connect().await;
    assert_eq!(outside.number("SELECT count(*) FROM projections").await, 1);
}

async fn questions_that_make_no_sense_are_refused(database: Arc<Database>) {
    let (projections, _) = filled(&database, &["acme"]).await;
    let mut questions = Vec::new();
    let mut ask = |change: &dyn Fn(&mut DocumentQuery)| {
        let mut query = of_acme();
        change(&mut query);
        questions.push(query);
    };
    ask(&|query| query.limit = 0);
    ask(&|query| query.limit = 1001);
    ask(&|query| query.projection = String::new());
    ask(&|query| query.projection = "a\0".into());
    ask(&|query| query.tenants = Tenants::One("a\0".into()));
    ask(&|query| query.key_prefix = Some("\0".into()));
    ask(&|query| query.cursor = Some("7b7d".into()));
    ask(&|query| query.cursor = Some("not one".into()));
    ask(&|query| query.filters = vec![Filter::equals(field("/a"), "\0")]);
    ask(&|query| query.filters = vec![Filter::equals(field("/a"), json!([1]))]);
    ask(&|query| query.filters = vec![Filter::equals(field("/a"), 1); 17]);
    ask(&|query| {
        query.filters = vec![Filter {
            field: field("/a"),
            compare: Compare::Less,
            value: json!(true),
        }];
    });
    for query in questions {
        let refused = projections.list(&query).await.unwrap_err();
        assert_eq!(refused.code(), "SIGNET-EVENTS-0073", "{query:?}");
    }
    let mut by_key = of_acme();
    by_key.limit = 2;
    let next = projections.list(&by_key).await.unwrap().value.next;
    let mut by_field = of_acme();
    by_field.sort = Sort::Field(field("/a"));
    by_field.cursor = next;
    assert!(projections.list(&by_field).await.is_err());
}
