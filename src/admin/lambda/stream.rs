//! InvokeWithResponseStream: the result in pieces, as messages of an event stream.

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use http::HeaderMap;
use http_body_util::BodyExt;
use serde_json::{Map, json};

use super::VERSION;
use super::invoke::{Call, cannot_start, log_result};
use super::refused::Refused;
use crate::base::body::BodyError;
use crate::function::local::LogTail;
use crate::function::streaming::BrokenOff;
use crate::function::{FunctionRef, Functions, InvocationType, InvokeError, Streamed};

/// Where the stream is.
enum State {
    Pieces(crate::base::Body, Option<LogTail>),
    /// The end is to be told, with the function's error.
    End(Option<Failure>, Option<LogTail>),
    Over,
}

struct Failure {
    code: String,
    details: String,
}

/// Calls the function.
pub(super) async fn invoke(
    functions: &Functions,
    function: FunctionRef,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Refused> {
    let invocation_type = match headers.get("x-amz-invocation-type").map(|v| v.as_bytes()) {
        None | Some(b"RequestResponse") => InvocationType::RequestResponse,
        Some(b"DryRun") => InvocationType::DryRun,
        Some(other) => {
            return Err(Refused::validation(&format!(
                "Value '{}' at 'invocationType' failed to satisfy constraint: Member must satisfy enum value set: [RequestResponse, DryRun]",
                String::from_utf8_lossy(other)
            )));
        }
    };
    let mut call = Call::read(functions, function, headers, body, invocation_type).await?;
    let head = [
        ("x-amzn-requestid", call.request_id.to_string()),
        ("x-amz-executed-version", VERSION.to_owned()),
        (
            "content-type",
            "application/vnd.amazon.eventstream".to_owned(),
        ),
    ];
    if invocation_type == InvocationType::DryRun {
        return Ok((http::StatusCode::NO_CONTENT, head).into_response());
    }
    let tail = call.tail.take();
    let failed = |outcome: crate::function::Outcome| Failure {
        code: outcome.function_error.unwrap_or_default(),
        details: String::from_utf8_lossy(&outcome.payload).into_owned(),
    };
    let begin = match call
        .function
        .invoke_streaming(call.invocation.clone())
        .await
    {
        Ok(Streamed::Body(body)) => State::Pieces(body, tail),
        Ok(Streamed::Failed(outcome)) => State::End(Some(failed(outcome)), tail),
        Err(InvokeError::CannotStart { detail, .. }) => {
            State::End(Some(failed(cannot_start(&detail))), tail)
        }
        Err(error) => return Err(call.refused(error)),
    };
    let messages = stream::unfold(begin, |state| async { next(state).await });
    Ok((head, Body::from_stream(messages)).into_response())
}

/// The next message.
async fn next(mut state: State) -> Option<(Result<Bytes, BodyError>, State)> {
    loop {
        state = match state {
            State::Pieces(mut body, tail) => match body.frame().await {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(piece) if !piece.is_empty() => {
                        let message = message("PayloadChunk", "application/octet-stream", piece);
                        return Some((message, State::Pieces(body, tail)));
                    }
                    _ => State::Pieces(body, tail),
                },
                Some(Err(error)) => State::End(Some(failure(&error)), tail),
                None => State::End(None, tail),
            },
            State::End(failure, tail) => {
                let mut end = Map::new();
                if let Some(failure) = failure {
                    end.insert("ErrorCode".to_owned(), json!(failure.code));
                    end.insert("ErrorDetails".to_owned(), json!(failure.details));
                }
                if let Some(log) = log_result(tail).await {
                    end.insert("LogResult".to_owned(), json!(log));
                }
                let text = serde_json::Value::Object(end).to_string();
                let message = message("InvokeComplete", "application/json", text.into());
                return Some((message, State::Over));
            }
            State::Over => return None,
        };
    }
}

/// What broke a result off: the function's own error, where it said one.
fn failure(error: &BodyError) -> Failure {
    Failure {
        code: "Unhandled".to_owned(),
        details: match error.downcast_ref::<BrokenOff>() {
            Some(BrokenOff(details)) => details.clone(),
            None => error.to_string(),
        },
    }
}

fn message(event: &'static str, kind: &'static str, payload: Bytes) -> Result<Bytes, BodyError> {
    let text = |name: &'static str, value: &'static str| {
        Header::new(name, HeaderValue::String(value.into()))
    };
    let message = Message::new(payload)
        .add_header(text(":event-type", event))
        .add_header(text(":content-type", kind))
        .add_header(text(":message-type", "event"));
    let mut bytes = Vec::new();
    write_message_to(&message, &mut bytes)?;
    Ok(bytes.into())
}
