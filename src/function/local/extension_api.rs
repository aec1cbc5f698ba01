//! The Extensions, Telemetry and Logs APIs, beside the Runtime API at its address.
//!
//! Source: Lambda developer guide, "Using the Lambda Extensions API to create
//! extensions", "Lambda Telemetry API reference" and "Using the Lambda Logs API";
//! refusals as in aws-lambda-runtime-interface-emulator.

use std::time::Duration;

use bytes::Bytes;
use http::header::HeaderName;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use hyper::body::Incoming;
use serde_json::{Value as Json, json};

use super::Function;
use super::extensions::{Extensions, Refused, Wants};
use super::runtime_api::{
    Answer, Read, complaint, json as answer_json, not_found, read, wrong_method,
};
use super::telemetry::{Destination, Dialect, Subscription};
use crate::base::id;

const BASE: &str = "/2020-01-01/extension/";
const TELEMETRY: &str = "/2022-07-01/telemetry";
const LOGS: &str = "/2020-08-15/logs";

const NAME: HeaderName = HeaderName::from_static("lambda-extension-name");
const IDENTIFIER: HeaderName = HeaderName::from_static("lambda-extension-identifier");
const EVENT_IDENTIFIER: HeaderName = HeaderName::from_static("lambda-extension-event-identifier");
const FEATURES: HeaderName = HeaderName::from_static("lambda-extension-accept-feature");
const ERROR_TYPE: HeaderName = HeaderName::from_static("lambda-extension-function-error-type");

/// Largest body of a call in bytes.
const LONGEST_CALL: usize = 256 * 1024;

/// Answers a call outside of the Runtime API; `None` when the process is being ended.
pub(super) async fn answer(
    function: &Function,
    handler: &str,
    extensions: &Extensions,
    request: Request<Incoming>,
) -> Option<Answer> {
    let path = request.uri().path().to_owned();
    let is = |method: Method| *request.method() == method;
    Some(match (path.as_str(), path.strip_prefix(BASE)) {
        (TELEMETRY, _) if is(Method::PUT) => {
            subscribe(extensions, Dialect::Telemetry, request).await
        }
        (LOGS, _) if is(Method::PUT) => subscribe(extensions, Dialect::Logs, request).await,
        (TELEMETRY | LOGS, _) => wrong_method(),
        (_, Some("register")) if is(Method::POST) => {
            register(function, handler, extensions, request).await
        }
        (_, Some("event/next")) if is(Method::GET) => {
            return next(extensions, request.headers()).await;
        }
        (_, Some("init/error")) if is(Method::POST) => {
            fail(extensions, "Extension.InitError", request)
        }
        (_, Some("exit/error")) if is(Method::POST) => {
            fail(extensions, "Extension.ExitError", request)
        }
        (_, Some("register" | "event/next" | "init/error" | "exit/error")) => wrong_method(),
        _ => not_found(),
    })
}

async fn register(
    function: &Function,
    handler: &str,
    extensions: &Extensions,
    request: Request<Incoming>,
) -> Answer {
    let (head, body) = request.into_parts();
    let name = text(&head.headers, &NAME);
    let Some(name) = name.filter(|name| !name.is_empty()) else {
        return forbidden("Extension.InvalidExtensionName", "Empty extension name");
    };
    let Some(body) = whole(body).await else {
        return bad("InvalidRequestFormat", "the body is no JSON object");
    };
    let mut wants = Wants::default();
    let events: Vec<&str> = body["events"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|event| event.as_str().unwrap_or_default())
        .collect();
    for event in &events {
        match *event {
            "INVOKE" => wants.invoke = true,
            "SHUTDOWN" => wants.shutdown = true,
            other => {
                let message = format!("{name}: Invalid event {other:?}");
                return forbidden("Extension.InvalidEventType", &message);
            }
        }
    }
    let id = match extensions.register(&name, wants) {
        Ok(id) => id,
        Err(refused) => return refuse(refused, &name),
    };
    extensions.telemetry.registered(&name, &events);
    let mut facts = json!({
        "functionName": function.name,
        "functionVersion": "$LATEST",
        "handler": handler,
    });
    let features = text(&head.headers, &FEATURES).unwrap_or_default();
    if features
        .split(',')
        .any(|feature| feature.trim() == "accountId")
    {
        facts["accountId"] = json!(function.options.account_id);
    }
    let mut answer = answer_json(StatusCode::OK, Bytes::from(facts.to_string()));
    if let Ok(id) = HeaderValue::from_str(&id) {
        answer.headers_mut().insert(IDENTIFIER, id);
    }
    answer
}

