//! Parameter mapping of HTTP APIs: requests towards the backend, answers by
//! their status, and the parameters of service actions.
//!
//! Everything is read once; a request only looks up and joins. Values always
//! come from the request (or answer) as it came, so the order of the entries
//! does not matter to what they read.
//!
//! Source: API Gateway developer guide, "Transform API requests and responses
//! for HTTP APIs in API Gateway". Where the guide is silent: a value whose only
//! variable is absent appends nothing, and `overwrite` with it *removes* what
//! the client sent, so that a client cannot fill in for, say, an absent claim;
//! among other text an absent variable is empty. `append` to a header that is
//! there adds a line of its own, which is the same header (RFC 9110, 5.3).

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use serde_json::value::RawValue;

use super::IntegrationError;
use super::bounded_body::{BoundError, PAYLOAD_LIMIT, read_whole};
use super::mapping::{body_field, read_field};
use super::uri::{encode_path, encode_query, encode_written_path};
use crate::base::{Body, ChangeHeaders};
use crate::event::headers::text_of;
use crate::event::query::decode_form;
use crate::event::{Exchange, HeaderList, context_variables};
use crate::language::jsonpath::Path;

/// How far into a body its fields are looked up.
const BODY_LOOKUP: usize = 100 * 1024;

/// Why a mapping cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MappingError {
    /// The key is no target.
    #[error("`{0}` is no mapping target of an HTTP API")]
    Target(String),
    /// The value reads something that is not there.
    #[error("`${0}` is no value that can be mapped here")]
    Variable(String),
    /// A `${` without `}`.
    #[error("`{0}` has a `${{` without `}}`")]
    Brace(String),
    /// A body's path.
    #[error("`{0}` is no path into a body: {1}")]
    BodyPath(String, String),
    /// A static status that is none.
    #[error("`{0}` is no status")]
    Status(String),
}

/// Which variables a value may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// `$request.*`.
    Request,
    /// `$response.*`.
    Response,
}

/// What a variable reads.
#[derive(Clone, Debug)]
enum Variable {
    /// `$request.header.N`, `$response.header.N`.
    Header(String),
    /// `$request.querystring.N`.
    Query(String),
    /// `$request.path`.
    Path,
    /// `$request.path.N`.
    PathParameter(String),
    /// `$request.body`, `$response.body`.
    Body,
    /// `$request.body.PATH`, `$response.body.PATH`.
    BodyField(Arc<BodyField>),
    /// `$context.V`.
    Context(String),
    /// `$stageVariables.V`.
    Stage(String),
}

#[derive(Clone, Debug)]
enum Piece {
    Text(String),
    Variable(Variable),
}

/// A mapping's value, read once.
#[derive(Clone, Debug)]
pub struct Value {
    pieces: Vec<Piece>,
}

/// What values are read from.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'i> {
    /// The request.
    pub exchange: &'i Exchange<'i>,
    /// Headers of the side that is mapped; `None` are the request's.
    pub answer_headers: Option<&'i HeaderMap>,
    /// Body of the side that is mapped, where a value needs it.
    pub body: Option<&'i [u8]>,
}

