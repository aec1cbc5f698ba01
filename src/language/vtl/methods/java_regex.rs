//! Java's regular expressions, on the regex engine at hand.
//!
//! A pattern without operators is compared as plain text: most patterns in
//! mapping templates are `\.` or `\\'`. Others are rewritten where the two
//! dialects differ (`\d` is ASCII in Java, `\Q...\E` quotes, `.` leaves out
//! more line ends) and run with a limit on backtracking. Compiled patterns are
//! kept per thread.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::rc::Rc;

use super::super::render::{Failure, Renderer};

/// How many steps one search may go back.
const BACKTRACK_LIMIT: usize = 200_000;

/// How many compiled patterns a thread keeps, and how long they may be.
const CACHE_SIZE: usize = 64;
const PATTERN_LIMIT: usize = 10_000;

enum Pattern {
    Literal(String),
    Regex(fancy_regex::Regex),
}

thread_local! {
    static CACHE: RefCell<HashMap<(String, bool), Rc<Pattern>>> = RefCell::default();
}

fn compile(pattern: &str, whole: bool) -> Result<Rc<Pattern>, Failure> {
    if let Some(literal) = literal(pattern) {
        return Ok(Rc::new(Pattern::Literal(literal)));
    }
    if pattern.len() > PATTERN_LIMIT {
        return Err(Failure::limit("the regular expression is too long"));
    }
    let key = (pattern.to_owned(), whole);
    let cached = CACHE.with_borrow(|cache| cache.get(&key).map(Rc::clone));
    if let Some(cached) = cached {
        return Ok(cached);
    }
    let mut translated = translate(pattern)?;
    if whole {
        translated = format!("\\A(?:{translated})\\z");
    }
    let regex = fancy_regex::RegexBuilder::new(&translated)
        .backtrack_limit(BACKTRACK_LIMIT)
        .build()
        .map_err(|error| Failure::thrown(&format!("bad regular expression: {error}")))?;
    let compiled = Rc::new(Pattern::Regex(regex));
    CACHE.with_borrow_mut(|cache| {
        if cache.len() >= CACHE_SIZE {
            cache.clear();
        }
        cache.insert(key, Rc::clone(&compiled));
    });
    Ok(compiled)
}

/// The text a pattern without operators stands for.
fn literal(pattern: &str) -> Option<String> {
    let mut text = String::with_capacity(pattern.len());
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        match character {
            '.' | '^' | '$' | '|' | '?' | '*' | '+' | '(' | ')' | '[' | '{' => return None,
            '\\' => match characters.next()? {
                escaped if !escaped.is_alphanumeric() => text.push(escaped),
                _ => return None,
            },
            _ => text.push(character),
        }
    }
    Some(text)
}

