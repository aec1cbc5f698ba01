//! Invoke: synchronous, asynchronous, dry run, with the end of the log.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::de::IgnoredAny;
use serde_json::json;

use super::refused::Refused;
use super::{VERSION, read_body};
use crate::base::{FunctionArn, id};
use crate::function::local::{LONGEST_ASYNCHRONOUS_EVENT, LONGEST_EVENT, LogTail};
use crate::function::{FunctionRef, Functions, Invocation, InvocationType, InvokeError, Outcome};

/// How long the log's end is waited for once the answer is there.
const LOG_PATIENCE: Duration = Duration::from_millis(300);

/// A call, read.
pub(super) struct Call {
    pub(super) function: FunctionRef,
    pub(super) invocation: Invocation,
    pub(super) request_id: Arc<str>,
    pub(super) tail: Option<LogTail>,
    /// The function's ARN with its qualifier.
    pub(super) arn: String,
}

impl Call {
    /// Reads headers and body. The body is an event, JSON; an empty one is `{}`.
    pub(super) async fn read(
        functions: &Functions,
        function: FunctionRef,
        headers: &HeaderMap,
        body: Body,
        invocation_type: InvocationType,
    ) -> Result<Self, Refused> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let wants_tail = match text("x-amz-log-type") {
            None | Some("None") => false,
            Some("Tail") => true,
            Some(other) => {
                return Err(Refused::validation(&format!(
                    "Value '{other}' at 'logType' failed to satisfy constraint: Member must satisfy enum value set: [None, Tail]"
                )));
            }
        };
        let limit = match invocation_type {
            InvocationType::Event => LONGEST_ASYNCHRONOUS_EVENT,
            InvocationType::RequestResponse | InvocationType::DryRun => LONGEST_EVENT,
        };
        let mut payload = read_body(body, limit).await?;
        if payload.is_empty() {
            payload = Bytes::from_static(b"{}");
        }
        if let Err(error) = serde_json::from_slice::<IgnoredAny>(&payload) {
            return Err(Refused::content(&format!(
                "Could not parse payload into json: {error}"
            )));
        }
        let request_id: Arc<str> = Arc::from(id::request_id());
        let invocation = Invocation {
            payload,
            invocation_type,
            qualifier: function.qualifier.clone(),
            trace_id: text("x-amzn-trace-id").map(str::to_owned),
            client_context: text("x-amz-client-context").map(str::to_owned),
        };
        Ok(Self {
            arn: qualified_arn(functions, &function),
            function: function.with_request_id(Arc::clone(&request_id)),
            invocation,
            tail: wants_tail.then(|| LogTail::of(Arc::clone(&request_id))),
            request_id,
        })
    }

    /// Why it could not be called.
    pub(super) fn refused(&self, error: InvokeError) -> Refused {
        let settings = self.function.settings();
        let limited = settings.is_some_and(|settings| settings.reserved_concurrency.is_some());
        Refused::of(error, &self.arn, limited)
    }
}

/// Base64 of the end of the log.
pub(super) async fn log_result(tail: Option<LogTail>) -> Option<String> {
    Some(STANDARD.encode(tail?.end(LOG_PATIENCE).await))
}

/// The function's ARN without qualifier.
pub(super) fn arn(functions: &Functions, function: &FunctionRef) -> String {
    let (region, account) = functions.home();
    let arn = FunctionArn {
        partition: "aws".to_owned(),
        region: String::new(),
        account: String::new(),
        name: function.name().to_owned(),
        qualifier: None,
    };
    arn.unqualified(region, account)
}

/// The same with the qualifier that was asked for.
pub(super) fn qualified_arn(functions: &Functions, function: &FunctionRef) -> String {
    let arn = arn(functions, function);
    match &function.qualifier {
        Some(qualifier) => format!("{arn}:{qualifier}"),
        None => arn,
    }
}

/// Calls the function.
pub(super) async fn invoke(
    functions: &Functions,
    function: FunctionRef,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Refused> {
    let invocation_type = match headers
        .get("x-amz-invocation-type")
        .map(HeaderValue::as_bytes)
    {
        None | Some(b"RequestResponse") => InvocationType::RequestResponse,
        Some(b"Event") => InvocationType::Event,
        Some(b"DryRun") => InvocationType::DryRun,
        Some(other) => {
            return Err(Refused::validation(&format!(
                "Value '{}' at 'invocationType' failed to satisfy constraint: Member must satisfy enum value set: [RequestResponse, Event, DryRun]",
                String::from_utf8_lossy(other)
            )));
        }
    };
    let call = Call::read(functions, function, headers, body, invocation_type).await?;
    if invocation_type == InvocationType::DryRun {
        return Ok(empty(StatusCode::NO_CONTENT, &call.request_id));
    }
    let outcome = match call.function.invoke(call.invocation.clone()).await {
        Ok(outcome) => outcome,
        Err(InvokeError::CannotStart { detail, .. }) => cannot_start(&detail),
        Err(error) => return Err(call.refused(error)),
    };
    if invocation_type == InvocationType::Event {
        return Ok(empty(StatusCode::ACCEPTED, &call.request_id));
    }
    let mut response = (StatusCode::OK, outcome.payload).into_response();
    let headers = response.headers_mut();
    let mut set = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    set("content-type", "application/json");
    set("x-amzn-requestid", &call.request_id);
    set("x-amz-executed-version", VERSION);
    if let Some(trace_id) = &call.invocation.trace_id {
        set("x-amzn-trace-id", trace_id);
    }
    if let Some(error) = &outcome.function_error {
        set("x-amz-function-error", error);
    }
    if let Some(log) = log_result(call.tail).await {
        set("x-amz-log-result", &log);
    }
    Ok(response)
}

/// What Lambda answers where a function's program is not there: the function's error.
pub(super) fn cannot_start(detail: &str) -> Outcome {
    let payload = json!({"errorType": "Runtime.InvalidEntrypoint", "errorMessage": detail});
    Outcome {
        status: 200,
        payload: payload.to_string().into(),
        function_error: Some("Unhandled".to_owned()),
        time: None,
    }
}

fn empty(status: StatusCode, request_id: &str) -> Response {
    (status, [("x-amzn-requestid", request_id.to_owned())]).into_response()
}
