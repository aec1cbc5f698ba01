//! Parameter mappings of a REST integration request: `integration.request.*`
//! from `method.request.*`, stage variables, context and constants.
//!
//! Source: API Gateway developer guide, "Parameter mapping for REST APIs in API
//! Gateway" and "Amazon API Gateway API request and response data mapping
//! reference".

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};

use super::IntegrationError;
use super::header_rules::Backend;
use super::uri;
use crate::base::ChangeHeaders;
use crate::event::query::decode_percent;
use crate::event::{Exchange, context_variables};
use crate::language::jsonpath::Path;

/// Where a mapped value comes from.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Source {
    /// `method.request.path.NAME`.
    Path(String),
    /// `method.request.querystring.NAME`: the last value.
    Query(String),
    /// `method.request.multivaluequerystring.NAME`.
    MultiQuery(String),
    /// `method.request.header.NAME`: the last value.
    Header(String),
    /// `method.request.multivalueheader.NAME`.
    MultiHeader(String),
    /// `method.input.params.NAME` of a gateway response: of the path, the query or the headers.
    AnyParameter(String),
    /// `method.request.body`.
    Body,
    /// `method.request.body.JSONPATH`.
    BodyField(Arc<Path>),
    /// `stageVariables.NAME`.
    StageVariable(String),
    /// `context.NAME`.
    Context(String),
    /// `'text'`.
    Static(String),
}

impl Source {
    /// Reads a mapping expression; `None` if it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Some(constant) = text
            .strip_prefix('\'')
            .and_then(|rest| rest.strip_suffix('\''))
        {
            return Some(Self::Static(constant.to_owned()));
        }
        let named = |name: &str, make: fn(String) -> Self| {
            (!name.is_empty()).then(|| make(name.to_owned()))
        };
        if let Some(name) = text.strip_prefix("stageVariables.") {
            return named(name, Self::StageVariable);
        }
        if let Some(name) = text.strip_prefix("context.") {
            return named(name, Self::Context);
        }
        let rest = text.strip_prefix("method.request.")?;
        if rest == "body" {
            return Some(Self::Body);
        }
        if let Some(path) = rest.strip_prefix("body") {
            return body_field(path)
                .ok()
                .map(|path| Self::BodyField(Arc::new(path)));
        }
        let (place, name) = rest.split_once('.')?;
        match place {
            "path" => named(name, Self::Path),
            "querystring" => named(name, Self::Query),
            "multivaluequerystring" => named(name, Self::MultiQuery),
            "header" => named(name, Self::Header),
            "multivalueheader" => named(name, Self::MultiHeader),
            _ => None,
        }
    }

    /// The values, none if the source is absent from the request.
    pub fn values<'e>(
        &'e self,
        exchange: &'e Exchange<'_>,
        body: Option<&'e Bytes>,
    ) -> Vec<Cow<'e, str>> {
        match self {
            Self::Path(name) => exchange
                .path_parameter(name)
                .map(|parameter| decode_percent(&parameter.raw))
                .into_iter()
                .collect(),
            // Header and query names are case-sensitive in expressions
            // ("Amazon API Gateway important notes").
            Self::Query(name) => exchange
                .query()
                .last(name)
                .map(Cow::Borrowed)
                .into_iter()
                .collect(),
            Self::MultiQuery(name) => exchange.query().all(name).map(Cow::Borrowed).collect(),
            Self::Header(name) => header_value(exchange, name).into_iter().collect(),
            Self::MultiHeader(name) => {
                let named = |(own, _): &(&str, _)| is_named(exchange, own, name);
                exchange
                    .headers()
                    .iter_text()
                    .filter(named)
                    .map(|(_, value)| value)
                    .collect()
            }
            Self::AnyParameter(name) => {
                let path = exchange
                    .path_parameter(name)
                    .map(|parameter| decode_percent(&parameter.raw));
                path.or_else(|| exchange.query().last(name).map(Cow::Borrowed))
                    .or_else(|| header_value(exchange, name))
                    .into_iter()
                    .collect()
            }
            Self::Body => body
                .map(|body| String::from_utf8_lossy(body))
                .into_iter()
                .collect(),
            Self::BodyField(path) => body
                .and_then(|body| read_field(path, body))
                .map(Cow::Owned)
                .into_iter()
                .collect(),
            Self::StageVariable(name) => exchange
                .api
                .stage_variables
                .get(name)
                .map(|value| Cow::Borrowed(value.as_str()))
                .into_iter()
                .collect(),
            Self::Context(name) => context_variables::lookup(exchange, name)
                .into_iter()
                .collect(),
            Self::Static(text) => vec![Cow::Borrowed(text.as_str())],
        }
    }

    fn needs_body(&self) -> bool {
        matches!(self, Self::Body | Self::BodyField(_))
    }
}