/// Rewrites a Java pattern.
fn translate(pattern: &str) -> Result<String, Failure> {
    let bad = |what: &str| Failure::thrown(&format!("bad regular expression: {what}"));
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut characters = pattern.chars().peekable();
    let mut class_depth = 0_usize;
    // Whether something that can be repeated precedes.
    let mut repeatable = false;
    let dot_matches_all = pattern.contains("(?s") || pattern.contains("(?is");
    while let Some(character) = characters.next() {
        let mut now_repeatable = true;
        match character {
            '\\' => {
                let Some(escaped) = characters.next() else {
                    return Err(bad("it ends with a backslash"));
                };
                let in_class = class_depth > 0;
                match escaped {
                    'd' => out.push_str(if in_class { "0-9" } else { "[0-9]" }),
                    'D' => out.push_str("[^0-9]"),
                    'w' => out.push_str(if in_class {
                        "a-zA-Z_0-9"
                    } else {
                        "[a-zA-Z_0-9]"
                    }),
                    'W' => out.push_str("[^a-zA-Z_0-9]"),
                    's' => out.push_str(if in_class {
                        " \\t\\n\\x0B\\f\\r"
                    } else {
                        "[ \\t\\n\\x0B\\f\\r]"
                    }),
                    'S' => out.push_str("[^ \\t\\n\\x0B\\f\\r]"),
                    'h' => out.push_str(if in_class {
                        " \\t\u{a0}"
                    } else {
                        "[ \\t\u{a0}]"
                    }),
                    'R' => out.push_str("(?:\\r\\n|[\\n\\x0B\\f\\r\u{85}\u{2028}\u{2029}])"),
                    'Q' => {
                        let rest: String = characters.clone().collect();
                        let quoted = rest.split("\\E").next().unwrap_or_default().to_owned();
                        let skip = quoted.chars().count() + 2;
                        for _ in 0..skip {
                            characters.next();
                        }
                        for quoted in quoted.chars() {
                            push_literal(&mut out, quoted);
                        }
                    }
                    'E' => {}
                    'u' => {
                        let digits: String = characters.by_ref().take(4).collect();
                        let code = u32::from_str_radix(&digits, 16)
                            .map_err(|_| bad("\\u needs four digits"))?;
                        let character = char::from_u32(code).unwrap_or('\u{fffd}');
                        push_literal(&mut out, character);
                    }
                    'x' => {
                        out.push_str("\\x");
                        now_repeatable = true;
                    }
                    'p' | 'P' => {
                        let name: String = if characters.peek() == Some(&'{') {
                            characters.next();
                            let name: String =
                                characters.by_ref().take_while(|c| *c != '}').collect();
                            name
                        } else {
                            characters.next().map(String::from).unwrap_or_default()
                        };
                        push_property(&mut out, &name, escaped == 'P', in_class);
                    }
                    't' | 'n' | 'r' | 'f' | 'a' | 'b' | 'B' | 'A' | 'z' | 'G' | 'k' | 'e' => {
                        out.push('\\');
                        out.push(escaped);
                    }
                    'Z' => out.push_str("(?=\\n?\\z)"),
                    '0' => {
                        let mut code = 0;
                        while let Some(digit) = characters.peek().and_then(|c| c.to_digit(8)) {
                            if code * 8 + digit > 0o377 {
                                break;
                            }
                            code = code * 8 + digit;
                            characters.next();
                        }
                        push_literal(&mut out, char::from_u32(code).unwrap_or('\0'));
                    }
                    '1'..='9' if !in_class => {
                        out.push('\\');
                        out.push(escaped);
                    }
                    other if other.is_ascii_alphanumeric() => {
                        return Err(bad("unknown escape"));
                    }
                    other => push_literal(&mut out, other),
                }
            }
            '[' => {
                class_depth += 1;
                out.push('[');
                if characters.peek() == Some(&'^') {
                    characters.next();
                    out.push('^');
                }
                if characters.peek() == Some(&']') {
                    characters.next();
                    out.push_str("\\]");
                }
            }
            ']' if class_depth > 0 => {
                class_depth -= 1;
                out.push(']');
            }
            ']' => out.push_str("\\]"),
            '&' if class_depth > 0 => {
                if characters.peek() == Some(&'&') {
                    characters.next();
                    out.push_str("&&");
                } else {
                    out.push_str("\\&");
                }
            }
            '~' if class_depth > 0 => out.push_str("\\~"),
            '-' if class_depth > 0 && characters.peek() == Some(&'-') => {
                out.push_str("\\-");
            }
            _ if class_depth > 0 => out.push(character),
            '.' if !dot_matches_all => out.push_str("[^\\n\\r\u{85}\u{2028}\u{2029}]"),
            '{' => {
                if !repeatable || !characters.peek().is_some_and(char::is_ascii_digit) {
                    return Err(bad("illegal repetition"));
                }
                out.push('{');
                let counts: String = characters.by_ref().take_while(|c| *c != '}').collect();
                out.push_str(&counts);
                out.push('}');
            }
            '}' => out.push_str("\\}"),
            '(' | '|' => {
                now_repeatable = false;
                out.push(character);
            }
            '*' | '+' | '?' => {
                // After a `(` it is the start of a group's flags.
                if !repeatable && !out.ends_with('(') {
                    return Err(bad("dangling repetition"));
                }
                out.push(character);
            }
            '^' => {
                now_repeatable = false;
                out.push('^');
            }
            _ => out.push(character),
        }
        repeatable = now_repeatable;
    }
    Ok(out)
}

