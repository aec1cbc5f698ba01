//! Between a template's values and serde_json's, and paths on the former.

use std::rc::Rc;

use serde_json::{Map as JsonMap, Number as JsonNumber, Value as Json};

use super::number::Number;
use super::render::Failure;
use super::value::{List, ListKind, Map, Object, Value};
use crate::language::jsonpath::{Document, Found, Kind, Outcome};

impl<'a> Value<'a> {
    /// A JSON value as a template's own: lists print as `[a, b]`.
    pub fn from_json(json: &'a Json) -> Self {
        convert(json, ListKind::Plain, false)
    }

    /// A JSON value as AWS's own: objects print as nothing.
    pub fn opaque_from_json(json: &'a Json) -> Self {
        convert(json, ListKind::Plain, true)
    }

    /// A copy of an object, with copies of its texts.
    pub(super) fn opaque_copy(object: &JsonMap<String, Json>) -> Self {
        Self::opaque_map(
            object
                .iter()
                .map(|(name, value)| (Self::owned(name), copy(value)))
                .collect(),
        )
    }

    /// The value as JSON.
    ///
    /// # Errors
    ///
    /// When it nests too deeply or holds too much.
    pub(super) fn to_json(&self, budget: &mut usize, depth: usize) -> Result<Json, Failure> {
        if *budget == 0 || depth == 0 {
            return Err(Failure::limit("an override holds too much"));
        }
        *budget -= 1;
        Ok(match self {
            Self::Null | Self::Input | Self::Util | Self::Context => Json::Null,
            Self::Boolean(value) => Json::Bool(*value),
            Self::Number(number) => number_to_json(number),
            Self::Character(unit) => Json::String(String::from_utf16_lossy(&[*unit])),
            Self::Text(text) => Json::String(text.as_str().to_owned()),
            Self::List(list) => {
                let items = list.items.borrow().clone();
                Json::Array(
                    items
                        .iter()
                        .map(|item| item.to_json(budget, depth - 1))
                        .collect::<Result<_, _>>()?,
                )
            }
            Self::Map(map) => {
                let mut object = JsonMap::new();
                for index in 0..map.len() {
                    let Some((key, value)) = map.at(index) else {
                        break;
                    };
                    let key = match key.to_json(budget, depth - 1)? {
                        Json::String(text) => text,
                        other => other.to_string(),
                    };
                    object.insert(key, value.to_json(budget, depth - 1)?);
                }
                Json::Object(object)
            }
            Self::Object(object) => match &**object {
                Object::View(..) | Object::Entry(..) | Object::Iterator(_) => Json::Null,
                Object::Loop(_) | Object::Block(..) => Json::Null,
            },
        })
    }
}

fn number_to_json(number: &Number) -> Json {
    match number {
        Number::Double(value) => JsonNumber::from_f64(*value).map_or(Json::Null, Json::Number),
        Number::Float(value) => {
            JsonNumber::from_f64(f64::from(*value)).map_or(Json::Null, Json::Number)
        }
        Number::BigInteger(_) | Number::BigDecimal(_) => {
            JsonNumber::from_f64(number.to_double()).map_or(Json::Null, Json::Number)
        }
        _ => Json::from(number.to_long()),
    }
}

fn number_from_json(number: &JsonNumber) -> Number {
    if let Some(value) = number.as_i64() {
        return i32::try_from(value).map_or(Number::Long(value), Number::Integer);
    }
    if let Some(value) = number.as_u64() {
        return Number::BigInteger(Rc::new(value.into()));
    }
    // serde_json keeps no whole number beyond 64 bits, but writes it without
    // an exponent only if it is one.
    Number::Double(number.as_f64().unwrap_or(f64::NAN))
}

fn convert(json: &Json, lists: ListKind, opaque: bool) -> Value<'_> {
    match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Boolean(*value),
        Json::Number(number) => Value::Number(number_from_json(number)),
        Json::String(text) => Value::text(text),
        Json::Array(items) => Value::List(List::new(
            lists,
            items
                .iter()
                .map(|item| convert(item, lists, opaque))
                .collect(),
        )),
        Json::Object(members) => {
            let entries = members
                .iter()
                .map(|(name, value)| (Value::text(name), convert(value, lists, opaque)))
                .collect();
            if opaque {
                Value::opaque_map(entries)
            } else {
                Value::map(entries)
            }
        }
    }
}

fn copy<'a>(json: &Json) -> Value<'a> {
    match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Boolean(*value),
        Json::Number(number) => Value::Number(number_from_json(number)),
        Json::String(text) => Value::owned(text),
        Json::Array(items) => {
            Value::List(List::new(ListKind::Plain, items.iter().map(copy).collect()))
        }
        Json::Object(object) => Value::opaque_copy(object),
    }
}

// === paths on a template's values ===

impl Document for Value<'_> {
    fn kind(&self) -> Kind<'_> {
        match self {
            Self::Boolean(value) => Kind::Boolean(*value),
            Self::Number(number) => Kind::Number(number.to_double()),
            Self::Text(text) => Kind::Text(text.as_str()),
            Self::List(_) => Kind::Array,
            Self::Map(_) => Kind::Object,
            _ => Kind::Null,
        }
    }

    fn length(&self) -> usize {
        match self {
            Self::List(list) => list.len(),
            Self::Map(map) => map.len(),
            _ => 0,
        }
    }

    fn element(&self, index: usize) -> Option<Self> {
        match self {
            Self::List(list) => list.get(index),
            _ => None,
        }
    }

    fn member(&self, name: &str) -> Option<Self> {
        match self {
            Self::Map(map) => map.get_text(name),
            _ => None,
        }
    }

    fn members(&self) -> Vec<(String, Self)> {
        match self {
            Self::Map(map) => (0..map.len())
                .filter_map(|index| map.at(index))
                .map(|(key, value)| (key.as_text().unwrap_or_default().to_owned(), value))
                .collect(),
            _ => Vec::new(),
        }
    }
}

/// What a path leads to, as a template's value; null for nothing.
pub(super) fn from_outcome<'a>(outcome: Outcome<Value<'a>>) -> Value<'a> {
    match outcome {
        Outcome::Nothing => Value::Null,
        Outcome::One(found) => from_found(found),
        Outcome::Many(all) => Value::List(List::new(
            ListKind::Json,
            all.into_iter().map(from_found).collect(),
        )),
    }
}

fn from_found<'a>(found: Found<Value<'a>>) -> Value<'a> {
    match found {
        Found::Value(value) => value,
        Found::Members(members) => Value::Map(Map::new(
            members
                .into_iter()
                .map(|(name, value)| (Value::from(name), value))
                .collect(),
        )),
        Found::Number(number) => Value::Number(Number::Double(number)),
        Found::Count(count) => Value::long(i64::try_from(count).unwrap_or(i64::MAX)),
        Found::Names(names) => Value::List(List::new(
            ListKind::Json,
            names.into_iter().map(Value::from).collect(),
        )),
    }
}
