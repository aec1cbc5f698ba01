//! Header lines as they go out, and what a line may hold.
//!
//! A map of headers costs a hash, a check and an allocation a line; who only
//! passes lines on needs none of them.

use http::{HeaderMap, HeaderName, HeaderValue, Response};

use super::words::{all_words, has, has_below};

/// Whether a header's value may have these bytes: visible characters, space,
/// tab, and bytes beyond ASCII (RFC 9110, 5.5).
pub fn is_field_value(bytes: &[u8]) -> bool {
    /// From here on the compiler's own vectors are faster than words.
    const LONG: usize = 32;
    let plain = if bytes.len() < LONG {
        all_words(bytes, |word| !has_below(word, b' ') && !has(word, 0x7f))
    } else {
        let (least, deleted) = bytes
            .iter()
            .fold((u8::MAX, false), |(least, deleted), byte| {
                (least.min(*byte), deleted | (*byte == 0x7f))
            });
        least >= b' ' && !deleted
    };
    // A tab is rare.
    plain
        || bytes
            .iter()
            .all(|byte| !byte.is_ascii_control() || *byte == b'\t')
}

/// Whether a header's name may have this byte (RFC 9110, 5.6.2).
pub fn is_token(byte: u8) -> bool {
    TOKENS[byte as usize] != 0
}

/// Each byte of a name in lower case; zero for those that no name has.
static TOKENS: [u8; 256] = tokens();

const fn tokens() -> [u8; 256] {
    let marks = b"!#$%&'*+-.^_`|~";
    let mut table = [0; 256];
    let mut byte: u8 = 0;
    while byte < 128 {
        if byte.is_ascii_alphanumeric() {
            table[byte as usize] = byte.to_ascii_lowercase();
        }
        byte += 1;
    }
    let mut at = 0;
    while at < marks.len() {
        table[marks[at] as usize] = marks[at];
        at += 1;
    }
    table
}

/// Headers that a connection keeps to itself (RFC 9110, 7.6.1).
pub fn is_hop_header(name: &str) -> bool {
    const HOP: [&str; 9] = [
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    is_one_of(&HOP, name)
}

/// Whether a list has a header's name, in any letter case.
pub fn is_one_of(list: &[impl AsRef<str>], name: &str) -> bool {
    list.iter()
        .any(|other| name.eq_ignore_ascii_case(other.as_ref()))
}

/// Headers that a mapping can change.
pub trait ChangeHeaders {
    /// Takes all lines of a header away.
    fn take_away(&mut self, name: &HeaderName);
    /// Adds a line.
    fn add(&mut self, name: &HeaderName, value: HeaderValue);
}

impl ChangeHeaders for HeaderMap {
    fn take_away(&mut self, name: &HeaderName) {
        self.remove(name);
    }

    fn add(&mut self, name: &HeaderName, value: HeaderValue) {
        self.append(name, value);
    }
}

/// The header lines of a message, written as they go out; names in lower case.
#[derive(Clone, Default)]
pub struct HeaderLines {
    text: Vec<u8>,
    lines: Vec<Line>,
}

#[derive(Clone, Copy)]
struct Line {
    start: usize,
    name_end: usize,
    end: usize,
}

const COLON: &[u8] = b": ";
const LINE_END: &[u8] = b"\r\n";

impl HeaderLines {
    /// Room for so many lines and bytes.
    pub fn with_capacity(lines: usize, bytes: usize) -> Self {
        Self {
            text: Vec::with_capacity(bytes),
            lines: Vec::with_capacity(lines),
        }
    }

    /// Adds a line. One whose name or value cannot be one is left out: the result says so.
    pub fn push(&mut self, name: &str, value: &[u8]) -> bool {
        if name.is_empty() || !is_field_value(value) {
            return false;
        }
        let start = self.text.len();
        self.text
            .reserve(name.len() + COLON.len() + value.len() + LINE_END.len());
        let mut is_name = true;
        self.text.extend(name.bytes().map(|byte| {
            let token = TOKENS[byte as usize];
            is_name &= token != 0;
            token
        }));
        if !is_name {
            self.text.truncate(start);
            return false;
        }
        let name_end = self.text.len();
        self.text.extend_from_slice(COLON);
        self.text.extend_from_slice(value);
        let end = self.text.len();
        self.text.extend_from_slice(LINE_END);
        self.lines.push(Line {
            start,
            name_end,
            end,
        });
        true
    }

    /// Adds a line in place of all that have this name.
    pub fn set(&mut self, name: &str, value: &[u8]) -> bool {
        self.remove(name);
        self.push(name, value)
    }

    /// Takes all lines of this name away.
    pub fn remove(&mut self, name: &str) {
        if !self.contains(name) {
            return;
        }
        *self = self
            .iter()
            .filter(|(other, _)| !other.eq_ignore_ascii_case(name))
            .collect();
    }

    /// Whether there is a line of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.values(name).next().is_some()
    }

    /// The values of this name, in their order.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.lines
            .iter()
            .filter(|line| {
                line.name_end - line.start == name.len()
                    && self.text[line.start..line.name_end].eq_ignore_ascii_case(name.as_bytes())
            })
            .map(|line| &self.text[line.name_end + COLON.len()..line.end])
    }

    /// Names and values in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.lines.iter().map(|line| {
            (
                // `push` takes ASCII names alone.
                std::str::from_utf8(&self.text[line.start..line.name_end]).unwrap_or_default(),
                &self.text[line.name_end + COLON.len()..line.end],
            )
        })
    }

    /// The names in their order.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.lines
            .iter()
            .map(|line| &self.text[line.start..line.name_end])
    }

    /// The lines, each with its end.
    pub fn as_bytes(&self) -> &[u8] {
        &self.text
    }
}

