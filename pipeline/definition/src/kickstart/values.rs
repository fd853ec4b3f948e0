//! The values a command has been given, by key.
//!
//! Knows the kinds of value there are. Must not know how they were read.

use std::collections::BTreeMap;

/// One value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// An option that is there.
    Set,
    /// A text.
    Text(String),
    /// A whole number.
    Number(i64),
    /// Several texts.
    List(Vec<String>),
}

/// The values of a command.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Values(BTreeMap<&'static str, Value>);

impl Values {
    /// The value of `key`, if it has one.
    pub(super) fn find(&self, key: &str) -> Option<&Value> {
        self.0.get(key)
    }

    /// Whether the option is there.
    pub(super) fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// Whether the option is there with a value that says something.
    pub(super) fn says(&self, key: &str) -> bool {
        match self.0.get(key) {
            None | Some(Value::Number(0)) => false,
            Some(Value::Set | Value::Number(_)) => true,
            Some(Value::Text(text)) => !text.is_empty(),
            Some(Value::List(items)) => !items.is_empty(),
        }
    }

    /// The text of `key`; an empty one counts as none.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        match self.0.get(key)? {
            Value::Text(text) if !text.is_empty() => Some(text),
            Value::Text(_) | Value::Set | Value::Number(_) | Value::List(_) => None,
        }
    }

    /// The text of `key` as an owned value.
    pub(super) fn owned(&self, key: &str) -> Option<String> {
        self.text(key).map(str::to_owned)
    }

    /// The number of `key`.
    pub(super) fn number(&self, key: &str) -> Option<i64> {
        match self.0.get(key)? {
            Value::Number(number) => Some(*number),
            Value::Text(_) | Value::Set | Value::List(_) => None,
        }
    }

    /// The number of `key`; zero counts as none.
    pub(super) fn positive(&self, key: &str) -> Option<i64> {
        self.number(key).filter(|number| *number != 0)
    }

    /// The list of `key`, empty when it has none.
    pub(super) fn list(&self, key: &str) -> &[String] {
        match self.0.get(key) {
            Some(Value::List(list)) => list,
            Some(Value::Text(_) | Value::Set | Value::Number(_)) | None => &[],
        }
    }

    /// Gives `key` a value.
    pub(super) fn set(&mut self, key: &'static str, value: Value) {
        self.0.insert(key, value);
    }

    /// Gives `key` a text.
    pub(super) fn set_text(&mut self, key: &'static str, text: impl Into<String>) {
        self.set(key, Value::Text(text.into()));
    }

    /// Takes the value of `key` away.
    pub(super) fn unset(&mut self, key: &str) {
        self.0.remove(key);
    }

    /// Appends to the list of `key`.
    pub(super) fn append(&mut self, key: &'static str, items: impl IntoIterator<Item = String>) {
        match self.0.entry(key).or_insert_with(|| Value::List(Vec::new())) {
            Value::List(list) => list.extend(items),
            other @ (Value::Set | Value::Text(_) | Value::Number(_)) => {
                *other = Value::List(items.into_iter().collect());
            }
        }
    }

    /// Puts every value of `later` over the values here.
    pub(super) fn overlay(&mut self, later: Self) {
        self.0.extend(later.0);
    }
}
