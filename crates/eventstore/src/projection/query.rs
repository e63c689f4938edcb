//! Asking for documents. Every answer is of one generation, and tells what position it is as of.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use tokio::time::Instant;

use super::control::Projections;
use super::cursor::Cursor;
use super::field::{self, Field, Filter};
use super::select::{self, Found, Select};
use super::wait::{Active, Span};
use super::{ProjectionError, register};
use crate::event::Position;

/// Greatest number of documents in one answer, and of filters in one question.
const MAX_LIMIT: u32 = 1000;
const MAX_FILTERS: usize = 16;

/// A document.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Document {
    /// Whose it is.
    pub tenant: String,
    /// Its name.
    pub key: String,
    /// Position of the last event that was applied to it.
    pub position: Position,
    /// Its content.
    pub data: Value,
}

/// What a projection answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Answer<T> {
    /// Everything up to here is in the answer. Of a projection that is divided by key, and of a question
    /// about all tenants, parts of the answer may be of a later position.
    pub as_of: Position,
    /// Which build of the documents it comes from: another one after a swap.
    pub generation: u64,
    /// Version of the projection that they were built with.
    pub version: u32,
    /// The answer.
    pub value: T,
}

/// A page of documents.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DocumentPage {
    /// In the order asked for.
    pub documents: Vec<Document>,
    /// To be given for the next page; none behind the last one.
    pub next: Option<String>,
}

/// A position that an answer must not be older than.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AtLeast {
    /// E.g. [`Appended::last`](crate::Appended::last), to read one's own write.
    pub position: Position,
    /// How long to wait for it.
    pub timeout: Duration,
}

/// Whose documents a question is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tenants {
    /// Those of one tenant.
    One(String),
    /// Those of all: for administrators.
    All,
}

/// Order of the documents of an answer; those that are equal are ordered by tenant and key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Sort {
    /// By tenant and key.
    #[default]
    Key,
    /// By a part of the document: first those without it or with null, then false, true, numbers,
    /// strings (by their bytes), arrays and objects.
    Field(Field),
}

/// A question for documents.
#[derive(Debug, Clone)]
pub struct DocumentQuery {
    /// Name of the projection.
    pub projection: String,
    /// Whose documents.
    pub tenants: Tenants,
    /// Only those whose key begins with this.
    pub key_prefix: Option<String>,
    /// Only those for which all of these hold; at most 16.
    pub filters: Vec<Filter>,
    /// Order.
    pub sort: Sort,
    /// The other way round.
    pub descending: bool,
    /// Number of documents, 1 to 1000.
    pub limit: u32,
    /// [`DocumentPage::next`] of the page before.
    pub cursor: Option<String>,
    /// How old the answer may be; none: as it is.
    pub at_least: Option<AtLeast>,
}

impl DocumentQuery {
    /// The first 100 documents by key.
    pub fn new(projection: impl Into<String>, tenants: Tenants) -> Self {
        Self {
            projection: projection.into(),
            tenants,
            key_prefix: None,
            filters: Vec::new(),
            sort: Sort::Key,
            descending: false,
            limit: 100,
            cursor: None,
            at_least: None,
        }
    }

    fn order(&self) -> String {
        let direction = if self.descending {
            "descending"
        } else {
            "ascending"
        };
        match &self.sort {
            Sort::Key => direction.to_owned(),
            Sort::Field(field) => format!("{field} {direction}"),
        }
    }

    fn check(&self) -> Result<Option<Cursor>, ProjectionError> {
        register::check_name(&self.projection)?;
        if let Tenants::One(tenant) = &self.tenants {
            check_text("tenant", tenant)?;
        }
        check_text("key_prefix", self.key_prefix.as_deref().unwrap_or_default())?;
        if !(1..=MAX_LIMIT).contains(&self.limit) {
            let message = format!("ask for 1 to {MAX_LIMIT} documents at once");
            return Err(ProjectionError::invalid("limit", message));
        }
        if self.filters.len() > MAX_FILTERS {
            let message = format!("give at most {MAX_FILTERS}");
            return Err(ProjectionError::invalid("filters", message));
        }
        self.filters.iter().try_for_each(Filter::check)?;
        let order = self.order();
        let decode = |text: &String| Cursor::decode(text, &order);
        self.cursor.as_ref().map(decode).transpose()
    }

    fn span(&self, active: &Active) -> Span {
        match &self.tenants {
            Tenants::One(tenant) => active.span_of_tenant(tenant),
            Tenants::All => active.span(),
        }
    }

