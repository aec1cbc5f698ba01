//! The Lambda events of an HTTP API, payload formats 2.0 and 1.0, and the
//! answers they want.
//!
//! Source: API Gateway developer guide, "Create AWS Lambda proxy integrations
//! for HTTP APIs in API Gateway"; what is left out, what is decoded and when a
//! body is base64 was recorded at AWS.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use indexmap::IndexMap;
use serde_json::Value as Json;

use super::caller;
use super::exchange::Exchange;
use super::json::{Object, write_list, write_string};
use super::media_type::is_text_for_http_api;
use super::query::decode_percent;
use super::rest::{MalformedAnswer, ProxyAnswer, push_header, read_status, scalar, write_identity};

/// Payload format of a Lambda integration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadFormat {
    /// Close to a REST API's event.
    V1,
    /// The compact form.
    V2,
}

/// Headers about one hop, which no function sees.
fn is_hop_header(name: &str) -> bool {
    [
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "expect",
    ]
    .iter()
    .any(|hop| name.eq_ignore_ascii_case(hop))
}

/// The headers that AWS spells its own way in a 1.0 event (recorded).
fn spelling_v1(name: &str) -> &str {
    const SPELT: [&str; 6] = [
        "Authorization",
        "Content-Length",
        "Content-Type",
        "Cookie",
        "Host",
        "User-Agent",
    ];
    SPELT
        .iter()
        .find(|spelt| spelt.eq_ignore_ascii_case(name))
        .copied()
        .unwrap_or(name)
}

/// Headers with all their values; the gateway's own in place of the client's.
pub(super) fn event_headers<'e>(
    exchange: &'e Exchange<'_>,
    body: &Bytes,
    format: PayloadFormat,
) -> IndexMap<Cow<'e, str>, Vec<Cow<'e, str>>> {
    let name_of = |name: &'e str| -> Cow<'e, str> {
        match format {
            PayloadFormat::V1 => Cow::Borrowed(spelling_v1(name)),
            PayloadFormat::V2 if name.bytes().any(|byte| byte.is_ascii_uppercase()) => {
                Cow::Owned(name.to_ascii_lowercase())
            }
            PayloadFormat::V2 => Cow::Borrowed(name),
        }
    };
    let own = [
        "host",
        "content-length",
        "x-amzn-trace-id",
        "x-forwarded-for",
        "x-forwarded-port",
        "x-forwarded-proto",
    ];
    let mut headers: IndexMap<Cow<'e, str>, Vec<Cow<'e, str>>> =
        IndexMap::with_capacity(exchange.headers().len() + 6);
    for (name, value) in exchange.headers().iter_text() {
        let skip = is_hop_header(name)
            || own.iter().any(|own| name.eq_ignore_ascii_case(own))
            || format == PayloadFormat::V2 && name.eq_ignore_ascii_case("cookie");
        if skip {
            continue;
        }
        match headers
            .iter()
            .position(|(other, _)| other.eq_ignore_ascii_case(name))
        {
            Some(index) => headers[index].push(value),
            None => {
                headers.insert(name_of(name), vec![value]);
            }
        }
    }
    let mut set = |name: &'static str, lower: &'static str, value: Cow<'e, str>| {
        let name = if format == PayloadFormat::V1 {
            name
        } else {
            lower
        };
        headers.insert(Cow::Borrowed(name), vec![value]);
    };
    set(
        "Content-Length",
        "content-length",
        Cow::Owned(body.len().to_string()),
    );
    set(
        "Host",
        "host",
        Cow::Borrowed(exchange.request.host.as_str()),
    );
    set(
        "X-Amzn-Trace-Id",
        "x-amzn-trace-id",
        Cow::Borrowed(exchange.trace_id.as_str()),
    );
    set(
        "X-Forwarded-For",
        "x-forwarded-for",
        Cow::Owned(exchange.forwarded_for()),
    );
    set(
        "X-Forwarded-Port",
        "x-forwarded-port",
        Cow::Owned(exchange.forwarded_port()),
    );
    set(
        "X-Forwarded-Proto",
        "x-forwarded-proto",
        Cow::Borrowed(exchange.forwarded_proto()),
    );
    super::traceparent::put_into_event(&mut headers, exchange);
    headers
}

