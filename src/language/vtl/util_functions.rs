//! `$util`: the six functions AWS documents.
//!
//! Source of the rules: developer guide, "Mapping template and access logging
//! variable reference", and commons-lang 2.6 for `escapeJavaScript`.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

use super::json;
use super::methods::Name;
use super::render::{Failure, Renderer};
use super::value::{List, ListKind, Map, Value};

/// A function of `$util`. A value that is no text is taken as its text, but
/// for `parseJson`; a wrong number of arguments has no value.
pub(super) fn call<'a>(
    renderer: &mut Renderer<'a>,
    name: Name,
    arguments: &[Value<'a>],
) -> Result<Value<'a>, Failure> {
    let [argument] = arguments else {
        return Ok(Value::Null);
    };
    if name == Name::ParseJson {
        return Ok(match argument {
            Value::Text(text) => parse_json(renderer, text.as_str())?,
            _ => Value::Null,
        });
    }
    let known = matches!(
        name,
        Name::EscapeJavaScript
            | Name::UrlEncode
            | Name::UrlDecode
            | Name::Base64Encode
            | Name::Base64Decode
    );
    if !known || matches!(argument, Value::Null) {
        return Ok(Value::Null);
    }
    let text = renderer.text_of(argument)?;
    let text = text.as_str();
    let made = match name {
        Name::EscapeJavaScript => {
            if text.bytes().all(needs_no_escape) {
                return Ok(match argument {
                    Value::Text(_) => argument.clone(),
                    _ => Value::owned(text),
                });
            }
            escape_java_script(text)
        }
        Name::UrlEncode => url_encode(text),
        Name::UrlDecode => url_decode(text)?,
        Name::Base64Encode => STANDARD.encode(text),
        _ => base64_decode(text)?,
    };
    renderer.made(made)
}

/// Text as a value to walk; what is no JSON has no value.
fn parse_json<'a>(renderer: &mut Renderer<'a>, text: &str) -> Result<Value<'a>, Failure> {
    renderer.charge(text.len().saturating_mul(8).min(super::render::TEXT_LIMIT))?;
    if text.is_empty() {
        return Ok(Value::Null);
    }
    Ok(json::parse(text).map_or(Value::Null, |value| owned(&value)))
}

/// A parsed value that borrows nothing of its text. It nests no deeper than
/// the parser allows.
fn owned<'a>(value: &Value<'_>) -> Value<'a> {
    match value {
        Value::Boolean(value) => Value::Boolean(*value),
        Value::Number(number) => Value::Number(number.clone()),
        Value::Character(unit) => Value::Character(*unit),
        Value::Text(text) => Value::owned(text.as_str()),
        Value::List(list) => Value::List(List::new(
            ListKind::Json,
            list.items.borrow().iter().map(owned).collect(),
        )),
        Value::Map(map) => Value::Map(Map::new(
            (0..map.len())
                .filter_map(|index| map.at(index))
                .map(|(key, value)| (owned(&key), owned(&value)))
                .collect(),
        )),
        Value::Null | Value::Object(_) | Value::Input | Value::Util | Value::Context => Value::Null,
    }
}

const fn needs_no_escape(byte: u8) -> bool {
    byte >= 0x20 && byte < 0x7f && !matches!(byte, b'"' | b'\'' | b'\\' | b'/')
}

fn escape_java_script(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            '\'' => out.push_str("\\'"),
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '/' => out.push_str("\\/"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='\u{7f}' => out.push(character),
            _ => {
                let mut units = [0; 2];
                for unit in character.encode_utf16(&mut units) {
                    // Writing to a String cannot fail.
                    let _ = write!(out, "\\u{unit:04X}");
                }
            }
        }
    }
    out
}

/// Form encoding, as `java.net.URLEncoder` does it.
fn url_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'*' | b'_' => {
                out.push(char::from(byte));
            }
            b' ' => out.push('+'),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

/// `java.net.URLDecoder`: a `%` without two digits fails.
fn url_decode(text: &str) -> Result<String, Failure> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let digits = text
                    .get(at..at + 2)
                    .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
                    .and_then(|digits| u8::from_str_radix(digits, 16).ok())
                    .ok_or_else(|| Failure::thrown("urlDecode: `%` needs two digits"))?;
                out.push(digits);
                at += 2;
            }
            _ => out.push(*byte),
        }
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}

fn base64_decode(text: &str) -> Result<String, Failure> {
    let compact: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let bytes = STANDARD
        .decode(&compact)
        .or_else(|_| STANDARD_NO_PAD.decode(compact.trim_end_matches('=')))
        .map_err(|_| Failure::thrown("base64Decode: no base64"))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_as_commons_lang_does() {
        assert_eq!(
            escape_java_script("it's a/\"b\"é"),
            "it\\'s a\\/\\\"b\\\"\\u00E9"
        );
    }

    #[test]
    fn url_encoding_is_form_encoding() {
        assert_eq!(url_encode("a b*é"), "a+b*%C3%A9");
        assert_eq!(url_decode("a+b%20c").unwrap(), "a b c");
        assert!(url_decode("100%").is_err());
    }

    #[test]
    fn base64_forgives_missing_padding() {
        assert_eq!(base64_decode("YQ").unwrap(), "a");
    }
}
