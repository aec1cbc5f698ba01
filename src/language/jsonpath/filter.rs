//! Filters: `[?(@.price < 10 && @.title =~ /a.*/i)]`.
//!
//! A comparison of things that cannot be compared, or with something missing,
//! is false, `!=` included.

use std::cmp::Ordering;

use super::parser::{self, error};
use super::reader::{self, Found, Outcome};
use super::{Document, Kind, Path, PathError};

/// A compiled condition.
#[derive(Debug)]
pub(super) enum Filter {
    Any(Vec<Self>),
    All(Vec<Self>),
    Not(Box<Self>),
    /// The path leads to something.
    Exists(Operand),
    Compare(Operand, Comparison, Operand),
}

#[derive(Debug)]
pub(super) enum Operand {
    /// A path from the value under test.
    Item(Path),
    /// A path from the document's root.
    Root(Path),
    Literal(serde_json::Value),
    Pattern(Box<fancy_regex::Regex>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Matches,
    In,
    NotIn,
    Contains,
    AllOf,
    AnyOf,
    NoneOf,
    SubsetOf,
    Size,
    Empty,
}

/// Longer signs first, so that `<=` is not read as `<`.
const COMPARISONS: &[(&str, Comparison)] = &[
    ("==", Comparison::Equal),
    ("!=", Comparison::NotEqual),
    ("<=", Comparison::LessOrEqual),
    (">=", Comparison::GreaterOrEqual),
    ("=~", Comparison::Matches),
    ("<", Comparison::Less),
    (">", Comparison::Greater),
    ("subsetof", Comparison::SubsetOf),
    ("contains", Comparison::Contains),
    ("noneof", Comparison::NoneOf),
    ("anyof", Comparison::AnyOf),
    ("empty", Comparison::Empty),
    ("size", Comparison::Size),
    ("all", Comparison::AllOf),
    ("nin", Comparison::NotIn),
    ("in", Comparison::In),
];

/// How deep parentheses and `!` may nest.
const DEPTH_LIMIT: usize = 60;

impl Filter {
    /// Compiles what stands between `[?(` and `)]`.
    pub(super) fn compile(text: &str, depth: usize) -> Result<Self, PathError> {
        let mut parser = Parser {
            rest: text.trim(),
            path_depth: depth,
            depth: 0,
        };
        let filter = parser.any()?;
        if parser.rest.is_empty() {
            Ok(filter)
        } else {
            Err(error(format!("unexpected `{}` in a filter", parser.rest)))
        }
    }

    /// Whether `item` passes.
    pub(super) fn accepts<D: Document>(&self, item: &D, root: &D) -> bool {
        match self {
            Self::Any(filters) => filters.iter().any(|filter| filter.accepts(item, root)),
            Self::All(filters) => filters.iter().all(|filter| filter.accepts(item, root)),
            Self::Not(filter) => !filter.accepts(item, root),
            Self::Exists(operand) => match operand {
                Operand::Item(path) => !matches!(reader::find(path, item, root), Outcome::Nothing),
                Operand::Root(path) => !matches!(reader::find(path, root, root), Outcome::Nothing),
                Operand::Literal(value) => value == &serde_json::Value::Bool(true),
                Operand::Pattern(_) => false,
            },
            Self::Compare(left, comparison, right) => compare(left, *comparison, right, item, root),
        }
    }
}

struct Parser<'t> {
    rest: &'t str,
    path_depth: usize,
    depth: usize,
}

impl<'t> Parser<'t> {
    fn eat(&mut self, sign: &str) -> bool {
        match self.rest.strip_prefix(sign) {
            Some(rest) => {
                self.rest = rest.trim_start();
                true
            }
            None => false,
        }
    }

    fn any(&mut self) -> Result<Filter, PathError> {
        let mut filters = vec![self.all()?];
        while self.eat("||") {
            filters.push(self.all()?);
        }
        Ok(match filters.pop() {
            Some(only) if filters.is_empty() => only,
            Some(last) => {
                filters.push(last);
                Filter::Any(filters)
            }
            None => Filter::Any(filters),
        })
    }

    fn all(&mut self) -> Result<Filter, PathError> {
        let mut filters = vec![self.one()?];
        while self.eat("&&") {
            filters.push(self.one()?);
        }
        Ok(match filters.pop() {
            Some(only) if filters.is_empty() => only,
            Some(last) => {
                filters.push(last);
                Filter::All(filters)
            }
            None => Filter::All(filters),
        })
    }