/// Lines of an answer that nobody on its way had to read: an extension of the response, beside
/// its headers, which have none of these names.
#[derive(Clone, Debug)]
pub struct PassedLines(pub HeaderLines);

impl PassedLines {
    /// Makes them headers like others, for whom the extension is nothing.
    pub fn spread<B>(response: &mut Response<B>) {
        let Some(Self(lines)) = response.extensions_mut().remove() else {
            return;
        };
        let mut headers = HeaderMap::with_capacity(lines.lines.len() + response.headers().len());
        for (name, value) in lines.iter() {
            // Lines hold nothing else.
            if let (Ok(name), Ok(value)) = (
                HeaderName::from_bytes(name.as_bytes()),
                HeaderValue::from_bytes(value),
            ) {
                headers.append(name, value);
            }
        }
        let own = std::mem::replace(response.headers_mut(), headers);
        let mut last = None;
        for (name, value) in own {
            // The name stands at the first of its values alone.
            last = name.or(last);
            if let Some(name) = &last {
                response.headers_mut().append(name.clone(), value);
            }
        }
    }
}

impl ChangeHeaders for HeaderLines {
    fn take_away(&mut self, name: &HeaderName) {
        self.remove(name.as_str());
    }

    fn add(&mut self, name: &HeaderName, value: HeaderValue) {
        self.push(name.as_str(), value.as_bytes());
    }
}

impl<'f> FromIterator<(&'f str, &'f [u8])> for HeaderLines {
    fn from_iter<I: IntoIterator<Item = (&'f str, &'f [u8])>>(fields: I) -> Self {
        let mut lines = Self::default();
        for (name, value) in fields {
            lines.push(name, value);
        }
        lines
    }
}

impl From<&HeaderMap> for HeaderLines {
    fn from(map: &HeaderMap) -> Self {
        map.iter()
            .map(|(name, value)| (name.as_str(), value.as_bytes()))
            .collect()
    }
}

impl std::fmt::Debug for HeaderLines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let fields = self
            .iter()
            .map(|(name, value)| (name, String::from_utf8_lossy(value)));
        f.debug_map().entries(fields).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_written_as_they_go_out() {
        let mut lines = HeaderLines::default();
        assert!(lines.push("X-One", b"1"));
        assert!(lines.push("x-two", b""));
        assert!(lines.push("x-one", b"caf\xe9"));

        assert_eq!(
            lines.as_bytes(),
            b"x-one: 1\r\nx-two: \r\nx-one: caf\xe9\r\n"
        );
        assert_eq!(
            lines.values("X-ONE").collect::<Vec<_>>(),
            [&b"1"[..], b"caf\xe9"]
        );
        lines.set("X-One", b"2");
        assert_eq!(lines.as_bytes(), b"x-two: \r\nx-one: 2\r\n");
        lines.remove("x-two");
        assert_eq!(lines.as_bytes(), b"x-one: 2\r\n");
        assert!(!lines.contains("x-two"));
    }

    #[test]
    fn passed_lines_stand_before_the_answers_own_headers() {
        let mut response = Response::new(());
        response
            .headers_mut()
            .append("b", HeaderValue::from_static("3"));
        response
            .headers_mut()
            .append("b", HeaderValue::from_static("4"));
        let lines = [("A", &b"1"[..]), ("c", b""), ("a", b"2")];
        response
            .extensions_mut()
            .insert(PassedLines(lines.into_iter().collect()));

        PassedLines::spread(&mut response);
        PassedLines::spread(&mut response);

        let lines = HeaderLines::from(response.headers());
        assert_eq!(lines.as_bytes(), b"a: 1\r\na: 2\r\nc: \r\nb: 3\r\nb: 4\r\n");
    }

    #[test]
    fn nothing_gets_out_that_is_no_line() {
        let mut lines = HeaderLines::default();
        for (name, value) in [
            ("", &b"1"[..]),
            ("a b", b"1"),
            ("a:", b"1"),
            ("a\r\nb", b"1"),
            ("a", b"1\r\nb: 2"),
            ("a", b"\n"),
            ("a", b"\0"),
            ("a", b"\x7f"),
            ("caf\u{e9}", b"1"),
        ] {
            assert!(!lines.push(name, value), "{name:?}");
        }
        assert_eq!(lines.as_bytes(), b"");
    }

    #[test]
    fn every_byte_is_judged_at_every_place() {
        for byte in 0..=255_u8 {
            let expected = byte == b'\t' || (byte >= 0x20 && byte != 0x7f);
            for length in [1, 7, 8, 9, 15, 16, 17, 31, 32, 41] {
                for place in 0..length {
                    let mut value = vec![b'v'; length];
                    value[place] = byte;
                    assert_eq!(is_field_value(&value), expected, "{byte:#x} at {place}");
                }
            }
        }
    }
}