fn push_literal(out: &mut String, character: char) {
    if character.is_ascii_alphanumeric() || !character.is_ascii() {
        out.push(character);
    } else {
        let _ = write!(out, "\\x{:02X}", u32::from(character));
    }
}

fn push_property(out: &mut String, name: &str, negated: bool, in_class: bool) {
    let posix = match name {
        "Lower" => "a-z",
        "Upper" => "A-Z",
        "ASCII" => "\\x00-\\x7F",
        "Alpha" => "a-zA-Z",
        "Digit" => "0-9",
        "Alnum" => "a-zA-Z0-9",
        "Punct" => "!-/:-@\\[-`{-\\x7E",
        "Graph" => "!-\\x7E",
        "Print" => " -\\x7E",
        "Blank" => " \\t",
        "Cntrl" => "\\x00-\\x1F\\x7F",
        "XDigit" => "0-9a-fA-F",
        "Space" => " \\t\\n\\x0B\\f\\r",
        _ => {
            let name = name.strip_prefix("Is").unwrap_or(name);
            let sign = if negated { 'P' } else { 'p' };
            let _ = write!(out, "\\{sign}{{{name}}}");
            return;
        }
    };
    let _ = if negated {
        write!(out, "[^{posix}]")
    } else if in_class {
        write!(out, "{posix}")
    } else {
        write!(out, "[{posix}]")
    };
}

fn search_failed(error: &fancy_regex::Error) -> Failure {
    Failure::limit(&format!("the regular expression was given up: {error}"))
}

/// `text.matches(pattern)`
pub(super) fn matches(
    renderer: &mut Renderer<'_>,
    text: &str,
    pattern: &str,
) -> Result<bool, Failure> {
    renderer.work(text.len())?;
    match &*compile(pattern, true)? {
        Pattern::Literal(literal) => Ok(text == literal),
        Pattern::Regex(regex) => regex.is_match(text).map_err(|error| search_failed(&error)),
    }
}

/// The next match at or after `from`, if any.
fn find(pattern: &Pattern, text: &str, from: usize) -> Result<Option<(usize, usize)>, Failure> {
    match pattern {
        Pattern::Literal(literal) => Ok(text[from..]
            .find(literal.as_str())
            .map(|at| (from + at, from + at + literal.len()))),
        Pattern::Regex(regex) => Ok(regex
            .find_from_pos(text, from)
            .map_err(|error| search_failed(&error))?
            .map(|found| (found.start(), found.end()))),
    }
}

/// Where the search goes on after a match.
fn after(text: &str, start: usize, end: usize) -> usize {
    if end > start {
        end
    } else {
        end + text[end..].chars().next().map_or(1, char::len_utf8)
    }
}

/// Replaces all matches or the first; `None` if nothing matches.
pub(super) fn replace(
    renderer: &mut Renderer<'_>,
    text: &str,
    pattern: &str,
    by: &str,
    all: bool,
) -> Result<Option<String>, Failure> {
    let compiled = compile(pattern, false)?;
    let plain = !by.contains(['\\', '$']);
    let mut out = String::new();
    let mut copied = 0;
    let mut from = 0;
    let mut any = false;
    while from <= text.len() {
        renderer.work(16)?;
        let (start, end);
        if plain || matches!(*compiled, Pattern::Literal(_)) {
            let Some(found) = find(&compiled, text, from)? else {
                break;
            };
            (start, end) = found;
            out.push_str(&text[copied..start]);
            expand(&mut out, by, 0, |_| Some(&text[start..end]))?;
        } else {
            let Pattern::Regex(regex) = &*compiled else {
                break;
            };
            let Some(captures) = regex
                .captures_from_pos(text, from)
                .map_err(|error| search_failed(&error))?
            else {
                break;
            };
            let Some(found) = captures.get(0) else {
                break;
            };
            (start, end) = (found.start(), found.end());
            out.push_str(&text[copied..start]);
            let named = |name: &str| captures.name(name).map(|group| group.as_str());
            expand_groups(&mut out, by, captures.len() - 1, &named, &|index| {
                captures.get(index).map_or("", |group| group.as_str())
            })?;
        }
        any = true;
        renderer.within_text_limit(out.len())?;
        copied = end;
        from = after(text, start, end);
        if !all {
            break;
        }
    }
    if !any {
        return Ok(None);
    }
    out.push_str(&text[copied..]);
    renderer.charge(out.len())?;
    Ok(Some(out))
}

