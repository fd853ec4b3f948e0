//! Conditions of conditional includes, such as `releasever >= 35`.
//!
//! Knows their grammar and when one is true. Must not know what is included.

use super::merge::Keys;
use serde_json::Value;
use std::cmp::Ordering;

/// Whether every condition holds; each is looked at, so that each error is found.
pub(super) fn all_hold(conditions: &Value, variables: &Keys) -> Result<bool, String> {
    let conditions = match conditions {
        Value::String(one) => vec![one.as_str()],
        Value::Array(several) if several.iter().all(Value::is_string) => {
            several.iter().filter_map(Value::as_str).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            return Err("if: must be a condition or a list of conditions; write NAME == VALUE".to_owned());
        }
    };
    let mut all = true;
    for condition in conditions {
        all &= holds(condition, variables)?;
    }
    Ok(all)
}

fn holds(condition: &str, variables: &Keys) -> Result<bool, String> {
    let (name, operator, wanted) = parts(condition).ok_or_else(|| {
        format!("{condition:?} is no condition; write NAME == VALUE, with texts in double quotes")
    })?;
    let value = variables
        .get(name)
        .ok_or_else(|| format!("there is no variable {name} for {condition:?}; define it below variables"))?;
    let order = match (value, &wanted) {
        (Value::String(value), Value::String(wanted)) if operator.is_equality() => value.cmp(wanted),
        (Value::Bool(value), Value::Bool(wanted)) if operator.is_equality() => value.cmp(wanted),
        (Value::Number(value), Value::Number(wanted)) => value.as_u64().cmp(&wanted.as_u64()),
        _ => {
            return Err(format!(
                "{condition:?} cannot compare {value} with {wanted}; compare numbers with numbers, texts in \
                 double quotes with texts, and order numbers only"
            ));
        }
    };
    Ok(operator.agrees(order))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    AtLeast,
    AtMost,
    More,
    Less,
}

/// The operators, longer spellings first.
const OPERATORS: [(&str, Operator); 6] = [
    ("==", Operator::Equal),
    ("!=", Operator::NotEqual),
    (">=", Operator::AtLeast),
    ("<=", Operator::AtMost),
    (">", Operator::More),
    ("<", Operator::Less),
];

impl Operator {
    fn is_equality(self) -> bool {
        matches!(self, Self::Equal | Self::NotEqual)
    }

    fn agrees(self, order: Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
            Self::AtLeast => order.is_ge(),
            Self::AtMost => order.is_le(),
            Self::More => order.is_gt(),
            Self::Less => order.is_lt(),
        }
    }
}

fn parts(condition: &str) -> Option<(&str, Operator, Value)> {
    let condition = condition.trim();
    let end = condition.find(|char: char| !char.is_ascii_alphanumeric() && char != '_')?;
    let (name, rest) = condition.split_at(end);
    let rest = rest.trim_start();
    let (spelling, operator) = OPERATORS.iter().find(|(spelling, _)| rest.starts_with(spelling))?;
    let value = match rest[spelling.len()..].trim() {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        text => match text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
            Some(text) => Value::String(text.to_owned()),
            None => Value::Number(text.parse::<u64>().ok()?.into()),
        },
    };
    (!name.is_empty()).then_some((name, *operator, value))
}
