//! Reads a document along a path.
//!
//! A step that finds nothing where a value must be ends the whole reading: a
//! definite path then gives nothing and any other an empty list. Only a
//! wildcard over an array goes on with the next element.

use super::{Document, Function, Kind, Path, Token};

/// What a path leads to.
#[derive(Debug)]
pub enum Outcome<D> {
    /// A definite path led nowhere.
    Nothing,
    /// The value of a definite path.
    One(Found<D>),
    /// The values of any other path.
    Many(Vec<Found<D>>),
}

/// One result.
#[derive(Debug)]
pub enum Found<D> {
    /// A value of the document.
    Value(D),
    /// The named members of an object, from `['a','b']`.
    Members(Vec<(String, D)>),
    /// A result of `min()` and its kin.
    Number(f64),
    /// A result of `length()`.
    Count(u64),
    /// A result of `keys()`.
    Names(Vec<String>),
}

/// How many values one reading visits. Documents come from strangers, and the
/// lists of a template may hold themselves.
const VISIT_LIMIT: usize = 2_000_000;

/// How deep a scan goes.
const DEPTH_LIMIT: usize = 500;

/// Why a reading ended early.
enum End {
    /// Something is missing.
    NotFound,
    /// A step does not fit the value it is applied to, or a limit was met.
    Unfit,
}

struct Reader<'p, D> {
    root: &'p D,
    results: Vec<Found<D>>,
    visits: usize,
    depth: usize,
}

/// Reads `start` along `path`; `$` inside filters is `root`.
pub(super) fn find<D: Document>(path: &Path, start: &D, root: &D) -> Outcome<D> {
    // The common case needs no list of results.
    if path.definite && path.function.is_none() {
        return match walk_definite(&path.tokens, start) {
            Some(found) => Outcome::One(found),
            None => Outcome::Nothing,
        };
    }
    let definite = path.tokens.iter().all(is_definite);
    let mut reader = Reader {
        root,
        results: Vec::new(),
        visits: 0,
        depth: 0,
    };
    if reader.follow(&path.tokens, start).is_err() {
        reader.results.clear();
    }
    let results = reader.results;
    let Some(function) = path.function else {
        return Outcome::Many(results);
    };
    let applied = if definite {
        match results.into_iter().next() {
            Some(Found::Value(value)) => apply_to_value(function, &value),
            _ => None,
        }
    } else {
        apply_to_items(function, results)
    };
    applied.map_or(Outcome::Nothing, Outcome::One)
}

pub(super) fn is_definite(token: &Token) -> bool {
    matches!(
        token,
        Token::Members(_) | Token::Index(_) | Token::FromEnd(_)
    )
}

fn walk_definite<D: Document>(tokens: &[Token], start: &D) -> Option<Found<D>> {
    let mut value = start.clone();
    for (index, token) in tokens.iter().enumerate() {
        value = match token {
            Token::Members(names) => match names.as_slice() {
                [name] => value.member(name)?,
                names => {
                    let leaf = index + 1 == tokens.len();
                    let object = value.kind() == Kind::Object;
                    return (leaf && object).then(|| members(&value, names));
                }
            },
            Token::Index(index) => value.element(usize::try_from(*index).ok()?)?,
            Token::FromEnd(offset) => value.element(from_end(&value, *offset)?)?,
            _ => return None,
        };
    }
    Some(Found::Value(value))
}

fn from_end<D: Document>(value: &D, offset: i64) -> Option<usize> {
    let length = i64::try_from(value.length()).ok()?;
    usize::try_from(length.checked_add(offset)?).ok()
}

fn members<D: Document>(value: &D, names: &[String]) -> Found<D> {
    let mut found: Vec<(String, D)> = Vec::new();
    for name in names {
        if let Some(member) = value.member(name)
            && !found.iter().any(|(existing, _)| existing == name)
        {
            found.push((name.clone(), member));
        }
    }
    Found::Members(found)
}

