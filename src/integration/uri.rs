//! The address of an HTTP backend with its placeholders.
//!
//! What a request brings in is put in place as bytes: nothing resolves `..`,
//! decodes or joins, so what was matched and authorized is what is sent.

use std::fmt::Write;
use std::sync::Arc;

use http::Uri;
use http::uri::PathAndQuery;
use indexmap::IndexMap;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::http_client::{Address, Origin};

/// Characters that a decoded value may not bring into a path or query.
const VALUE: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'&')
    .add(b'+')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// A path that is written in a definition: only what no address may hold is
/// encoded, and what is encoded already stays.
pub fn encode_written_path(text: &str) -> impl std::fmt::Display + '_ {
    const WRITTEN: &AsciiSet = &CONTROLS
        .add(b' ')
        .add(b'"')
        .add(b'#')
        .add(b'<')
        .add(b'>')
        .add(b'\\')
        .add(b'^')
        .add(b'`')
        .add(b'{')
        .add(b'|')
        .add(b'}');
    utf8_percent_encode(text, WRITTEN)
}

/// Text as a piece of a path; slashes stay.
pub fn encode_path(text: &str) -> impl std::fmt::Display + '_ {
    utf8_percent_encode(text, VALUE)
}

/// A query parameter's name or value as form encoding.
pub fn encode_query(text: &str) -> impl std::fmt::Display + '_ {
    const QUERY: &AsciiSet = &VALUE.add(b'=').add(b';').add(b'$').add(b',');
    utf8_percent_encode(text, QUERY)
}

/// A value for a placeholder.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// As it stood in the request's path: already encoded.
    Raw(String),
    /// Decoded text: encoded before it is put in place.
    Text(String),
}

/// Why an address cannot be used. `Display` is the log line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UriError {
    /// `http` or `https` is wanted.
    #[error("the integration's uri `{0}` does not begin with http:// or https://")]
    Scheme(String),
    /// No host is left once placeholders are filled.
    #[error("the integration's uri `{0}` has no valid host")]
    Host(String),
    /// A brace without its partner.
    #[error("the integration's uri `{0}` has an unmatched brace")]
    Brace(String),
    /// What came out is no URI.
    #[error("the filled integration uri `{0}` is not valid")]
    Invalid(String),
}