/// The last value of a header. `Host` is what the client asked for.
fn header_value<'e>(exchange: &'e Exchange<'_>, name: &str) -> Option<Cow<'e, str>> {
    if name.eq_ignore_ascii_case("host") {
        return Some(Cow::Borrowed(exchange.request.host.as_str()));
    }
    let named = |(own, _): &(&str, _)| is_named(exchange, own, name);
    exchange
        .headers()
        .iter_text()
        .rev()
        .find(named)
        .map(|(_, value)| value)
}

/// Whether a header as sent is the one that an expression names. Letter case
/// counts ("Amazon API Gateway important notes"), but not over HTTP/2, whose
/// names are all lower case, nor where AWS respells the name itself.
fn is_named(exchange: &Exchange<'_>, sent: &str, name: &str) -> bool {
    sent == name
        || sent.eq_ignore_ascii_case(name)
            && (exchange.request.version == http::Version::HTTP_2
                || ["Authorization", "User-Agent"].contains(&name))
}

/// Reads what follows `body` in an expression, `.field.list[0]`, as a JSONPath.
///
/// # Errors
///
/// Why it is none.
pub(super) fn body_field(text: &str) -> Result<Path, String> {
    if !text.starts_with(['.', '[']) {
        return Err("a `.` or `[` is expected after `body`".to_owned());
    }
    // `body.$.field` is written, too.
    let path = text.strip_prefix(".$").unwrap_or(text);
    Path::compile(&format!("${path}")).map_err(|error| error.to_string())
}

/// The text of a JSON payload's field: a string as it is, anything else as JSON.
pub(super) fn read_field(path: &Path, payload: &[u8]) -> Option<String> {
    let json: serde_json::Value = serde_json::from_slice(payload).ok()?;
    match path.read(&json)? {
        serde_json::Value::Null => None,
        serde_json::Value::String(text) => Some(text),
        other => Some(other.to_string()),
    }
}

/// Where a mapped value goes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    Path(String),
    Query(String),
    Header(HeaderName),
}

impl Target {
    fn parse(text: &str) -> Option<Self> {
        let (place, name) = text.strip_prefix("integration.request.")?.split_once('.')?;
        match place {
            "path" => Some(Self::Path(name.to_owned())),
            "querystring" => Some(Self::Query(name.to_owned())),
            "header" => HeaderName::from_bytes(name.as_bytes())
                .ok()
                .map(Self::Header),
            _ => None,
        }
    }
}

/// `requestParameters`, read once.
#[derive(Clone, Debug, Default)]
pub struct RequestMapping {
    entries: Vec<(Target, Source)>,
}

/// Why a mapping cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MappingError {
    /// The key is no target.
    #[error(
        "`{0}` is no mapping target; expected integration.request.path|querystring|header.NAME"
    )]
    Target(String),
    /// The value is no source.
    #[error(
        "`{0}` is no mapping expression; expected method.request.…, stageVariables.…, context.… or 'text'"
    )]
    Source(String),
}

impl RequestMapping {
    /// Adds an entry.
    ///
    /// # Errors
    ///
    /// When key or value cannot be read.
    pub fn add(&mut self, target: &str, source: &str) -> Result<(), MappingError> {
        let target =
            Target::parse(target).ok_or_else(|| MappingError::Target(target.to_owned()))?;
        let source =
            Source::parse(source).ok_or_else(|| MappingError::Source(source.to_owned()))?;
        self.entries.push((target, source));
        Ok(())
    }

    /// Whether an entry reads the request's body.
    pub fn needs_body(&self) -> bool {
        self.entries.iter().any(|(_, source)| source.needs_body())
    }

