//! `java.lang.String`.
//!
//! Java counts UTF-16 units, so positions are turned into byte positions here.
//! A cut through the middle of a character outside the basic plane leaves half
//! of it on each side; Java writes such a half as `?`, and so it is kept.

use std::rc::Rc;

use super::super::render::{Failure, Renderer};
use super::super::value::{List, ListKind, Text, Value};
use super::{Name, Outcome, int_argument, java_format, java_regex, no_match};

/// Methods that take no parameters in every form they have.
const WITHOUT_PARAMETERS: &[Name] = &[
    Name::Length,
    Name::IsEmpty,
    Name::Trim,
    Name::Intern,
    Name::GetBytes,
    Name::ToCharArray,
    Name::ToLowerCase,
    Name::ToUpperCase,
    Name::Strip,
    Name::StripLeading,
    Name::StripTrailing,
    Name::IsBlank,
];

/// Methods that accept a null for a text, and then throw.
const TAKES_TEXT: &[Name] = &[
    Name::CompareTo,
    Name::CompareToIgnoreCase,
    Name::Concat,
    Name::Contains,
    Name::ContentEquals,
    Name::EndsWith,
    Name::IndexOf,
    Name::LastIndexOf,
    Name::Matches,
    Name::Replace,
    Name::ReplaceAll,
    Name::ReplaceFirst,
    Name::Split,
    Name::StartsWith,
];

pub(super) fn call<'a>(
    renderer: &mut Renderer<'a>,
    receiver: &Text<'a>,
    name: Name,
    arguments: &[Value<'a>],
) -> Outcome<'a> {
    let text = receiver.as_str();
    if arguments.iter().any(Value::is_null) && TAKES_TEXT.contains(&name) {
        return Err(Failure::thrown("a text is null"));
    }
    match arguments {
        [] => without_arguments(renderer, receiver, name),
        [only] => one_argument(renderer, receiver, name, only),
        _ => match (name, arguments) {
            (Name::Substring | Name::SubSequence, [from, to]) => {
                match (int_argument(from), int_argument(to)) {
                    (Some(from), Some(to)) => substring(renderer, receiver, from, Some(to)),
                    _ => Ok(Value::Null),
                }
            }
            (Name::Replace, [from, to]) => match (from, to) {
                (Value::Text(from), Value::Text(to)) => {
                    replace(renderer, receiver, from.as_str(), to.as_str())
                }
                (Value::Character(from), Value::Character(to)) => {
                    let one = |unit: &u16| String::from_utf16_lossy(&[*unit]);
                    replace(renderer, receiver, &one(from), &one(to))
                }
                _ => Ok(Value::Null),
            },
            (Name::ReplaceAll | Name::ReplaceFirst, [Value::Text(pattern), Value::Text(by)]) => {
                let all = name == Name::ReplaceAll;
                let replaced =
                    java_regex::replace(renderer, text, pattern.as_str(), by.as_str(), all)?;
                Ok(replaced.map_or_else(|| Value::Text(receiver.clone()), Value::from))
            }
            (Name::Split, [Value::Text(pattern), limit]) => match int_argument(limit) {
                Some(limit) => split(renderer, receiver, pattern.as_str(), limit),
                None => Ok(Value::Null),
            },
            (Name::IndexOf, [wanted, from]) => match int_argument(from) {
                Some(from) => find(text, wanted, from),
                None => Ok(Value::Null),
            },
            (Name::LastIndexOf, [wanted, from]) => match int_argument(from) {
                Some(from) => find_last(text, wanted, from),
                None => Ok(Value::Null),
            },
            (Name::StartsWith, [Value::Text(prefix), from]) => match int_argument(from) {
                Some(from) => {
                    Ok(Value::Boolean(byte_of(text, from).is_some_and(|at| {
                        text[at.byte..].starts_with(prefix.as_str())
                    })))
                }
                None => Ok(Value::Null),
            },
            (Name::CodePointCount, [from, to]) => match (int_argument(from), int_argument(to)) {
                (Some(from), Some(to)) => {
                    let (Some(start), Some(end)) = (byte_of(text, from), byte_of(text, to)) else {
                        return Err(out_of_bounds());
                    };
                    if from > to {
                        return Err(out_of_bounds());
                    }
                    let halves = usize::from(start.half) + usize::from(end.half);
                    let whole = text.get(start.byte..end.byte).unwrap_or("").chars().count();
                    Ok(Value::size(whole + halves))
                }
                _ => Ok(Value::Null),
            },
            (Name::RegionMatches, [start, Value::Text(other), from, length]) => {
                region_matches(text, false, start, other.as_str(), from, length)
            }
            (
                Name::RegionMatches,
                [
                    Value::Boolean(ignore),
                    start,
                    Value::Text(other),
                    from,
                    length,
                ],
            ) => region_matches(text, *ignore, start, other.as_str(), from, length),
            (Name::Format, [Value::Text(pattern), rest @ ..]) => {
                java_format::format(renderer, pattern.as_str(), rest).map(Value::from)
            }
            (Name::Formatted, rest) => java_format::format(renderer, text, rest).map(Value::from),
            (Name::Join, [Value::Text(separator), rest @ ..]) => {
                join(renderer, separator.as_str(), rest)
            }
            _ => no_match(name, arguments, WITHOUT_PARAMETERS),
        },
    }
}