impl Value {
    /// Reads a value: static text, a variable (`$request.path.id`), or text with
    /// variables in braces (`/v2/${request.path.id}`).
    ///
    /// # Errors
    ///
    /// See [`MappingError`].
    pub fn parse(text: &str, side: Side) -> Result<Self, MappingError> {
        let mut pieces = Vec::new();
        let mut rest = text;
        if let Some(bare) = text.strip_prefix('$').filter(|bare| !bare.starts_with('{')) {
            // A variable without braces ends at the first blank.
            let end = bare.find(char::is_whitespace).unwrap_or(bare.len());
            pieces.push(Piece::Variable(Variable::parse(&bare[..end], side)?));
            rest = &bare[end..];
        }
        while let Some(start) = rest.find("${") {
            let after = &rest[start + 2..];
            let end = after
                .find('}')
                .ok_or_else(|| MappingError::Brace(text.to_owned()))?;
            if start > 0 {
                pieces.push(Piece::Text(rest[..start].to_owned()));
            }
            pieces.push(Piece::Variable(Variable::parse(&after[..end], side)?));
            rest = &after[end + 1..];
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        Ok(Self { pieces })
    }

    /// The text of a value without variables.
    pub fn constant(&self) -> Option<&str> {
        match self.pieces.as_slice() {
            [] => Some(""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Whether it reads the body.
    pub fn needs_body(&self) -> bool {
        self.pieces.iter().any(|piece| {
            matches!(
                piece,
                Piece::Variable(Variable::Body | Variable::BodyField(_))
            )
        })
    }

    /// The text for a request; `None` when its only variable is absent.
    pub fn text(&self, inputs: Inputs<'_>) -> Option<String> {
        self.joined(str::to_owned, |variable| {
            variable.read(inputs).map(Cow::into_owned)
        })
    }

    /// The text as a piece of a path: what stood in the path as it was sent,
    /// other variables encoded.
    fn path_text(&self, inputs: Inputs<'_>) -> Option<String> {
        let written = |text: &str| encode_written_path(text).to_string();
        self.joined(written, |variable| match variable {
            Variable::Path => Some(inputs.exchange.path.clone()),
            Variable::PathParameter(name) => inputs
                .exchange
                .path_parameter(name)
                .map(|parameter| parameter.raw.clone()),
            other => other
                .read(inputs)
                .map(|text| encode_path(&text).to_string()),
        })
    }

    fn joined(
        &self,
        literal: impl Fn(&str) -> String,
        read: impl Fn(&Variable) -> Option<String>,
    ) -> Option<String> {
        if let [Piece::Variable(only)] = self.pieces.as_slice() {
            return read(only);
        }
        let mut joined = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => joined.push_str(&literal(text)),
                Piece::Variable(variable) => joined.push_str(&read(variable).unwrap_or_default()),
            }
        }
        Some(joined)
    }
}

impl Variable {
    /// Reads what stands after `$`.
    fn parse(text: &str, side: Side) -> Result<Self, MappingError> {
        let unknown = || MappingError::Variable(text.to_owned());
        let named = |name: &str, make: fn(String) -> Self| {
            if name.is_empty() {
                Err(unknown())
            } else {
                Ok(make(name.to_owned()))
            }
        };
        if let Some(name) = text.strip_prefix("context.") {
            return named(name, Self::Context);
        }
        if let Some(name) = text.strip_prefix("stageVariables.") {
            return named(name, Self::Stage);
        }
        let prefix = match side {
            Side::Request => "request.",
            Side::Response => "response.",
        };
        let inner = text.strip_prefix(prefix).ok_or_else(unknown)?;
        match (inner.split_once('.'), side) {
            (Some(("header", name)), _) => named(name, Self::Header),
            (Some(("querystring", name)), Side::Request) => named(name, Self::Query),
            (Some(("path", name)), Side::Request) => {
                named(name.trim_end_matches('+'), Self::PathParameter)
            }
            (None, Side::Request) if inner == "path" => Ok(Self::Path),
            (None, _) if inner == "body" => Ok(Self::Body),
            _ => match inner.strip_prefix("body") {
                Some(path) if path.starts_with(['.', '[']) => BodyField::parse(path)
                    .map(|field| Self::BodyField(Arc::new(field)))
                    .map_err(|why| MappingError::BodyPath(text.to_owned(), why)),
                _ => Err(unknown()),
            },
        }
    }

    fn read<'i>(&'i self, inputs: Inputs<'i>) -> Option<Cow<'i, str>> {
        let exchange = inputs.exchange;
        match self {
            Self::Header(name) => match inputs.answer_headers {
                Some(headers) => {
                    let values = headers.get_all(name.as_str());
                    joined(values.iter().map(|value| text_of(value.as_bytes())))
                }
                None if name.eq_ignore_ascii_case("host") => {
                    Some(Cow::Borrowed(exchange.request.host.as_str()))
                }
                None => joined(exchange.headers().all(name)),
            },
            Self::Query(name) => joined(exchange.query().all(name).map(Cow::Borrowed)),
            Self::Path => Some(crate::event::query::decode_percent(&exchange.path)),
            Self::PathParameter(name) => exchange
                .path_parameter(name)
                .map(|parameter| Cow::Borrowed(parameter.value.as_str())),
            Self::Body => inputs
                .body
                .filter(|body| !body.is_empty())
                .map(String::from_utf8_lossy),
            Self::BodyField(field) => inputs
                .body
                .and_then(|body| field.read(body))
                .map(Cow::Owned),
            Self::Context(name) => context_variables::lookup(exchange, name),
            Self::Stage(name) => exchange
                .api
                .stage_variables
                .get(name)
                .map(|value| Cow::Borrowed(value.as_str())),
        }
    }
}

/// Several values of one name, joined by commas; `None` without any.
fn joined<'v>(mut values: impl Iterator<Item = Cow<'v, str>>) -> Option<Cow<'v, str>> {
    let first = values.next()?;
    let Some(second) = values.next() else {
        return Some(first);
    };
    let mut text = format!("{first},{second}");
    for value in values {
        text.push(',');
        text.push_str(&value);
    }
    Some(Cow::Owned(text))
}