    fn one(&mut self) -> Result<Filter, PathError> {
        self.depth += 1;
        if self.depth > DEPTH_LIMIT {
            return Err(error("a filter nests too deeply"));
        }
        let filter = if self.rest.starts_with('!') && !self.rest.starts_with("!=") {
            self.eat("!");
            Filter::Not(Box::new(self.one()?))
        } else if self.eat("(") {
            let inner = self.any()?;
            if !self.eat(")") {
                return Err(error("a `)` is missing in a filter"));
            }
            inner
        } else {
            self.comparison()?
        };
        self.depth -= 1;
        Ok(filter)
    }

    fn comparison(&mut self) -> Result<Filter, PathError> {
        let left = self.operand()?;
        for (sign, comparison) in COMPARISONS {
            let word = sign.starts_with(|c: char| c.is_ascii_alphabetic());
            let Some(candidate) = self.rest.get(..sign.len()) else {
                continue;
            };
            if candidate.eq_ignore_ascii_case(sign)
                && !(word && self.rest[sign.len()..].starts_with(char::is_alphanumeric))
            {
                self.rest = self.rest[sign.len()..].trim_start();
                let right = self.operand()?;
                return Ok(Filter::Compare(left, *comparison, right));
            }
        }
        match left {
            Operand::Item(_) | Operand::Root(_) => Ok(Filter::Exists(left)),
            Operand::Literal(_) | Operand::Pattern(_) => {
                Err(error("a filter needs a path or a comparison"))
            }
        }
    }

    fn operand(&mut self) -> Result<Operand, PathError> {
        let Some(first) = self.rest.chars().next() else {
            return Err(error("a filter ends too early"));
        };
        match first {
            '@' | '$' => {
                let length = path_length(self.rest);
                let path = parser::compile(&self.rest[..length], self.path_depth)?;
                self.rest = self.rest[length..].trim_start();
                Ok(if first == '@' {
                    Operand::Item(path)
                } else {
                    Operand::Root(path)
                })
            }
            '\'' | '"' => {
                let (text, rest) = parser::quoted(self.rest)?;
                self.rest = rest.trim_start();
                Ok(Operand::Literal(text.into()))
            }
            '/' => self.pattern(),
            '[' | '{' => self.json(first),
            _ => {
                let length = self
                    .rest
                    .find(|c: char| !(c.is_alphanumeric() || matches!(c, '.' | '-' | '+' | '_')))
                    .unwrap_or(self.rest.len());
                let word = &self.rest[..length];
                let value = match word {
                    "true" => true.into(),
                    "false" => false.into(),
                    "null" => serde_json::Value::Null,
                    _ => match word.parse::<f64>() {
                        Ok(number)
                            if word.starts_with(|c: char| c == '-' || c.is_ascii_digit()) =>
                        {
                            number.into()
                        }
                        _ => return Err(error(format!("`{}` is no value", self.rest))),
                    },
                };
                self.rest = self.rest[length..].trim_start();
                Ok(Operand::Literal(value))
            }
        }
    }

    fn pattern(&mut self) -> Result<Operand, PathError> {
        let body = &self.rest[1..];
        let mut escaped = false;
        let end = body
            .char_indices()
            .find(|(_, character)| {
                let closes = *character == '/' && !escaped;
                escaped = *character == '\\' && !escaped;
                closes
            })
            .map(|(index, _)| index)
            .ok_or_else(|| error("a pattern's closing `/` is missing"))?;
        let mut pattern = format!("\\A(?:{})\\z", &body[..end]);
        let after = &body[end + 1..];
        let flags = after.bytes().take_while(u8::is_ascii_lowercase).count();
        let known: String = after[..flags]
            .chars()
            .filter(|flag| matches!(flag, 'i' | 's' | 'm' | 'x'))
            .collect();
        if !known.is_empty() {
            pattern = format!("(?{known}){pattern}");
        }
        let regex = fancy_regex::RegexBuilder::new(&pattern)
            .backtrack_limit(100_000)
            .build()
            .map_err(|_| error("a pattern that cannot be read"))?;
        self.rest = after[flags..].trim_start();
        Ok(Operand::Pattern(Box::new(regex)))
    }