fn without_arguments<'a>(
    renderer: &mut Renderer<'a>,
    receiver: &Text<'a>,
    name: Name,
) -> Outcome<'a> {
    let text = receiver.as_str();
    let same_or = |changed: &str| {
        if changed.len() == text.len() {
            Value::Text(receiver.clone())
        } else {
            part(receiver, changed)
        }
    };
    Ok(match name {
        Name::Length => Value::size(length(text)),
        Name::IsEmpty => Value::Boolean(text.is_empty()),
        Name::Trim => same_or(text.trim_matches(|c: char| c <= ' ')),
        Name::Strip => same_or(text.trim_matches(is_java_space)),
        Name::StripLeading => same_or(text.trim_start_matches(is_java_space)),
        Name::StripTrailing => same_or(text.trim_end_matches(is_java_space)),
        Name::IsBlank => Value::Boolean(text.chars().all(is_java_space)),
        Name::Intern => Value::Text(receiver.clone()),
        Name::ToLowerCase => renderer.made(text.to_lowercase())?,
        Name::ToUpperCase => renderer.made(text.to_uppercase())?,
        Name::GetBytes => {
            renderer.charge(text.len() * 24)?;
            #[expect(clippy::cast_possible_wrap, reason = "Java's bytes are signed")]
            let bytes = text
                .bytes()
                .map(|byte| Value::Number(super::super::number::Number::Byte(byte as i8)));
            Value::List(List::new(ListKind::Array, bytes.collect()))
        }
        Name::ToCharArray => {
            renderer.charge(text.len() * 24)?;
            let units = text.encode_utf16().map(Value::Character).collect();
            Value::List(List::new(ListKind::Array, units))
        }
        Name::Formatted => Value::from(java_format::format(renderer, text, &[])?),
        // Their parameter is an array, which may be left out.
        Name::ValueOf | Name::CopyValueOf => Value::text(""),
        _ => Value::Null,
    })
}

