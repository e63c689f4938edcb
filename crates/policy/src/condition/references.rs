//! Lets only what is known through: the five roots, the variables of loops, and the functions of
//! [`super::library`]; and refuses what can never be true or false.

use cel::IdedExpr;
use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, LiteralValue, operators};

use super::Root;
use super::library::{FUNCTIONS, MACROS, Style};

/// What a sound expression uses.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) roots: Vec<Root>,
    pub(super) loops: bool,
}

/// Walks through the expression; the error is a sentence that says how to mend it.
pub(super) fn check(expression: &IdedExpr) -> Result<Findings, String> {
    let mut walk = Walk::default();
    walk.visit(expression)?;
    check_truth(expression)?;
    Ok(walk.findings)
}

const OPERATORS: &[&str] = &[
    operators::CONDITIONAL,
    operators::LOGICAL_AND,
    operators::LOGICAL_OR,
    operators::LOGICAL_NOT,
    operators::SUBSTRACT,
    operators::ADD,
    operators::MULTIPLY,
    operators::DIVIDE,
    operators::MODULO,
    operators::EQUALS,
    operators::NOT_EQUALS,
    operators::GREATER_EQUALS,
    operators::LESS_EQUALS,
    operators::GREATER,
    operators::LESS,
    operators::NEGATE,
    operators::INDEX,
    operators::NOT_STRICTLY_FALSE,
    operators::IN,
];

#[derive(Default)]
struct Walk<'e> {
    findings: Findings,
    /// Variables of the loops around the place, innermost last.
    scope: Vec<&'e str>,
}

impl<'e> Walk<'e> {
    fn visit(&mut self, expression: &'e IdedExpr) -> Result<(), String> {
        match &expression.expr {
            Expr::Literal(_) => Ok(()),
            Expr::Ident(name) => self.visit_name(name),
            Expr::Select(select) => self.visit(&select.operand),
            Expr::Call(call) => self.visit_call(call),
            Expr::List(list) => list
                .elements
                .iter()
                .try_for_each(|element| self.visit(element)),
            Expr::Map(map) => map.entries.iter().try_for_each(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => {
                    self.visit(&entry.key)?;
                    self.visit(&entry.value)
                }
                EntryExpr::StructField(_) => Err(no_messages()),
            }),
            Expr::Comprehension(comprehension) => self.visit_loop(comprehension),
            Expr::Struct(_) => Err(no_messages()),
            Expr::Unspecified => Err("is not complete".to_owned()),
        }
    }

    fn visit_name(&mut self, name: &str) -> Result<(), String> {
        if self.scope.contains(&name) {
            return Ok(());
        }
        let root = Root::ALL.into_iter().find(|root| root.name() == name);
        let Some(root) = root else {
            return Err(format!(
                "refers to `{name}`; a condition knows only `subject`, `resource`, `action`, `request` and `environment`, and text goes in quotes"
            ));
        };
        if !self.findings.roots.contains(&root) {
            self.findings.roots.push(root);
        }
        Ok(())
    }

    fn visit_call(&mut self, call: &'e CallExpr) -> Result<(), String> {
        if call.target.is_some() || !OPERATORS.contains(&call.func_name.as_str()) {
            check_function(call)?;
        }
        if let Some(target) = &call.target {
            self.visit(target)?;
        }
        call.args
            .iter()
            .try_for_each(|argument| self.visit(argument))
    }

    fn visit_loop(&mut self, comprehension: &'e ComprehensionExpr) -> Result<(), String> {
        self.findings.loops = true;
        self.visit(&comprehension.iter_range)?;
        self.visit(&comprehension.accu_init)?;
        let outside = self.scope.len();
        for name in [
            Some(comprehension.iter_var.as_str()),
            comprehension.iter_var2.as_deref(),
        ]
        .into_iter()
        .flatten()
        {
            if Root::ALL.iter().any(|root| root.name() == name) {
                return Err(format!(
                    "uses `{name}` as the variable of a loop, which hides what it stands for; choose another name"
                ));
            }
            self.scope.push(name);
        }
        self.scope.push(&comprehension.accu_var);
        for part in [
            &comprehension.loop_cond,
            &comprehension.loop_step,
            &comprehension.result,
        ] {
            self.visit(part)?;
        }
        self.scope.truncate(outside);
        Ok(())
    }
}

fn check_function(call: &CallExpr) -> Result<(), String> {
    let name = call.func_name.as_str();
    if let Some((_, example)) = MACROS.iter().find(|(known, _)| *known == name) {
        return Err(format!("calls `{name}` wrongly; write `{example}`"));
    }
    let Some((_, style, counts)) = FUNCTIONS.iter().find(|(known, ..)| *known == name) else {
        let known: Vec<&str> = FUNCTIONS
            .iter()
            .map(|(known, ..)| *known)
            .chain(MACROS.iter().map(|(known, _)| *known))
            .collect();
        return Err(format!(
            "calls `{name}`, which is not a function of conditions; known are {}",
            known.join(", ")
        ));
    };
    let member = call.target.is_some();
    if *style == Style::Global && member {
        return Err(format!("calls `{name}` on something; write `{name}(…)`"));
    }
    if *style == Style::Member && !member {
        return Err(format!(
            "calls `{name}` on nothing; write `subject.name.{name}(…)`"
        ));
    }
    let count = call.args.len() + usize::from(member);
    if !counts.contains(&count) {
        let within = counts
            .iter()
            .map(|count| (count - usize::from(member)).to_string())
            .collect::<Vec<_>>()
            .join(" or ");
        return Err(format!(
            "calls `{name}` with {} arguments; it takes {within}",
            call.args.len()
        ));
    }
    Ok(())
}

fn no_messages() -> String {
    "makes a message (`Name{…}`); a condition knows none: compare members one by one".to_owned()
}

/// Refuses an expression that cannot be true or false, whatever the request is, where it can be seen.
fn check_truth(expression: &IdedExpr) -> Result<(), String> {
    let what = match &expression.expr {
        Expr::Literal(LiteralValue::Boolean(_)) => return Ok(()),
        Expr::Literal(LiteralValue::String(_)) => "a text",
        Expr::Literal(LiteralValue::Null) => "null",
        Expr::Literal(_) => "a number",
        Expr::List(_) => "a list",
        Expr::Map(_) => "a map",
        Expr::Comprehension(comprehension)
            if matches!(comprehension.accu_init.expr, Expr::List(_)) =>
        {
            "a list"
        }
        Expr::Ident(name) if name == "resource" || name == "action" => "a text",
        Expr::Ident(name) if Root::ALL.iter().any(|root| root.name() == name) => "an object",
        Expr::Call(call) => match call.func_name.as_str() {
            operators::LOGICAL_AND | operators::LOGICAL_OR | operators::LOGICAL_NOT => {
                return call.args.iter().try_for_each(check_truth);
            }
            operators::CONDITIONAL => return call.args.iter().try_for_each(check_truth),
            operators::ADD
            | operators::SUBSTRACT
            | operators::MULTIPLY
            | operators::DIVIDE
            | operators::MODULO
            | operators::NEGATE => "a number or a text",
            "string" => "a text",
            "timestamp" => "a time",
            "duration" => "a duration",
            "size" | "int" | "uint" | "double" => "a number",
            name if name.starts_with("get") => "a number",
            _ => return Ok(()),
        },
        _ => return Ok(()),
    };
    Err(format!(
        "has {what} where true or false is needed; compare it with something"
    ))
}