async fn next(extensions: &Extensions, headers: &HeaderMap) -> Option<Answer> {
    let id = match identifier(extensions, headers) {
        Ok(id) => id,
        Err(refusal) => return Some(*refusal),
    };
    match extensions.next(&id) {
        Ok(event) => {
            let mut answer = answer_json(StatusCode::OK, event.await.ok()?);
            if let Ok(id) = HeaderValue::from_str(&id::request_id()) {
                answer.headers_mut().insert(EVENT_IDENTIFIER, id);
            }
            Some(answer)
        }
        Err(refused) => Some(refuse(refused, &id)),
    }
}

fn fail(extensions: &Extensions, kind: &'static str, request: Request<Incoming>) -> Answer {
    let id = match identifier(extensions, request.headers()) {
        Ok(id) => id,
        Err(refusal) => return *refusal,
    };
    let Some(words) = text(request.headers(), &ERROR_TYPE) else {
        let message = "Lambda-Extension-Function-Error-Type is missing";
        return forbidden("Extension.MissingHeader", message);
    };
    match extensions.fail(&id, kind, &words) {
        Ok(()) => answer_json(
            StatusCode::ACCEPTED,
            Bytes::from_static(b"{\"status\":\"OK\"}\n"),
        ),
        Err(refused) => refuse(refused, &id),
    }
}

async fn subscribe(
    extensions: &Extensions,
    dialect: Dialect,
    request: Request<Incoming>,
) -> Answer {
    let (head, body) = request.into_parts();
    let id = match identifier(extensions, &head.headers) {
        Ok(id) => id,
        Err(refusal) => return *refusal,
    };
    let read = match whole(body).await {
        Some(body) => subscription(dialect, &body),
        None => Err("the body is no JSON object".to_owned()),
    };
    match read {
        Ok(subscription) => {
            let name = extensions.name(&id).unwrap_or_default();
            extensions.telemetry.subscribe(&name, subscription);
            let mut answer = answer_json(StatusCode::OK, Bytes::from_static(b"OK"));
            answer.headers_mut().insert(
                http::header::CONTENT_TYPE,
                HeaderValue::from_static("text/plain; charset=utf-8"),
            );
            answer
        }
        Err(why) => bad("ValidationError", &why),
    }
}

/// Reads a subscription; bounds are those of the API.
fn subscription(dialect: Dialect, body: &Json) -> Result<Subscription, String> {
    let types: Vec<String> = body["types"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|kind| kind.as_str().unwrap_or_default().to_owned())
        .collect();
    if types.is_empty() {
        return Err("`types` names nothing".to_owned());
    }
    for kind in &types {
        if !["platform", "function", "extension"].contains(&kind.as_str()) {
            return Err(format!(
                "`{kind}` is none of platform, function and extension"
            ));
        }
    }
    let destination = &body["destination"];
    let destination = match destination["protocol"].as_str() {
        Some("HTTP") => {
            // Of the two names for the address the Logs API has one more.
            let url = destination["URI"].as_str().or(destination["uri"].as_str());
            Destination::Http(own_address(url.unwrap_or_default())?)
        }
        Some("TCP") => {
            let port = destination["port"]
                .as_u64()
                .and_then(|port| u16::try_from(port).ok());
            Destination::Tcp(port.ok_or("`destination` has no port")?)
        }
        _ => return Err("`protocol` of `destination` is neither HTTP nor TCP".to_owned()),
    };
    let buffering = &body["buffering"];
    let bounded = |key: &str, least: u64, most: u64, default: u64| match &buffering[key] {
        Json::Null => Ok(default),
        value => value
            .as_u64()
            .filter(|number| (least..=most).contains(number))
            .ok_or_else(|| format!("`{key}` of `buffering` must be {least} to {most}")),
    };
    let most_records = bounded("maxItems", 1_000, 10_000, 1_000)?;
    let most_bytes = bounded("maxBytes", 262_144, 1_048_576, 262_144)?;
    let longest_wait = bounded("timeoutMs", 25, 30_000, 1_000)?;
    Ok(Subscription {
        dialect,
        types,
        destination,
        most_records: usize::try_from(most_records).unwrap_or(1_000),
        most_bytes: usize::try_from(most_bytes).unwrap_or(262_144),
        longest_wait: Duration::from_millis(longest_wait),
    })
}