fn one_argument<'a>(
    renderer: &mut Renderer<'a>,
    receiver: &Text<'a>,
    name: Name,
    argument: &Value<'a>,
) -> Outcome<'a> {
    let text = receiver.as_str();
    let other = argument.as_text();
    Ok(match (name, other) {
        (Name::Contains, Some(other)) => Value::Boolean(text.contains(other)),
        (Name::StartsWith, Some(other)) => Value::Boolean(text.starts_with(other)),
        (Name::EndsWith, Some(other)) => Value::Boolean(text.ends_with(other)),
        (Name::ContentEquals, Some(other)) => Value::Boolean(text == other),
        (Name::EqualsIgnoreCase, Some(other)) => {
            Value::Boolean(compare_ignoring_case(text, other) == 0)
        }
        (Name::EqualsIgnoreCase, None) if argument.is_null() => Value::Boolean(false),
        (Name::CompareTo, Some(other)) => Value::int(compare(text, other)),
        (Name::CompareTo, None) => return Err(Failure::thrown("not a string to compare with")),
        (Name::CompareToIgnoreCase, Some(other)) => Value::int(compare_ignoring_case(text, other)),
        (Name::Concat, Some(other)) => {
            if other.is_empty() {
                return Ok(Value::Text(receiver.clone()));
            }
            renderer.charge(text.len() + other.len())?;
            let mut joined = String::with_capacity(text.len() + other.len());
            joined.push_str(text);
            joined.push_str(other);
            Value::from(joined)
        }
        (Name::Matches, Some(pattern)) => {
            Value::Boolean(java_regex::matches(renderer, text, pattern)?)
        }
        (Name::Split, Some(pattern)) => split(renderer, receiver, pattern, 0)?,
        (Name::IndexOf, _) => find(text, argument, 0)?,
        (Name::LastIndexOf, _) => find_last(text, argument, i32::MAX)?,
        (Name::Substring | Name::SubSequence, None) if name == Name::Substring => {
            match int_argument(argument) {
                Some(from) => substring(renderer, receiver, from, None)?,
                None => Value::Null,
            }
        }
        (Name::CharAt | Name::CodePointAt, None) => match int_argument(argument) {
            Some(index) => char_at(text, index, name == Name::CodePointAt)?,
            None => Value::Null,
        },
        (Name::Repeat, None) => match int_argument(argument) {
            Some(count) => {
                let count =
                    usize::try_from(count).map_err(|_| Failure::thrown("count is negative"))?;
                renderer.charge(text.len().saturating_mul(count))?;
                Value::from(text.repeat(count))
            }
            None => Value::Null,
        },
        (Name::ValueOf | Name::CopyValueOf, _) => {
            if let Value::List(list) = argument
                && list.kind == ListKind::Array
            {
                let units: Vec<u16> = list
                    .items
                    .borrow()
                    .iter()
                    .filter_map(|item| match item {
                        Value::Character(unit) => Some(*unit),
                        _ => None,
                    })
                    .collect();
                return Ok(Value::from(String::from_utf16_lossy(&units)));
            }
            if name == Name::CopyValueOf {
                return Ok(Value::Null);
            }
            Value::Text(renderer.text_of(argument)?)
        }
        (Name::Format, Some(pattern)) => Value::from(java_format::format(renderer, pattern, &[])?),
        (Name::Formatted, _) => Value::from(java_format::format(
            renderer,
            text,
            std::slice::from_ref(argument),
        )?),
        (Name::Join, Some(_)) => Value::text(""),
        (Name::GetBytes, Some(charset)) => {
            if !matches!(
                charset.to_ascii_uppercase().as_str(),
                "UTF-8" | "UTF8" | "US-ASCII" | "ASCII" | "ISO-8859-1"
            ) {
                return Err(Failure::thrown("unknown character set"));
            }
            return without_arguments(renderer, receiver, name);
        }
        _ => return no_match(name, std::slice::from_ref(argument), WITHOUT_PARAMETERS),
    })
}

/// A byte position that a UTF-16 position stands for.
#[derive(Debug, Clone, Copy)]
struct Position {
    byte: usize,
    /// The position is in the middle of the character at `byte`.
    half: bool,
}

/// Length in UTF-16 units.
pub(super) fn length(text: &str) -> usize {
    if text.is_ascii() {
        text.len()
    } else {
        text.encode_utf16().count()
    }
}

/// Where UTF-16 position `index` is; `None` if it is outside the text.
fn byte_of(text: &str, index: i32) -> Option<Position> {
    let index = usize::try_from(index).ok()?;
    if text.is_ascii() {
        return (index <= text.len()).then_some(Position {
            byte: index,
            half: false,
        });
    }
    let mut units = 0;
    for (byte, character) in text.char_indices() {
        if units == index {
            return Some(Position { byte, half: false });
        }
        units += character.len_utf16();
        if units > index {
            return Some(Position { byte, half: true });
        }
    }
    (units == index).then_some(Position {
        byte: text.len(),
        half: false,
    })
}

/// The UTF-16 position of a byte position.
fn unit_of(text: &str, byte: usize) -> usize {
    length(&text[..byte])
}

fn out_of_bounds() -> Failure {
    Failure::thrown("string index out of range")
}

