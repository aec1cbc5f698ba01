//! The text of a path read into steps.

use super::filter::Filter;
use super::reader::is_definite;
use super::{Function, Path, PathError, Token};

/// The longest path, in bytes, and how deep filters may hold paths with
/// filters.
const LENGTH_LIMIT: usize = 10_000;
const DEPTH_LIMIT: usize = 16;

pub(super) fn error(message: impl Into<String>) -> PathError {
    PathError {
        message: message.into(),
    }
}

/// Compiles a path that stands `depth` filters deep.
pub(super) fn compile(text: &str, depth: usize) -> Result<Path, PathError> {
    if depth > DEPTH_LIMIT || text.len() > LENGTH_LIMIT {
        return Err(error("the path is too long or nested too deeply"));
    }
    let text = text.trim();
    let first = text
        .chars()
        .next()
        .ok_or_else(|| error("a path cannot be empty"))?;
    if text.ends_with("..") {
        return Err(error("a path cannot end with `..`"));
    }
    // Without the root it is a path from the root.
    let rest = if matches!(first, '$' | '@') {
        let rest = &text[1..];
        if !rest.is_empty() && !rest.starts_with(['.', '[']) {
            return Err(error(format!("`.` or `[` must follow `{first}`")));
        }
        rest.to_owned()
    } else {
        format!(".{text}")
    };
    let mut tokens = Vec::new();
    let mut function = None;
    let mut at = 0;
    while at < rest.len() {
        if function.is_some() {
            return Err(error("a function must be the last step"));
        }
        let step = &rest[at..];
        if step.starts_with('[') {
            let length = bracket_length(step)?;
            tokens.push(bracket(&step[1..length - 1], depth)?);
            at += length;
        } else if let Some(after) = step.strip_prefix("..") {
            if after.starts_with('.') || matches!(tokens.last(), Some(Token::Scan)) {
                return Err(error("`..` twice"));
            }
            tokens.push(Token::Scan);
            at += 2;
            if !after.starts_with('[') {
                at += name_step(after, &mut tokens, &mut function)?;
            }
        } else if let Some(after) = step.strip_prefix('.') {
            at += 1;
            if after.starts_with('[') {
                continue;
            }
            at += name_step(after, &mut tokens, &mut function)?;
        } else if step.starts_with(' ') {
            return Err(error("blanks are not allowed between steps"));
        } else {
            at += name_step(step, &mut tokens, &mut function)?;
        }
    }
    let definite = function.is_some() || tokens.iter().all(is_definite);
    Ok(Path {
        tokens,
        function,
        definite,
    })
}

/// Reads a name, a `*` or a function; gives its length.
fn name_step(
    text: &str,
    tokens: &mut Vec<Token>,
    function: &mut Option<Function>,
) -> Result<usize, PathError> {
    let length = text.find(['.', '[', ' ']).unwrap_or(text.len());
    let name = &text[..length];
    if name.is_empty() {
        return Err(error("a name is missing"));
    }
    if name == "*" {
        tokens.push(Token::Wildcard);
    } else if let Some(called) = name.strip_suffix("()") {
        *function = Some(match called {
            "length" | "size" => Function::Length,
            "min" => Function::Min,
            "max" => Function::Max,
            "avg" => Function::Average,
            "sum" => Function::Sum,
            "stddev" => Function::StandardDeviation,
            "keys" => Function::Keys,
            "first" => Function::First,
            "last" => Function::Last,
            _ => return Err(error(format!("no function `{called}()`"))),
        });
    } else {
        tokens.push(Token::Members(vec![name.to_owned()]));
    }
    Ok(length)
}

/// The length of a text in brackets, brackets included.
fn bracket_length(text: &str) -> Result<usize, PathError> {
    let mut depth = 0_usize;
    let mut quote = None;
    let mut escaped = false;
    for (index, character) in text.char_indices() {
        if let Some(open) = quote {
            if escaped {
                escaped = false;
            } else if character == '\\' {
                escaped = true;
            } else if character == open {
                quote = None;
            }
            continue;
        }
        match character {
            '\'' | '"' => quote = Some(character),
            '[' => depth += 1,
            ']' => {
                depth -= 1;
                if depth == 0 {
                    return Ok(index + 1);
                }
            }
            _ => {}
        }
    }
    Err(error("a `]` is missing"))
}