    fn select(&self, cursor: Option<Cursor>) -> Select<'_> {
        Select {
            tenant: match &self.tenants {
                Tenants::One(tenant) => Some(tenant),
                Tenants::All => None,
            },
            key_prefix: self.key_prefix.as_deref(),
            filters: &self.filters,
            sort: &self.sort,
            descending: self.descending,
            limit: self.limit,
            cursor,
        }
    }

    fn cursor_behind(&self, last: &Document) -> Result<String, ProjectionError> {
        let rank = match &self.sort {
            Sort::Key => None,
            Sort::Field(field) => Some(field::rank(field.of(&last.data))),
        };
        let cursor = Cursor {
            order: self.order(),
            rank,
            tenant: last.tenant.clone(),
            key: last.key.clone(),
        };
        cursor.encode()
    }
}

impl Projections {
    /// One document; none if there is none.
    ///
    /// # Errors
    /// See [`ProjectionError`].
    pub async fn get(
        &self,
        projection: &str,
        tenant: &str,
        key: &str,
        at_least: Option<AtLeast>,
    ) -> Result<Answer<Option<Document>>, ProjectionError> {
        register::check_name(projection)?;
        check_text("tenant", tenant)?;
        check_text("key", key)?;
        let span = |active: &Active| active.span_of(tenant, key);
        let question = |active: &Active| select::one(active, span(active), projection, tenant, key);
        let (active, mut found) = self.ask(projection, span, at_least, question).await?;
        Ok(answer(&active, found.position, found.documents.pop()))
    }

    /// Documents, page by page.
    ///
    /// The pages belong to no snapshot: a document that changes its place in between may be missed or
    /// come twice, as one is that is ordered by something that changed; all others come once.
    ///
    /// # Errors
    /// See [`ProjectionError`].
    pub async fn list(
        &self,
        query: &DocumentQuery,
    ) -> Result<Answer<DocumentPage>, ProjectionError> {
        let select = query.select(query.check()?);
        let span = |active: &Active| query.span(active);
        let sqlite = self.store.database().is_sqlite();
        let question =
            |active: &Active| select.page(active, span(active), &query.projection, sqlite);
        let (active, found) = self
            .ask(&query.projection, span, query.at_least, question)
            .await?;
        let mut documents = found.documents;
        // One more than asked for was read, to see whether there is more.
        let is_last = documents.len() <= query.limit as usize;
        documents.truncate(query.limit as usize);
        let next = match documents.last() {
            Some(last) if !is_last => Some(query.cursor_behind(last)?),
            _ => None,
        };
        Ok(answer(
            &active,
            found.position,
            DocumentPage { documents, next },
        ))
    }

    /// Number of the documents that a question is about; its order, limit and cursor do not count.
    ///
    /// # Errors
    /// See [`ProjectionError`].
    pub async fn count(&self, query: &DocumentQuery) -> Result<Answer<u64>, ProjectionError> {
        query.check()?;
        let select = query.select(None);
        let span = |active: &Active| query.span(active);
        let sqlite = self.store.database().is_sqlite();
        let question =
            |active: &Active| select.count(active, span(active), &query.projection, sqlite);
        let (active, found) = self
            .ask(&query.projection, span, query.at_least, question)
            .await?;
        Ok(answer(&active, found.position, found.count))
    }

    /// Asks the active generation, again if it was swapped meanwhile or is not as far as it has to be.
    async fn ask(
        &self,
        projection: &str,
        span: impl Fn(&Active) -> Span,
        at_least: Option<AtLeast>,
        question: impl Fn(&Active) -> select::Question,
    ) -> Result<(Active, Found), ProjectionError> {
        let wanted = at_least.map_or(Position::START, |at_least| at_least.position);
        let until = at_least.map(|at_least| Instant::now() + at_least.timeout);
        let mut seen = self.seen(projection);
        loop {
            let active = match seen.take() {
                Some(active) => active,
                None => self.active(projection).await?,
            };
            let found = select::ask(self.store.database(), question(&active)).await?;
            match (found, until) {
                (Some(found), _) if found.position >= wanted => return Ok((active, found)),
                (Some(_), Some(until)) => {
                    self.wait_in(projection, &span, wanted, until).await?;
                }
                // It is another one by now.
                _ => {}
            }
        }
    }
}

fn answer<T>(active: &Active, as_of: Position, value: T) -> Answer<T> {
    Answer {
        as_of,
        generation: active.generation.unsigned_abs(),
        version: active.version,
        value,
    }
}

fn check_text(field: &'static str, text: &str) -> Result<(), ProjectionError> {
    match text.contains('\0') {
        true => Err(ProjectionError::invalid(field, "it must have no NUL")),
        false => Ok(()),
    }
}
