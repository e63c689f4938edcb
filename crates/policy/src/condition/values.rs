//! JSON as CEL sees it. Text is borrowed, not copied.

use std::collections::HashMap;

use cel::common::types::{
    CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelUInt,
};
use cel::common::value::Val;
use serde_json::{Number, Value};

use super::evaluation::Failure;
use crate::limits::{MAX_VALUE_BYTES, MAX_VALUE_DEPTH, MAX_VALUES};
use crate::request::Subject;

/// A value for the evaluator.
pub(super) type Boxed<'v> = Box<dyn Val + 'v>;

/// How much JSON the conditions of one decision may still be handed.
#[derive(Debug)]
pub(super) struct Allowance {
    values: usize,
    bytes: usize,
}

impl Default for Allowance {
    fn default() -> Self {
        Self {
            values: MAX_VALUES,
            bytes: MAX_VALUE_BYTES,
        }
    }
}

impl Allowance {
    fn take(&mut self, bytes: usize) -> Result<(), Failure> {
        self.values = self.values.checked_sub(1).ok_or(Failure::TooLarge)?;
        self.bytes = self.bytes.checked_sub(bytes).ok_or(Failure::TooLarge)?;
        Ok(())
    }
}

/// A text.
pub(super) fn text<'v>(text: &'v str, allowance: &mut Allowance) -> Result<Boxed<'v>, Failure> {
    allowance.take(text.len())?;
    Ok(Box::new(CelString::from(text)))
}

/// An object; null counts as an empty one, so that a member of it is missing rather than the whole.
pub(super) fn object<'v>(
    value: &'v Value,
    allowance: &mut Allowance,
) -> Result<Boxed<'v>, Failure> {
    match value {
        Value::Null => Ok(Box::new(CelMap::default())),
        value => convert(value, allowance, 0),
    }
}

/// The subject as an object.
pub(super) fn subject<'v>(
    subject: &'v Subject,
    allowance: &mut Allowance,
) -> Result<Boxed<'v>, Failure> {
    let mut groups = Vec::with_capacity(subject.groups.len());
    for group in &subject.groups {
        groups.push(text(group, allowance)?);
    }
    let mut members: HashMap<CelMapKey<'v>, Boxed<'v>> = HashMap::with_capacity(5);
    members.insert("kind".into(), text(subject.kind.as_str(), allowance)?);
    members.insert("name".into(), text(&subject.name, allowance)?);
    if let Some(namespace) = &subject.namespace {
        members.insert("namespace".into(), text(namespace, allowance)?);
    }
    members.insert("groups".into(), Box::new(CelList::from(groups)));
    members.insert("claims".into(), object(&subject.claims, allowance)?);
    Ok(Box::new(CelMap::from(members)))
}

fn convert<'v>(
    value: &'v Value,
    allowance: &mut Allowance,
    depth: usize,
) -> Result<Boxed<'v>, Failure> {
    if depth > MAX_VALUE_DEPTH {
        return Err(Failure::TooLarge);
    }
    match value {
        Value::String(string) => return text(string, allowance),
        _ => allowance.take(0)?,
    }
    Ok(match value {
        Value::Null => Box::new(CelNull),
        Value::Bool(boolean) => Box::new(CelBool::from(*boolean)),
        Value::Number(number) => convert_number(number)?,
        Value::String(string) => Box::new(CelString::from(string.as_str())),
        Value::Array(array) => {
            let mut elements = Vec::with_capacity(array.len());
            for element in array {
                elements.push(convert(element, allowance, depth + 1)?);
            }
            Box::new(CelList::from(elements))
        }
        Value::Object(object) => {
            let mut members: HashMap<CelMapKey<'v>, Boxed<'v>> =
                HashMap::with_capacity(object.len());
            for (name, member) in object {
                allowance.take(name.len())?;
                members.insert(name.as_str().into(), convert(member, allowance, depth + 1)?);
            }
            Box::new(CelMap::from(members))
        }
    })
}

/// A whole number is an int, or a uint beyond 2^63 − 1; any other is a double. CEL compares all three
/// with each other.
fn convert_number<'v>(number: &Number) -> Result<Boxed<'v>, Failure> {
    if let Some(int) = number.as_i64() {
        Ok(Box::new(CelInt::from(int)))
    } else if let Some(uint) = number.as_u64() {
        Ok(Box::new(CelUInt::from(uint)))
    } else if let Some(double) = number.as_f64() {
        Ok(Box::new(CelDouble::from(double)))
    } else {
        Err(Failure::TooLarge)
    }
}
