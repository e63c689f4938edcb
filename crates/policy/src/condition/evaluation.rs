//! Evaluates conditions against one request.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use cel::common::types::CelBool;
use cel::{Context, ExecutionError, Value};

use super::library::{self, BUDGET, Budget, Pattern};
use super::prepare::pattern_variable;
use super::values::{self, Allowance};
use super::{Condition, Root};
use crate::limits::MAX_LOOP_STEPS;
use crate::request::Request;

/// Why a condition is neither true nor false. Holds no value of the request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    /// A member that the condition asks for is not there.
    #[error("`{0}` is missing")]
    Missing(String),
    /// An operator or a function was given what it cannot take.
    #[error("`{function}` cannot be applied to ({types})")]
    WrongTypes {
        /// Its name, as written.
        function: String,
        /// The types it was given.
        types: String,
    },
    /// The expression has another result.
    #[error("the result is not true or false but of type {0}")]
    NotBoolean(String),
    /// The loops visit more than [`MAX_LOOP_STEPS`] elements.
    #[error("its loops visit more than {MAX_LOOP_STEPS} elements")]
    TooManySteps,
    /// The request carries more than conditions may be handed.
    #[error("the request carries more than a condition may be handed")]
    TooLarge,
    /// A number beyond its range, a division by zero, a text that is no number or time, and so on.
    #[error("{0}")]
    Other(&'static str),
}

/// One request as conditions see it. What a condition refers to is converted when the first one
/// needs it, and kept for the others.
pub(crate) struct Evaluation<'r> {
    request: Request<'r>,
    context: Option<Context<'r, 'r>>,
    bound: Vec<Root>,
    allowance: Allowance,
}

impl<'r> Evaluation<'r> {
    /// Does no work yet.
    pub(crate) fn new(request: Request<'r>) -> Self {
        Self {
            request,
            context: None,
            bound: Vec::new(),
            allowance: Allowance::default(),
        }
    }

    /// Whether the condition holds.
    pub(crate) fn holds(&mut self, condition: &Condition) -> Result<bool, Failure> {
        let context = self
            .context
            .get_or_insert_with(|| Context::with_env(Arc::clone(library::environment())));
        for root in &condition.roots {
            if self.bound.contains(root) {
                continue;
            }
            let allowance = &mut self.allowance;
            let value = match root {
                Root::Subject => values::subject(self.request.subject, allowance)?,
                Root::Resource => values::text(self.request.resource, allowance)?,
                Root::Action => values::text(self.request.action, allowance)?,
                Root::Request => values::object(self.request.request, allowance)?,
                Root::Environment => values::object(self.request.environment, allowance)?,
            };
            context.add_variable_as_val(root.name(), value);
            self.bound.push(*root);
        }
        for (index, pattern) in condition.patterns.iter().enumerate() {
            context.add_variable_as_val(
                pattern_variable(index),
                Box::new(Pattern(Arc::clone(pattern))),
            );
        }
        let budget = Budget::new(MAX_LOOP_STEPS);
        if condition.loops {
            context.add_variable_as_val(BUDGET, Box::new(budget.clone()));
        }
        let context = &*context;
        let outcome = catch_unwind(AssertUnwindSafe(|| evaluate(condition, context)))
            .unwrap_or(Err(Failure::Other("it cannot be evaluated")));
        if budget.is_overdrawn() {
            return Err(Failure::TooManySteps);
        }
        outcome
    }
}

fn evaluate(condition: &Condition, context: &Context<'_, '_>) -> Result<bool, Failure> {
    match Value::resolve_val(&condition.expression, context) {
        Ok(value) => match value.downcast_ref::<CelBool>() {
            Some(boolean) => Ok(*boolean.inner()),
            None => Err(Failure::NotBoolean(value.get_type().name().to_owned())),
        },
        Err(error) => Err(failure(&error, &condition.source)),
    }
}

/// The failure without the values that the evaluator's own message would show.
fn failure(error: &ExecutionError, source: &str) -> Failure {
    match error {
        // A key may be computed from the request; only one that the condition itself names is shown.
        ExecutionError::NoSuchKey(key) if source.contains(key.as_str()) => {
            Failure::Missing(key.to_string())
        }
        ExecutionError::NoSuchKey(_) => Failure::Other("a member it asks for is missing"),
        ExecutionError::NoSuchOverload(overload) => Failure::WrongTypes {
            function: overload
                .function()
                .trim_start_matches('@')
                .replace('_', " ")
                .trim()
                .to_owned(),
            types: overload.argument_types().join(", "),
        },
        ExecutionError::UnexpectedType { .. } | ExecutionError::UnsupportedBinaryOperator(..) => {
            Failure::Other("a value has a type the expression cannot use")
        }
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => {
            Failure::Other("it divides by zero")
        }
        ExecutionError::Overflow(..) => Failure::Other("a number leaves its range"),
        ExecutionError::IndexOutOfBounds(_) => Failure::Other("a list is shorter than it expects"),
        ExecutionError::FunctionError { function, .. } => Failure::Other(match function.as_str() {
            "timestamp" => "a text is not a time as RFC 3339 writes it",
            "duration" => "a text is not a duration",
            "timezone" => "a text is not a time zone",
            _ => "a function cannot take the value it is given",
        }),
        _ => Failure::Other("a value has a type the expression cannot use"),
    }
}
