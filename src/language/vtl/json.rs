//! JSON as API Gateway's engine reads and writes it.
//!
//! The reader is as lenient as json-smart in its permissive mode: names and
//! strings need no quotes or may have single ones, commas may be too many,
//! anything after the document is ignored. So `{statusCode: 200}` is an object
//! and `a=1&b=2` a string. Text that it cannot read either is a string, whole.
//!
//! Source of the rules: json-smart 2.x; that a body which is no JSON is a
//! string is reported by users.

use std::fmt::Write as _;
use std::rc::Rc;

use super::number::{Decimal, Number};
use super::render::{Failure, TEXT_LIMIT};
use super::value::{List, ListKind, Map, Value};

/// How deep arrays and objects may nest when read and written.
const DEPTH_LIMIT: usize = 400;

/// Reads a document; `None` if it is none, however leniently read.
pub(super) fn parse(text: &str) -> Option<Value<'_>> {
    let mut reader = Reader {
        text,
        at: 0,
        depth: 0,
    };
    reader.value(Stops::Nothing)
}

/// Where text without quotes ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stops {
    /// The end of the document.
    Nothing,
    InArray,
    Name,
    InObject,
}

impl Stops {
    const fn stop(self, byte: u8) -> bool {
        match self {
            Self::Nothing => false,
            Self::InArray => matches!(byte, b',' | b']'),
            Self::Name => matches!(byte, b':' | b'}'),
            Self::InObject => matches!(byte, b',' | b'}'),
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn value(&mut self, stops: Stops) -> Option<Value<'a>> {
        self.skip_space();
        match self.peek() {
            Some(b':' | b'}' | b']') => None,
            Some(b'{') => self.object(),
            Some(b'[') => self.array(),
            Some(b'"' | b'\'') => self.quoted(),
            Some(b'-' | b'0'..=b'9') => Some(self.number(stops)),
            _ => Some(match self.unquoted(stops) {
                "null" => Value::Null,
                "true" => Value::Boolean(true),
                "false" => Value::Boolean(false),
                "NaN" => Value::Number(Number::Float(f32::NAN)),
                text => Value::text(text),
            }),
        }
    }

    fn unquoted(&mut self, stops: Stops) -> &'a str {
        let start = self.at;
        let bytes = self.text.as_bytes();
        while self.at < bytes.len() && !stops.stop(bytes[self.at]) {
            self.at += 1;
        }
        self.text[start..self.at].trim_matches(|c: char| c <= ' ')
    }

