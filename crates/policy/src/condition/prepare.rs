//! Rewrites an expression that has been checked: loops are put on a bill, and regular expressions
//! are compiled once instead of at every evaluation.

use std::mem;
use std::sync::Arc;

use cel::IdedExpr;
use cel::common::ast::{CallExpr, EntryExpr, Expr, LiteralValue};
use regex::{Regex, RegexBuilder};

use super::library::{BUDGET, CHARGE, MATCH};
use crate::limits::{MAX_REGEX_BYTES, MAX_REGEX_COMPILED_BYTES};

/// The variable that holds the regular expression number `index`.
pub(super) fn pattern_variable(index: usize) -> String {
    format!("@pattern{index}")
}

/// Rewrites `expression`, and returns the regular expressions it now refers to by number.
pub(super) fn prepare(expression: &mut IdedExpr) -> Result<Vec<Arc<Regex>>, String> {
    let mut patterns = Vec::new();
    rewrite(expression, &mut patterns)?;
    Ok(patterns)
}

fn rewrite(expression: &mut IdedExpr, patterns: &mut Vec<Arc<Regex>>) -> Result<(), String> {
    let id = expression.id;
    match &mut expression.expr {
        Expr::Call(call) => {
            if call.func_name == "matches" {
                *call = compiled_match(id, call, patterns)?;
            }
            if let Some(target) = &mut call.target {
                rewrite(target, patterns)?;
            }
            for argument in &mut call.args {
                rewrite(argument, patterns)?;
            }
        }
        Expr::Comprehension(comprehension) => {
            let range = mem::take(&mut comprehension.iter_range);
            comprehension.iter_range = call(id, CHARGE, vec![variable(id, BUDGET), range]);
            for part in [
                &mut comprehension.iter_range,
                &mut comprehension.accu_init,
                &mut comprehension.loop_cond,
                &mut comprehension.loop_step,
                &mut comprehension.result,
            ] {
                rewrite(part, patterns)?;
            }
        }
        Expr::List(list) => {
            for element in &mut list.elements {
                rewrite(element, patterns)?;
            }
        }
        Expr::Map(map) => {
            for entry in &mut map.entries {
                if let EntryExpr::MapEntry(entry) = &mut entry.expr {
                    rewrite(&mut entry.key, patterns)?;
                    rewrite(&mut entry.value, patterns)?;
                }
            }
        }
        Expr::Select(select) => rewrite(&mut select.operand, patterns)?,
        Expr::Ident(_) | Expr::Literal(_) | Expr::Struct(_) | Expr::Unspecified => {}
    }
    Ok(())
}

/// `text.matches("…")` or `matches(text, "…")` with the regular expression compiled.
fn compiled_match(
    id: u64,
    original: &mut CallExpr,
    patterns: &mut Vec<Arc<Regex>>,
) -> Result<CallExpr, String> {
    let pattern = original.args.pop();
    let text = original
        .target
        .take()
        .map(|target| *target)
        .or_else(|| original.args.pop());
    let (Some(text), Some(pattern)) = (text, pattern) else {
        return Err("calls `matches` without a text and a pattern".to_owned());
    };
    let Expr::Literal(LiteralValue::String(source)) = &pattern.expr else {
        return Err(
            "calls `matches` with a pattern that is computed; write the pattern out in quotes"
                .to_owned(),
        );
    };
    patterns.push(Arc::new(compile(source.inner())?));
    let holder = variable(id, &pattern_variable(patterns.len() - 1));
    Ok(CallExpr {
        func_name: MATCH.to_owned(),
        target: None,
        args: vec![holder, text],
    })
}

fn compile(source: &str) -> Result<Regex, String> {
    if source.len() > MAX_REGEX_BYTES {
        return Err(format!(
            "has a regular expression of {} bytes; at most {MAX_REGEX_BYTES} are allowed",
            source.len()
        ));
    }
    RegexBuilder::new(source)
        .size_limit(MAX_REGEX_COMPILED_BYTES)
        .nest_limit(32)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => {
                "has a regular expression that is too costly; use smaller repetitions".to_owned()
            }
            error => {
                let message = error.to_string();
                let last = message.lines().last().unwrap_or_default();
                format!(
                    "has a regular expression that cannot be read: {}",
                    last.trim_start_matches("error: ")
                )
            }
        })
}

fn variable(id: u64, name: &str) -> IdedExpr {
    IdedExpr {
        id,
        expr: Expr::Ident(name.to_owned()),
    }
}

fn call(id: u64, name: &str, args: Vec<IdedExpr>) -> IdedExpr {
    IdedExpr {
        id,
        expr: Expr::Call(CallExpr {
            func_name: name.to_owned(),
            target: None,
            args,
        }),
    }
}