/// A piece of a text, borrowed if the text is.
fn part<'a>(whole: &Text<'a>, piece: &str) -> Value<'a> {
    if let Text::Borrowed(text) = whole {
        let start = piece.as_ptr() as usize - text.as_ptr() as usize;
        if let Some(piece) = text.get(start..start + piece.len()) {
            return Value::text(piece);
        }
    }
    Value::owned(piece)
}

fn substring<'a>(
    renderer: &mut Renderer<'a>,
    receiver: &Text<'a>,
    from: i32,
    to: Option<i32>,
) -> Outcome<'a> {
    let text = receiver.as_str();
    let start = byte_of(text, from).ok_or_else(out_of_bounds)?;
    let end = match to {
        Some(to) if to < from => return Err(out_of_bounds()),
        Some(to) => byte_of(text, to).ok_or_else(out_of_bounds)?,
        None => Position {
            byte: text.len(),
            half: false,
        },
    };
    if !start.half && !end.half {
        return Ok(part(receiver, &text[start.byte..end.byte]));
    }
    if start.byte == end.byte {
        // Half a character or nothing.
        return Ok(Value::text(if start.half == end.half { "" } else { "?" }));
    }
    renderer.charge(text.len())?;
    let mut cut = String::new();
    let mut rest = start.byte;
    if start.half {
        cut.push('?');
        rest += text[rest..].chars().next().map_or(0, char::len_utf8);
    }
    cut.push_str(text.get(rest..end.byte).unwrap_or(""));
    if end.half {
        cut.push('?');
    }
    Ok(Value::from(cut))
}

fn char_at<'a>(text: &str, index: i32, code_point: bool) -> Outcome<'a> {
    let at = byte_of(text, index).ok_or_else(out_of_bounds)?;
    let character = text[at.byte..].chars().next().ok_or_else(out_of_bounds)?;
    let mut units = [0; 2];
    let units = character.encode_utf16(&mut units);
    let unit = units[usize::from(at.half)];
    if !code_point {
        return Ok(Value::Character(unit));
    }
    Ok(Value::long(if at.half {
        i64::from(unit)
    } else {
        i64::from(u32::from(character))
    }))
}

/// What `indexOf` looks for: a string, or the number of a character.
fn wanted_text(wanted: &Value<'_>) -> Option<String> {
    match wanted {
        Value::Text(text) => Some(text.as_str().to_owned()),
        _ => int_argument(wanted)
            .map(|code| u32::try_from(code).ok().and_then(char::from_u32))
            .map(|found| found.map_or_else(|| "\u{fffe}".to_owned(), String::from)),
    }
}

fn find<'a>(text: &str, wanted: &Value<'_>, from: i32) -> Outcome<'a> {
    let Some(wanted) = wanted_text(wanted) else {
        return Ok(Value::Null);
    };
    let Some(start) = byte_of(text, from.max(0)) else {
        let found = if wanted.is_empty() {
            Value::size(length(text))
        } else {
            Value::int(-1)
        };
        return Ok(found);
    };
    let start = start.byte
        + if start.half {
            text[start.byte..].chars().next().map_or(0, char::len_utf8)
        } else {
            0
        };
    Ok(match text[start..].find(&wanted) {
        Some(found) => Value::size(unit_of(text, start + found)),
        None => Value::int(-1),
    })
}

fn find_last<'a>(text: &str, wanted: &Value<'_>, from: i32) -> Outcome<'a> {
    let Some(wanted) = wanted_text(wanted) else {
        return Ok(Value::Null);
    };
    if from < 0 {
        return Ok(Value::int(-1));
    }
    let last_start = byte_of(text, from).map_or(text.len(), |position| position.byte);
    let mut end = (last_start + wanted.len()).min(text.len());
    while !text.is_char_boundary(end) {
        end += 1;
    }
    Ok(match text[..end].rfind(&wanted) {
        Some(found) if found <= last_start => Value::size(unit_of(text, found)),
        _ => Value::int(-1),
    })
}

