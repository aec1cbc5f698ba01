//! The Lambda proxy event of a REST API, and the answer it wants.
//!
//! Source: API Gateway developer guide, "Lambda proxy integrations in API
//! Gateway"; which keys are null and which header names are rewritten was
//! recorded at AWS.

use std::borrow::Cow;

use ::http::header::{HeaderName, HeaderValue};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use indexmap::IndexMap;
use serde_json::Value as Json;

use super::caller;
use super::exchange::Exchange;
use super::json::{Object, write_list, write_string};

/// Request headers that never reach a function
/// ("Amazon API Gateway important notes", and recorded at AWS).
const DROPPED: [&str; 14] = [
    "connection",
    "content-length",
    "content-md5",
    "expect",
    "keep-alive",
    "max-forwards",
    "proxy-authenticate",
    "proxy-connection",
    "server",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "www-authenticate",
];

/// Whether a request header is kept from functions.
pub fn is_dropped_request_header(name: &str) -> bool {
    DROPPED
        .iter()
        .any(|dropped| name.eq_ignore_ascii_case(dropped))
}

/// Header names as the function sees them, each with all its values.
///
/// Names keep the client's spelling but for `Authorization` and `User-Agent`,
/// which AWS always writes so; the gateway's own headers are added.
pub fn event_headers<'e>(exchange: &'e Exchange<'_>) -> IndexMap<Cow<'e, str>, Vec<Cow<'e, str>>> {
    let mut headers: IndexMap<Cow<'e, str>, Vec<Cow<'e, str>>> =
        IndexMap::with_capacity(exchange.headers().len() + 5);
    for (name, value) in exchange.headers().iter_text() {
        let own = [
            "host",
            "x-amzn-trace-id",
            "x-forwarded-for",
            "x-forwarded-port",
            "x-forwarded-proto",
        ];
        let skip = is_dropped_request_header(name)
            || own.iter().any(|own| name.eq_ignore_ascii_case(own))
            || exchange.keeps_back(name);
        if skip {
            continue;
        }
        let spelt = if name.eq_ignore_ascii_case("authorization") {
            "Authorization"
        } else if name.eq_ignore_ascii_case("user-agent") {
            "User-Agent"
        } else {
            name
        };
        // A header that is repeated in another spelling is the same header.
        match headers
            .iter()
            .position(|(other, _)| other.eq_ignore_ascii_case(spelt))
        {
            Some(index) => headers[index].push(value),
            None => {
                headers.insert(Cow::Borrowed(spelt), vec![value]);
            }
        }
    }
    let mut set =
        |name: &'static str, value: Cow<'e, str>| headers.insert(Cow::Borrowed(name), vec![value]);
    set("Host", Cow::Borrowed(exchange.request.host.as_str()));
    set("X-Amzn-Trace-Id", Cow::Borrowed(exchange.trace_id.as_str()));
    set("X-Forwarded-For", Cow::Owned(exchange.forwarded_for()));
    set("X-Forwarded-Port", Cow::Owned(exchange.forwarded_port()));
    set(
        "X-Forwarded-Proto",
        Cow::Borrowed(exchange.forwarded_proto()),
    );
    super::traceparent::put_into_event(&mut headers, exchange);
    headers
}

/// Builds the event.
pub fn proxy_event(exchange: &Exchange<'_>, body: &Bytes) -> Vec<u8> {
    let mut out = Vec::with_capacity(2048 + body.len() * 4 / 3);
    let mut event = Object::begin(&mut out);
    let resource_path = exchange
        .route
        .map_or("", |route| route.resource_path.as_str());
    event.text("resource", resource_path);
    event.text("path", exchange.event_path());
    event.text("httpMethod", exchange.request.method.as_str());
    write_request_parts(&mut event, exchange, "null");
    event.key("requestContext");
    write_request_context(&mut event, exchange);
    let content_type = exchange.headers().last("content-type");
    let binary = exchange
        .api
        .binary_media_types
        .contains(content_type.as_deref())
        && !body.is_empty();
    if body.is_empty() {
        event.raw("body", "null");
    } else if binary {
        event.text("body", &STANDARD.encode(body));
    } else {
        event.text("body", &String::from_utf8_lossy(body));
    }
    event.raw("isBase64Encoded", if binary { "true" } else { "false" });
    event.end();
    out
}

