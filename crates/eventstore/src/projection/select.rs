//! The statements behind questions. Text is put together from parts that are written here; everything
//! that comes from a caller is an argument.

use crate::database::{Argument, Database, Sql, arguments};
use crate::event::Position;

use super::ProjectionError;
use super::cursor::Cursor;
use super::field::{self, Filter};
use super::query::{Document, Sort};
use super::text::{Text, successor};
use super::wait::{Active, Span};

/// A statement and its arguments. It gives rows of position, count, tenant, key, position of the
/// document and data; the first is null when the generation is not the active one any more.
pub(crate) type Question = (Sql<'static>, Vec<Argument>);

/// What a question found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) position: Position,
    pub(crate) count: u64,
    pub(crate) documents: Vec<Document>,
}

/// Asks; none: the generation is not the active one any more.
pub(crate) async fn ask(
    database: &Database,
    (sql, arguments): Question,
) -> Result<Option<Found>, ProjectionError> {
    let rows = database.fetch(sql, arguments).await?;
    let mut found: Option<Found> = None;
    for row in rows {
        let Some(position) = row.optional_int(0)? else {
            return Ok(None);
        };
        let found = found.get_or_insert(Found {
            position: Position(position.unsigned_abs()),
            count: row.optional_int(1)?.unwrap_or_default().unsigned_abs(),
            documents: Vec::new(),
        });
        let (Some(tenant), Some(key)) = (row.optional_text(2)?, row.optional_text(3)?) else {
            continue;
        };
        match serde_json::from_str(&row.text(5)?) {
            Ok(data) => found.documents.push(Document {
                tenant,
                key,
                position: Position(row.int(4)?.unsigned_abs()),
                data,
            }),
            Err(error) => {
                let message = error.to_string();
                return Err(ProjectionError::Corrupt {
                    tenant,
                    key,
                    message,
                });
            }
        }
    }
    Ok(found)
}

/// How far the partitions of the answer are, if the generation still is the active one: with the
/// documents in one statement, and so of one moment. Its arguments are the first four.
const PLACE: &str = "(SELECT min(c.position) AS position \
    FROM projections AS p JOIN projection_checkpoints AS c ON c.generation = p.active \
    WHERE p.projection = $1 AND p.active = $2 AND c.partition BETWEEN $3 AND $4) AS place";

/// How far the partitions of an answer are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) position: Position,
    /// The first event that one of them cannot get past.
    pub(crate) failed: Option<Position>,
}

/// How far partitions are; none: the generation is not the active one any more.
pub(crate) async fn place(
    database: &Database,
    active: &Active,
    span: Span,
    projection: &str,
) -> Result<Option<Place>, ProjectionError> {
    const SELECT: &str = "SELECT min(c.position), min(c.failed_position) \
        FROM projections AS p JOIN projection_checkpoints AS c ON c.generation = p.active \
        WHERE p.projection = $1 AND p.active = $2 AND c.partition BETWEEN $3 AND $4";
    let rows = database
        .fetch(SELECT, placed(active, span, projection))
        .await?;
    let row = rows.first().ok_or(sqlx::Error::RowNotFound)?;
    let position = |number: i64| Position(number.unsigned_abs());
    let failed = row.optional_int(1)?.map(position);
    let position = row.optional_int(0)?.map(position);
    Ok(position.map(|position| Place { position, failed }))
}

fn placed(active: &Active, (first, last): Span, projection: &str) -> Vec<Argument> {
    arguments![
        projection,
        active.generation,
        i64::from(first),
        i64::from(last)
    ]
}

/// One document.
pub(crate) fn one(
    active: &Active,
    span: Span,
    projection: &str,
    tenant: &str,
    key: &str,
) -> Question {
    let sql = format!(
        "SELECT place.position, 0, d.tenant, d.key, d.position, d.data FROM {PLACE} \
         LEFT JOIN projection_documents AS d \
           ON d.generation = $2 AND d.tenant = $5 AND d.key = $6"
    );
    let mut arguments = placed(active, span, projection);
    arguments.extend(arguments![tenant, key]);
    (typed(sql), arguments)
}

/// A question for some documents.
#[derive(Debug)]
pub(crate) struct Select<'q> {
    pub(crate) tenant: Option<&'q str>,
    pub(crate) key_prefix: Option<&'q str>,
    pub(crate) filters: &'q [Filter],
    pub(crate) sort: &'q Sort,
    pub(crate) descending: bool,
    pub(crate) limit: u32,
    pub(crate) cursor: Option<Cursor>,
}

