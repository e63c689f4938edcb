//! What a condition may call, and the two functions of our own that [`super::prepare`] puts in.

use std::any::Any;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock};

use cel::common::types::{CelBool, CelString, DYN_TYPE, STRING_TYPE, Type};
use cel::common::value::{CowVal, StaticVal, Val};
use cel::{Env, ExecutionError};
use regex::Regex;

/// Puts a loop's elements on the bill before the loop runs; `@` cannot be written in a condition.
pub(super) const CHARGE: &str = "@charge";
/// Matches a text with a compiled regular expression.
pub(super) const MATCH: &str = "@match";
/// The variable that holds the [`Budget`].
pub(super) const BUDGET: &str = "@budget";

/// Functions by name, with the numbers of arguments they take, the target included.
pub(super) const FUNCTIONS: &[(&str, Style, &[usize])] = &[
    ("size", Style::Either, &[1]),
    ("contains", Style::Member, &[2]),
    ("startsWith", Style::Member, &[2]),
    ("endsWith", Style::Member, &[2]),
    ("matches", Style::Either, &[2]),
    ("int", Style::Global, &[1]),
    ("uint", Style::Global, &[1]),
    ("double", Style::Global, &[1]),
    ("string", Style::Global, &[1]),
    ("bool", Style::Global, &[1]),
    ("timestamp", Style::Global, &[1]),
    ("duration", Style::Global, &[1]),
    ("getFullYear", Style::Member, &[1, 2]),
    ("getMonth", Style::Member, &[1, 2]),
    ("getDayOfYear", Style::Member, &[1, 2]),
    ("getDayOfMonth", Style::Member, &[1, 2]),
    ("getDate", Style::Member, &[1, 2]),
    ("getDayOfWeek", Style::Member, &[1, 2]),
    ("getHours", Style::Member, &[1, 2]),
    ("getMinutes", Style::Member, &[1, 2]),
    ("getSeconds", Style::Member, &[1, 2]),
    ("getMilliseconds", Style::Member, &[1, 2]),
];

/// The macros of CEL, which the parser replaces; one that is left was called wrongly.
pub(super) const MACROS: &[(&str, &str)] = &[
    ("has", "has(request.amount)"),
    ("all", "request.items.all(item, item.price < 100)"),
    ("exists", "request.items.exists(item, item.price < 100)"),
    (
        "exists_one",
        "request.items.exists_one(item, item.price < 100)",
    ),
    (
        "existsOne",
        "request.items.exists_one(item, item.price < 100)",
    ),
    ("map", "request.items.map(item, item.price)"),
    ("filter", "request.items.filter(item, item.price < 100)"),
];

/// How a function is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// `f(x)`
    Global,
    /// `x.f()`
    Member,
    /// Both.
    Either,
}

/// The environment conditions are read and evaluated in.
pub(super) fn environment() -> &'static Arc<Env> {
    static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| {
        let mut env = Env::stdlib().with_optional_support(false);
        // The names are ours alone and declared once, which is all that could be refused.
        let declared = env
            .add_overload(CHARGE, "charge", vec![BUDGET_TYPE, DYN_TYPE], charge)
            .and_then(|()| {
                env.add_overload(MATCH, "match", vec![PATTERN_TYPE, STRING_TYPE], matches)
            });
        debug_assert!(declared.is_ok());
        Arc::new(env)
    });
    &ENVIRONMENT
}

/// An environment that leaves macros as the calls they are written as.
pub(super) fn without_macros() -> &'static Env {
    static ENVIRONMENT: LazyLock<Env> =
        LazyLock::new(|| Env::default().with_optional_support(false));
    &ENVIRONMENT
}

const BUDGET_TYPE: Type = Type::new_unspecified_type("signet.Budget");
const PATTERN_TYPE: Type = Type::new_unspecified_type("signet.Pattern");
static BUDGET_TYPE_REF: Type = BUDGET_TYPE;
static PATTERN_TYPE_REF: Type = PATTERN_TYPE;

/// How many elements the loops of one evaluation may still visit.
#[derive(Debug, Clone)]
pub(super) struct Budget(Arc<AtomicI64>);

impl Budget {
    pub(super) fn new(steps: usize) -> Self {
        Self(Arc::new(AtomicI64::new(
            i64::try_from(steps).unwrap_or(i64::MAX),
        )))
    }

    /// Whether more was asked for than there was. An expression may swallow the error that says so
    /// (`exists` does), hence the question afterwards.
    pub(super) fn is_overdrawn(&self) -> bool {
        self.0.load(Ordering::Relaxed) < 0
    }

    fn spend(&self, steps: i64) -> bool {
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                Some(left.saturating_sub(steps).max(-1))
            })
            .is_ok_and(|left| left >= steps)
    }
}

impl Val for Budget {
    fn get_type(&self) -> &Type {
        &BUDGET_TYPE_REF
    }

    fn cel_type() -> &'static Type {
        &BUDGET_TYPE_REF
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl StaticVal for Budget {}

/// A regular expression as a value.
#[derive(Debug, Clone)]
pub(super) struct Pattern(pub(super) Arc<Regex>);

impl Val for Pattern {
    fn get_type(&self) -> &Type {
        &PATTERN_TYPE_REF
    }

    fn cel_type() -> &'static Type {
        &PATTERN_TYPE_REF
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl StaticVal for Pattern {}

fn charge<'b, 'v>(mut arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let Some(collection) = arguments.pop() else {
        return Err(ExecutionError::missing_argument_or_target());
    };
    let steps = collection
        .as_sizer()
        .map_or(0, |sizer| sizer.size().into_inner())
        .saturating_add(1);
    let within = arguments
        .first()
        .and_then(|budget| budget.downcast_ref::<Budget>())
        .is_some_and(|budget| budget.spend(steps));
    if within {
        Ok(collection)
    } else {
        Err(ExecutionError::function_error(
            CHARGE,
            "the loops visit too many elements",
        ))
    }
}

fn matches<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let pattern = arguments
        .first()
        .and_then(|pattern| pattern.downcast_ref::<Pattern>());
    let text = arguments
        .get(1)
        .and_then(|text| text.downcast_ref::<CelString<'_>>());
    match (pattern, text) {
        (Some(pattern), Some(text)) => Ok(CowVal::owned(CelBool::from(
            pattern.0.is_match(text.inner()),
        ))),
        _ => Err(ExecutionError::missing_argument_or_target()),
    }
}