/// A path into a JSON body.
#[derive(Debug)]
struct BodyField {
    path: Path,
    /// The path as plain steps, where it is one.
    steps: Option<Vec<Step>>,
}

#[derive(Debug, PartialEq, Eq)]
enum Step {
    Member(String),
    Item(usize),
}

impl BodyField {
    fn parse(text: &str) -> Result<Self, String> {
        // "The `..` operator and filter expressions aren't supported."
        if text.contains("..") || text.contains("?(") {
            return Err("`..` and filters are not supported".to_owned());
        }
        Ok(Self {
            path: body_field(text)?,
            steps: steps(text.strip_prefix(".$").unwrap_or(text)),
        })
    }

    /// The field's text: a string as it is, anything else as JSON. Looked up in
    /// the first 100 KB.
    fn read(&self, body: &[u8]) -> Option<String> {
        if body.len() <= BODY_LOOKUP {
            return read_field(&self.path, body);
        }
        let mut at: &RawValue = serde_json::from_slice(body).ok()?;
        for step in self.steps.as_ref()? {
            at = match step {
                Step::Member(name) => {
                    serde_json::from_str::<HashMap<Cow<'_, str>, &RawValue>>(at.get())
                        .ok()?
                        .remove(name.as_str())?
                }
                Step::Item(index) => *serde_json::from_str::<Vec<&RawValue>>(at.get())
                    .ok()?
                    .get(*index)?,
            };
        }
        let text = at.get();
        let end = (text.as_ptr() as usize + text.len()).checked_sub(body.as_ptr() as usize)?;
        if end > BODY_LOOKUP {
            return None;
        }
        match serde_json::from_str(text).ok()? {
            serde_json::Value::Null => None,
            serde_json::Value::String(text) => Some(text),
            _ => Some(text.to_owned()),
        }
    }
}

/// `.a.b[0]['c']` as steps; `None` for any other path.
fn steps(text: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        if let Some(name) = rest.strip_prefix('.') {
            let end = name.find(['.', '[']).unwrap_or(name.len());
            if end == 0 || &name[..end] == "*" {
                return None;
            }
            steps.push(Step::Member(name[..end].to_owned()));
            rest = &name[end..];
        } else {
            let (inner, after) = rest.strip_prefix('[')?.split_once(']')?;
            let quoted = inner
                .strip_prefix('\'')
                .and_then(|inner| inner.strip_suffix('\''));
            steps.push(match quoted {
                Some(name) => Step::Member(name.to_owned()),
                None => Step::Item(inner.parse().ok()?),
            });
            rest = after;
        }
    }
    Some(steps)
}

/// What is done to a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Append,
    Overwrite,
    Remove,
}

fn operation(target: &str) -> Option<(Operation, &str)> {
    let (operation, place) = target.split_once(':')?;
    let operation = match operation {
        "append" => Operation::Append,
        "overwrite" => Operation::Overwrite,
        "remove" => Operation::Remove,
        _ => return None,
    };
    Some((operation, place))
}

fn header_target(name: &str) -> Option<HeaderName> {
    HeaderName::from_bytes(name.as_bytes()).ok()
}

#[derive(Clone, Debug)]
enum RequestTarget {
    Header(HeaderName),
    Query(String),
    Path,
}

/// `requestParameters` of an HTTP API, read once.
#[derive(Clone, Debug, Default)]
pub struct RequestMapping {
    entries: Vec<(Operation, RequestTarget, Value)>,
}

impl RequestMapping {
    /// Adds an entry.
    ///
    /// # Errors
    ///
    /// When key or value cannot be read.
    pub fn add(&mut self, target: &str, source: &str) -> Result<(), MappingError> {
        let wrong = || MappingError::Target(target.to_owned());
        let (operation, place) = operation(target).ok_or_else(wrong)?;
        let place = match place.split_once('.') {
            Some(("header", name)) => RequestTarget::Header(header_target(name).ok_or_else(wrong)?),
            Some(("querystring", name)) if !name.is_empty() => {
                RequestTarget::Query(name.to_owned())
            }
            None if place == "path" && operation == Operation::Overwrite => RequestTarget::Path,
            _ => return Err(wrong()),
        };
        let value = match operation {
            // `''` stands where a value must.
            Operation::Remove => Value::parse("", Side::Request)?,
            Operation::Append | Operation::Overwrite => Value::parse(source, Side::Request)?,
        };
        self.entries.push((operation, place, value));
        Ok(())
    }

