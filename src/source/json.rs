//! Strict JSON to nodes, with places: the fast way in for JSON definitions.
//!
//! What is not strict JSON is left to the YAML loader, which reads flow
//! mappings with comments and the like; so an error here is only final for a
//! file that says of itself that it is JSON.

use super::node::Waiting;
use super::yaml::{DEEPEST, duplicate_key, span, too_deep};
use super::{Diagnostic, Diagnostics, FileId, Mapping, Node, Span, Value};

/// Reads a document.
///
/// # Errors
///
/// The first place that is not strict JSON.
pub(super) fn read(text: &str, file: FileId, diagnostics: &mut Diagnostics) -> Result<Node, Stop> {
    let mut reader = Reader {
        text,
        bytes: text.as_bytes(),
        at: 0,
        depth: 0,
        file,
        duplicates: Vec::new(),
        waiting: Waiting::default(),
    };
    reader.blanks();
    let node = reader.value()?;
    reader.blanks();
    if reader.at < reader.bytes.len() {
        return Err(reader.expected("the end of the document"));
    }
    diagnostics.extend(reader.duplicates);
    Ok(node)
}

/// Why reading ends.
type Stop = Box<Diagnostic>;

struct Reader<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    depth: usize,
    file: FileId,
    duplicates: Vec<Diagnostic>,
    waiting: Waiting,
}