/// The body as an event carries it, and whether it is base64.
fn event_body<'b>(exchange: &Exchange<'_>, body: &'b Bytes) -> (Option<Cow<'b, str>>, bool) {
    if body.is_empty() {
        return (None, false);
    }
    let text = is_text_for_http_api(exchange.headers().last("content-type").as_deref());
    match (text, std::str::from_utf8(body)) {
        (true, Ok(text)) => (Some(Cow::Borrowed(text)), false),
        // Text that is not UTF-8 would be changed on the way; base64 keeps it.
        _ => (Some(Cow::Owned(STANDARD.encode(body))), true),
    }
}

/// Builds the event of format 2.0.
pub fn event_v2(exchange: &Exchange<'_>, body: &Bytes) -> Vec<u8> {
    let mut out = Vec::with_capacity(1536 + body.len() * 4 / 3);
    let mut event = Object::begin(&mut out);
    let route_key = exchange.route.map_or("", |route| route.route_key.as_str());
    let path = decode_percent(&exchange.path_with_stage);
    event.text("version", "2.0");
    event.text("routeKey", route_key);
    event.text("rawPath", &path);
    event.text(
        "rawQueryString",
        exchange.request.query.as_deref().unwrap_or_default(),
    );
    write_parts_v2(&mut event, exchange, body);
    write_context_v2(&mut event, exchange);
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
    let (body, base64) = event_body(exchange, body);
    if let Some(body) = body {
        event.text("body", &body);
    }
    event.raw("isBase64Encoded", if base64 { "true" } else { "false" });
    event.end();
    out
}

/// Builds the event of format 1.0.
pub fn event_v1(exchange: &Exchange<'_>, body: &Bytes) -> Vec<u8> {
    let mut out = Vec::with_capacity(2048 + body.len() * 4 / 3);
    let mut event = Object::begin(&mut out);
    let resource = exchange
        .route
        .map_or("", |route| route.resource_path.as_str());
    event.text("version", "1.0");
    event.text("resource", resource);
    event.text("path", &exchange.path_with_stage);
    event.text("httpMethod", exchange.request.method.as_str());
    let headers = event_headers(exchange, body, PayloadFormat::V1);
    event.texts(
        "headers",
        headers
            .iter()
            .map(|(name, values)| (&**name, values.last().map_or("", |value| &**value))),
    );
    write_lists(
        event.key("multiValueHeaders"),
        headers
            .iter()
            .map(|(name, values)| (&**name, values.as_slice())),
    );
    if exchange.query().is_empty() {
        event.raw("queryStringParameters", "null");
        event.raw("multiValueQueryStringParameters", "null");
    } else {
        let grouped = exchange.query().grouped();
        event.texts(
            "queryStringParameters",
            grouped
                .iter()
                .map(|(name, values)| (*name, values.last().copied().unwrap_or_default())),
        );
        write_lists(
            event.key("multiValueQueryStringParameters"),
            grouped
                .iter()
                .map(|(name, values)| (*name, values.as_slice())),
        );
    }
    write_context_v1(&mut event, exchange);
    if exchange.path_parameters.is_empty() {
        event.raw("pathParameters", "null");
    } else {
        event.texts(
            "pathParameters",
            exchange
                .path_parameters
                .iter()
                .map(|parameter| (parameter.name, parameter.value.as_str())),
        );
    }
    if exchange.api.stage_variables.is_empty() {
        event.raw("stageVariables", "null");
    } else {
        event.texts(
            "stageVariables",
            exchange
                .api
                .stage_variables
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str())),
        );
    }
    let (body, base64) = event_body(exchange, body);
    event.text_or_null("body", body.as_deref());
    event.raw("isBase64Encoded", if base64 { "true" } else { "false" });
    event.end();
    out
}

/// Appends `requestContext` of format 2.0.
pub(super) fn write_context_v2(event: &mut Object<'_>, exchange: &Exchange<'_>) {
    let route_key = exchange.route.map_or("", |route| route.route_key.as_str());
    let path = decode_percent(&exchange.path_with_stage);
    event.key("requestContext");
    let mut context_out = Vec::with_capacity(768);
    let mut context = Object::begin(&mut context_out);
    context.text("accountId", &exchange.api.account_id);
    context.text("apiId", &exchange.api.api_id);
    caller::write_http_v2(&mut context, exchange);
    context.text("domainName", exchange.domain_name());
    context.text("domainPrefix", exchange.domain_prefix());
    context.texts(
        "http",
        [
            ("method", exchange.request.method.as_str()),
            ("path", &*path),
            ("protocol", exchange.protocol()),
            ("sourceIp", &exchange.source_ip()),
            (
                "userAgent",
                exchange.user_agent().as_deref().unwrap_or_default(),
            ),
        ],
    );
    context.text("requestId", &exchange.request_id);
    context.text("routeKey", route_key);
    context.text("stage", &exchange.api.stage);
    context.text("time", &exchange.request_time());
    context.raw("timeEpoch", &exchange.request_time_epoch().to_string());
    context.end();
    event.append(&context_out);
}