    /// Whether nothing is mapped.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether an entry reads the request's body.
    pub fn needs_body(&self) -> bool {
        self.entries.iter().any(|(_, _, value)| value.needs_body())
    }

    /// Evaluates every entry for a request. `body` is wanted where [`Self::needs_body`].
    pub fn apply(&self, exchange: &Exchange<'_>, body: Option<&Bytes>) -> MappedRequest {
        let inputs = Inputs {
            exchange,
            answer_headers: None,
            body: body.map(|body| &body[..]),
        };
        let mut mapped = MappedRequest::default();
        for (operation, target, value) in &self.entries {
            match target {
                RequestTarget::Path => {
                    if let Some(path) = value.path_text(inputs) {
                        mapped.path = Some(absolute(path));
                    }
                }
                RequestTarget::Query(name) => mapped.query.push(Change {
                    operation: *operation,
                    name: name.clone(),
                    value: value.text(inputs),
                }),
                RequestTarget::Header(name) => mapped.headers.push(Change {
                    operation: *operation,
                    name: name.clone(),
                    value: value.text(inputs),
                }),
            }
        }
        mapped
    }
}

fn absolute(path: String) -> String {
    if path.starts_with('/') {
        path
    } else {
        format!("/{path}")
    }
}

#[derive(Clone, Debug)]
struct Change<N> {
    operation: Operation,
    name: N,
    /// `None`: the value is absent from this request.
    value: Option<String>,
}

impl<N> Change<N> {
    /// Whether what stands there is taken away.
    fn clears(&self) -> bool {
        matches!(self.operation, Operation::Overwrite | Operation::Remove)
    }

    /// What is put there.
    fn added(&self) -> Option<&str> {
        match self.operation {
            Operation::Remove => None,
            Operation::Append | Operation::Overwrite => self.value.as_deref(),
        }
    }
}

/// The mappings' values for one request.
#[derive(Clone, Debug, Default)]
pub struct MappedRequest {
    /// The path towards the backend, encoded, where it is overwritten.
    pub path: Option<String>,
    query: Vec<Change<String>>,
    headers: Vec<Change<HeaderName>>,
}

impl MappedRequest {
    /// The query towards the backend; what is not mapped stays as it was sent.
    pub fn query(&self, sent: &str) -> String {
        if self.query.is_empty() {
            return sent.to_owned();
        }
        let mut pieces: Vec<(String, String)> = sent
            .split('&')
            .filter(|piece| !piece.is_empty())
            .map(|piece| {
                let name = decode_form(piece.split('=').next().unwrap_or_default());
                (name.into_owned(), piece.to_owned())
            })
            .collect();
        for change in &self.query {
            if change.clears() {
                pieces.retain(|(name, _)| *name != change.name);
            }
            if let Some(value) = change.added() {
                let piece = format!("{}={}", encode_query(&change.name), encode_query(value));
                pieces.push((change.name.clone(), piece));
            }
        }
        let pieces: Vec<String> = pieces.into_iter().map(|(_, piece)| piece).collect();
        pieces.join("&")
    }

    /// Changes the headers towards the backend.
    ///
    /// # Errors
    ///
    /// A value that no header may have, such as one with a line break.
    pub fn put_headers(&self, headers: &mut impl ChangeHeaders) -> Result<(), IntegrationError> {
        put(&self.headers, headers)
    }

    /// The headers towards a function.
    pub fn header_list(&self, sent: &HeaderList) -> HeaderList {
        let mut fields: Vec<(&str, &[u8])> = sent.iter().collect();
        for change in &self.headers {
            if change.clears() {
                fields.retain(|(name, _)| !name.eq_ignore_ascii_case(change.name.as_str()));
            }
            if let Some(value) = change.added() {
                fields.push((change.name.as_str(), value.as_bytes()));
            }
        }
        fields.into_iter().collect()
    }
}