impl Reader<'_> {
    fn value(&mut self) -> Result<Node, Stop> {
        let start = self.at;
        let value = match self.bytes.get(self.at) {
            Some(b'{') => Value::Mapping(self.nested(Self::mapping)?),
            Some(b'[') => Value::Sequence(self.nested(Self::sequence)?),
            Some(b'"') => Value::Scalar {
                text: self.string()?,
                plain: false,
            },
            Some(b'-' | b'0'..=b'9') => Value::Scalar {
                text: self.number()?,
                plain: true,
            },
            _ => Value::Scalar {
                text: self.word()?,
                plain: true,
            },
        };
        Ok(Node {
            value,
            span: self.span(start),
            tag: None,
        })
    }

    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Stop>) -> Result<T, Stop> {
        if self.depth == DEEPEST {
            return Err(Box::new(too_deep(self.span(self.at))));
        }
        self.depth += 1;
        self.at += 1;
        self.blanks();
        let value = read(self);
        self.depth -= 1;
        value
    }

    fn mapping(&mut self) -> Result<Mapping, Stop> {
        if self.take(b'}') {
            return Ok(Mapping::new());
        }
        let first = self.waiting.entries();
        loop {
            let start = self.at;
            if self.bytes.get(start) != Some(&b'"') {
                return Err(self.expected("a key in double quotes"));
            }
            let key = self.string()?;
            let key_span = self.span(start);
            self.blanks();
            if !self.take(b':') {
                return Err(self.expected("`:`"));
            }
            self.blanks();
            let node = self.value()?;
            self.waiting.push_entry(key, key_span, node);
            self.blanks();
            if self.take(b'}') {
                let duplicates = &mut self.duplicates;
                return Ok(self.waiting.mapping(first, |key, again, first| {
                    duplicates.push(duplicate_key(key, again, first));
                }));
            }
            if !self.take(b',') {
                return Err(self.expected("`,` or `}`"));
            }
            self.blanks();
        }
    }

    fn sequence(&mut self) -> Result<Vec<Node>, Stop> {
        if self.take(b']') {
            return Ok(Vec::new());
        }
        let first = self.waiting.items();
        loop {
            let item = self.value()?;
            self.waiting.push_item(item);
            self.blanks();
            if self.take(b']') {
                return Ok(self.waiting.sequence(first));
            }
            if !self.take(b',') {
                return Err(self.expected("`,` or `]`"));
            }
            self.blanks();
        }
    }

    fn string(&mut self) -> Result<String, Stop> {
        self.at += 1;
        let start = self.at;
        let end = self.plain_part();
        if self.bytes.get(end) == Some(&b'"') {
            self.at = end + 1;
            return Ok(self.text[start..end].to_owned());
        }
        let mut text = String::with_capacity(end - start + 32);
        text.push_str(&self.text[start..end]);
        self.at = end;
        loop {
            match self.bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(text);
                }
                Some(b'\\') => {
                    self.at += 1;
                    text.push(self.escape()?);
                }
                _ => return Err(self.expected("the closing `\"` of this text")),
            }
            let start = self.at;
            self.at = self.plain_part();
            text.push_str(&self.text[start..self.at]);
        }
    }

    /// Where the run of characters that stand for themselves ends.
    fn plain_part(&self) -> usize {
        self.bytes[self.at..]
            .iter()
            .position(|&byte| byte == b'"' || byte == b'\\' || byte < 0x20)
            .map_or(self.bytes.len(), |length| self.at + length)
    }

    fn escape(&mut self) -> Result<char, Stop> {
        let escaped = match self.bytes.get(self.at) {
            Some(b'n') => '\n',
            Some(b't') => '\t',
            Some(b'r') => '\r',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(&byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            Some(b'u') => {
                self.at += 1;
                let first = self.hex4()?;
                let code = if (0xd800..0xdc00).contains(&first)
                    && self.bytes[self.at..].starts_with(b"\\u")
                {
                    self.at += 2;
                    let second = self.hex4()?;
                    if !(0xdc00..0xe000).contains(&second) {
                        return Err(self.expected("the second half of a surrogate pair"));
                    }
                    0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)
                } else {
                    first
                };
                return char::from_u32(code)
                    .ok_or_else(|| self.expected("a character, not half of a surrogate pair"));
            }
            _ => return Err(self.expected("an escape of JSON after `\\`")),
        };
        self.at += 1;
        Ok(escaped)
    }

    fn hex4(&mut self) -> Result<u32, Stop> {
        let digits = self
            .bytes
            .get(self.at..self.at + 4)
            .filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let Some(digits) = digits else {
            return Err(self.expected("four hexadecimal digits"));
        };
        let code = digits.iter().fold(0, |code, &digit| {
            code << 4 | char::from(digit).to_digit(16).unwrap_or(0)
        });
        self.at += 4;
        Ok(code)
    }

    fn number(&mut self) -> Result<String, Stop> {
        let start = self.at;
        self.take(b'-');
        let whole = self.digits();
        let leading_zero = whole > 1 && self.bytes[self.at - whole] == b'0';
        let mut valid = whole > 0 && !leading_zero;
        if self.take(b'.') {
            valid &= self.digits() > 0;
        }
        if matches!(self.bytes.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.bytes.get(self.at), Some(b'+' | b'-')) {
                self.at += 1;
            }
            valid &= self.digits() > 0;
        }
        if !valid {
            self.at = start;
            return Err(self.expected("a number as in JSON"));
        }
        Ok(self.text[start..self.at].to_owned())
    }

    fn digits(&mut self) -> usize {
        let count = self.bytes[self.at..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        self.at += count;
        count
    }

    fn word(&mut self) -> Result<String, Stop> {
        for word in ["true", "false", "null"] {
            let rest = &self.bytes[self.at..];
            let ends = !rest.get(word.len()).is_some_and(u8::is_ascii_alphanumeric);
            if rest.starts_with(word.as_bytes()) && ends {
                self.at += word.len();
                return Ok(word.to_owned());
            }
        }
        Err(self.expected("a value"))
    }

    fn blanks(&mut self) {
        while matches!(self.bytes.get(self.at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let there = self.bytes.get(self.at) == Some(&byte);
        self.at += usize::from(there);
        there
    }

    fn span(&self, start: usize) -> Span {
        span(self.file, start, self.at)
    }

    fn expected(&self, what: &str) -> Stop {
        let found = match self
            .text
            .get(self.at..)
            .and_then(|rest| rest.chars().next())
        {
            Some(character) => format!("{character:?}"),
            None => "the end of the file".to_owned(),
        };
        let end = (self.at + 1).min(self.bytes.len());
        Box::new(
            Diagnostic::error(
                "E0101",
                format!("not valid JSON: expected {what}, found {found}"),
            )
            .at(span(self.file, self.at, end)),
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_text(text: &str) -> Result<Node, Stop> {
        read(text, FileId(0), &mut Diagnostics::default())
    }

    #[test]
    fn everything_has_its_place() {
        let text = r#"{"a": [1, -2.5e3, true], "ü": {"k": "x\u00e4\ud83d\ude00\n"}}"#;
        let node = read_text(text).unwrap();
        let slice = |span: Span| &text[span.start as usize..span.end as usize];

        let items = node.get("a").unwrap();
        assert_eq!(slice(items.span), "[1, -2.5e3, true]");
        assert_eq!(slice(items.as_sequence().unwrap()[1].span), "-2.5e3");
        let inner = node.get("ü").unwrap();
        assert_eq!(inner.get("k").unwrap().as_str(), Some("xä😀\n"));
        assert_eq!(slice(inner.as_mapping().unwrap()["k"].0), "\"k\"");
    }

    #[test]
    fn a_key_given_twice_is_found_and_the_first_kept() {
        let mut diagnostics = Diagnostics::default();

        let node = read(r#"{"a": 1, "a": 2}"#, FileId(0), &mut diagnostics).unwrap();

        assert_eq!(node.get("a").unwrap().as_u64(), Some(1));
        assert_eq!(diagnostics.0[0].code, "E0103");
    }

    #[test]
    fn what_is_not_strict_json_is_refused() {
        for text in [
            "",
            "{",
            "{a: 1}",
            "[1,]",
            "{\"a\" 1}",
            "01",
            "1.",
            "[1 2]",
            "\"\n\"",
            "\"\\x\"",
            "\"\\ud800\"",
            "tru",
            "nulls",
            "{} {}",
            "\"",
            "-",
        ] {
            assert!(read_text(text).is_err(), "{text}");
        }
        assert_eq!(read_text(&"[".repeat(100_000)).unwrap_err().code, "E0104");
    }

    proptest! {
        #[test]
        fn agrees_with_serde_json(text in r#"[\[\]{}",:0-9a-z \\.-]{0,40}"#) {
            // A lone `-0` is a float there; here, as in YAML, it is the integer 0.
            prop_assume!(!text.contains("-0"));
            if let Ok(value) = serde_json::from_str::<serde_json::Value>(&text) {
                let mut found = Diagnostics::default();
                let node = read(&text, FileId(0), &mut found).unwrap();
                if found.is_empty() {
                    prop_assert_eq!(node.to_json(), value);
                }
            }
        }
    }
}
