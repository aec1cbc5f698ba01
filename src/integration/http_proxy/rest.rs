//! `http_proxy` of a REST API.
//!
//! Source: API Gateway developer guide, "Set up HTTP integrations in API
//! Gateway" and "Amazon API Gateway important notes"; which headers pass was
//! recorded at AWS.

use std::fmt::Write;

use ::http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName};
use ::http::{Method, Response};

use super::super::bounded_body::{BoundError, PAYLOAD_LIMIT, read_whole};
use super::super::client::Kept;
use super::super::content_handling::{convert_request, convert_response, passes};
use super::super::header_rules::{
    Backend, METHOD_OVERRIDE, add_response_header, connection_options, is_dropped_request_header,
    is_one_of,
};
use super::super::mapping::RequestMapping;
use super::super::uri::{UriTemplate, encode_query};
use super::super::{Answer, IntegrationError, RequestBody};
use super::{Connection, method_towards};
use crate::base::{Body, HeaderLines};
use crate::event::Exchange;
use crate::event::media_type::first_accepted;
use crate::event::traceparent;
use crate::model::ContentHandling;

/// A compiled `http_proxy` integration of a REST API.
#[derive(Debug)]
pub struct HttpProxy {
    /// How the backend is reached.
    pub connection: Connection,
    /// Its address.
    pub uri: UriTemplate,
    /// `None` repeats the client's method.
    pub method: Option<Method>,
    /// `requestParameters`.
    pub mapping: RequestMapping,
    /// `contentHandling` of the request.
    pub content_handling: Option<ContentHandling>,
}

impl HttpProxy {
    /// Whether a request's body can go on as it comes: text must be seen whole,
    /// since what is not UTF-8 in it becomes U+FFFD.
    pub fn takes_streams(&self, exchange: &Exchange<'_>) -> bool {
        let converted = self.content_handling == Some(ContentHandling::ConvertToText);
        is_binary_request(exchange) && !converted && !self.mapping.needs_body()
    }

    /// Sends the request on.
    ///
    /// # Errors
    ///
    /// See [`Connection::send`]; and a mapping or address that does not work for
    /// this request.
    pub async fn call(
        &self,
        exchange: &Exchange<'_>,
        body: RequestBody,
    ) -> Result<Answer, IntegrationError> {
        let whole = match &body {
            RequestBody::Whole(bytes) => Some(bytes),
            RequestBody::Streaming(_) => None,
        };
        let mapped = self.mapping.apply(exchange, whole)?;
        let body = match body {
            RequestBody::Whole(bytes) => RequestBody::Whole(convert_request(
                bytes,
                is_binary_request(exchange),
                self.content_handling,
            )?),
            streaming @ RequestBody::Streaming(_) => streaming,
        };
        let query = passed_query(exchange, &mapped.query);
        let uri = self
            .uri
            .fill(|name| mapped.path_value(name), None, &query)
            .map_err(|error| IntegrationError::Configuration(error.to_string()))?;
        let mut headers = passed_headers(exchange);
        gateway_headers(exchange, &mut headers);
        mapped.put_headers(&mut headers, Backend::HttpProxy)?;
        let method = method_towards(self.method.as_ref(), &exchange.request.method);
        let shown = match &body {
            RequestBody::Whole(bytes) => Some(&bytes[..]),
            RequestBody::Streaming(_) => None,
        };
        let sent = exchange.log.sending(&uri, headers.iter(), shown);
        exchange.watch.sending();
        let sending = self.connection.send(method, uri, headers, body, Kept::All);
        let answer = sending.await?;
        exchange.watch.received(Some(answer.status().as_u16()));
        exchange
            .log
            .received(sent, answer.status().as_u16(), answer.headers(), None);
        Ok(Answer {
            response: self.converted(exchange, client_answer(answer)).await?,
            with_trace_id: false,
            streams: self.connection.stream,
        })
    }
}