fn put(
    changes: &[Change<HeaderName>],
    headers: &mut impl ChangeHeaders,
) -> Result<(), IntegrationError> {
    for change in changes {
        if change.clears() {
            headers.take_away(&change.name);
        }
        if let Some(value) = change.added() {
            let value = HeaderValue::from_bytes(value.trim().as_bytes()).map_err(|_| {
                IntegrationError::Configuration(format!(
                    "the value mapped to `{}` is no header value",
                    change.name
                ))
            })?;
            headers.add(&change.name, value);
        }
    }
    Ok(())
}

#[derive(Clone, Debug)]
enum ResponseTarget {
    Header(HeaderName),
    Status,
}

/// `responseParameters` of an HTTP API: mappings by the status that the backend sent.
#[derive(Clone, Debug, Default)]
pub struct ResponseMapping {
    by_status: HashMap<u16, Vec<(Operation, ResponseTarget, Value)>>,
}

impl ResponseMapping {
    /// Adds an entry for a status.
    ///
    /// # Errors
    ///
    /// When status, key or value cannot be read.
    pub fn add(&mut self, status: &str, target: &str, source: &str) -> Result<(), MappingError> {
        let wrong = || MappingError::Target(target.to_owned());
        let code: u16 = status
            .parse()
            .map_err(|_| MappingError::Status(status.to_owned()))?;
        let (operation, place) = operation(target).ok_or_else(wrong)?;
        let place = match place.split_once('.') {
            Some(("header", name)) => {
                ResponseTarget::Header(header_target(name).ok_or_else(wrong)?)
            }
            None if place == "statuscode" && operation == Operation::Overwrite => {
                ResponseTarget::Status
            }
            _ => return Err(wrong()),
        };
        let value = match operation {
            Operation::Remove => Value::parse("", Side::Response)?,
            Operation::Append | Operation::Overwrite => Value::parse(source, Side::Response)?,
        };
        let constant = value
            .constant()
            .filter(|_| matches!(place, ResponseTarget::Status));
        if let Some(constant) = constant
            && read_status(constant).is_none()
        {
            return Err(MappingError::Status(constant.to_owned()));
        }
        self.by_status
            .entry(code)
            .or_default()
            .push((operation, place, value));
        Ok(())
    }

    /// Whether no answer is changed.
    pub fn is_empty(&self) -> bool {
        self.by_status.is_empty()
    }

    /// Whether there is something to change in an answer of this status.
    pub fn changes(&self, status: StatusCode) -> bool {
        self.by_status.contains_key(&status.as_u16())
    }

    /// Changes an answer of the backend. Its body is read only where a value
    /// needs it.
    ///
    /// # Errors
    ///
    /// A body that breaks off or is over 10 MB, or a value that no header may have.
    pub async fn apply(
        &self,
        exchange: &Exchange<'_>,
        response: Response<Body>,
    ) -> Result<Response<Body>, IntegrationError> {
        let Some(entries) = self.by_status.get(&response.status().as_u16()) else {
            return Ok(response);
        };
        let (mut parts, mut body) = response.into_parts();
        let mut whole = None;
        if entries.iter().any(|(_, _, value)| value.needs_body()) {
            let bytes = read_whole(body, PAYLOAD_LIMIT)
                .await
                .map_err(|error| match error.downcast_ref::<BoundError>() {
                    Some(BoundError::TooLarge(bytes)) => {
                        IntegrationError::AnswerTooLarge(*bytes as u64)
                    }
                    _ => IntegrationError::BrokenAnswer(error.to_string()),
                })?;
            body = Body::from(bytes.clone());
            whole = Some(bytes);
        }
        let mut status = None;
        let mut changes = Vec::new();
        let inputs = Inputs {
            exchange,
            answer_headers: Some(&parts.headers),
            body: whole.as_deref(),
        };
        for (operation, target, value) in entries {
            let value = value.text(inputs);
            match target {
                // A value that is no status changes nothing.
                ResponseTarget::Status => {
                    status = value.as_deref().and_then(read_status).or(status);
                }
                ResponseTarget::Header(name) => changes.push(Change {
                    operation: *operation,
                    name: name.clone(),
                    value,
                }),
            }
        }
        put(&changes, &mut parts.headers)?;
        parts.status = status.unwrap_or(parts.status);
        Ok(Response::from_parts(parts, body))
    }
}

/// "a status code from 200 to 599".
fn read_status(text: &str) -> Option<StatusCode> {
    let code: u16 = text.trim().parse().ok()?;
    (200..600)
        .contains(&code)
        .then(|| StatusCode::from_u16(code).ok())?
}
