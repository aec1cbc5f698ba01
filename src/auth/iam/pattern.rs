//! Text with `*`, `?` and `${variables}`, as policies write it.
//!
//! Source: IAM user guide, "IAM JSON policy elements: Resource" and "IAM policy
//! elements: Variables and tags". `*` matches any run of characters, slashes and
//! colons too; `?` exactly one.

use std::borrow::Cow;

/// Gives the value of a policy variable; `None` where the request has none.
pub type Variables<'v> = &'v dyn Fn(&str) -> Option<Cow<'v, str>>;

/// A pattern, read once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Character(char),
    /// `?`
    One,
    /// `*`
    Many,
    /// `${aws:username}`
    Variable(String),
}

impl Pattern {
    /// Reads a pattern. With `variables`, `${KEY}` stands for a value of the
    /// request and `${*}`, `${?}`, `${$}` for the character itself.
    pub fn wildcard(text: &str, variables: bool) -> Self {
        Self::read(text, variables, true)
    }

    /// Reads text in which `*` and `?` mean themselves.
    pub fn exact(text: &str, variables: bool) -> Self {
        Self::read(text, variables, false)
    }

    fn read(text: &str, variables: bool, wildcards: bool) -> Self {
        let mut parts = Vec::with_capacity(text.len());
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let variable = rest
                .strip_prefix("${")
                .filter(|_| variables)
                .and_then(|inner| inner.split_once('}'));
            if let Some((name, after)) = variable {
                parts.push(match name {
                    "*" => Part::Character('*'),
                    "?" => Part::Character('?'),
                    "$" => Part::Character('$'),
                    name => Part::Variable(name.trim().to_ascii_lowercase()),
                });
                rest = after;
                continue;
            }
            match first {
                '*' if wildcards => {
                    // Several in a row match what one does.
                    if parts.last() != Some(&Part::Many) {
                        parts.push(Part::Many);
                    }
                }
                '?' if wildcards => parts.push(Part::One),
                other => parts.push(Part::Character(other)),
            }
            rest = &rest[first.len_utf8()..];
        }
        Self { parts }
    }

    /// Whether the whole of `text` matches. A variable without value matches nothing.
    pub fn matches(&self, text: &str, variables: Variables<'_>) -> bool {
        let filled = self.filled(variables);
        filled.is_some_and(|parts| matches(&parts, text))
    }

    fn filled(&self, variables: Variables<'_>) -> Option<Cow<'_, [Part]>> {
        if !self
            .parts
            .iter()
            .any(|part| matches!(part, Part::Variable(_)))
        {
            return Some(Cow::Borrowed(&self.parts));
        }
        let mut parts = Vec::with_capacity(self.parts.len() + 32);
        for part in &self.parts {
            match part {
                // What a variable brings in are characters, never wildcards.
                Part::Variable(name) => {
                    parts.extend(variables(name)?.chars().map(Part::Character));
                }
                other => parts.push(other.clone()),
            }
        }
        Some(Cow::Owned(parts))
    }
}

/// In time that grows with the product of both lengths at worst: only the last
/// `*` is tried again.
fn matches(parts: &[Part], text: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    let (mut part, mut at) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while at < text.len() {
        match parts.get(part) {
            Some(Part::Many) => {
                star = Some((part, at));
                part += 1;
                continue;
            }
            Some(Part::One) => {
                part += 1;
                at += 1;
                continue;
            }
            Some(Part::Character(character)) if *character == text[at] => {
                part += 1;
                at += 1;
                continue;
            }
            _ => {}
        }
        let Some((star_part, star_at)) = star else {
            return false;
        };
        star = Some((star_part, star_at + 1));
        part = star_part + 1;
        at = star_at + 1;
    }
    parts[part..].iter().all(|part| *part == Part::Many)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fits(pattern: &str, text: &str) -> bool {
        Pattern::wildcard(pattern, true).matches(text, &|name| match name {
            "aws:username" => Some("al*ce".into()),
            _ => None,
        })
    }

    #[test]
    fn stars_cross_slashes_and_colons_and_a_question_mark_is_one_character() {
        assert!(fits("*", ""));
        assert!(fits("arn:*/GET/a/*", "arn:aws:x:y:z/dev/GET/a/b/c"));
        assert!(fits("a?c", "aéc"));
        assert!(!fits("a?c", "ac"));
        assert!(!fits("a", "A"));
        assert!(fits("*a*b*", "xxaxxbxx"));
        assert!(!fits("*a*b", "xxaxxbx"));
        assert!(fits("**", "anything"));
    }

    #[test]
    fn variables_bring_in_characters_and_no_wildcards() {
        assert!(fits("x/${aws:username}", "x/al*ce"));
        assert!(!fits("x/${aws:username}", "x/alice"));
        assert!(!fits("x/${aws:nothing}", "x/"));
        assert!(!fits("${aws:nothing}*", "x"));
        assert!(fits("${*}${?}${$}", "*?$"));
        assert!(!fits("${*}", "a"));
    }

    #[test]
    fn a_pattern_made_to_be_slow_is_not() {
        let pattern = "*a".repeat(250) + "b";
        let text = "a".repeat(1600);

        assert!(!fits(&pattern, &text));
    }

    /// The rule, word for word.
    fn naive(pattern: &[char], text: &[char]) -> bool {
        match (pattern.first(), text.first()) {
            (None, None) => true,
            (Some('*'), _) => {
                naive(&pattern[1..], text) || !text.is_empty() && naive(pattern, &text[1..])
            }
            (Some('?'), Some(_)) => naive(&pattern[1..], &text[1..]),
            (Some(a), Some(b)) if a == b => naive(&pattern[1..], &text[1..]),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn matching_agrees_with_the_rule(pattern in "[ab*?]{0,8}", text in "[ab]{0,10}") {
            let (p, t): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
            prop_assert_eq!(fits(&pattern, &text), naive(&p, &t));
        }

        #[test]
        fn no_pattern_breaks_the_reader(pattern in "\\PC{0,40}", text in "\\PC{0,40}") {
            fits(&pattern, &text);
        }
    }
}