    /// A list or an object as a literal, in either quotes.
    fn json(&mut self, open: char) -> Result<Operand, PathError> {
        let close = if open == '[' { ']' } else { '}' };
        let mut depth = 0_usize;
        let mut quote = None;
        let mut text = String::new();
        for (index, character) in self.rest.char_indices() {
            match quote {
                Some(current) if character == current => {
                    quote = None;
                    text.push('"');
                }
                Some(_) if character == '"' => text.push_str("\\\""),
                Some(_) => text.push(character),
                None => match character {
                    '\'' | '"' => {
                        quote = Some(character);
                        text.push('"');
                    }
                    _ => {
                        text.push(character);
                        if character == open {
                            depth += 1;
                        } else if character == close {
                            depth -= 1;
                            if depth == 0 {
                                let value = serde_json::from_str(&text)
                                    .map_err(|_| error("a list that cannot be read"))?;
                                self.rest = self.rest[index + 1..].trim_start();
                                return Ok(Operand::Literal(value));
                            }
                        }
                    }
                },
            }
        }
        Err(error(format!("a `{close}` is missing in a filter")))
    }
}

/// Where a path inside a filter ends.
fn path_length(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut quote = None;
    for (index, character) in text.char_indices() {
        match quote {
            Some(open) => {
                if character == open {
                    quote = None;
                }
            }
            None => match character {
                '[' => depth += 1,
                ']' if depth > 0 => depth -= 1,
                ']' => return index,
                '\'' | '"' if depth > 0 => quote = Some(character),
                ' ' | '\t' | '\n' | '\r' | '=' | '!' | '<' | '>' | '&' | '|' | ','
                    if depth == 0 =>
                {
                    return index;
                }
                // `length()` belongs to the path, a closing `)` does not.
                ')' if depth == 0 && !text[..index].ends_with('(') => return index,
                _ => {}
            },
        }
    }
    text.len()
}

/// What an operand stands for, for one item.
enum Side<'v, D> {
    Value(D),
    Literal(&'v serde_json::Value),
    Number(f64),
    Pattern(&'v fancy_regex::Regex),
    Missing,
}

fn side<'v, D: Document>(operand: &'v Operand, item: &D, root: &D) -> Side<'v, D> {
    let outcome = match operand {
        Operand::Literal(value) => return Side::Literal(value),
        Operand::Pattern(regex) => return Side::Pattern(regex),
        Operand::Item(path) => reader::find(path, item, root),
        Operand::Root(path) => reader::find(path, root, root),
    };
    let found = match outcome {
        Outcome::One(found) => Some(found),
        Outcome::Many(all) => all.into_iter().next(),
        Outcome::Nothing => None,
    };
    match found {
        Some(Found::Value(value)) => Side::Value(value),
        Some(Found::Number(number)) => Side::Number(number),
        #[expect(clippy::cast_precision_loss, reason = "a length")]
        Some(Found::Count(count)) => Side::Number(count as f64),
        Some(Found::Members(_) | Found::Names(_)) | None => Side::Missing,
    }
}

impl<D: Document> Side<'_, D> {
    fn kind(&self) -> Option<Kind<'_>> {
        match self {
            Self::Value(value) => Some(value.kind()),
            Self::Literal(value) => Some(match value {
                serde_json::Value::Null => Kind::Null,
                serde_json::Value::Bool(value) => Kind::Boolean(*value),
                serde_json::Value::Number(number) => {
                    Kind::Number(number.as_f64().unwrap_or(f64::NAN))
                }
                serde_json::Value::String(text) => Kind::Text(text),
                serde_json::Value::Array(_) => Kind::Array,
                serde_json::Value::Object(_) => Kind::Object,
            }),
            Self::Number(number) => Some(Kind::Number(*number)),
            Self::Pattern(_) | Self::Missing => None,
        }
    }

    /// Runs `test` on each element of an array until one passes.
    fn any_element(&self, mut test: impl FnMut(Kind<'_>) -> bool) -> Option<bool> {
        match self {
            Self::Value(value) if value.kind() == Kind::Array => Some(
                (0..value.length())
                    .filter_map(|index| value.element(index))
                    .any(|element| test(element.kind())),
            ),
            Self::Literal(serde_json::Value::Array(items)) => {
                Some(items.iter().any(|item| test(Document::kind(&item))))
            }
            _ => None,
        }
    }

    fn length(&self) -> Option<usize> {
        match self {
            Self::Value(value) => match value.kind() {
                Kind::Text(text) => Some(text.encode_utf16().count()),
                Kind::Array | Kind::Object => Some(value.length()),
                _ => None,
            },
            _ => None,
        }
    }
}

