//! `http_proxy` of an HTTP API.
//!
//! Source: API Gateway developer guide, "Create HTTP proxy integrations for
//! HTTP APIs"; `Forwarded` and `Via` as backends behind HTTP APIs printed them.

use ::http::Method;
use ::http::header::{CONNECTION, CONTENT_TYPE};

use super::super::client::Kept;
use super::super::header_rules::{connection_options, is_hop_header, is_one_of};
use super::super::http_mapping::{RequestMapping, ResponseMapping};
use super::super::uri::{AddedPath, UriTemplate, Value};
use super::super::{Answer, IntegrationError, RequestBody};
use super::{Connection, method_towards};
use crate::base::HeaderLines;
use crate::event::{Exchange, traceparent};

/// Which of the request's paths an integration adds to its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddedToAddress {
    /// None: the address has variables for it, if it wants it.
    Nothing,
    /// The `$default` route: the path without the stage.
    Path,
    /// A private integration: "the stage's name is part of the path that is sent".
    PathWithStage,
}

/// A compiled `http_proxy` integration of an HTTP API.
#[derive(Debug)]
pub struct HttpProxy {
    /// How the backend is reached.
    pub connection: Connection,
    /// Its address.
    pub uri: UriTemplate,
    /// `None` repeats the client's method.
    pub method: Option<Method>,
    /// Which of the request's paths is added to the address.
    pub adds: AddedToAddress,
    /// `requestParameters`.
    pub mapping: RequestMapping,
    /// `responseParameters`.
    pub response_mapping: ResponseMapping,
}

impl HttpProxy {
    /// Sends the request on.
    ///
    /// # Errors
    ///
    /// See [`Connection::send`]; and an address that does not work for this request.
    pub async fn call(
        &self,
        exchange: &Exchange<'_>,
        body: RequestBody,
    ) -> Result<Answer, IntegrationError> {
        let value = |name: &str| {
            exchange
                .path_parameter(name)
                .map(|parameter| Value::Raw(parameter.raw.clone()))
        };
        let whole = match &body {
            RequestBody::Whole(bytes) => Some(bytes),
            RequestBody::Streaming(_) => None,
        };
        let mapped = self.mapping.apply(exchange, whole);
        let path = match (&mapped.path, self.adds) {
            (Some(path), _) => AddedPath::Instead(path),
            (None, AddedToAddress::Nothing) => AddedPath::None,
            (None, AddedToAddress::Path) => AddedPath::After(&exchange.path),
            (None, AddedToAddress::PathWithStage) => AddedPath::After(&exchange.path_with_stage),
        };
        let query = mapped.query(exchange.request.query.as_deref().unwrap_or_default());
        let uri = self
            .uri
            .fill_at(value, path, &query)
            .map_err(|error| IntegrationError::Configuration(error.to_string()))?;
        let mut headers = passed_headers(exchange, &body);
        mapped.put_headers(&mut headers)?;
        let method = method_towards(self.method.as_ref(), &exchange.request.method);
        exchange.watch.sending();
        // A mapping of the answer may read its headers; else they only pass.
        let kept = match self.response_mapping.is_empty() {
            true => Kept::Lines,
            false => Kept::EndToEnd,
        };
        let sending = self.connection.send(method, uri, headers, body, kept);
        let response = sending.await?;
        exchange.watch.received(Some(response.status().as_u16()));
        let response = match self.response_mapping.changes(response.status()) {
            true => Box::pin(self.response_mapping.apply(exchange, response)).await?,
            false => response,
        };
        Ok(Answer {
            response,
            with_trace_id: false,
            streams: false,
        })
    }
}

/// The client's headers that go on, `X-Forwarded-*` folded into `Forwarded`.
fn passed_headers(exchange: &Exchange<'_>, body: &RequestBody) -> HeaderLines {
    let sent = exchange.headers();
    let options = connection_options(sent.values(CONNECTION.as_str()));
    let mut headers = HeaderLines::with_capacity(sent.len() + 4, sent.byte_len() + 256);
    for (name, value) in sent.iter() {
        if !is_hop_header(name) && !is_one_of(&OWN, name) && !is_one_of(&options, name) {
            headers.push(name, value);
        }
    }
    headers.push("forwarded", forwarded(exchange).as_bytes());
    headers.push("via", b"HTTP/1.1 AmazonAPIGateway");
    headers.push("x-amzn-trace-id", exchange.trace_id.as_bytes());
    traceparent::put_into(&mut headers, exchange);
    let empty = matches!(body, RequestBody::Whole(bytes) if bytes.is_empty());
    let announced_none = empty && sent.last("content-length").as_deref() == Some("0");
    if announced_none && !headers.contains(CONTENT_TYPE.as_str()) {
        // "Amazon API Gateway important notes": such a request gets a content type.
        headers.push(CONTENT_TYPE.as_str(), b"application/octet-stream");
    }
    headers
}

/// What the gateway says itself: folded into `Forwarded`, or made anew.
const OWN: [&str; 10] = [
    "content-length",
    "expect",
    "forwarded",
    "host",
    "via",
    "x-amzn-trace-id",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
];

/// The `Forwarded` header: what came before, then this hop.
fn forwarded(exchange: &Exchange<'_>) -> String {
    let mut text = String::with_capacity(96);
    for value in exchange.headers().all("forwarded") {
        text.push_str(&value);
        text.push_str(", ");
    }
    for value in exchange.headers().all("x-forwarded-for") {
        let hops = value
            .split(',')
            .map(str::trim)
            .filter(|hop| !hop.is_empty());
        for hop in hops {
            push_node(&mut text, hop);
            text.push_str(", ");
        }
    }
    push_node(&mut text, &exchange.source_ip());
    text.push_str(";host=");
    text.push_str(&exchange.request.host);
    text.push_str(";proto=");
    text.push_str(exchange.forwarded_proto());
    text
}

/// Adds a hop; an IPv6 address stands in brackets and quotes (RFC 7239, 6).
fn push_node(text: &mut String, address: &str) {
    let (before, after) = if address.contains(':') {
        ("for=\"[", "]\"")
    } else {
        ("for=", "")
    };
    text.push_str(before);
    text.push_str(address);
    text.push_str(after);
}
