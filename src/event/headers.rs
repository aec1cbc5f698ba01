//! A message's headers as they were sent: names in the sender's spelling, in order, repeats kept.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;

/// Headers as ranges of the bytes that were received, so that reading a
/// request's head copies nothing.
#[derive(Clone, Default)]
pub struct HeaderList {
    text: Bytes,
    fields: Vec<(Range<u32>, Range<u32>)>,
}

impl HeaderList {
    /// Headers that stand in `text` at the given ranges of names and values.
    ///
    /// Names must be ASCII (a header name's characters); a range outside of `text` is left out.
    pub fn from_ranges(text: Bytes, fields: Vec<(Range<u32>, Range<u32>)>) -> Self {
        let mut list = Self { text, fields };
        let length = list.text.len() as u32;
        let text = &list.text;
        list.fields.retain(|(name, value)| {
            name.start <= name.end
                && name.end <= length
                && value.start <= value.end
                && value.end <= length
                && text[name.start as usize..name.end as usize].is_ascii()
        });
        list
    }

    /// Headers of an HTTP/2 message, whose names are lower case.
    pub fn from_map(map: &::http::HeaderMap) -> Self {
        map.iter()
            .map(|(name, value)| (name.as_str(), value.as_bytes()))
            .collect()
    }

    /// How many bytes all names and values together have at most.
    pub fn byte_len(&self) -> usize {
        self.text.len()
    }

    /// How many bytes all values together have.
    pub fn value_len(&self) -> usize {
        let lengths = self.fields.iter().map(|(_, value)| value.len());
        lengths.sum()
    }

    /// How many header lines there are.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Names and values in the order received.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&str, &[u8])> {
        self.lines().map(|(name, value)| {
            // `from_ranges` keeps ASCII names only.
            (std::str::from_utf8(name).unwrap_or_default(), value)
        })
    }

    fn lines(&self) -> impl DoubleEndedIterator<Item = (&[u8], &[u8])> {
        self.fields.iter().map(|(name, value)| {
            (
                &self.text[name.start as usize..name.end as usize],
                &self.text[value.start as usize..value.end as usize],
            )
        })
    }

    /// The values of a header, whatever the letter case of its name.
    pub fn values<'a, 'n>(
        &'a self,
        name: &'n str,
    ) -> impl DoubleEndedIterator<Item = &'a [u8]> + use<'a, 'n> {
        self.lines()
            .filter(move |(other, _)| other.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| value)
    }

    /// Names and values as text: UTF-8 where it is that, else as Latin-1.
    pub fn iter_text(&self) -> impl DoubleEndedIterator<Item = (&str, Cow<'_, str>)> {
        self.iter().map(|(name, value)| (name, text_of(value)))
    }

    /// The last value of a header, whatever the letter case of its name.
    pub fn last(&self, name: &str) -> Option<Cow<'_, str>> {
        self.values(name).next_back().map(text_of)
    }

    /// The first value of a header, whatever the letter case of its name.
    pub fn first(&self, name: &str) -> Option<Cow<'_, str>> {
        self.values(name).next().map(text_of)
    }

    /// Every value of a header, whatever the letter case of its name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = Cow<'a, str>> {
        self.values(name).map(text_of)
    }

    /// Whether a header of that name is there.
    pub fn contains(&self, name: &str) -> bool {
        self.values(name).next().is_some()
    }
}

/// A header's value as text.
pub fn text_of(value: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(value) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(value.iter().map(|byte| char::from(*byte)).collect()),
    }
}

impl<'a> FromIterator<(&'a str, &'a [u8])> for HeaderList {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a [u8])>>(fields: I) -> Self {
        let mut text = Vec::new();
        let mut ranges = Vec::new();
        for (name, value) in fields {
            let start = text.len() as u32;
            text.extend_from_slice(name.as_bytes());
            let middle = text.len() as u32;
            text.extend_from_slice(value);
            ranges.push((start..middle, middle..text.len() as u32));
        }
        Self::from_ranges(text.into(), ranges)
    }
}

impl std::fmt::Debug for HeaderList {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.iter_text()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_spelling_and_are_found_in_any_case() {
        let headers: HeaderList = [("X-Mixed", b"1".as_slice()), ("x-mixed", b"2")]
            .into_iter()
            .collect();

        assert_eq!(
            headers.iter().map(|(name, _)| name).collect::<Vec<_>>(),
            ["X-Mixed", "x-mixed"]
        );
        assert_eq!(headers.first("x-MIXED").as_deref(), Some("1"));
        assert_eq!(headers.last("x-MIXED").as_deref(), Some("2"));
    }

    #[test]
    fn a_value_that_is_not_utf_8_is_read_as_latin_1() {
        let headers: HeaderList = [("a", b"caf\xe9".as_slice())].into_iter().collect();

        assert_eq!(headers.first("a").as_deref(), Some("café"));
    }

    #[test]
    fn ranges_outside_of_the_text_are_left_out() {
        let headers =
            HeaderList::from_ranges(Bytes::from_static(b"a:b"), vec![(0..1, 2..3), (0..1, 2..9)]);

        assert_eq!(headers.len(), 1);
    }
}