impl<D: Document> Reader<'_, D> {
    fn visit(&mut self) -> Result<(), End> {
        self.visits += 1;
        if self.visits > VISIT_LIMIT {
            return Err(End::Unfit);
        }
        Ok(())
    }

    fn follow(&mut self, tokens: &[Token], value: &D) -> Result<(), End> {
        self.visit()?;
        let Some((token, rest)) = tokens.split_first() else {
            self.results.push(Found::Value(value.clone()));
            return Ok(());
        };
        let leaf = rest.is_empty();
        match token {
            Token::Members(names) => {
                if value.kind() != Kind::Object {
                    return Err(End::NotFound);
                }
                let [name] = names.as_slice() else {
                    if !leaf {
                        return Err(End::Unfit);
                    }
                    self.results.push(members(value, names));
                    return Ok(());
                };
                match value.member(name) {
                    Some(member) => self.follow(rest, &member),
                    None if leaf => Ok(()),
                    None => Err(End::NotFound),
                }
            }
            Token::Wildcard => self.wildcard(rest, value),
            Token::Scan => self.scan(rest, value),
            Token::Filter(filter) => match value.kind() {
                Kind::Object => {
                    if filter.accepts(value, self.root) {
                        self.follow(rest, value)?;
                    }
                    Ok(())
                }
                Kind::Array => {
                    for index in 0..value.length() {
                        self.visit()?;
                        if let Some(element) = value.element(index)
                            && filter.accepts(&element, self.root)
                        {
                            self.follow(rest, &element)?;
                        }
                    }
                    Ok(())
                }
                _ => Err(End::Unfit),
            },
            _ => self.elements(token, rest, value),
        }
    }

    /// Steps that only an array can take.
    fn elements(&mut self, token: &Token, rest: &[Token], value: &D) -> Result<(), End> {
        match value.kind() {
            Kind::Array => {}
            Kind::Null => return Err(End::NotFound),
            _ => return Err(End::Unfit),
        }
        let length = i64::try_from(value.length()).unwrap_or(i64::MAX);
        match token {
            Token::Index(index) => self.element(*index, rest, value),
            Token::FromEnd(offset) => self.element(length.saturating_add(*offset), rest, value),
            Token::Indexes(indexes) => {
                for index in indexes {
                    self.element(*index, rest, value)?;
                }
                Ok(())
            }
            Token::Slice(from, to) => {
                let (start, end) = match (*from, *to) {
                    (Some(from), None) => {
                        let start = if from < 0 { length + from } else { from };
                        (start.max(0), length)
                    }
                    (None, Some(to)) => (0, if to < 0 { length + to } else { to.min(length) }),
                    (Some(from), Some(to)) => (from, to.min(length)),
                    (None, None) => (0, length),
                };
                if length == 0 {
                    return Ok(());
                }
                for index in start..end {
                    self.element(index, rest, value)?;
                }
                Ok(())
            }
            _ => Err(End::Unfit),
        }
    }

    fn element(&mut self, index: i64, rest: &[Token], value: &D) -> Result<(), End> {
        let element = usize::try_from(index)
            .ok()
            .and_then(|index| value.element(index))
            .ok_or(End::NotFound)?;
        self.follow(rest, &element)
    }

    fn wildcard(&mut self, rest: &[Token], value: &D) -> Result<(), End> {
        match value.kind() {
            Kind::Object => {
                for (_, member) in value.members() {
                    self.follow(rest, &member)?;
                }
            }
            Kind::Array => {
                for index in 0..value.length() {
                    let Some(element) = value.element(index) else {
                        break;
                    };
                    match self.follow(rest, &element) {
                        Ok(()) | Err(End::NotFound) => {}
                        Err(End::Unfit) => return Err(End::Unfit),
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// `..`: the next token on this value and everything below.
    fn scan(&mut self, tokens: &[Token], value: &D) -> Result<(), End> {
        self.visit()?;
        let Some((token, rest)) = tokens.split_first() else {
            return Err(End::Unfit);
        };
        self.depth += 1;
        if self.depth > DEPTH_LIMIT {
            return Err(End::Unfit);
        }
        match value.kind() {
            Kind::Object => {
                let fits = match token {
                    Token::Members(names) => names.iter().all(|name| value.member(name).is_some()),
                    Token::Wildcard => true,
                    Token::Filter(filter) => filter.accepts(value, self.root),
                    _ => false,
                };
                if fits {
                    self.follow(tokens, value)?;
                }
                for (_, member) in value.members() {
                    self.scan(tokens, &member)?;
                }
            }
            Kind::Array => {
                let fits = match token {
                    Token::Wildcard
                    | Token::Index(_)
                    | Token::Indexes(_)
                    | Token::Slice(..)
                    | Token::FromEnd(_) => true,
                    Token::Filter(filter) => filter.accepts(value, self.root),
                    Token::Members(_) | Token::Scan => false,
                };
                if fits && rest.is_empty() {
                    self.follow(tokens, value)?;
                } else if fits {
                    for index in 0..value.length() {
                        if let Some(element) = value.element(index) {
                            self.follow(rest, &element)?;
                        }
                    }
                }
                for index in 0..value.length() {
                    if let Some(element) = value.element(index) {
                        self.scan(tokens, &element)?;
                    }
                }
            }
            _ => {}
        }
        self.depth -= 1;
        Ok(())
    }
}

fn apply_to_value<D: Document>(function: Function, value: &D) -> Option<Found<D>> {
    let count = |length: usize| Some(Found::Count(u64::try_from(length).unwrap_or(u64::MAX)));
    match (function, value.kind()) {
        (Function::Length, Kind::Text(text)) => count(text.encode_utf16().count()),
        (Function::Length, Kind::Array | Kind::Object) => count(value.length()),
        (Function::Keys, Kind::Object) => Some(Found::Names(
            value.members().into_iter().map(|(name, _)| name).collect(),
        )),
        (Function::First, Kind::Array) => value.element(0).map(Found::Value),
        (Function::Last, Kind::Array) => value
            .element(value.length().checked_sub(1)?)
            .map(Found::Value),
        (_, Kind::Array) => {
            let numbers: Vec<f64> = (0..value.length())
                .filter_map(|index| value.element(index))
                .filter_map(|element| match element.kind() {
                    Kind::Number(number) => Some(number),
                    _ => None,
                })
                .collect();
            aggregate(function, &numbers)
        }
        _ => None,
    }
}

fn apply_to_items<D: Document>(function: Function, items: Vec<Found<D>>) -> Option<Found<D>> {
    match function {
        Function::Length => Some(Found::Count(u64::try_from(items.len()).unwrap_or(u64::MAX))),
        Function::First => items.into_iter().next(),
        Function::Last => items.into_iter().next_back(),
        Function::Keys => None,
        _ => {
            let numbers: Vec<f64> = items
                .iter()
                .filter_map(|item| match item {
                    Found::Value(value) => match value.kind() {
                        Kind::Number(number) => Some(number),
                        _ => None,
                    },
                    Found::Number(number) => Some(*number),
                    _ => None,
                })
                .collect();
            aggregate(function, &numbers)
        }
    }
}

fn aggregate<D>(function: Function, numbers: &[f64]) -> Option<Found<D>> {
    if numbers.is_empty() {
        return None;
    }
    #[expect(clippy::cast_precision_loss, reason = "a count of elements")]
    let count = numbers.len() as f64;
    let sum: f64 = numbers.iter().sum();
    let mean = sum / count;
    Some(Found::Number(match function {
        Function::Min => numbers.iter().copied().fold(f64::INFINITY, f64::min),
        Function::Max => numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        Function::Sum => sum,
        Function::Average => mean,
        Function::StandardDeviation => {
            let squares: f64 = numbers.iter().map(|number| (number - mean).powi(2)).sum();
            (squares / count).sqrt()
        }
        Function::Length | Function::Keys | Function::First | Function::Last => return None,
    }))
}
