//! Conditions: CEL expressions over `subject`, `resource`, `action`, `request` and `environment`.
//!
//! A text becomes a [`Condition`] in steps, each of which may refuse it: [`shape`] bounds its length
//! and nesting before the parser sees it, the parser reads it, [`references`] lets only what is known
//! through, [`prepare`] puts the bounds on loops and the compiled regular expressions in. What comes
//! out is evaluated by [`Evaluation`] against one request.
//!
//! CEL's language definition: <https://github.com/google/cel-spec/blob/master/doc/langdef.md>.

mod evaluation;
#[cfg(test)]
mod hostile;
mod library;
mod prepare;
mod references;
mod shape;
#[cfg(test)]
mod tests;
mod values;

use std::sync::Arc;
use std::thread;

use cel::{Env, IdedExpr};
use regex::Regex;

pub(crate) use evaluation::{Evaluation, Failure};

/// The names a condition may refer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Root {
    Subject,
    Resource,
    Action,
    Request,
    Environment,
}

impl Root {
    /// All of them, in the order they are documented.
    pub(crate) const ALL: [Self; 5] = [
        Self::Subject,
        Self::Resource,
        Self::Action,
        Self::Request,
        Self::Environment,
    ];

    /// Its name in an expression.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Subject => "subject",
            Self::Resource => "resource",
            Self::Action => "action",
            Self::Request => "request",
            Self::Environment => "environment",
        }
    }
}

/// A condition, ready to be evaluated as often as needed, from any thread.
#[derive(Debug)]
pub(crate) struct Condition {
    source: Box<str>,
    expression: IdedExpr,
    roots: Vec<Root>,
    patterns: Vec<Arc<Regex>>,
    loops: bool,
}

impl Condition {
    /// Reads a condition; the error is a sentence that says how to mend it.
    pub(crate) fn parse(source: &str) -> Result<Self, String> {
        shape::check(source)?;
        let mut expression = parse(source)?;
        let findings = references::check(&expression)?;
        let patterns = prepare::prepare(&mut expression)?;
        Ok(Self {
            source: source.into(),
            expression,
            roots: findings.roots,
            patterns,
            loops: findings.loops,
        })
    }

    /// Its text.
    pub(crate) fn source(&self) -> &str {
        &self.source
    }
}

/// Stack for the parser, which takes some hundred kilobytes a bracket when it is not optimised: more
/// than the threads of a server have to spare. Only what is touched is ever backed by memory.
const PARSER_STACK_BYTES: usize = 16 * 1024 * 1024;

/// Parses on a thread of its own, for its stack, and since a panic of the parser ends only it.
///
/// Parses twice: without macros to see whether the text is CEL at all, since expanding a macro of a
/// text that is not may panic in the parser; then with them.
fn parse(source: &str) -> Result<IdedExpr, String> {
    let attempt = |env: &Env| {
        env.parser()
            .parse(source)
            .map_err(|errors| syntax_error(&errors))
    };
    thread::scope(|scope| {
        let parser = thread::Builder::new()
            .name("condition-parser".to_owned())
            .stack_size(PARSER_STACK_BYTES)
            .spawn_scoped(scope, || {
                attempt(library::without_macros())?;
                attempt(library::environment())
            })
            .map_err(|error| format!("cannot be read now, for want of a thread: {error}"))?;
        parser
            .join()
            .unwrap_or_else(|_| Err("cannot be read as CEL; write it more simply".to_owned()))
    })
}

fn syntax_error(errors: &cel::ParseErrors) -> String {
    match errors.errors.first() {
        Some(error) => {
            let message: String = error.msg.chars().take(160).collect();
            format!(
                "is not CEL: line {}, column {}: {message}",
                error.pos.0.max(1),
                error.pos.1.max(1)
            )
        }
        None => "is not CEL".to_owned(),
    }
}
