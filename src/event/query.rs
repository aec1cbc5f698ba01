//! The query string, decoded once.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// Decoded parameters in the order sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    /// Reads a query as sent, without `?`. A parameter without `=` has an empty
    /// value, an empty piece (`a&&b`) is none. `+` and `%20` are a space; what
    /// is not UTF-8 after decoding becomes U+FFFD.
    pub fn parse(raw: &str) -> Self {
        let pairs = raw
            .split('&')
            .filter(|piece| !piece.is_empty())
            .map(|piece| {
                let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
                (
                    decode_form(name).into_owned(),
                    decode_form(value).into_owned(),
                )
            })
            .collect();
        Self { pairs }
    }

    /// Whether there is no parameter.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Names and values in the order sent.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&str, &str)> {
        self.pairs
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The last value of a parameter; letter case counts.
    pub fn last(&self, name: &str) -> Option<&str> {
        self.iter()
            .rev()
            .find(|(other, _)| *other == name)
            .map(|(_, value)| value)
    }

    /// Every value of a parameter.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.iter()
            .filter(move |(other, _)| *other == name)
            .map(|(_, value)| value)
    }

    /// Each name once, in the order of its first value.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::with_capacity(self.pairs.len());
        // Real queries are short; a long one is sorted out by a set.
        let mut seen = std::collections::HashSet::new();
        for (name, _) in &self.pairs {
            if seen.insert(name.as_str()) {
                names.push(name);
            }
        }
        names
    }

    /// Each name with all its values, in the order of first values.
    pub fn grouped(&self) -> indexmap::IndexMap<&str, Vec<&str>> {
        let mut grouped: indexmap::IndexMap<&str, Vec<&str>> = indexmap::IndexMap::new();
        for (name, value) in self.iter() {
            grouped.entry(name).or_default().push(value);
        }
        grouped
    }
}

/// Undoes form encoding: `+` is a space, `%XX` a byte.
pub fn decode_form(text: &str) -> Cow<'_, str> {
    if text.contains('+') {
        return Cow::Owned(
            percent_decode_str(&text.replace('+', " "))
                .decode_utf8_lossy()
                .into_owned(),
        );
    }
    decode_percent(text)
}

/// Undoes percent-encoding; what is no `%XX` stays as it is.
pub fn decode_percent(text: &str) -> Cow<'_, str> {
    if text.contains('%') {
        percent_decode_str(text).decode_utf8_lossy()
    } else {
        Cow::Borrowed(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_decoded_and_repeats_kept_in_order() {
        let query = Query::parse("a=1&b=x%2By&a=2&c&d=p+q%20r&&e=%zz");

        let pairs: Vec<_> = query.iter().collect();
        assert_eq!(
            pairs,
            [
                ("a", "1"),
                ("b", "x+y"),
                ("a", "2"),
                ("c", ""),
                ("d", "p q r"),
                ("e", "%zz")
            ]
        );
        assert_eq!(query.last("a"), Some("2"));
        assert_eq!(query.names(), ["a", "b", "c", "d", "e"]);
    }
}
