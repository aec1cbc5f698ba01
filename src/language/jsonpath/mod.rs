//! JSONPath as API Gateway reads it: the dialect of the Jayway library.
//!
//! Jayway is older than RFC 9535 and differs from it: a definite path (names
//! and single indexes only) gives the value itself and any other a list; the
//! leading `$.` may be left out; there are functions such as `length()`, and
//! filters know `=~`, `in` and their kin. A path that leads nowhere is no
//! error: it gives nothing, or an empty list.
//!
//! A [`Path`] is compiled once and reads any [`Document`]; serde_json's values
//! and the values of mapping templates both are.
//!
//! Source of the rules: Jayway JsonPath 2.0, which AWS's reference page links
//! to; the functions are those of later 2.x.

mod document;
mod filter;
mod parser;
mod reader;

pub use document::{Document, Kind};
pub use reader::{Found, Outcome};

use filter::Filter;

/// A compiled path.
#[derive(Debug)]
pub struct Path {
    tokens: Vec<Token>,
    /// Applied to what the tokens lead to.
    function: Option<Function>,
    definite: bool,
}

/// Why a text is no path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid JSONPath: {message}")]
pub struct PathError {
    message: String,
}

/// One step of a path.
#[derive(Debug)]
enum Token {
    /// `.name`, `['name']`, `['a','b']`
    Members(Vec<String>),
    /// `[3]`
    Index(i64),
    /// `[1,2]`
    Indexes(Vec<i64>),
    /// `[from:to]`
    Slice(Option<i64>, Option<i64>),
    /// `[(@.length-1)]`, with the number to add to the length.
    FromEnd(i64),
    /// `.*`
    Wildcard,
    /// `..`
    Scan,
    /// `[?(...)]`
    Filter(Filter),
}

/// A function at the end of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Function {
    Length,
    Min,
    Max,
    Average,
    Sum,
    StandardDeviation,
    Keys,
    First,
    Last,
}

impl Path {
    /// Compiles a path.
    ///
    /// # Errors
    ///
    /// When the text is no path of this dialect, or is nested too deeply.
    pub fn compile(text: &str) -> Result<Self, PathError> {
        parser::compile(text, 0)
    }

    /// Whether it leads to one value at most.
    pub const fn is_definite(&self) -> bool {
        self.definite
    }

    /// Reads a JSON value: `None` if the path is definite and leads nowhere,
    /// an array if it is not definite.
    pub fn read(&self, value: &serde_json::Value) -> Option<serde_json::Value> {
        match self.find(&value) {
            Outcome::Nothing => None,
            Outcome::One(found) => Some(document::to_json(found)),
            Outcome::Many(all) => Some(serde_json::Value::Array(
                all.into_iter().map(document::to_json).collect(),
            )),
        }
    }

    /// What the path leads to in a document.
    pub fn find<D: Document>(&self, root: &D) -> Outcome<D> {
        reader::find(self, root, root)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(path: &str) -> Option<Value> {
        let document = json!({
            "store": {
                "books": [
                    {"title": "A", "price": 8, "tags": ["x", "y"]},
                    {"title": "B", "price": 12.5, "isbn": "1"},
                    {"title": "C", "price": 9, "isbn": null},
                ],
                "open": true,
            },
            "numbers": [3, 1, 2],
            "a.b": "dot",
        });
        Path::compile(path).unwrap().read(&document)
    }

    #[test]
    fn a_definite_path_gives_the_value() {
        assert_eq!(read("$.store.books[1].title"), Some(json!("B")));
        assert_eq!(read("store.open"), Some(json!(true)));
        assert_eq!(read("$['a.b']"), Some(json!("dot")));
        assert_eq!(read("$.numbers[(@.length-1)]"), Some(json!(2)));
        assert_eq!(read("$.numbers[9]"), None);
        assert_eq!(read("$.nope.deeper"), None);
    }

    #[test]
    fn any_other_path_gives_a_list() {
        assert_eq!(read("$.numbers[*]"), Some(json!([3, 1, 2])));
        assert_eq!(read("$.numbers[0,2]"), Some(json!([3, 2])));
        assert_eq!(read("$.numbers[1:]"), Some(json!([1, 2])));
        assert_eq!(read("$.numbers[:2]"), Some(json!([3, 1])));
        assert_eq!(read("$.numbers[-1:]"), Some(json!([2])));
        assert_eq!(read("$..title"), Some(json!(["A", "B", "C"])));
        assert_eq!(read("$..nope"), Some(json!([])));
    }

    #[test]
    fn several_names_give_one_object() {
        assert_eq!(
            read("$.store.books[0]['title','price','nope']"),
            Some(json!({"title": "A", "price": 8}))
        );
    }

    #[test]
    fn filters_compare_and_combine() {
        for (filter, titles) in [
            ("@.price > 8", json!(["B", "C"])),
            ("@.price >= 8 && @.price < 10", json!(["A", "C"])),
            ("@.title == 'B' || @.title == \"C\"", json!(["B", "C"])),
            ("@.isbn", json!(["B", "C"])),
            ("!@.isbn", json!(["A"])),
            ("@.title =~ /[ab]/i", json!(["A", "B"])),
            ("@.title in ['A', 'C']", json!(["A", "C"])),
            ("@.title nin ['A', 'C']", json!(["B"])),
            ("@.tags contains 'x'", json!(["A"])),
            (
                "(@.price == 8 || @.price == 9) && @.title != 'A'",
                json!(["C"]),
            ),
            ("@.price < $.numbers[0]", json!([])),
            ("@.nope != 1", json!([])),
        ] {
            let path = format!("$.store.books[?({filter})].title");
            assert_eq!(read(&path), Some(titles), "{path}");
        }
    }

    #[test]
    fn functions_end_a_path() {
        assert_eq!(read("$.numbers.length()"), Some(json!(3)));
        assert_eq!(read("$.numbers.max()"), Some(json!(3.0)));
        assert_eq!(read("$.numbers.min()"), Some(json!(1.0)));
        assert_eq!(read("$.numbers.sum()"), Some(json!(6.0)));
        assert_eq!(read("$.store.keys()"), Some(json!(["books", "open"])));
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for path in [
            "",
            "$.",
            "$..",
            "$x",
            "$.a b",
            "$[",
            "$[abc]",
            "$[?(@.a ==)]",
        ] {
            assert!(Path::compile(path).is_err(), "{path}");
        }
    }
}
