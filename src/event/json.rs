//! Writes JSON straight into a buffer, without a tree of values.
//!
//! Events are the same dozen keys for every request; building them as values
//! first would cost an allocation a key.

use std::borrow::Cow;

use crate::base::words::{all_words, has, has_below};

/// Appends `text` as a JSON string.
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let bytes = text.as_bytes();
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    if is_plain(bytes) {
        out.extend_from_slice(bytes);
        out.push(b'"');
        return;
    }
    let mut done = 0;
    for (index, &byte) in bytes.iter().enumerate() {
        let escape: Cow<'_, [u8]> = match byte {
            b'"' => Cow::Borrowed(b"\\\""),
            b'\\' => Cow::Borrowed(b"\\\\"),
            b'\n' => Cow::Borrowed(b"\\n"),
            b'\r' => Cow::Borrowed(b"\\r"),
            b'\t' => Cow::Borrowed(b"\\t"),
            0..=0x1f => Cow::Owned(
                [
                    b"\\u00",
                    &[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]][..],
                ]
                .concat(),
            ),
            _ => continue,
        };
        out.extend_from_slice(&bytes[done..index]);
        out.extend_from_slice(&escape);
        done = index + 1;
    }
    out.extend_from_slice(&bytes[done..]);
    out.push(b'"');
}

/// Whether nothing is to be escaped. An event has some eighty strings, and nearly all are so.
fn is_plain(bytes: &[u8]) -> bool {
    all_words(bytes, |word| {
        !has_below(word, b' ') && !has(word, b'"') && !has(word, b'\\')
    })
}

/// An object under construction: writes commas and keys.
pub struct Object<'o> {
    out: &'o mut Vec<u8>,
    first: bool,
}

impl<'o> Object<'o> {
    /// Begins an object.
    pub fn begin(out: &'o mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, first: true }
    }

    /// Writes a key and gives the buffer for its value.
    pub fn key(&mut self, key: &str) -> &mut Vec<u8> {
        if !std::mem::take(&mut self.first) {
            self.out.push(b',');
        }
        write_string(self.out, key);
        self.out.push(b':');
        self.out
    }

    /// A text member.
    pub fn text(&mut self, key: &str, value: &str) -> &mut Self {
        let out = self.key(key);
        write_string(out, value);
        self
    }

    /// A text member, or null.
    pub fn text_or_null(&mut self, key: &str, value: Option<&str>) -> &mut Self {
        match value {
            Some(value) => self.text(key, value),
            None => self.raw(key, "null"),
        }
    }

    /// A member whose value is JSON already.
    pub fn raw(&mut self, key: &str, value: &str) -> &mut Self {
        self.key(key).extend_from_slice(value.as_bytes());
        self
    }

    /// A member that is an object of texts.
    pub fn texts<'t>(
        &mut self,
        key: &str,
        members: impl IntoIterator<Item = (&'t str, &'t str)>,
    ) -> &mut Self {
        let out = self.key(key);
        let mut object = Object::begin(out);
        for (key, value) in members {
            object.text(key, value);
        }
        object.end();
        self
    }

    /// A member that is a list of texts.
    pub fn list<'t>(&mut self, key: &str, items: impl IntoIterator<Item = &'t str>) -> &mut Self {
        let out = self.key(key);
        write_list(out, items);
        self
    }

    /// Appends a value that was written apart: the buffer is at its key.
    pub fn append(&mut self, value: &[u8]) -> &mut Self {
        self.out.extend_from_slice(value);
        self
    }

    /// Ends the object.
    pub fn end(self) {
        self.out.push(b'}');
    }
}

/// Appends a list of texts.
pub fn write_list<'t>(out: &mut Vec<u8>, items: impl IntoIterator<Item = &'t str>) {
    out.push(b'[');
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_string(out, item);
    }
    out.push(b']');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_object_reads_back_as_written() {
        let mut out = Vec::new();
        let mut object = Object::begin(&mut out);
        object
            .text("a", "1")
            .text_or_null("b", None)
            .raw("c", "[2]")
            .list("d", ["x", "y"]);
        object.texts("e", [("k", "v")]);
        object.end();

        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"{"a":"1","b":null,"c":[2],"d":["x","y"],"e":{"k":"v"}}"#
        );
    }

    proptest! {
        #[test]
        fn any_text_reads_back_the_same(text in any::<String>()) {
            let mut out = Vec::new();
            write_string(&mut out, &text);
            prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }
    }
}
