//! Nodes to typed values, with a finding where the type is wrong.

use indexmap::IndexMap;

use crate::model::Spanned;
use crate::source::{Diagnostic, Diagnostics, Mapping, Node, Severity, Span};

/// The mapping's value of `key`; null counts as absent.
pub(super) fn get<'n>(mapping: &'n Mapping, key: &str) -> Option<&'n Node> {
    mapping
        .get(key)
        .map(|(_, node)| node)
        .filter(|node| !node.is_null())
}

/// The finding for a value of a wrong type.
pub(super) fn wrong_type(node: &Node, what: &str, expected: &str) -> Diagnostic {
    Diagnostic::error(
        "E0201",
        format!("{what} must be {expected}, found {}", node.describe()),
    )
    .at(node.span)
}

/// A mapping.
pub(super) fn mapping<'n>(
    node: &'n Node,
    what: &str,
    findings: &mut Diagnostics,
) -> Option<&'n Mapping> {
    let mapping = node.as_mapping();
    if mapping.is_none() {
        findings.push(wrong_type(node, what, "a mapping"));
    }
    mapping
}

/// A list.
pub(super) fn sequence<'n>(
    node: &'n Node,
    what: &str,
    findings: &mut Diagnostics,
) -> Option<&'n [Node]> {
    let items = node.as_sequence();
    if items.is_none() {
        findings.push(wrong_type(node, what, "a list"));
    }
    items
}

/// A text; numbers and booleans are taken as written.
pub(super) fn text(node: &Node, what: &str, findings: &mut Diagnostics) -> Option<Spanned<String>> {
    match node.as_str() {
        Some(text) => Some(Spanned {
            value: text.to_owned(),
            span: node.span,
        }),
        None => {
            findings.push(wrong_type(node, what, "text"));
            None
        }
    }
}

/// `true` or `false`, in quotes as well, as AWS takes them.
pub(super) fn flag(node: &Node, what: &str, findings: &mut Diagnostics) -> Option<bool> {
    let value = node.as_bool().or_else(|| match node.as_str() {
        Some("true") => Some(true),
        Some("false") => Some(false),
        _ => None,
    });
    if value.is_none() {
        findings.push(wrong_type(node, what, "true or false"));
    }
    value
}

/// A whole number from `least` to `most`, in quotes as well, as AWS takes them.
pub(super) fn integer(
    node: &Node,
    what: &str,
    least: i64,
    most: i64,
    findings: &mut Diagnostics,
) -> Option<i64> {
    let value = node
        .as_i64()
        .or_else(|| node.as_str().and_then(|text| text.parse().ok()));
    let Some(value) = value else {
        findings.push(wrong_type(node, what, "a whole number"));
        return None;
    };
    if !(least..=most).contains(&value) {
        findings.push(
            Diagnostic::error(
                "E0202",
                if most == i64::MAX || most == i64::from(u32::MAX) {
                    format!("{what} is {value}, but must be at least {least}")
                } else {
                    format!("{what} is {value}, but must be from {least} to {most}")
                },
            )
            .at(node.span),
        );
        return None;
    }
    Some(value)
}

/// A number from `least` to `most`.
pub(super) fn number(
    node: &Node,
    what: &str,
    least: f64,
    most: f64,
    findings: &mut Diagnostics,
) -> Option<f64> {
    let Some(value) = node.as_f64().filter(|value| value.is_finite()) else {
        findings.push(wrong_type(node, what, "a number"));
        return None;
    };
    if value < least || value > most {
        let range = if most == f64::MAX {
            format!("at least {least}")
        } else {
            format!("from {least} to {most}")
        };
        findings.push(
            Diagnostic::error("E0202", format!("{what} is {value}, but must be {range}"))
                .at(node.span),
        );
        return None;
    }
    Some(value)
}

/// A list of texts.
pub(super) fn texts(node: &Node, what: &str, findings: &mut Diagnostics) -> Vec<Spanned<String>> {
    sequence(node, what, findings)
        .unwrap_or_default()
        .iter()
        .filter_map(|item| text(item, &format!("an entry of {what}"), findings))
        .collect()
}

/// A mapping of texts.
pub(super) fn text_map(
    node: &Node,
    what: &str,
    findings: &mut Diagnostics,
) -> IndexMap<String, Spanned<String>> {
    let mut map = IndexMap::new();
    for (key, (_, value)) in mapping(node, what, findings).into_iter().flatten() {
        if value.is_null() {
            continue;
        }
        if let Some(value) = text(value, &format!("`{key}` in {what}"), findings) {
            map.insert(key.clone(), value);
        }
    }
    map
}

/// One of `words`, letter case not counted; gives its index.
pub(super) fn word(
    node: &Node,
    what: &str,
    words: &[&str],
    findings: &mut Diagnostics,
) -> Option<usize> {
    let text = text(node, what, findings)?;
    let index = words
        .iter()
        .position(|word| word.eq_ignore_ascii_case(&text.value));
    if index.is_none() {
        findings.push(
            Diagnostic::error(
                "E0203",
                format!("{what} is `{}`, but must be {}", text.value, either(words)),
            )
            .at(text.span)
            .suggest(&text.value, words.iter().copied()),
        );
    }
    index
}

/// Findings for keys that are not in `known`.
pub(super) fn unknown_keys(
    mapping: &Mapping,
    known: &[&str],
    what: &str,
    severity: Severity,
    findings: &mut Diagnostics,
) {
    for (key, (span, _)) in mapping {
        if !known.contains(&key.as_str()) {
            findings.push(unknown_key(key, *span, known, what, severity));
        }
    }
}

/// The finding for a key that is not in `known`.
pub(super) fn unknown_key(
    key: &str,
    span: Span,
    known: &[&str],
    what: &str,
    severity: Severity,
) -> Diagnostic {
    let code = match severity {
        Severity::Error => "E0204",
        Severity::Warning | Severity::Note => "W0204",
    };
    Diagnostic::new(severity, code, format!("{what} has no key `{key}`"))
        .at(span)
        .suggest(key, known.iter().copied())
}

/// `a, b or c`, in code marks.
pub(super) fn either(words: &[&str]) -> String {
    let marked: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match marked.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}