    /// Evaluates every entry for a request. `body` is wanted where [`Self::needs_body`].
    ///
    /// # Errors
    ///
    /// None today; a source that is absent maps nothing.
    pub fn apply(
        &self,
        exchange: &Exchange<'_>,
        body: Option<&Bytes>,
    ) -> Result<Mapped, IntegrationError> {
        let mut mapped = Mapped::default();
        for (target, source) in &self.entries {
            if let (Target::Path(name), Source::Path(from)) = (target, source) {
                if let Some(parameter) = exchange.path_parameter(from) {
                    mapped
                        .path
                        .push((name.clone(), uri::Value::Raw(parameter.raw.clone())));
                }
                continue;
            }
            let values: Vec<String> = source
                .values(exchange, body)
                .into_iter()
                .map(Cow::into_owned)
                .collect();
            if values.is_empty() {
                continue;
            }
            match target {
                Target::Path(name) => mapped
                    .path
                    .push((name.clone(), uri::Value::Text(values.join(",")))),
                Target::Query(name) => mapped.query.push((name.clone(), values)),
                Target::Header(name) => mapped.headers.push((name.clone(), values)),
            }
        }
        Ok(mapped)
    }
}

/// Mapped values of one request.
#[derive(Clone, Debug, Default)]
pub struct Mapped {
    /// For the placeholders of the address.
    pub path: Vec<(String, uri::Value)>,
    /// For the query.
    pub query: Vec<(String, Vec<String>)>,
    /// For the headers.
    pub headers: Vec<(HeaderName, Vec<String>)>,
}

impl Mapped {
    /// The value for a placeholder.
    pub fn path_value(&self, name: &str) -> Option<uri::Value> {
        self.path
            .iter()
            .find(|(other, _)| other == name)
            .map(|(_, value)| value.clone())
    }

    /// Sets the mapped headers; those about the connection are dropped.
    ///
    /// # Errors
    ///
    /// A header that no mapping may set (recorded at AWS: 500).
    pub fn put_headers(
        &self,
        headers: &mut impl ChangeHeaders,
        backend: Backend,
    ) -> Result<(), IntegrationError> {
        for (name, values) in &self.headers {
            let refused = match name.as_str() {
                "content-length" | "transfer-encoding" => true,
                "authorization" | "connection" | "expect" | "proxy-authenticate" | "te" => {
                    backend == Backend::Lambda
                }
                _ => false,
            };
            if refused {
                return Err(IntegrationError::Configuration(format!(
                    "a mapping may not set the header `{name}`"
                )));
            }
            let dropped = [
                "connection",
                "expect",
                "proxy-authenticate",
                "te",
                "trailer",
                "upgrade",
                "keep-alive",
            ];
            if dropped.contains(&name.as_str()) {
                continue;
            }
            headers.take_away(name);
            for value in values {
                let value = HeaderValue::from_bytes(value.trim().as_bytes()).map_err(|_| {
                    IntegrationError::Configuration(format!(
                        "the value mapped to `{name}` is no header value"
                    ))
                })?;
                headers.add(name, value);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    #[test]
    fn expressions_are_read_and_others_refused() {
        assert!(
            matches!(Source::parse("method.request.header.X-A"), Some(Source::Header(name)) if name == "X-A")
        );
        assert!(
            matches!(Source::parse("context.identity.sourceIp"), Some(Source::Context(name)) if name == "identity.sourceIp")
        );
        assert!(matches!(
            Source::parse("method.request.body.a[0].b"),
            Some(Source::BodyField(_))
        ));
        assert!(matches!(Source::parse("'it''s'"), Some(Source::Static(text)) if text == "it''s"));
        for text in [
            "",
            "method.request.header",
            "method.request.cookie.a",
            "plain",
            "stageVariables.",
        ] {
            assert!(Source::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn framing_headers_cannot_be_mapped() {
        let mapped = Mapped {
            headers: vec![(
                HeaderName::from_static("content-length"),
                vec!["0".to_owned()],
            )],
            ..Mapped::default()
        };

        assert!(
            mapped
                .put_headers(&mut HeaderMap::new(), Backend::HttpProxy)
                .is_err()
        );
    }
}