    fn number(&mut self, stops: Stops) -> Value<'a> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        let digits = |at: &mut usize| {
            let start = *at;
            while bytes.get(*at).is_some_and(u8::is_ascii_digit) {
                *at += 1;
            }
            *at > start
        };
        self.at += 1;
        digits(&mut self.at);
        let mut float = false;
        if self.peek() == Some(b'.') {
            float = true;
            self.at += 1;
            digits(&mut self.at);
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            float = true;
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            digits(&mut self.at);
        }
        let end = self.at;
        self.skip_space();
        let ended = self.peek().is_none_or(|byte| stops.stop(byte));
        let text = &self.text[start..end];
        let number = if !ended {
            None
        } else if !float {
            Number::parse_integer(text)
        } else if text.len() > 18 {
            Decimal::parse(text).map(|decimal| Number::BigDecimal(Rc::new(decimal)))
        } else {
            text.parse().ok().map(Number::Double)
        };
        match number {
            Some(number) => Value::Number(number),
            None => {
                self.at = start;
                Value::text(self.unquoted(stops))
            }
        }
    }

    fn quoted(&mut self) -> Option<Value<'a>> {
        let quote = self.peek()?;
        self.at += 1;
        let start = self.at;
        let bytes = self.text.as_bytes();
        while let Some(byte) = bytes.get(self.at) {
            if *byte == quote {
                let text = &self.text[start..self.at];
                self.at += 1;
                return Some(Value::text(text));
            }
            if *byte == b'\\' || *byte < 0x20 || *byte == 0x7f {
                break;
            }
            self.at += 1;
        }
        self.quoted_with_escapes(start, quote)
    }

    fn quoted_with_escapes(&mut self, start: usize, quote: u8) -> Option<Value<'a>> {
        let mut units: Vec<u16> = Vec::new();
        let mut text = String::from(&self.text[start..self.at]);
        let flush = |units: &mut Vec<u16>, text: &mut String| {
            if !units.is_empty() {
                text.extend(char::decode_utf16(units.drain(..)).map(|unit| unit.unwrap_or('?')));
            }
        };
        loop {
            let character = self.text[self.at..].chars().next()?;
            self.at += character.len_utf8();
            if character == char::from(quote) {
                flush(&mut units, &mut text);
                return Some(Value::from(text));
            }
            if character != '\\' {
                // Control characters are dropped, but for the one that is no
                // control character to Java, which is refused.
                if character == '\u{7f}' {
                    return None;
                }
                if character >= ' ' {
                    flush(&mut units, &mut text);
                    text.push(character);
                }
                continue;
            }
            let escaped = self.text[self.at..].chars().next()?;
            self.at += escaped.len_utf8();
            let plain = match escaped {
                't' => '\t',
                'n' => '\n',
                'r' => '\r',
                'f' => '\u{c}',
                'b' => '\u{8}',
                '\\' | '/' | '\'' | '"' => escaped,
                'u' | 'x' => {
                    let length = if escaped == 'u' { 4 } else { 2 };
                    let digits = self.text.get(self.at..self.at + length)?;
                    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                        return None;
                    }
                    self.at += length;
                    units.push(u16::from_str_radix(digits, 16).ok()?);
                    continue;
                }
                _ => continue,
            };
            flush(&mut units, &mut text);
            text.push(plain);
        }
    }

    fn deeper(&mut self) -> Option<()> {
        self.depth += 1;
        (self.depth <= DEPTH_LIMIT).then_some(())
    }

    fn array(&mut self) -> Option<Value<'a>> {
        self.deeper()?;
        self.at += 1;
        let mut items = Vec::new();
        loop {
            self.skip_space();
            match self.peek()? {
                b']' => {
                    self.at += 1;
                    self.depth -= 1;
                    return Some(Value::List(List::new(ListKind::Json, items)));
                }
                b':' | b'}' => return None,
                b',' => self.at += 1,
                _ => items.push(self.value(Stops::InArray)?),
            }
        }
    }

    fn object(&mut self) -> Option<Value<'a>> {
        self.deeper()?;
        self.at += 1;
        let mut members: Vec<(Value<'a>, Value<'a>)> = Vec::with_capacity(4);
        // Beyond a few members, a map finds a repeated name faster.
        let mut map: Option<Rc<Map<'a>>> = None;
        let mut accepts = true;
        loop {
            self.skip_space();
            match self.peek()? {
                b'}' => {
                    self.at += 1;
                    self.depth -= 1;
                    let map = map.unwrap_or_else(|| Map::new(members));
                    return Some(Value::Map(map));
                }
                b':' | b']' | b'[' | b'{' => return None,
                b',' => {
                    self.at += 1;
                    accepts = true;
                    continue;
                }
                _ => {}
            }
            if !accepts {
                return None;
            }
            let name = match self.peek()? {
                b'"' | b'\'' => self.quoted()?,
                _ => Value::text(self.unquoted(Stops::Name)),
            };
            self.skip_space();
            if self.peek()? != b':' {
                return None;
            }
            self.at += 1;
            let value = self.value(Stops::InObject)?;
            if let Some(map) = &map {
                map.put(name, value);
            } else if let Some((_, old)) = members
                .iter_mut()
                .find(|(found, _)| found.as_text() == name.as_text())
            {
                *old = value;
            } else {
                members.push((name, value));
                if members.len() > 8 {
                    map = Some(Map::new(std::mem::take(&mut members)));
                }
            }
            accepts = false;
        }
    }
}

/// Writes a value as JSON. `slashes` are escaped where a list prints itself,
/// not by `$input.json`.
///
/// # Errors
///
/// When the value nests too deeply or the text grows too long.
pub(super) fn write(value: &Value<'_>, out: &mut String, slashes: bool) -> Result<(), Failure> {
    write_nested(value, out, slashes, 0)
}