/// `headers` to `stageVariables`: what the proxy event and a REQUEST
/// authorizer's event share. `none` is what stands where the request has none.
pub fn write_request_parts(event: &mut Object<'_>, exchange: &Exchange<'_>, none: &str) {
    let headers = event_headers(exchange);
    event.texts(
        "headers",
        headers
            .iter()
            .map(|(name, values)| (&**name, values.last().map_or("", |value| &**value))),
    );
    let out = event.key("multiValueHeaders");
    write_lists(
        out,
        headers
            .iter()
            .map(|(name, values)| (&**name, values.iter().map(|value| &**value))),
    );
    let query = exchange.query();
    if query.is_empty() {
        event.raw("queryStringParameters", none);
        event.raw("multiValueQueryStringParameters", none);
    } else {
        let grouped = query.grouped();
        event.texts(
            "queryStringParameters",
            grouped
                .iter()
                .map(|(name, values)| (*name, values.last().copied().unwrap_or_default())),
        );
        let out = event.key("multiValueQueryStringParameters");
        write_lists(
            out,
            grouped
                .iter()
                .map(|(name, values)| (*name, values.iter().copied())),
        );
    }
    if exchange.path_parameters.is_empty() {
        event.raw("pathParameters", none);
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
        event.raw("stageVariables", none);
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
}

/// Appends an object of lists.
fn write_lists<'t, L: IntoIterator<Item = &'t str>>(
    out: &mut Vec<u8>,
    members: impl IntoIterator<Item = (&'t str, L)>,
) {
    out.push(b'{');
    for (index, (name, values)) in members.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_string(out, name);
        out.push(b':');
        write_list(out, values);
    }
    out.push(b'}');
}

/// Appends `requestContext`'s value: the buffer is at its key.
pub(super) fn write_request_context(event: &mut Object<'_>, exchange: &Exchange<'_>) {
    let mut out = Vec::with_capacity(1024);
    let mut context = Object::begin(&mut out);
    if let Some(route) = exchange.route {
        context.text("resourceId", &route.resource_id);
        caller::write_rest(&mut context, exchange);
        context.text("resourcePath", &route.resource_path);
    }
    context.text("httpMethod", exchange.request.method.as_str());
    context.text("extendedRequestId", &exchange.extended_request_id);
    context.text("requestTime", &exchange.request_time());
    context.text("path", &exchange.path_with_stage);
    context.text("accountId", &exchange.api.account_id);
    context.text("protocol", exchange.protocol());
    context.text("stage", &exchange.api.stage);
    context.text("domainPrefix", exchange.domain_prefix());
    context.raw(
        "requestTimeEpoch",
        &exchange.request_time_epoch().to_string(),
    );
    context.text("requestId", &exchange.request_id);
    context.key("identity");
    write_identity(&mut context, exchange);
    context.text("domainName", exchange.domain_name());
    context.text("deploymentId", &exchange.api.deployment_id);
    context.text("apiId", &exchange.api.api_id);
    context.end();
    event.append(&out);
}

/// Appends `identity`'s value: the buffer is at its key.
pub(super) fn write_identity(context: &mut Object<'_>, exchange: &Exchange<'_>) {
    let mut out = Vec::with_capacity(512);
    let mut identity = Object::begin(&mut out);
    let signer = exchange.caller.iam();
    identity.raw("cognitoIdentityPoolId", "null");
    identity.text_or_null("accountId", signer.map(|signer| signer.account_id.as_str()));
    identity.raw("cognitoIdentityId", "null");
    identity.text_or_null("caller", signer.map(|signer| signer.user_id.as_str()));
    identity.text("sourceIp", &exchange.source_ip());
    identity.raw("principalOrgId", "null");
    identity.text_or_null("accessKey", signer.map(|signer| signer.access_key.as_str()));
    identity.raw("cognitoAuthenticationType", "null");
    identity.raw("cognitoAuthenticationProvider", "null");
    identity.text_or_null("userArn", signer.map(|signer| signer.user_arn.as_str()));
    identity.text_or_null("userAgent", exchange.user_agent().as_deref());
    identity.text_or_null("user", signer.map(|signer| signer.user_id.as_str()));
    if let Some(key) = &exchange.api_key {
        identity.text("apiKey", &key.value);
        identity.text("apiKeyId", &key.id);
    }
    identity.end();
    context.append(&out);
}

/// What a function answered, ready to send.
#[derive(Debug)]
pub struct ProxyAnswer {
    /// Status.
    pub status: ::http::StatusCode,
    /// Headers, before AWS's renaming and dropping; `None` stands for a name or value that HTTP cannot carry.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body.
    pub body: Bytes,
}

/// Why an answer is no Lambda proxy answer. `Display` is the log line.
#[derive(Debug, thiserror::Error)]
#[error("malformed Lambda proxy response: {0}")]
pub struct MalformedAnswer(pub String);

/// Reads a function's answer.
///
/// Any key but `statusCode`, `headers`, `multiValueHeaders`, `body` and
/// `isBase64Encoded` makes it malformed (recorded at AWS); numbers and booleans
/// count as text. `decode_base64` says whether the client accepts a binary type.
///
/// # Errors
///
/// What is wrong with the answer; AWS sends 502 then.
pub fn read_proxy_answer(
    payload: &[u8],
    decode_base64: bool,
) -> Result<ProxyAnswer, MalformedAnswer> {
    let malformed = |what: &str| MalformedAnswer(what.to_owned());
    let json: Json = serde_json::from_slice(payload)
        .map_err(|error| MalformedAnswer(format!("not JSON: {error}")))?;
    let Json::Object(members) = json else {
        return Err(malformed("the result is not an object"));
    };
    let mut status = ::http::StatusCode::OK;
    let mut single = Vec::new();
    let mut multi = Vec::new();
    let mut body = String::new();
    let mut base64 = false;
    for (key, value) in members {
        match key.as_str() {
            "statusCode" => {
                status =
                    read_status(&value).ok_or_else(|| malformed("`statusCode` is no status"))?
            }
            "headers" => match value {
                Json::Null => {}
                Json::Object(headers) => {
                    for (name, value) in headers {
                        match scalar(&value) {
                            Some(value) => single.push((name, value)),
                            None if value.is_null() => {}
                            None => {
                                return Err(malformed(
                                    "a value of `headers` is a list or an object",
                                ));
                            }
                        }
                    }
                }
                _ => return Err(malformed("`headers` is not an object")),
            },
            "multiValueHeaders" => match value {
                Json::Null => {}
                Json::Object(headers) => {
                    for (name, values) in headers {
                        let values = match values {
                            Json::Array(values) => values,
                            Json::Null => continue,
                            Json::Object(_) => {
                                return Err(malformed("a value of `multiValueHeaders` is no list"));
                            }
                            one => vec![one],
                        };
                        for value in values {
                            let value = scalar(&value).ok_or_else(|| {
                                malformed("a value in `multiValueHeaders` is no text")
                            })?;
                            multi.push((name.clone(), value));
                        }
                    }
                }
                _ => return Err(malformed("`multiValueHeaders` is not an object")),
            },
            "body" => match value {
                Json::Null => {}
                Json::String(text) => body = text,
                other => body = scalar(&other).ok_or_else(|| malformed("`body` is not text"))?,
            },
            "isBase64Encoded" => {
                base64 = match value {
                    Json::Bool(value) => value,
                    Json::Null => false,
                    Json::String(text) if text.eq_ignore_ascii_case("true") => true,
                    Json::String(text) if text.eq_ignore_ascii_case("false") => false,
                    _ => return Err(malformed("`isBase64Encoded` is no boolean")),
                }
            }
            other => return Err(MalformedAnswer(format!("unknown key `{other}`"))),
        }
    }
    // Several values first, then the single ones that are not among them.
    let mut headers = Vec::with_capacity(single.len() + multi.len());
    for (name, value) in &multi {
        push_header(&mut headers, name, value)?;
    }
    for (name, value) in single {
        if !multi
            .iter()
            .any(|(other, known)| other.eq_ignore_ascii_case(&name) && *known == value)
        {
            push_header(&mut headers, &name, &value)?;
        }
    }
    let body = if base64 && decode_base64 {
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

/// A status between 200 and 599, as a number or as digits in text.
pub(super) fn read_status(value: &Json) -> Option<::http::StatusCode> {
    let number = match value {
        Json::Number(number) => number.as_u64().or_else(|| {
            number
                .as_f64()
                .filter(|float| float.fract() == 0.0 && (0.0..1000.0).contains(float))
                .map(|float| float as u64)
        })?,
        Json::String(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => {
            text.parse().ok()?
        }
        _ => return None,
    };
    if !(200..600).contains(&number) {
        return None;
    }
    ::http::StatusCode::from_u16(u16::try_from(number).ok()?).ok()
}

/// A text, number or boolean as text.
pub(super) fn scalar(value: &Json) -> Option<String> {
    match value {
        Json::String(text) => Some(text.clone()),
        Json::Number(number) => Some(number.to_string()),
        Json::Bool(value) => Some(value.to_string()),
        Json::Null | Json::Array(_) | Json::Object(_) => None,
    }
}

pub(super) fn push_header(
    headers: &mut Vec<(HeaderName, HeaderValue)>,
    name: &str,
    value: &str,
) -> Result<(), MalformedAnswer> {
    let name = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| MalformedAnswer(format!("`{}` is no header name", name.escape_debug())))?;
    let value = HeaderValue::from_bytes(value.trim().as_bytes()).map_err(|_| {
        MalformedAnswer(format!(
            "the value of `{name}` has characters no header may have"
        ))
    })?;
    headers.push((name, value));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<ProxyAnswer, MalformedAnswer> {
        read_proxy_answer(json.as_bytes(), true)
    }

    #[test]
    fn an_empty_object_is_an_empty_200() {
        let answer = read("{}").unwrap();

        assert_eq!(answer.status, 200);
        assert!(answer.headers.is_empty() && answer.body.is_empty());
    }

    #[test]
    fn unknown_keys_and_other_shapes_are_malformed() {
        for json in [
            r#"{"statusCode":200,"wrong":1}"#,
            "[]",
            "\"word\"",
            "null",
            "",
            r#"{"body":{"a":1}}"#,
            r#"{"statusCode":"x"}"#,
            r#"{"statusCode":99}"#,
            r#"{"statusCode":600}"#,
            r#"{"headers":["a"]}"#,
            r#"{"headers":{"a":["b"]}}"#,
            r#"{"headers":{"a b":"c"}}"#,
            r#"{"headers":{"a":"b\r\nc: d"}}"#,
            r#"{"isBase64Encoded":true,"body":"?"}"#,
        ] {
            assert!(read(json).is_err(), "{json}");
        }
    }

    #[test]
    fn numbers_and_booleans_count_as_text() {
        let answer =
            read(r#"{"statusCode":"201","headers":{"x-flag":true,"x-n":5},"body":7}"#).unwrap();

        assert_eq!(answer.status, 201);
        assert_eq!(answer.headers[0].1, "true");
        assert_eq!(answer.headers[1].1, "5");
        assert_eq!(answer.body, "7");
    }

    #[test]
    fn a_pair_that_stands_in_both_maps_is_sent_once() {
        let answer = read(r#"{"headers":{"x-both":"same","x-many":"s"},"multiValueHeaders":{"x-both":["same"],"x-many":["m"]}}"#).unwrap();

        let pairs: Vec<_> = answer
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
            .collect();
        assert_eq!(
            pairs,
            [("x-both", "same"), ("x-many", "m"), ("x-many", "s")]
        );
    }
}