/// What stands in brackets.
fn bracket(inner: &str, depth: usize) -> Result<Token, PathError> {
    let inner = inner.trim();
    if inner == "*" {
        return Ok(Token::Wildcard);
    }
    if let Some(filter) = inner.strip_prefix('?') {
        let filter = filter.trim();
        let condition = filter
            .strip_prefix('(')
            .and_then(|filter| filter.strip_suffix(')'))
            .ok_or_else(|| error("a filter is written [?(...)]"))?;
        return Ok(Token::Filter(Filter::compile(condition, depth + 1)?));
    }
    if inner.starts_with(['\'', '"']) {
        return Ok(Token::Members(quoted_names(inner)?));
    }
    if let Some(expression) = inner.strip_prefix('(').and_then(|e| e.strip_suffix(')')) {
        return from_end(expression.trim());
    }
    if inner.starts_with('@') {
        return from_end(inner);
    }
    let number = |text: &str| -> Result<i64, PathError> {
        text.trim()
            .parse::<i32>()
            .map(i64::from)
            .map_err(|_| error(format!("`{}` is no index", text.trim())))
    };
    if let Some((from, to)) = inner.split_once(':') {
        let bound = |text: &str| match text.trim() {
            "" => Ok(None),
            text => number(text).map(Some),
        };
        let (from, to) = (bound(from)?, bound(to)?);
        if from.is_none() && to.is_none() {
            return Err(error("a slice needs a bound"));
        }
        return Ok(Token::Slice(from, to));
    }
    let indexes = inner
        .split(',')
        .map(number)
        .collect::<Result<Vec<i64>, PathError>>()?;
    Ok(match indexes.as_slice() {
        [only] => Token::Index(*only),
        _ => Token::Indexes(indexes),
    })
}

/// `@.length-1`
fn from_end(text: &str) -> Result<Token, PathError> {
    let rest = text
        .strip_prefix("@.length")
        .or_else(|| text.strip_prefix("@.size"))
        .map(|rest| rest.strip_prefix("()").unwrap_or(rest))
        .ok_or_else(|| error("only @.length and @.size() can stand in [( )]"))?;
    let offset: String = rest.chars().filter(|c| !c.is_whitespace()).collect();
    if !offset.starts_with('-') {
        return Err(error("`-` and a number must follow @.length"));
    }
    offset
        .parse::<i32>()
        .map(|offset| Token::FromEnd(i64::from(offset)))
        .map_err(|_| error("a number must follow @.length"))
}

fn quoted_names(inner: &str) -> Result<Vec<String>, PathError> {
    let mut names = Vec::new();
    let mut rest = inner;
    loop {
        let (name, after) = quoted(rest)?;
        names.push(name);
        let after = after.trim_start();
        if after.is_empty() {
            return Ok(names);
        }
        rest = after
            .strip_prefix(',')
            .ok_or_else(|| error("`,` must stand between names"))?
            .trim_start();
    }
}

/// A text in quotes at the beginning of `text`, and what follows it.
pub(super) fn quoted(text: &str) -> Result<(String, &str), PathError> {
    let mut characters = text.char_indices();
    let Some((_, quote @ ('\'' | '"'))) = characters.next() else {
        return Err(error("a quote is missing"));
    };
    let mut name = String::new();
    let mut escaped = false;
    for (index, character) in characters {
        if escaped {
            if character != quote && character != '\\' {
                name.push('\\');
            }
            name.push(character);
            escaped = false;
        } else if character == '\\' {
            escaped = true;
        } else if character == quote {
            return Ok((name, &text[index + quote.len_utf8()..]));
        } else {
            name.push(character);
        }
    }
    Err(error("a closing quote is missing"))
}
