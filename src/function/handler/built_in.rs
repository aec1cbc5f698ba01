//! `local:echo` and `local:health`.

use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Request;
use http::header::CONTENT_TYPE;
use serde_json::{Map, Value, json};

use super::HandlerContext;

/// Answers 200 with a JSON report of the request: method, path, query, headers
/// and body as received.
pub(super) async fn echo(request: Request<Bytes>) -> Response {
    let mut headers = Map::new();
    for (name, value) in request.headers() {
        let value = crate::event::headers::text_of(value.as_bytes()).into_owned();
        match headers.entry(name.as_str()) {
            serde_json::map::Entry::Vacant(entry) => {
                entry.insert(Value::String(value));
            }
            serde_json::map::Entry::Occupied(mut entry) => {
                let joined = format!("{}, {value}", entry.get().as_str().unwrap_or_default());
                entry.insert(Value::String(joined));
            }
        }
    }
    let context = request
        .extensions()
        .get::<HandlerContext>()
        .cloned()
        .unwrap_or_default();
    let text = std::str::from_utf8(request.body()).ok();
    let report = json!({
        "method": request.method().as_str(),
        "path": request.uri().path(),
        "rawQuery": request.uri().query().unwrap_or_default(),
        "pathParameters": context.path_parameters,
        "stageVariables": context.stage_variables,
        "headers": headers,
        "body": text.map_or_else(|| STANDARD.encode(request.body()), str::to_owned),
        "isBase64Encoded": text.is_none(),
        "requestId": context.request_id,
        "sourceIp": context.source_ip,
        "authorizer": context.authorizer,
    });
    ([(CONTENT_TYPE, "application/json")], report.to_string()).into_response()
}

/// Answers 200 `{"status":"ok"}`.
pub(super) async fn health(_request: Request<Bytes>) -> Response {
    ([(CONTENT_TYPE, "application/json")], r#"{"status":"ok"}"#).into_response()
}