fn write_nested(
    value: &Value<'_>,
    out: &mut String,
    slashes: bool,
    depth: usize,
) -> Result<(), Failure> {
    if depth > DEPTH_LIMIT {
        return Err(Failure::limit("the JSON nests too deeply"));
    }
    if out.len() > TEXT_LIMIT {
        return Err(Failure::limit("a text grows beyond 10 MB"));
    }
    match value {
        Value::Null => out.push_str("null"),
        Value::Boolean(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Number(number) => match number {
            Number::Double(value) if !value.is_finite() => out.push_str("null"),
            Number::Float(value) if !value.is_finite() => out.push_str("null"),
            _ => number.write(out),
        },
        Value::Character(unit) => {
            write_text(&String::from_utf16_lossy(&[*unit]), out, slashes);
        }
        Value::Text(text) => write_text(text.as_str(), out, slashes),
        Value::List(list) => {
            out.push('[');
            for (index, item) in list.items.borrow().iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_nested(item, out, slashes, depth + 1)?;
            }
            out.push(']');
        }
        Value::Map(map) => {
            out.push('{');
            let entries = map.entries.borrow();
            for index in 0..entries.len() {
                let Some((key, item)) = entries.at(index) else {
                    break;
                };
                if index > 0 {
                    out.push(',');
                }
                match key {
                    Value::Text(key) => write_text(key.as_str(), out, slashes),
                    Value::Null => out.push_str("\"null\""),
                    Value::Number(number) => {
                        out.push('"');
                        number.write(out);
                        out.push('"');
                    }
                    Value::Boolean(value) => {
                        let _ = write!(out, "\"{value}\"");
                    }
                    _ => out.push_str("\"\""),
                }
                out.push(':');
                write_nested(item, out, slashes, depth + 1)?;
            }
            out.push('}');
        }
        Value::Object(_) | Value::Input | Value::Util | Value::Context => out.push_str("\"\""),
    }
    Ok(())
}

fn write_text(text: &str, out: &mut String, slashes: bool) {
    out.push('"');
    let plain = |byte: &u8| {
        (0x20..0x7f).contains(byte) && !matches!(byte, b'"' | b'\\') && (*byte != b'/' || !slashes)
    };
    if text.as_bytes().iter().all(plain) {
        out.push_str(text);
        out.push('"');
        return;
    }
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '/' if slashes => out.push_str("\\/"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{2000}'..='\u{20ff}' => {
                let _ = write!(out, "\\u{:04X}", u32::from(character));
            }
            _ => out.push(character),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn again(text: &str) -> Option<String> {
        let value = parse(text)?;
        let mut out = String::new();
        write(&value, &mut out, false).unwrap();
        Some(out)
    }

    #[test]
    fn reads_what_is_nearly_json() {
        for (given, expected) in [
            ("{statusCode: 200}", r#"{"statusCode":200}"#),
            ("{'a': b c,}", r#"{"a":"b c"}"#),
            ("[1, 2,, 3]", "[1,2,3]"),
            ("a=1&b=2", r#""a=1&b=2""#),
            ("{\"a\": 1} rest", r#"{"a":1}"#),
            ("{\"a\":1,\"a\":2}", r#"{"a":2}"#),
            (
                "[1.50, 1e3, 12345678901, 007x]",
                r#"[1.5,1000.0,12345678901,"007x"]"#,
            ),
            (r#"["\u0041\u00e9\ud83d\ude00\n"]"#, "[\"Aé😀\\n\"]"),
        ] {
            assert_eq!(again(given).as_deref(), Some(expected), "{given}");
        }
    }

    #[test]
    fn refuses_what_it_cannot_read() {
        for given in ["{", "[1", "{\"a\"}", "\"open", "}", "{\"a\":\"b\" \"c\":1}"] {
            assert!(again(given).is_none(), "{given}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        assert!(parse(&"[".repeat(100_000)).is_none());
    }
}