/// A path that is no placeholder's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddedPath<'p> {
    /// The address's own path is all.
    None,
    /// Added to the address's own path.
    After(&'p str),
    /// In place of the address's own path.
    Instead(&'p str),
}

#[derive(Clone, Debug)]
enum Part {
    Literal(String),
    Placeholder(String),
}

/// An address, parsed once.
#[derive(Clone, Debug)]
pub struct UriTemplate {
    /// The whole address where `origin` is `None`; else its path and query alone.
    parts: Vec<Part>,
    /// The server, where no placeholder stands in it.
    origin: Option<Arc<Origin>>,
    source: String,
}

/// Fills `${stageVariables.NAME}`; a variable that is not set is empty, as at AWS.
/// The second result names those that are not set.
pub fn fill_stage_variables(
    text: &str,
    variables: &IndexMap<String, String>,
) -> (String, Vec<String>) {
    let mut filled = String::with_capacity(text.len());
    let mut missing = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("${stageVariables.") {
        let after = &rest[start + "${stageVariables.".len()..];
        let Some(end) = after.find('}') else { break };
        filled.push_str(&rest[..start]);
        match variables.get(&after[..end]) {
            Some(value) => filled.push_str(value),
            None => missing.push(after[..end].to_owned()),
        }
        rest = &after[end + 1..];
    }
    filled.push_str(rest);
    (filled, missing)
}

impl UriTemplate {
    /// Host and port as written, for logs; nothing that signs in.
    pub fn authority(&self) -> &str {
        let rest = self.source.split_once("://");
        let rest = rest.map_or(self.source.as_str(), |(_, rest)| rest);
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        authority.rsplit('@').next().unwrap_or_default()
    }

    /// Reads an address whose stage variables are filled.
    ///
    /// # Errors
    ///
    /// A scheme other than `http` and `https`, an empty host, or braces that do
    /// not match.
    pub fn parse(text: &str) -> Result<Self, UriError> {
        let after_scheme = text
            .strip_prefix("http://")
            .or_else(|| text.strip_prefix("https://"))
            .ok_or_else(|| UriError::Scheme(text.to_owned()))?;
        if after_scheme.is_empty() || after_scheme.starts_with(['/', '?', ':', '#']) {
            return Err(UriError::Host(text.to_owned()));
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            let close = rest[open..]
                .find('}')
                .ok_or_else(|| UriError::Brace(text.to_owned()))?
                + open;
            if open > 0 {
                parts.push(Part::Literal(rest[..open].to_owned()));
            }
            parts.push(Part::Placeholder(
                rest[open + 1..close].trim_end_matches('+').to_owned(),
            ));
            rest = &rest[close + 1..];
        }
        if !rest.is_empty() {
            parts.push(Part::Literal(rest.to_owned()));
        }
        let alone = parts.len() == 1;
        let origin = match parts.first_mut() {
            Some(Part::Literal(first)) => fixed_origin(first, alone),
            _ => None,
        };
        Ok(Self {
            parts,
            origin,
            source: text.to_owned(),
        })
    }

    /// The names of its placeholders.
    pub fn placeholders(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Placeholder(name) => Some(name.as_str()),
            Part::Literal(_) => None,
        })
    }

    /// As it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Fills the placeholders, adds `path` to the address's own path and
    /// `query` to its own query.
    ///
    /// `query` is added as it is, encoded already. A placeholder without value
    /// is empty.
    ///
    /// # Errors
    ///
    /// [`UriError::Invalid`] when what comes out is no address, and
    /// [`UriError::Host`] when a value got into the host that does not belong there.
    pub fn fill(
        &self,
        value: impl FnMut(&str) -> Option<Value>,
        path: Option<&str>,
        query: &str,
    ) -> Result<Address, UriError> {
        self.fill_at(value, path.map_or(AddedPath::None, AddedPath::After), query)
    }

    /// As [`Self::fill`], with the path where [`AddedPath`] says.
    ///
    /// # Errors
    ///
    /// As [`Self::fill`].
    pub fn fill_at(
        &self,
        mut value: impl FnMut(&str) -> Option<Value>,
        path: AddedPath<'_>,
        query: &str,
    ) -> Result<Address, UriError> {
        let added = match path {
            AddedPath::None => 0,
            AddedPath::After(path) | AddedPath::Instead(path) => path.len(),
        };
        let mut text = String::with_capacity(self.source.len() + added + query.len() + 8);
        for part in &self.parts {
            match part {
                Part::Literal(literal) => text.push_str(literal),
                Part::Placeholder(name) => match value(name) {
                    Some(Value::Raw(raw)) => text.push_str(&raw),
                    Some(Value::Text(decoded)) => {
                        let _ = write!(text, "{}", utf8_percent_encode(&decoded, VALUE));
                    }
                    None => {}
                },
            }
        }
        let origin = match &self.origin {
            Some(origin) => Arc::clone(origin),
            None => {
                let start = target_start(&text);
                let origin =
                    filled_origin(&text[..start]).map_err(|error| error.of(text.clone()))?;
                text.drain(..start);
                origin
            }
        };
        let invalid = |target: &str| {
            UriError::Invalid(format!(
                "{}://{}{target}",
                origin.scheme(),
                origin.authority()
            ))
        };
        let own_end = memchr::memchr(b'?', text.as_bytes()).unwrap_or(text.len());
        match path {
            AddedPath::None => {}
            AddedPath::After(path) => {
                let own = text[..own_end].trim_end_matches('/').len();
                text.replace_range(own..own_end, path);
            }
            AddedPath::Instead(path) => text.replace_range(..own_end, path),
        }
        if !query.is_empty() {
            let glue = match memchr::memchr(b'?', text.as_bytes()) {
                None => "?",
                Some(at) if at + 1 == text.len() || text.ends_with('&') => "",
                Some(_) => "&",
            };
            text.push_str(glue);
            text.push_str(query);
        }
        // A fragment would be cut off on the way; a backslash or blank is read
        // differently by different servers.
        let bytes = text.as_bytes();
        let end = memchr::memchr(b'?', bytes).unwrap_or(bytes.len());
        if memchr::memchr(b'#', bytes).is_some()
            || memchr::memchr2(b' ', b'\\', &bytes[..end]).is_some()
        {
            return Err(invalid(&text));
        }
        let target = match end {
            0 => PathAndQuery::try_from(format!("/{text}")),
            _ if !text.starts_with('/') => return Err(invalid(&text)),
            _ => PathAndQuery::try_from(text.as_str()),
        };
        let target = target.map_err(|_| invalid(&text))?;
        Ok(Address { origin, target })
    }
}

