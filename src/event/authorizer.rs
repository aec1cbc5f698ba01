//! The events that Lambda authorizers get, and the ARN that a request asks for.
//!
//! Source: API Gateway developer guide, "Input to an API Gateway Lambda
//! authorizer" and "Control access to HTTP APIs with AWS Lambda authorizers";
//! the multi-value members of a REQUEST event were recorded at AWS.

use std::borrow::Cow;

use bytes::Bytes;

use super::exchange::Exchange;
use super::http::{self, PayloadFormat};
use super::json::Object;
use super::query::decode_percent;
use super::rest;

/// The ARN of what a request asks for:
/// `arn:aws:execute-api:REGION:ACCOUNT:API/STAGE/METHOD/PATH`.
///
/// The path is the route's with the values that were sent, so that another
/// spelling of a declared segment (`%61` for `a`, a slash at the end) is no
/// other resource to a policy.
pub fn method_arn(exchange: &Exchange<'_>) -> String {
    arn_of(exchange, &called_path(exchange))
}

/// The same with what is percent-encoded in the path decoded, where that makes
/// a difference: a deny of either spelling counts.
pub fn decoded_method_arn(exchange: &Exchange<'_>) -> Option<String> {
    let path = called_path(exchange);
    match decode_percent(&path) {
        Cow::Owned(decoded) if decoded != path => Some(arn_of(exchange, &decoded)),
        _ => None,
    }
}

fn arn_of(exchange: &Exchange<'_>, path: &str) -> String {
    let api = exchange.api;
    format!(
        "arn:{}:execute-api:{}:{}:{}/{}/{}/{path}",
        partition(&api.region),
        api.region,
        api.account_id,
        api.api_id,
        api.stage,
        exchange.request.method,
    )
}

/// The partition of a region.
pub fn partition(region: &str) -> &'static str {
    if region.starts_with("cn-") {
        "aws-cn"
    } else if region.starts_with("us-gov-") {
        "aws-us-gov"
    } else {
        "aws"
    }
}

/// The path as called, without its first slash.
fn called_path(exchange: &Exchange<'_>) -> String {
    let declared = exchange
        .route
        .map(|route| route.resource_path.as_str())
        .filter(|path| *path != "$default");
    let Some(declared) = declared else {
        return exchange.path.trim_start_matches('/').to_owned();
    };
    let mut values = exchange.path_parameters.iter();
    let mut path = String::with_capacity(exchange.path.len());
    for segment in declared.split('/').filter(|segment| !segment.is_empty()) {
        if !path.is_empty() {
            path.push('/');
        }
        if segment.starts_with('{') && segment.ends_with('}') {
            path.push_str(values.next().map_or("", |value| &value.raw));
        } else {
            path.push_str(segment);
        }
    }
    path
}

/// The event of a REST API's TOKEN authorizer.
pub fn token_event(token: &str, method_arn: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(128 + token.len() + method_arn.len());
    let mut event = Object::begin(&mut out);
    event.text("type", "TOKEN");
    event.text("methodArn", method_arn);
    event.text("authorizationToken", token);
    event.end();
    out
}

/// The event of a REST API's REQUEST authorizer.
///
/// What the request has none of is `{}` here, not null as in the proxy event.
pub fn request_event(exchange: &Exchange<'_>, method_arn: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(2048);
    let mut event = Object::begin(&mut out);
    event.text("type", "REQUEST");
    event.text("methodArn", method_arn);
    let resource = exchange
        .route
        .map_or("", |route| route.resource_path.as_str());
    event.text("resource", resource);
    event.text("path", exchange.event_path());
    event.text("httpMethod", exchange.request.method.as_str());
    rest::write_request_parts(&mut event, exchange, "{}");
    event.key("requestContext");
    rest::write_request_context(&mut event, exchange);
    event.end();
    out
}

/// The event of an HTTP API's Lambda authorizer. `identity` holds the values of
/// its identity sources, in their order.
pub fn http_event(
    exchange: &Exchange<'_>,
    format: PayloadFormat,
    method_arn: &str,
    identity: &[String],
) -> Vec<u8> {
    match format {
        PayloadFormat::V1 => http_event_v1(exchange, method_arn, identity),
        PayloadFormat::V2 => http_event_v2(exchange, method_arn, identity),
    }
}

fn http_event_v2(exchange: &Exchange<'_>, route_arn: &str, identity: &[String]) -> Vec<u8> {
    let mut out = Vec::with_capacity(2048);
    let mut event = Object::begin(&mut out);
    event.text("version", "2.0");
    event.text("type", "REQUEST");
    event.text("routeArn", route_arn);
    if identity.is_empty() {
        event.raw("identitySource", "null");
    } else {
        event.list("identitySource", identity.iter().map(String::as_str));
    }
    event.text(
        "routeKey",
        exchange.route.map_or("", |route| route.route_key.as_str()),
    );
    event.text("rawPath", &decode_percent(&exchange.path_with_stage));
    event.text(
        "rawQueryString",
        exchange.request.query.as_deref().unwrap_or_default(),
    );
    http::write_parts_v2(&mut event, exchange, &Bytes::new());
    http::write_context_v2(&mut event, exchange);
    write_parameters(&mut event, exchange);
    event.end();
    out
}

fn http_event_v1(exchange: &Exchange<'_>, method_arn: &str, identity: &[String]) -> Vec<u8> {
    let mut out = Vec::with_capacity(2048);
    let mut event = Object::begin(&mut out);
    event.text("version", "1.0");
    event.text("type", "REQUEST");
    event.text("methodArn", method_arn);
    let joined = identity.join(",");
    let source = (!identity.is_empty()).then_some(joined.as_str());
    event.text_or_null("identitySource", source);
    event.text_or_null("authorizationToken", source);
    let resource = exchange
        .route
        .map_or("", |route| route.resource_path.as_str());
    event.text("resource", resource);
    event.text("path", &exchange.path_with_stage);
    event.text("httpMethod", exchange.request.method.as_str());
    let headers = http::event_headers(exchange, &Bytes::new(), PayloadFormat::V1);
    event.texts(
        "headers",
        headers
            .iter()
            .map(|(name, values)| (&**name, values.last().map_or("", |value| &**value))),
    );
    let grouped = exchange.query().grouped();
    event.texts(
        "queryStringParameters",
        grouped
            .iter()
            .map(|(name, values)| (*name, values.last().copied().unwrap_or_default())),
    );
    write_parameters(&mut event, exchange);
    http::write_context_v1(&mut event, exchange);
    event.end();
    out
}

/// `pathParameters` and `stageVariables`; left out where there are none.
fn write_parameters(event: &mut Object<'_>, exchange: &Exchange<'_>) {
    if !exchange.path_parameters.is_empty() {
        event.texts(
            "pathParameters",
            exchange
                .path_parameters
                .iter()
                .map(|parameter| (parameter.name, parameter.value.as_str())),
        );
    }
    if !exchange.api.stage_variables.is_empty() {
        event.texts(
            "stageVariables",
            exchange
                .api
                .stage_variables
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str())),
        );
    }
}