/// Java's `compareTo`: the difference of the first units that differ, else of
/// the lengths.
fn compare(a: &str, b: &str) -> i32 {
    let (mut left, mut right) = (a.encode_utf16(), b.encode_utf16());
    loop {
        match (left.next(), right.next()) {
            (Some(x), Some(y)) if x == y => {}
            (Some(x), Some(y)) => return i32::from(x) - i32::from(y),
            _ => {
                let difference =
                    i64::try_from(length(a)).unwrap_or(0) - i64::try_from(length(b)).unwrap_or(0);
                return i32::try_from(difference).unwrap_or(0);
            }
        }
    }
}

fn compare_ignoring_case(a: &str, b: &str) -> i32 {
    let fold = |text: &str| -> String {
        text.chars()
            .map(|c| {
                let upper = single(c, c.to_uppercase());
                single(upper, upper.to_lowercase())
            })
            .collect()
    };
    compare(&fold(a), &fold(b))
}

/// A character's other case, if that is one character.
pub(super) fn single(character: char, mut mapped: impl Iterator<Item = char>) -> char {
    match (mapped.next(), mapped.next()) {
        (Some(one), None) => one,
        _ => character,
    }
}

/// Java's `Character.isWhitespace`: no non-breaking blanks.
pub(super) fn is_java_space(character: char) -> bool {
    (character.is_whitespace()
        && !matches!(character, '\u{a0}' | '\u{2007}' | '\u{202f}' | '\u{85}'))
        || ('\u{1c}'..='\u{1f}').contains(&character)
}

fn replace<'a>(
    renderer: &mut Renderer<'a>,
    receiver: &Text<'a>,
    from: &str,
    to: &str,
) -> Outcome<'a> {
    let text = receiver.as_str();
    if !text.contains(from) {
        return Ok(Value::Text(receiver.clone()));
    }
    let count = text.matches(from).count();
    let grown = count.saturating_mul(to.len().saturating_sub(from.len()));
    renderer.charge(text.len().saturating_add(grown))?;
    Ok(Value::from(text.replace(from, to)))
}

fn split<'a>(
    renderer: &mut Renderer<'a>,
    receiver: &Text<'a>,
    pattern: &str,
    limit: i32,
) -> Outcome<'a> {
    let text = receiver.as_str();
    let pieces = java_regex::split(renderer, text, pattern, limit)?;
    renderer.charge(pieces.len() * 40)?;
    let items = pieces
        .into_iter()
        .map(|(start, end)| part(receiver, &text[start..end]))
        .collect();
    Ok(Value::List(List::new(ListKind::Array, items)))
}

fn join<'a>(renderer: &mut Renderer<'a>, separator: &str, parts: &[Value<'a>]) -> Outcome<'a> {
    let list = match parts {
        [Value::List(list)] => Rc::clone(list),
        _ => List::new(ListKind::Plain, parts.to_vec()),
    };
    let items = list.items.borrow().clone();
    let mut joined = String::new();
    for (index, item) in items.iter().enumerate() {
        let Some(text) = item.as_text() else {
            return Ok(Value::Null);
        };
        renderer.charge(separator.len() + text.len())?;
        if index > 0 {
            joined.push_str(separator);
        }
        joined.push_str(text);
    }
    Ok(Value::from(joined))
}

fn region_matches<'a>(
    text: &str,
    ignore_case: bool,
    start: &Value<'_>,
    other: &str,
    from: &Value<'_>,
    length: &Value<'_>,
) -> Outcome<'a> {
    let (Some(start), Some(from), Some(length)) = (
        int_argument(start),
        int_argument(from),
        int_argument(length),
    ) else {
        return Ok(Value::Null);
    };
    let region = |text: &str, from: i32| -> Option<Vec<u16>> {
        let from = usize::try_from(from).ok()?;
        let length = usize::try_from(length.max(0)).ok()?;
        let units: Vec<u16> = text.encode_utf16().skip(from).take(length).collect();
        (units.len() == length).then_some(units)
    };
    let matched = match (region(text, start), region(other, from)) {
        (Some(a), Some(b)) if ignore_case => {
            let (a, b) = (String::from_utf16_lossy(&a), String::from_utf16_lossy(&b));
            compare_ignoring_case(&a, &b) == 0
        }
        (Some(a), Some(b)) => a == b,
        _ => false,
    };
    Ok(Value::Boolean(matched))
}
