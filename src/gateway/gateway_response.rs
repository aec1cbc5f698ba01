//! The answers that the gateway gives itself.

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderName, Response};

use super::rejection::{DefaultAnswer, Rejection};
use crate::base::Body;
use crate::event::{Exchange, context_variables};
use crate::integration::mapping::Source;
use crate::limit::Refusal;
use crate::plan::GatewayResponses;
use crate::plan::gateway_response::{CustomResponse, Piece, Substitution};

/// A REST API's answer to a refusal: the API's gateway response for its type, or AWS's default.
pub(super) fn rest_error(
    custom: &GatewayResponses,
    exchange: &Exchange<'_>,
    rejection: &Rejection,
) -> Response<Body> {
    let default = rejection.rest_answer();
    // AWS lets nobody customize this one ("Amazon API Gateway important notes").
    let custom = custom
        .find(default.response_type, default.status)
        .filter(|_| default.response_type != "REQUEST_TOO_LARGE");
    let error = ErrorVariables { default: &default };
    let accept = exchange.headers().first("accept");
    let template = custom.and_then(|custom| custom.template(accept.as_deref()));
    let (content_type, body) = match template {
        Some((media_type, template)) => (media_type.to_owned(), error.render(template, exchange)),
        None => ("application/json".to_owned(), default_body(&default)),
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = custom
        .and_then(|custom| custom.status)
        .unwrap_or(default.status);
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&content_type) {
        headers.insert(CONTENT_TYPE, value);
    }
    headers.insert(
        "x-amzn-errortype",
        HeaderValue::from_static(default.error_type),
    );
    if let Some(CustomResponse {
        headers: mapped, ..
    }) = custom
    {
        for (name, source) in mapped {
            if let Some(value) = error.header(source, exchange) {
                set_header(headers, name, &value);
            }
        }
    }
    response
}

fn set_header(headers: &mut http::HeaderMap, name: &HeaderName, value: &str) {
    // The connection frames the answer itself.
    let framing = [
        http::header::CONTENT_LENGTH,
        http::header::TRANSFER_ENCODING,
        http::header::CONNECTION,
    ];
    if framing.contains(name) {
        return;
    }
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name.clone(), value);
    }
}

/// An HTTP API's answer to a refusal; nothing changes it.
pub(super) fn http_error(rejection: &Rejection) -> Response<Body> {
    let (status, message) = rejection.http_answer();
    let mut response = Response::new(Body::from(format!(r#"{{"message":"{message}"}}"#)));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(challenge) = rejection.challenge()
        && let Ok(value) = HeaderValue::from_str(challenge)
    {
        response
            .headers_mut()
            .insert(http::header::WWW_AUTHENTICATE, value);
    }
    response
}

/// Tells the client when to come again. What the API's own gateway response says stays.
///
/// AWS sends none of these; `RateLimit` and `RateLimit-Policy` are those of
/// draft-ietf-httpapi-ratelimit-headers-10.
pub(super) fn tell_limits(refusal: &Refusal, headers: &mut http::HeaderMap) {
    let mut add = |name: &'static str, value: String| {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.entry(name).or_insert(value);
        }
    };
    if let Some(seconds) = refusal.retry_after() {
        add("retry-after", seconds.to_string());
    }
    if let Some((policy, state)) = refusal.rate_limit_headers() {
        add("ratelimit-policy", policy);
        add("ratelimit", state);
    }
}

fn default_body(default: &DefaultAnswer) -> String {
    let space = if default.spaced { " " } else { "" };
    // Recorded: the default body of a denied access has a capital letter, alone among all.
    let member = match default.response_type {
        "ACCESS_DENIED" => "Message",
        _ => "message",
    };
    format!(r#"{{"{member}":{space}{}}}"#, message_string(default))
}

/// `$context.error.messageString`: the message as JSON.
pub(super) fn message_string(default: &DefaultAnswer) -> String {
    match &default.message {
        Some(message) => {
            let mut out = Vec::new();
            crate::event::json::write_string(&mut out, message);
            String::from_utf8(out).unwrap_or_default()
        }
        None => "null".to_owned(),
    }
}

/// Text as it stands between the quotes of a JSON string.
fn json_escaped(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len() + 16);
    crate::event::json::write_string(&mut out, text);
    let quoted = String::from_utf8(out).unwrap_or_default();
    quoted[1..quoted.len().max(2) - 1].to_owned()
}

/// `$context.error.*` of one refusal.
struct ErrorVariables<'d> {
    default: &'d DefaultAnswer,
}

impl ErrorVariables<'_> {
    fn lookup(&self, exchange: &Exchange<'_>, name: &str) -> Option<String> {
        match name {
            "error.message" => self.default.message.as_deref().map(str::to_owned),
            "error.messageString" => Some(message_string(self.default)),
            "error.responseType" => Some(self.default.response_type.to_owned()),
            // Nearly every published template puts it in quotes, and what came back was valid JSON.
            "error.validationErrorString" => {
                self.default.validation_error.as_deref().map(json_escaped)
            }
            other => context_variables::lookup(exchange, other).map(|value| value.into_owned()),
        }
    }

    fn header(&self, source: &Source, exchange: &Exchange<'_>) -> Option<String> {
        match source {
            Source::Context(name) => self.lookup(exchange, name),
            other => other
                .values(exchange, None)
                .first()
                .map(|value| value.clone().into_owned()),
        }
    }

    fn render(&self, template: &Substitution, exchange: &Exchange<'_>) -> String {
        let mut out = String::new();
        for piece in &template.0 {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Context(name) => {
                    out.push_str(&self.lookup(exchange, name).unwrap_or_default())
                }
                Piece::StageVariable(name) => {
                    out.push_str(
                        exchange
                            .api
                            .stage_variables
                            .get(name)
                            .map_or("", String::as_str),
                    );
                }
                Piece::Request(source) => {
                    let values = source.values(exchange, None);
                    out.push_str(values.first().map_or("", |value| &**value));
                }
            }
        }
        out
    }
}
