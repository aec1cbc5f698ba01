//! What a definition's text says, with the place of each part.

use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::Value as Json;

/// A file that was read, as an index into [`Sources`](super::Sources).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u32);

/// A range of bytes in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    /// Which file.
    pub file: FileId,
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

/// One value of a YAML or JSON document.
#[derive(Clone, Debug)]
pub struct Node {
    /// What stands there.
    pub value: Value,
    /// Where it stands.
    pub span: Span,
    /// A YAML tag without its `!`, as in `!Sub`: CloudFormation's short form of an
    /// intrinsic function.
    pub tag: Option<Arc<str>>,
}

/// What a [`Node`] holds.
#[derive(Clone, Debug)]
pub enum Value {
    /// A scalar. Its type is decided by who asks, since an account number in YAML
    /// is text that looks like a number.
    Scalar {
        /// The text, escapes undone.
        text: String,
        /// Written without quotes, so that it may be null, a boolean or a number.
        plain: bool,
    },
    /// A list.
    Sequence(Vec<Node>),
    /// Keys and values, in the order written.
    Mapping(Mapping),
}

/// Keys and values in the order written; each key with its place.
pub type Mapping = IndexMap<String, (Span, Node)>;

/// Collections whose end has not come yet, as one stack.
///
/// A growing map or list takes room for four entries at once; a definition has
/// thousands of smaller ones, and the pages they would touch cost more than
/// reading does. So entries wait here until their number is known.
#[derive(Default)]
pub(super) struct Waiting {
    entries: Vec<(String, (Span, Node))>,
    items: Vec<Node>,
}

impl Waiting {
    /// Where the entries of a mapping that begins now will begin.
    pub(super) fn entries(&self) -> usize {
        self.entries.len()
    }

    /// Where the items of a list that begins now will begin.
    pub(super) fn items(&self) -> usize {
        self.items.len()
    }

    pub(super) fn push_entry(&mut self, key: String, span: Span, node: Node) {
        self.entries.push((key, (span, node)));
    }

    pub(super) fn push_item(&mut self, node: Node) {
        self.items.push(node);
    }

    /// The mapping of the entries from `start` on. Of a key given twice the first
    /// value stays; `double` is told the key and both places.
    pub(super) fn mapping(
        &mut self,
        start: usize,
        mut double: impl FnMut(&str, Span, Span),
    ) -> Mapping {
        let mut mapping = Mapping::with_capacity(self.entries.len() - start);
        for (key, (span, node)) in self.entries.drain(start..) {
            match mapping.entry(key) {
                indexmap::map::Entry::Vacant(entry) => {
                    entry.insert((span, node));
                }
                indexmap::map::Entry::Occupied(entry) => {
                    double(entry.key(), span, entry.get().0);
                }
            }
        }
        mapping
    }

    /// The list of the items from `start` on.
    pub(super) fn sequence(&mut self, start: usize) -> Vec<Node> {
        let mut items = Vec::with_capacity(self.items.len() - start);
        items.extend(self.items.drain(start..));
        items
    }
}

impl Node {
    /// The text of a scalar, quoted or not; `None` for null, lists and mappings.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, .. } if !self.is_null() => Some(text),
            _ => None,
        }
    }

    /// `true` or `false` without quotes (YAML 1.2 core schema).
    pub fn as_bool(&self) -> Option<bool> {
        match self.plain()? {
            "true" | "True" | "TRUE" => Some(true),
            "false" | "False" | "FALSE" => Some(false),
            _ => None,
        }
    }

    /// A whole number without quotes: decimal, `0x` or `0o`.
    pub fn as_u64(&self) -> Option<u64> {
        match integer(self.plain()?)? {
            Json::Number(number) => number.as_u64(),
            _ => None,
        }
    }

    /// A whole number without quotes, possibly below zero.
    pub fn as_i64(&self) -> Option<i64> {
        match integer(self.plain()?)? {
            Json::Number(number) => number.as_i64(),
            _ => None,
        }
    }

    /// A number without quotes.
    pub fn as_f64(&self) -> Option<f64> {
        let text = self.plain()?;
        match integer(text) {
            Some(Json::Number(number)) => number.as_f64(),
            _ => float(text),
        }
    }

    /// Nothing, `~` or `null` without quotes.
    pub fn is_null(&self) -> bool {
        matches!(self.plain(), Some("" | "~" | "null" | "Null" | "NULL"))
    }

    /// The mapping's value of `key`.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.as_mapping()?.get(key).map(|(_, node)| node)
    }

    /// The mapping.
    pub fn as_mapping(&self) -> Option<&Mapping> {
        match &self.value {
            Value::Mapping(mapping) => Some(mapping),
            _ => None,
        }
    }

    /// The list.
    pub fn as_sequence(&self) -> Option<&[Node]> {
        match &self.value {
            Value::Sequence(items) => Some(items),
            _ => None,
        }
    }

    /// Keys with their places and values in the order written; none where it is no mapping.
    pub fn entries(&self) -> impl Iterator<Item = (&str, Span, &Node)> {
        self.as_mapping()
            .into_iter()
            .flatten()
            .map(|(key, (span, node))| (key.as_str(), *span, node))
    }

    /// What stands there, for messages: `a list`, `a mapping`, `the text "x"`, `5`.
    pub fn describe(&self) -> String {
        match &self.value {
            Value::Sequence(_) => "a list".to_owned(),
            Value::Mapping(_) => "a mapping".to_owned(),
            Value::Scalar { .. } if self.is_null() => "nothing".to_owned(),
            Value::Scalar { text, plain } => {
                let short: String = text.chars().take(40).collect();
                let more = if short.len() < text.len() { "…" } else { "" };
                if *plain {
                    format!("`{short}{more}`")
                } else {
                    format!("the text {short:?}{more}")
                }
            }
        }
    }

    /// The value as JSON, plain scalars typed by YAML's 1.2 core schema.
    ///
    /// CloudFormation's short forms become the long ones: `!Sub x` is
    /// `{"Fn::Sub": "x"}`. Infinity and NaN, which JSON lacks, stay text.
    pub fn to_json(&self) -> Json {
        let value = match &self.value {
            Value::Scalar { text, plain: false } => Json::String(text.clone()),
            Value::Scalar { text, plain: true } => scalar(text),
            Value::Sequence(items) => items.iter().map(Node::to_json).collect(),
            Value::Mapping(mapping) => Json::Object(
                mapping
                    .iter()
                    .map(|(key, (_, node))| (key.clone(), node.to_json()))
                    .collect(),
            ),
        };
        match self.tag.as_deref() {
            None => value,
            Some("Ref") => long_form("Ref", value),
            Some("Condition") => long_form("Condition", value),
            Some("GetAtt") => match value {
                Json::String(text) => {
                    let (resource, attribute) = text.split_once('.').unwrap_or((&text, ""));
                    long_form("Fn::GetAtt", serde_json::json!([resource, attribute]))
                }
                value => long_form("Fn::GetAtt", value),
            },
            Some(tag) => long_form(&format!("Fn::{tag}"), value),
        }
    }

    fn plain(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, plain: true } => Some(text),
            _ => None,
        }
    }
}

