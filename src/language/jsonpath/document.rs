//! What a path can be read on.

use serde_json::Value;

use super::reader::Found;

/// A JSON value of some sort, cheap to clone: a reference or a counted pointer.
pub trait Document: Clone {
    /// What it is.
    fn kind(&self) -> Kind<'_>;
    /// How many elements or members it has.
    fn length(&self) -> usize;
    /// The element at a place of an array.
    fn element(&self, index: usize) -> Option<Self>;
    /// The member of an object by its name.
    fn member(&self, name: &str) -> Option<Self>;
    /// All members of an object, in their order.
    fn members(&self) -> Vec<(String, Self)>;
}

/// The kinds of JSON values, with what a comparison needs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind<'v> {
    /// `null`
    Null,
    /// `true` or `false`
    Boolean(bool),
    /// A number, as a double.
    Number(f64),
    /// A string.
    Text(&'v str),
    /// An array.
    Array,
    /// An object.
    Object,
}

impl Document for &Value {
    fn kind(&self) -> Kind<'_> {
        match self {
            Value::Null => Kind::Null,
            Value::Bool(value) => Kind::Boolean(*value),
            Value::Number(number) => Kind::Number(number.as_f64().unwrap_or(f64::NAN)),
            Value::String(text) => Kind::Text(text),
            Value::Array(_) => Kind::Array,
            Value::Object(_) => Kind::Object,
        }
    }

    fn length(&self) -> usize {
        match self {
            Value::Array(items) => items.len(),
            Value::Object(members) => members.len(),
            _ => 0,
        }
    }

    fn element(&self, index: usize) -> Option<Self> {
        self.as_array()?.get(index)
    }

    fn member(&self, name: &str) -> Option<Self> {
        self.as_object()?.get(name)
    }

    fn members(&self) -> Vec<(String, Self)> {
        self.as_object().map_or_else(Vec::new, |members| {
            members
                .iter()
                .map(|(name, value)| (name.clone(), value))
                .collect()
        })
    }
}

/// A result as a value of its own.
pub(super) fn to_json(found: Found<&Value>) -> Value {
    match found {
        Found::Value(value) => value.clone(),
        Found::Members(members) => Value::Object(
            members
                .into_iter()
                .map(|(name, value)| (name, value.clone()))
                .collect(),
        ),
        Found::Number(number) => number.into(),
        Found::Count(count) => count.into(),
        Found::Names(names) => names.into(),
    }
}