impl Select<'_> {
    /// A page, and one document more.
    pub(crate) fn page(
        &self,
        active: &Active,
        span: Span,
        projection: &str,
        sqlite: bool,
    ) -> Question {
        let mut text = Text::new(placed(active, span, projection), sqlite);
        let conditions = self.conditions(&mut text);
        let direction = if self.descending { "DESC" } else { "ASC" };
        let (ranks, columns) = match self.sort {
            Sort::Key => (String::new(), ["tenant", "key"].as_slice()),
            Sort::Field(field) => {
                let path = text.argument(field.argument(sqlite));
                let [kind, number, string] = text.ranks(&path);
                let ranks = format!(", {kind} AS kind, {number} AS number, {string} AS string");
                (
                    ranks,
                    ["kind", "number", "string", "tenant", "key"].as_slice(),
                )
            }
        };
        let behind = self.behind(&mut text, columns);
        let order = |of: &str| {
            let columns = columns
                .iter()
                .map(|column| format!("{of}{column} {direction}"));
            columns.collect::<Vec<_>>().join(", ")
        };
        let limit = text.argument(Argument::from(u64::from(self.limit) + 1));
        let sql = format!(
            "SELECT place.position, 0, d.tenant, d.key, d.position, d.data FROM {PLACE} \
             LEFT JOIN (SELECT * FROM (SELECT tenant, key, position, data{ranks} \
                 FROM projection_documents WHERE generation = $2{conditions}) AS ranked \
               WHERE {behind} ORDER BY {} LIMIT {limit}) AS d ON true \
             ORDER BY {}",
            order(""),
            order("d."),
        );
        (typed(sql), text.arguments)
    }

    /// Number of the documents.
    pub(crate) fn count(
        &self,
        active: &Active,
        span: Span,
        projection: &str,
        sqlite: bool,
    ) -> Question {
        let mut text = Text::new(placed(active, span, projection), sqlite);
        let conditions = self.conditions(&mut text);
        let sql = format!(
            "SELECT place.position, (SELECT count(*) FROM projection_documents \
               WHERE generation = $2{conditions}), NULL, NULL, NULL, NULL FROM {PLACE}"
        );
        let sql = match sqlite {
            true => sql,
            false => sql.replacen("NULL, NULL", "NULL::text, NULL::text", 1),
        };
        (typed(sql), text.arguments)
    }

    /// What the documents have to fulfil, each condition behind an AND.
    fn conditions(&self, text: &mut Text) -> String {
        let mut conditions = String::new();
        if let Some(tenant) = self.tenant {
            let tenant = text.argument(tenant);
            conditions += &format!(" AND tenant = {tenant}");
        }
        if let Some(prefix) = self.key_prefix.filter(|prefix| !prefix.is_empty()) {
            let first = text.argument(prefix);
            conditions += &format!(" AND key >= {first}");
            if let Some(beyond) = successor(prefix) {
                let beyond = text.argument(beyond);
                conditions += &format!(" AND key < {beyond}");
            }
        }
        for filter in self.filters {
            let path = text.argument(filter.field.argument(text.sqlite));
            let [kind, number, string] = text.ranks(&path);
            let (of_kind, as_number, as_string) = field::rank(&filter.value);
            let compare = filter.compare.sql();
            conditions += &format!(" AND {kind} = {of_kind}");
            match of_kind {
                1 | 2 => {
                    let wanted = text.number(as_number);
                    conditions += &format!(" AND {number} {compare} {wanted}");
                }
                3 => {
                    let wanted = text.argument(as_string);
                    conditions += &format!(" AND {string} {compare} {wanted}");
                }
                _ => {}
            }
        }
        conditions
    }

    /// What lies behind the page before.
    fn behind(&self, text: &mut Text, columns: &[&str]) -> String {
        let Some(cursor) = &self.cursor else {
            return "true".to_owned();
        };
        let mut values = Vec::new();
        if let Some((kind, number, string)) = cursor.rank.clone() {
            values.push(text.argument(kind));
            values.push(text.number(number));
            values.push(text.argument(string));
        }
        values.push(text.argument(cursor.tenant.as_str()));
        values.push(text.argument(cursor.key.as_str()));
        let beyond = if self.descending { "<" } else { ">" };
        format!("({}) {beyond} ({})", columns.join(", "), values.join(", "))
    }
}

/// The constant column of statements that do not count is `bigint` on PostgreSQL, as [`ask`] reads it.
fn typed(sql: String) -> Sql<'static> {
    let postgres = sql.replacen("place.position, 0,", "place.position, 0::bigint,", 1);
    Sql::each(postgres, sql)
}