impl HttpProxy {
    /// The answer between text and bytes, by its type and what the client accepts.
    /// One that streams, or that went through a coding, passes as it is.
    async fn converted(
        &self,
        exchange: &Exchange<'_>,
        response: Response<Body>,
    ) -> Result<Response<Body>, IntegrationError> {
        let types = &exchange.api.binary_media_types;
        let of_answer = response
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        let binary = types.contains(of_answer);
        let accept = exchange.headers().last("accept");
        let accepts_binary = types.contains(accept.as_deref().map(first_accepted));
        let coded = response.headers().contains_key(CONTENT_ENCODING);
        if self.connection.stream
            || coded
            || passes(binary, accepts_binary)
            || matches!(response.body(), Body::Empty)
        {
            return Ok(response);
        }
        let (parts, body) = response.into_parts();
        let whole = read_whole(body, PAYLOAD_LIMIT).await.map_err(|error| {
            match error.downcast_ref::<BoundError>() {
                Some(BoundError::TooLarge(limit)) => {
                    IntegrationError::AnswerTooLarge(*limit as u64)
                }
                Some(BoundError::TooSlow) => IntegrationError::Timeout(self.connection.timeout),
                None => IntegrationError::BrokenAnswer(error.to_string()),
            }
        })?;
        let converted = convert_response(whole, binary, accepts_binary, None)?;
        Ok(Response::from_parts(parts, converted.into()))
    }
}

/// Whether the request's type is a binary media type of the API.
fn is_binary_request(exchange: &Exchange<'_>) -> bool {
    let content_type = exchange.headers().last("content-type");
    exchange
        .api
        .binary_media_types
        .contains(content_type.as_deref())
}

/// The client's query as sent, less the parameters that a mapping sets, and the mapped ones.
fn passed_query(exchange: &Exchange<'_>, mapped: &[(String, Vec<String>)]) -> String {
    let raw = exchange.request.query.as_deref().unwrap_or_default();
    if mapped.is_empty() {
        return raw.to_owned();
    }
    let replaced = |piece: &str| {
        let name = crate::event::query::decode_form(piece.split('=').next().unwrap_or_default());
        mapped.iter().any(|(mapped, _)| *mapped == name)
    };
    let mut query = String::with_capacity(raw.len() + 32);
    for piece in raw
        .split('&')
        .filter(|piece| !piece.is_empty() && !replaced(piece))
    {
        if !query.is_empty() {
            query.push('&');
        }
        query.push_str(piece);
    }
    append_query(&mut query, mapped);
    query
}

/// Adds mapped parameters to a query.
pub(in super::super) fn append_query(query: &mut String, mapped: &[(String, Vec<String>)]) {
    for (name, values) in mapped {
        for value in values {
            if !query.is_empty() {
                query.push('&');
            }
            let _ = write!(query, "{}={}", encode_query(name), encode_query(value));
        }
    }
}

/// The client's headers that go on.
fn passed_headers(exchange: &Exchange<'_>) -> HeaderLines {
    let sent = exchange.headers();
    let options = connection_options(sent.values("connection"));
    let mut headers = HeaderLines::with_capacity(sent.len() + 6, sent.byte_len() + 256);
    for (name, value) in sent.iter() {
        let kept = !is_dropped_request_header(name, Backend::HttpProxy)
            && !is_one_of(&OWN, name)
            && !exchange.keeps_back(name)
            && !is_one_of(&options, name);
        if kept {
            headers.push(name, value);
        }
    }
    headers
}

/// What the gateway says itself, or keeps: the backend must not change a method
/// that was authorized.
const OWN: [&str; 5] = [
    "x-amzn-trace-id",
    "x-forwarded-for",
    "x-forwarded-port",
    "x-forwarded-proto",
    METHOD_OVERRIDE,
];

/// What the gateway tells a backend about itself and the client.
fn gateway_headers(exchange: &Exchange<'_>, headers: &mut HeaderLines) {
    let mut set = |name: &str, value: &str| headers.push(name, value.as_bytes());
    set("x-amzn-trace-id", &exchange.trace_id);
    set("x-forwarded-for", &exchange.forwarded_for());
    set("x-forwarded-port", &exchange.forwarded_port());
    set("x-forwarded-proto", exchange.forwarded_proto());
    headers.set("x-amzn-apigateway-api-id", exchange.api.api_id.as_bytes());
    traceparent::put_into(headers, exchange);
}

/// The backend's answer with AWS's renaming and dropping.
fn client_answer(answer: Response<Body>) -> Response<Body> {
    let (parts, body) = answer.into_parts();
    let mut headers = HeaderMap::with_capacity(parts.headers.len());
    let mut last: Option<HeaderName> = None;
    for (name, value) in parts.headers {
        // A repeated header comes without its name.
        let Some(name) = name.or_else(|| last.clone()) else {
            continue;
        };
        last = Some(name.clone());
        add_response_header(&mut headers, name, value, Backend::HttpProxy, false);
    }
    let mut response = Response::new(body);
    *response.status_mut() = parts.status;
    *response.headers_mut() = headers;
    response
}
