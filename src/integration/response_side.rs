//! The integration responses of `http`, `aws` and `mock`: which one a backend's
//! answer selects, and what it makes of it.
//!
//! Source: API Gateway developer guide, "Set up an integration response in API
//! Gateway" and "Handle Lambda errors in API Gateway".

use std::borrow::Cow;

use bytes::Bytes;
use fancy_regex::Regex;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};

use super::IntegrationError;
use super::content_handling::convert_response;
use super::header_rules::{Backend, add_response_header};
use super::mapping::body_field;
use super::templates::{Templates, override_values, render};
use crate::base::Body;
use crate::event::headers::text_of;
use crate::event::media_type::first_accepted;
use crate::event::{Exchange, context_variables};
use crate::language::jsonpath::Path;
use crate::language::vtl::Overrides;
use crate::model::ContentHandling;

/// An integration's responses, compiled.
#[derive(Debug, Default)]
pub struct ResponseSide {
    /// In the document's order.
    pub responses: Vec<IntegrationResponse>,
}

/// One integration response, compiled.
#[derive(Debug)]
pub struct IntegrationResponse {
    /// Matches the backend's status or a function's error; `None` is `default`.
    pub pattern: Option<Pattern>,
    /// Status towards the client; `Err` where the method does not declare it.
    pub status: Result<StatusCode, String>,
    /// Headers towards the client.
    pub headers: Vec<(HeaderName, ResponseSource)>,
    /// Templates.
    pub templates: Templates,
    /// `contentHandling`.
    pub content_handling: Option<ContentHandling>,
}

/// A selection pattern: a Java regular expression that must match the whole text.
#[derive(Debug)]
pub struct Pattern(Regex);

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    ///
    /// Why it is no regular expression.
    pub fn parse(pattern: &str) -> Result<Self, String> {
        // Bounded backtracking: a pattern and a hostile message must not hang the gateway.
        fancy_regex::RegexBuilder::new(&format!(r"\A(?:{pattern})\z"))
            .backtrack_limit(100_000)
            .build()
            .map(Self)
            .map_err(|error| error.to_string())
    }

    fn matches(&self, text: &str) -> bool {
        self.0.is_match(text).unwrap_or(false)
    }
}

/// Where a mapped response header comes from.
#[derive(Debug)]
pub enum ResponseSource {
    /// `integration.response.header.NAME`.
    Header(HeaderName),
    /// `integration.response.multivalueheader.NAME`.
    MultiHeader(HeaderName),
    /// `integration.response.body`.
    Body,
    /// `integration.response.body.JSONPATH`.
    BodyField(Path),
    /// `stageVariables.NAME`.
    StageVariable(String),
    /// `context.NAME`.
    Context(String),
    /// `'text'`.
    Static(String),
}

impl ResponseSource {
    /// Reads a mapping expression.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let unknown = || {
            format!(
                "`{text}` is no mapping expression; expected integration.response.…, stageVariables.…, context.… or 'text'"
            )
        };
        if let Some(constant) = text
            .strip_prefix('\'')
            .and_then(|rest| rest.strip_suffix('\''))
        {
            return Ok(Self::Static(constant.to_owned()));
        }
        if let Some(name) = text.strip_prefix("stageVariables.") {
            return Ok(Self::StageVariable(name.to_owned()));
        }
        if let Some(name) = text.strip_prefix("context.") {
            return Ok(Self::Context(name.to_owned()));
        }
        let rest = text
            .strip_prefix("integration.response.")
            .ok_or_else(unknown)?;
        if rest == "body" {
            return Ok(Self::Body);
        }
        if let Some(path) = rest.strip_prefix("body") {
            return body_field(path)
                .map(Self::BodyField)
                .map_err(|error| format!("`{text}`: {error}"));
        }
        let header = |name: &str| HeaderName::from_bytes(name.as_bytes()).map_err(|_| unknown());
        match rest.split_once('.') {
            Some(("header", name)) => header(name).map(Self::Header),
            Some(("multivalueheader", name)) => header(name).map(Self::MultiHeader),
            _ => Err(unknown()),
        }
    }

    fn values(&self, exchange: &Exchange<'_>, answer: &BackendAnswer) -> Vec<String> {
        let header = |value: &HeaderValue| text_of(value.as_bytes()).into_owned();
        match self {
            Self::Header(name) => answer
                .headers
                .get_all(name)
                .iter()
                .next_back()
                .map(header)
                .into_iter()
                .collect(),
            Self::MultiHeader(name) => answer.headers.get_all(name).iter().map(header).collect(),
            Self::Body => vec![String::from_utf8_lossy(&answer.body).into_owned()],
            Self::BodyField(path) => super::mapping::read_field(path, &answer.body)
                .into_iter()
                .collect(),
            Self::StageVariable(name) => exchange
                .api
                .stage_variables
                .get(name)
                .cloned()
                .into_iter()
                .collect(),
            Self::Context(name) => context_variables::lookup(exchange, name)
                .map(Cow::into_owned)
                .into_iter()
                .collect(),
            Self::Static(text) => vec![text.clone()],
        }
    }
}

/// What a backend answered, before it is mapped.
#[derive(Debug)]
pub struct BackendAnswer {
    /// What patterns are matched against: a status, or a function's error
    /// message (empty when it succeeded).
    pub selector: String,
    /// The backend's headers.
    pub headers: HeaderMap,
    /// The payload.
    pub body: Bytes,
}