/// Where an address's path or query begins.
fn target_start(address: &str) -> usize {
    let host = address.find("://").map_or(0, |scheme| scheme + 3);
    let after = address[host..].find(['/', '?', '#']);
    after.map_or(address.len(), |length| host + length)
}

/// Takes scheme and server off the front of an address, where they are all in it.
///
/// `alone`: nothing follows it.
fn fixed_origin(literal: &mut String, alone: bool) -> Option<Arc<Origin>> {
    let start = target_start(literal);
    if start == literal.len() && !alone {
        // The host goes on in a placeholder.
        return None;
    }
    let origin = filled_origin(&literal[..start]).ok()?;
    literal.drain(..start);
    Some(origin)
}

/// Why a server's name cannot be used.
enum OriginError {
    Host,
    Invalid,
}

impl OriginError {
    fn of(&self, address: String) -> UriError {
        match self {
            Self::Host => UriError::Host(address),
            Self::Invalid => UriError::Invalid(address),
        }
    }
}

fn filled_origin(text: &str) -> Result<Arc<Origin>, OriginError> {
    let uri: Uri = text.parse().map_err(|_| OriginError::Invalid)?;
    Origin::of(&uri).map(Arc::new).ok_or(OriginError::Host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(template: &str, raw: &str, query: &str) -> Result<String, UriError> {
        let uri = UriTemplate::parse(template)?.fill(
            |_| Some(Value::Raw(raw.to_owned())),
            None,
            query,
        )?;
        Ok(uri.to_string())
    }

    #[test]
    fn what_the_path_held_is_sent_byte_for_byte() {
        for raw in [
            "a/../admin/x",
            "%2e%2e/admin",
            "a//b",
            "a;b=c",
            "%2F",
            "caf%C3%A9",
        ] {
            assert_eq!(
                fill("http://h:1/{proxy}", raw, "").unwrap(),
                format!("http://h:1/{raw}")
            );
        }
    }

    #[test]
    fn decoded_values_are_encoded_again() {
        let uri = UriTemplate::parse("http://h/{a}?q={a}")
            .unwrap()
            .fill(|_| Some(Value::Text("x y&z#?".to_owned())), None, "")
            .unwrap();

        assert_eq!(
            uri.to_string(),
            "http://h/x%20y%26z%23%3F?q=x%20y%26z%23%3F"
        );
    }

    #[test]
    fn queries_are_joined() {
        assert_eq!(fill("http://h/a", "", "x=1").unwrap(), "http://h/a?x=1");
        assert_eq!(
            fill("http://h/a?b=2", "", "x=1").unwrap(),
            "http://h/a?b=2&x=1"
        );
        assert_eq!(fill("http://h/a?", "", "x=1").unwrap(), "http://h/a?x=1");
    }

    #[test]
    fn a_value_cannot_name_another_host() {
        assert!(matches!(
            fill("http://h.{proxy}/", "x@evil/", ""),
            Err(UriError::Host(_))
        ));
        assert!(fill("http://h/{proxy}", "a#b", "").is_err());
        assert!(fill("http://h/{proxy}", "a\\b", "").is_err());
    }

    #[test]
    fn an_unset_stage_variable_leaves_nothing() {
        let (filled, missing) =
            fill_stage_variables("http://${stageVariables.host}/x", &IndexMap::new());

        assert_eq!(missing, ["host"]);
        assert!(matches!(
            UriTemplate::parse(&filled),
            Err(UriError::Host(_))
        ));
    }

    #[test]
    fn a_whole_path_is_added_to_the_addresss_own() {
        let uri = UriTemplate::parse("http://h/base/?k=1")
            .unwrap()
            .fill(|_| None, Some("/a/b/"), "")
            .unwrap();

        assert_eq!(uri.to_string(), "http://h/base/a/b/?k=1");
    }

    #[test]
    fn a_path_instead_of_the_addresss_own_keeps_its_query() {
        for template in ["http://h:1/base/{a}?k=1", "http://h:1?k=1"] {
            let uri = UriTemplate::parse(template)
                .unwrap()
                .fill_at(|_| None, AddedPath::Instead("/v2/x"), "l=2")
                .unwrap();

            assert_eq!(uri.to_string(), "http://h:1/v2/x?k=1&l=2");
        }
    }
}