/// Compares two scalars; `None` if they cannot be compared.
fn order(left: Kind<'_>, right: Kind<'_>) -> Option<Ordering> {
    let nothing = |kind: Kind<'_>| matches!(kind, Kind::Null | Kind::Text("null"));
    match (nothing(left), nothing(right)) {
        (true, true) => return Some(Ordering::Equal),
        (true, false) => return Some(Ordering::Less),
        (false, true) => return Some(Ordering::Greater),
        (false, false) => {}
    }
    match (left, right) {
        (Kind::Number(a), Kind::Number(b)) => a.partial_cmp(&b),
        (Kind::Text(a), Kind::Text(b)) => Some(a.encode_utf16().cmp(b.encode_utf16())),
        (Kind::Text(a), Kind::Number(b)) => a.trim().parse::<f64>().ok()?.partial_cmp(&b),
        (Kind::Number(a), Kind::Text(b)) => a.partial_cmp(&b.trim().parse::<f64>().ok()?),
        (Kind::Boolean(a), Kind::Boolean(b)) => Some(a.cmp(&b)),
        (Kind::Boolean(a), Kind::Text(b)) => Some(a.cmp(&b.eq_ignore_ascii_case("true"))),
        (Kind::Text(a), Kind::Boolean(b)) => Some(a.eq_ignore_ascii_case("true").cmp(&b)),
        _ => None,
    }
}

fn compare<D: Document>(
    left: &Operand,
    comparison: Comparison,
    right: &Operand,
    item: &D,
    root: &D,
) -> bool {
    let left = side(left, item, root);
    let right = side(right, item, root);
    if comparison == Comparison::Matches {
        let ((Side::Pattern(regex), text) | (text, Side::Pattern(regex))) = (&left, &right) else {
            return false;
        };
        let matched = match text.kind() {
            Some(Kind::Text(text)) => regex.is_match(text),
            Some(Kind::Number(number)) => regex.is_match(&number.to_string()),
            Some(Kind::Boolean(value)) => regex.is_match(if value { "true" } else { "false" }),
            _ => return false,
        };
        return matched.unwrap_or(false);
    }
    let (Some(a), Some(b)) = (left.kind(), right.kind()) else {
        return false;
    };
    let ordered = |wanted: fn(Ordering) -> bool| order(a, b).is_some_and(wanted);
    let one_is_null = (a == Kind::Null) != (b == Kind::Null);
    let same = |x: Kind<'_>, y: Kind<'_>| order(x, y) == Some(Ordering::Equal);
    match comparison {
        Comparison::Equal => ordered(Ordering::is_eq),
        Comparison::NotEqual => ordered(Ordering::is_ne),
        Comparison::Less => !one_is_null && ordered(Ordering::is_lt),
        Comparison::LessOrEqual => !one_is_null && ordered(Ordering::is_le),
        Comparison::Greater => !one_is_null && ordered(Ordering::is_gt),
        Comparison::GreaterOrEqual => !one_is_null && ordered(Ordering::is_ge),
        Comparison::Matches => false,
        Comparison::In => right.any_element(|element| same(a, element)) == Some(true),
        Comparison::NotIn => right.any_element(|element| same(a, element)) == Some(false),
        Comparison::Contains => match (a, b) {
            (Kind::Text(text), Kind::Text(part)) => text.contains(part),
            _ => left.any_element(|element| same(element, b)) == Some(true),
        },
        Comparison::AllOf => {
            a == Kind::Array
                && right.any_element(|wanted| {
                    left.any_element(|element| same(element, wanted)) != Some(true)
                }) == Some(false)
        }
        Comparison::SubsetOf => {
            b == Kind::Array
                && left.any_element(|element| {
                    right.any_element(|allowed| same(element, allowed)) != Some(true)
                }) == Some(false)
        }
        Comparison::AnyOf | Comparison::NoneOf => {
            let any = left.any_element(|element| {
                right.any_element(|allowed| same(element, allowed)) == Some(true)
            });
            any == Some(comparison == Comparison::AnyOf)
        }
        Comparison::Size => match (left.length(), b) {
            #[expect(clippy::cast_precision_loss, reason = "a length")]
            (Some(length), Kind::Number(size)) => (length as f64).total_cmp(&size).is_eq(),
            _ => false,
        },
        Comparison::Empty => match (left.length(), b) {
            (Some(length), Kind::Boolean(empty)) => (length == 0) == empty,
            _ => false,
        },
    }
}