/// Appends `requestContext` of format 1.0.
pub(super) fn write_context_v1(event: &mut Object<'_>, exchange: &Exchange<'_>) {
    let (resource, route_key) = exchange.route.map_or(("", ""), |route| {
        (route.resource_path.as_str(), route.route_key.as_str())
    });
    event.key("requestContext");
    let mut context_out = Vec::with_capacity(1024);
    let mut context = Object::begin(&mut context_out);
    context.text("accountId", &exchange.api.account_id);
    context.text("apiId", &exchange.api.api_id);
    caller::write_http_v1(&mut context, exchange);
    context.text("domainName", exchange.domain_name());
    context.text("domainPrefix", exchange.domain_prefix());
    context.text("extendedRequestId", &exchange.extended_request_id);
    context.text("httpMethod", exchange.request.method.as_str());
    context.key("identity");
    write_identity(&mut context, exchange);
    context.text("path", &decode_percent(&exchange.path_with_stage));
    context.text("protocol", exchange.protocol());
    context.text("requestId", &exchange.request_id);
    context.text("requestTime", &exchange.request_time());
    context.raw(
        "requestTimeEpoch",
        &exchange.request_time_epoch().to_string(),
    );
    context.text("resourceId", route_key);
    context.text("resourcePath", resource);
    context.text("stage", &exchange.api.stage);
    context.end();
    event.append(&context_out);
}

/// Appends `cookies`, `headers` and `queryStringParameters` of format 2.0.
pub(super) fn write_parts_v2(event: &mut Object<'_>, exchange: &Exchange<'_>, body: &Bytes) {
    let cookies: Vec<Cow<'_, str>> = exchange.headers().all("cookie").collect();
    let cookies: Vec<&str> = cookies
        .iter()
        .flat_map(|line| line.split(';'))
        .map(str::trim)
        .filter(|one| !one.is_empty())
        .collect();
    if !cookies.is_empty() {
        event.list("cookies", cookies);
    }
    let headers = event_headers(exchange, body, PayloadFormat::V2);
    write_joined(
        event.key("headers"),
        headers
            .iter()
            .map(|(name, values)| (&**name, values.as_slice())),
    );
    if !exchange.query().is_empty() {
        let grouped = exchange.query().grouped();
        write_joined(
            event.key("queryStringParameters"),
            grouped
                .iter()
                .map(|(name, values)| (*name, values.as_slice())),
        );
    }
}

/// Appends an object whose values are lists joined by commas.
pub(super) fn write_joined<'t, S: AsRef<str> + 't>(
    out: &mut Vec<u8>,
    members: impl IntoIterator<Item = (&'t str, &'t [S])>,
) {
    let mut object = Object::begin(out);
    for (name, values) in members {
        match values {
            [one] => object.text(name, one.as_ref()),
            many => {
                let many: Vec<&str> = many.iter().map(AsRef::as_ref).collect();
                object.text(name, &many.join(","))
            }
        };
    }
    object.end();
}

/// Appends an object of lists.
fn write_lists<'t, S: AsRef<str> + 't>(
    out: &mut Vec<u8>,
    members: impl IntoIterator<Item = (&'t str, &'t [S])>,
) {
    out.push(b'{');
    for (index, (name, values)) in members.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_string(out, name);
        out.push(b':');
        write_list(out, values.iter().map(AsRef::as_ref));
    }
    out.push(b'}');
}