/// `http://sandbox.localdomain:8080/path`, which is this machine.
fn own_address(url: &str) -> Result<String, String> {
    let wrong = || format!("`{url}` is not http://sandbox.localdomain:PORT");
    let rest = url.strip_prefix("http://").ok_or_else(wrong)?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (host, port) = authority.split_once(':').unwrap_or((authority, "80"));
    let port: u16 = port.parse().map_err(|_| wrong())?;
    if !["sandbox.localdomain", "sandbox", "localhost", "127.0.0.1"].contains(&host) {
        return Err(wrong());
    }
    Ok(format!("http://127.0.0.1:{port}/{path}"))
}

/// The identifier that a call names; else the refusal.
fn identifier(extensions: &Extensions, headers: &HeaderMap) -> Result<String, Box<Answer>> {
    let Some(id) = text(headers, &IDENTIFIER) else {
        return Err(Box::new(forbidden(
            "Extension.MissingExtensionIdentifier",
            "Missing Lambda-Extension-Identifier header",
        )));
    };
    if !id::is_uuid(&id) {
        return Err(Box::new(forbidden(
            "Extension.InvalidExtensionIdentifier",
            "Invalid Lambda-Extension-Identifier",
        )));
    }
    if extensions.name(&id).is_none() {
        return Err(Box::new(refuse(Refused::Unknown, &id)));
    }
    Ok(id)
}

fn refuse(refused: Refused, who: &str) -> Answer {
    match refused {
        Refused::Unknown => forbidden(
            "Extension.UnknownExtensionIdentifier",
            &format!("Unknown extension {who}"),
        ),
        Refused::OutOfTurn => forbidden(
            "Extension.InvalidStateTransition",
            &format!("{who}: State transition is not allowed"),
        ),
        Refused::Name => forbidden(
            "Extension.InvalidExtensionState",
            &format!(
                "{who}: registered already, or no external extension that could ask for SHUTDOWN"
            ),
        ),
        Refused::TooMany => forbidden("Extension.TooManyExtensions", "Too many extensions"),
    }
}

fn forbidden(kind: &str, message: &str) -> Answer {
    complaint(StatusCode::FORBIDDEN, kind, message)
}

fn bad(kind: &str, message: &str) -> Answer {
    complaint(StatusCode::BAD_REQUEST, kind, message)
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_owned())
}

async fn whole(body: Incoming) -> Option<Json> {
    match read(body, LONGEST_CALL).await {
        Ok(Read::Whole(bytes, _)) => serde_json::from_slice(&bytes).ok().filter(Json::is_object),
        Ok(Read::TooLong) | Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscription_has_lambdas_defaults_and_bounds() {
        let read = |buffering: Json| {
            let destination =
                json!({"protocol": "HTTP", "URI": "http://sandbox.localdomain:8080/x"});
            let body =
                json!({"types": ["platform"], "destination": destination, "buffering": buffering});
            subscription(Dialect::Telemetry, &body)
        };

        let plain = read(Json::Null).unwrap();
        assert_eq!(
            plain.destination,
            Destination::Http("http://127.0.0.1:8080/x".to_owned())
        );
        assert_eq!((plain.most_records, plain.most_bytes), (1_000, 262_144));
        assert_eq!(plain.longest_wait, Duration::from_secs(1));
        assert_eq!(
            read(json!({"timeoutMs": 25}))
                .unwrap()
                .longest_wait
                .as_millis(),
            25
        );
        for wrong in [
            json!({"timeoutMs": 1}),
            json!({"maxItems": 1}),
            json!({"maxBytes": "x"}),
        ] {
            assert!(read(wrong).is_err());
        }
    }

    #[test]
    fn telemetry_never_leaves_the_machine() {
        assert!(own_address("http://sandbox:99").is_ok());
        for wrong in [
            "http://example.com:80/",
            "https://sandbox.localdomain:80/",
            "http://sandbox.localdomain:x/",
            "http://user@sandbox.localdomain:1/",
            "",
        ] {
            assert!(own_address(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_no_subscription_is_told() {
        let destination = json!({"protocol": "TCP", "port": 70_000});
        for body in [
            json!({}),
            json!({"types": ["x"], "destination": {"protocol": "TCP", "port": 1}}),
            json!({"types": ["function"], "destination": destination}),
            json!({"types": ["function"], "destination": {"protocol": "UDP"}}),
        ] {
            assert!(subscription(Dialect::Logs, &body).is_err(), "{body}");
        }
    }
}