fn expand<'t>(
    out: &mut String,
    by: &str,
    groups: usize,
    whole: impl Fn(usize) -> Option<&'t str>,
) -> Result<(), Failure> {
    if !by.contains(['\\', '$']) {
        out.push_str(by);
        return Ok(());
    }
    expand_groups(out, by, groups, &|_| None, &|index| {
        whole(index).unwrap_or("")
    })
}

/// Writes a replacement: `$1` and `${name}` are groups, `\` quotes.
fn expand_groups<'t>(
    out: &mut String,
    by: &str,
    groups: usize,
    named: &dyn Fn(&str) -> Option<&'t str>,
    group: &dyn Fn(usize) -> &'t str,
) -> Result<(), Failure> {
    let mut characters = by.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some(quoted) => out.push(quoted),
                None => return Err(Failure::thrown("character to be escaped is missing")),
            },
            '$' => {
                if characters.peek() == Some(&'{') {
                    characters.next();
                    let name: String = characters.by_ref().take_while(|c| *c != '}').collect();
                    match named(&name) {
                        Some(text) => out.push_str(text),
                        None => return Err(Failure::thrown("no such group")),
                    }
                    continue;
                }
                let Some(mut index) = characters
                    .next()
                    .and_then(|c| c.to_digit(10))
                    .and_then(|digit| usize::try_from(digit).ok())
                else {
                    return Err(Failure::thrown("illegal group reference"));
                };
                if index > groups {
                    return Err(Failure::thrown("no such group"));
                }
                while let Some(digit) = characters.peek().and_then(|c| c.to_digit(10)) {
                    let longer = index * 10 + usize::try_from(digit).unwrap_or(0);
                    if longer > groups {
                        break;
                    }
                    index = longer;
                    characters.next();
                }
                out.push_str(group(index));
            }
            _ => out.push(character),
        }
    }
    Ok(())
}

/// The pieces between matches, as byte ranges, by the rules of Java 8 and on.
pub(super) fn split(
    renderer: &mut Renderer<'_>,
    text: &str,
    pattern: &str,
    limit: i32,
) -> Result<Vec<(usize, usize)>, Failure> {
    let compiled = compile(pattern, false)?;
    let limited = usize::try_from(limit).ok().filter(|limit| *limit > 0);
    let mut pieces = Vec::new();
    let mut start = 0;
    let mut from = 0;
    while from <= text.len() && limited.is_none_or(|limit| pieces.len() + 1 < limit) {
        renderer.work(16)?;
        let Some((found, end)) = find(&compiled, text, from)? else {
            break;
        };
        from = after(text, found, end);
        if found == 0 && end == 0 {
            // An empty match at the beginning makes no empty piece.
            continue;
        }
        pieces.push((start, found));
        start = end;
    }
    if pieces.is_empty() && start == 0 {
        return Ok(vec![(0, text.len())]);
    }
    pieces.push((start, text.len()));
    if limit == 0 {
        while pieces.last().is_some_and(|(start, end)| start == end) {
            pieces.pop();
        }
    }
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_of_escaped_signs_is_plain_text() {
        assert_eq!(literal("\\."), Some(".".to_owned()));
        assert_eq!(literal("\\\\'"), Some("\\'".to_owned()));
        assert_eq!(literal("a+"), None);
        assert_eq!(literal("\\d"), None);
    }

    #[test]
    fn dialects_differ_in_classes_and_braces() {
        assert_eq!(translate("\\d{2}[\\w-]").unwrap(), "[0-9]{2}[a-zA-Z_0-9-]");
        assert!(translate("{").is_err());
        assert!(translate("*").is_err());
        assert_eq!(translate("\\Qa.b\\E").unwrap(), "a\\x2Eb");
    }
}