impl ResponseSide {
    /// The response that an answer selects: the first whose pattern matches, else `default`.
    pub fn select(&self, selector: &str) -> Option<&IntegrationResponse> {
        let matching = self.responses.iter().find(|response| {
            response
                .pattern
                .as_ref()
                .is_some_and(|pattern| pattern.matches(selector))
        });
        matching.or_else(|| {
            self.responses
                .iter()
                .find(|response| response.pattern.is_none())
        })
    }

    /// Makes the method response.
    ///
    /// # Errors
    ///
    /// No response selected, a status that the method does not declare, a
    /// template or conversion that fails: all AWS's 500.
    pub fn map(
        &self,
        exchange: &Exchange<'_>,
        answer: BackendAnswer,
        mut overrides: Overrides,
        backend: Backend,
    ) -> Result<Response<Body>, IntegrationError> {
        let selected = self.select(&answer.selector).ok_or_else(|| {
            IntegrationError::Configuration(format!(
                "no integration response matches `{}`, and there is no default",
                answer.selector
            ))
        })?;
        let mut status = selected
            .status
            .clone()
            .map_err(IntegrationError::Configuration)?;
        // With room for what the gateway adds.
        let mut headers = HeaderMap::with_capacity(selected.headers.len() + 4);
        for (name, source) in &selected.headers {
            for value in source.values(exchange, &answer) {
                put(&mut headers, name, &value, backend)?;
            }
        }
        let accept = exchange.headers().first("accept");
        let binary_types = &exchange.api.binary_media_types;
        let answered = answer
            .headers
            .get(CONTENT_TYPE)
            .map(|value| text_of(value.as_bytes()).into_owned());
        let body = convert_response(
            answer.body,
            binary_types.contains(answered.as_deref()),
            binary_types.contains(accept.as_deref().map(first_accepted)),
            selected.content_handling,
        )?;
        let (body, media_type) = match selected.templates.for_response(accept.as_deref()) {
            Some((media_type, template)) => {
                let input = String::from_utf8_lossy(&body);
                let rendered = render(template, exchange, &input, &mut overrides)?;
                (Bytes::from(rendered), media_type)
            }
            None => (body, "application/json"),
        };
        if let Some(overriding) = overrides.response.get("status") {
            status = override_status(overriding)?;
        }
        let overriding = overrides
            .response
            .get("header")
            .and_then(|value| value.as_object());
        for (name, value) in overriding.into_iter().flatten() {
            let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
                IntegrationError::Configuration(format!("the override `{name}` is no header name"))
            })?;
            headers.remove(&header);
            for value in override_values(value) {
                put(&mut headers, &header, &value, backend)?;
            }
        }
        if !headers.contains_key(CONTENT_TYPE)
            && let Ok(value) = HeaderValue::from_str(media_type)
        {
            headers.insert(CONTENT_TYPE, value);
        }
        let mut response = Response::new(body.into());
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Ok(response)
    }
}

fn put(
    headers: &mut HeaderMap,
    name: &HeaderName,
    value: &str,
    backend: Backend,
) -> Result<(), IntegrationError> {
    let value = HeaderValue::from_bytes(value.trim().as_bytes()).map_err(|_| {
        IntegrationError::Configuration(format!("the value mapped to `{name}` is no header value"))
    })?;
    add_response_header(headers, name.clone(), value, backend, true);
    Ok(())
}

/// `$context.responseOverride.status`: a number, or text that is one.
fn override_status(value: &serde_json::Value) -> Result<StatusCode, IntegrationError> {
    let text = override_values(value).join("");
    text.trim()
        .parse::<u16>()
        .ok()
        .filter(|number| (200..600).contains(number))
        .and_then(|number| StatusCode::from_u16(number).ok())
        .ok_or_else(|| {
            IntegrationError::Configuration(format!("the override status `{text}` is no status"))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(patterns: &[Option<&str>]) -> ResponseSide {
        let responses = patterns
            .iter()
            .zip(200..)
            .map(|(pattern, status)| IntegrationResponse {
                pattern: pattern.map(|pattern| Pattern::parse(pattern).unwrap()),
                status: StatusCode::from_u16(status).map_err(|error| error.to_string()),
                headers: Vec::new(),
                templates: Templates::default(),
                content_handling: None,
            })
            .collect();
        ResponseSide { responses }
    }

    #[test]
    fn a_pattern_matches_the_whole_text_and_default_takes_the_rest() {
        let side = side(&[None, Some(r"4\d{2}"), Some(".*not found")]);

        let selected = |text| side.select(text).unwrap().status.clone().unwrap().as_u16();
        assert_eq!(selected("404"), 201);
        assert_eq!(selected("4041"), 200);
        assert_eq!(selected("item not found"), 202);
        assert_eq!(selected(""), 200);
    }

    #[test]
    fn a_pattern_for_everything_takes_over_from_default() {
        let side = side(&[None, Some(".*")]);

        assert_eq!(side.select("").unwrap().status, Ok(StatusCode::CREATED));
    }

    #[test]
    fn java_look_ahead_is_understood_and_hostile_text_is_bounded() {
        let pattern = Pattern::parse(r"(?!ok)(a|a)*b").unwrap();

        assert!(pattern.matches("aab"));
        assert!(!pattern.matches(&"a".repeat(5000)));
    }
}