fn long_form(name: &str, value: Json) -> Json {
    Json::Object([(name.to_owned(), value)].into_iter().collect())
}

/// A plain scalar by the core schema (YAML 1.2.2, section 10.3.2).
fn scalar(text: &str) -> Json {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Json::Null,
        "true" | "True" | "TRUE" => Json::Bool(true),
        "false" | "False" | "FALSE" => Json::Bool(false),
        _ => integer(text)
            .or_else(|| {
                let number = serde_json::Number::from_f64(float(text)?)?;
                Some(Json::Number(number))
            })
            .unwrap_or_else(|| Json::String(text.to_owned())),
    }
}

/// A whole number of the core schema; one beyond 64 bits is a float.
fn integer(text: &str) -> Option<Json> {
    let first = *text.as_bytes().first()?;
    if !(first.is_ascii_digit() || first == b'-' || first == b'+') {
        return None;
    }
    let digits_of = |text: &str, radix: u32| {
        (!text.is_empty() && text.chars().all(|c| c.is_digit(radix)))
            .then(|| u64::from_str_radix(text, radix).ok())
            .flatten()
            .map(Json::from)
    };
    if let Some(hex) = text.strip_prefix("0x") {
        return digits_of(hex, 16);
    }
    if let Some(octal) = text.strip_prefix("0o") {
        return digits_of(octal, 8);
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let text = text.strip_prefix('+').unwrap_or(text);
    if let Ok(number) = text.parse::<u64>() {
        return Some(number.into());
    }
    if let Ok(number) = text.parse::<i64>() {
        return Some(number.into());
    }
    Some(Json::Number(serde_json::Number::from_f64(
        text.parse().ok()?,
    )?))
}

/// A number with a point or an exponent.
fn float(text: &str) -> Option<f64> {
    // Rust's own reader takes `inf`, `nan` and `1.`; the first two are words in YAML.
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let starts = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let digits = unsigned.bytes().any(|byte| byte.is_ascii_digit());
    if starts && digits {
        text.parse().ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> Node {
        Node {
            value: Value::Scalar {
                text: text.to_owned(),
                plain: true,
            },
            span: Span::default(),
            tag: None,
        }
    }

    #[test]
    fn plain_scalars_are_typed_by_the_core_schema() {
        let typed: Vec<String> = [
            "null",
            "~",
            "",
            "yes",
            "on",
            "true",
            "012",
            "0x1F",
            "0o17",
            "-5",
            "+5",
            "1.50",
            "1e3",
            "2012-10-17",
            ".inf",
            "nan",
            "1_000",
            "123456789012345678901234",
            "1.",
            "-",
            ".",
        ]
        .iter()
        .map(|text| plain(text).to_json().to_string())
        .collect();

        assert_eq!(
            typed.join(" "),
            r#"null null null "yes" "on" true 12 31 15 -5 5 1.5 1000.0 "2012-10-17" ".inf" "nan" "1_000" 1.2345678901234569e+23 1.0 "-" ".""#
        );
    }

    #[test]
    fn who_asks_decides_the_type() {
        let node = plain("012345678901");

        assert_eq!(node.as_str(), Some("012345678901"));
        assert_eq!(node.as_u64(), Some(12_345_678_901));
        assert_eq!(plain("2.0").as_f64(), Some(2.0));
        assert_eq!(plain("null").as_str(), None);
    }
}