/// Reads a function's answer.
///
/// Format 2.0 without a `statusCode` key: the payload as it is, byte for byte,
/// is the body of a 200 of `application/json`; a JSON string loses its quotes.
///
/// # Errors
///
/// What is wrong with the answer; AWS sends 500 then.
pub fn read_answer(payload: &Bytes, format: PayloadFormat) -> Result<ProxyAnswer, MalformedAnswer> {
    let inferred = |body: Bytes| ProxyAnswer {
        status: ::http::StatusCode::OK,
        headers: vec![(
            ::http::header::CONTENT_TYPE,
            ::http::HeaderValue::from_static("application/json"),
        )],
        body,
    };
    let malformed = |what: &str| MalformedAnswer(what.to_owned());
    let members = match serde_json::from_slice::<Json>(payload) {
        Ok(Json::Object(members)) if members.contains_key("statusCode") => members,
        Ok(Json::String(text)) if format == PayloadFormat::V2 => return Ok(inferred(text.into())),
        _ if format == PayloadFormat::V2 => return Ok(inferred(payload.clone())),
        Ok(_) => return Err(malformed("the result has no `statusCode`")),
        Err(error) => return Err(MalformedAnswer(format!("not JSON: {error}"))),
    };
    let status = members
        .get("statusCode")
        .and_then(read_status)
        .ok_or_else(|| malformed("`statusCode` is no status"))?;
    let mut headers = Vec::new();
    match members.get("headers") {
        None | Some(Json::Null) => {}
        Some(Json::Object(single)) => {
            for (name, value) in single {
                match scalar(value) {
                    Some(value) => push_header(&mut headers, name, &value)?,
                    None if value.is_null() => {}
                    None => return Err(malformed("a value of `headers` is a list or an object")),
                }
            }
        }
        Some(_) => return Err(malformed("`headers` is not an object")),
    }
    if format == PayloadFormat::V1 {
        match members.get("multiValueHeaders") {
            None | Some(Json::Null) => {}
            Some(Json::Object(multi)) => {
                for (name, values) in multi {
                    let Json::Array(values) = values else {
                        return Err(malformed("a value of `multiValueHeaders` is no list"));
                    };
                    for value in values {
                        let value = scalar(value).ok_or_else(|| {
                            malformed("a value in `multiValueHeaders` is no text")
                        })?;
                        push_header(&mut headers, name, &value)?;
                    }
                }
            }
            Some(_) => return Err(malformed("`multiValueHeaders` is not an object")),
        }
    } else {
        match members.get("cookies") {
            None | Some(Json::Null) => {}
            Some(Json::Array(cookies)) => {
                for cookie in cookies {
                    let cookie = cookie
                        .as_str()
                        .ok_or_else(|| malformed("an item of `cookies` is no text"))?;
                    push_header(&mut headers, "set-cookie", cookie)?;
                }
            }
            Some(_) => return Err(malformed("`cookies` is not a list")),
        }
    }
    let base64 = match members.get("isBase64Encoded") {
        None | Some(Json::Null) => false,
        Some(Json::Bool(value)) => *value,
        Some(_) => return Err(malformed("`isBase64Encoded` is no boolean")),
    };
    let body = match members.get("body") {
        None | Some(Json::Null) => String::new(),
        Some(value) => scalar(value).ok_or_else(|| malformed("`body` is not text"))?,
    };
    let body = if base64 {
        STANDARD
            .decode(body)
            .map_err(|_| malformed("`body` is not base64"))?
            .into()
    } else {
        Bytes::from(body)
    };
    Ok(ProxyAnswer {
        status,
        headers,
        body,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &'static str) -> Result<ProxyAnswer, MalformedAnswer> {
        read_answer(&Bytes::from_static(json.as_bytes()), PayloadFormat::V2)
    }

    #[test]
    fn without_a_status_the_payload_is_the_body_byte_for_byte() {
        for json in [
            r#"{"name": "John",  "age": 30}"#,
            "[1, 2]",
            "5",
            "true",
            "{broken",
        ] {
            assert_eq!(read(json).unwrap().body, json);
        }
        assert_eq!(
            read(r#""Hello, \"World\"!""#).unwrap().body,
            r#"Hello, "World"!"#
        );
    }

    #[test]
    fn cookies_become_set_cookie_lines() {
        let answer = read(r#"{"statusCode": 200, "cookies": ["a=1; Path=/", "b=2"]}"#).unwrap();

        assert_eq!(answer.headers.len(), 2);
        assert!(answer.headers.iter().all(|(name, _)| name == "set-cookie"));
    }

    #[test]
    fn format_1_0_wants_a_status() {
        let payload = Bytes::from_static(br#"{"body": "x"}"#);

        assert!(read_answer(&payload, PayloadFormat::V1).is_err());
    }
}
