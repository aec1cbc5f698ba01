//! The Lambda Runtime API, as one process sees it.
//!
//! Each process has a listener of its own on 127.0.0.1, so the port tells which
//! process calls; it may use any number of connections. States and refusals follow
//! AWS's emulator, so that a faulty custom runtime fails here as it does at AWS.
//!
//! A result in the streaming mode is passed on piece by piece to a caller that asks
//! for it, and put together for others; its trailers are read for the error they may carry.
//!
//! Source: Lambda developer guide, "Using the Lambda runtime API for custom
//! runtimes", and aws-lambda-runtime-interface-emulator.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use super::pool::{Pool, Refusal, Turn};
use super::table::{Delivery, ProcessId};
use super::{extension_api, failure};
use crate::function::Outcome;
use crate::function::streaming::Sink;

/// Largest result in bytes: 6 MiB and 100 bytes, as in AWS's emulator.
const LONGEST_RESULT: usize = 6 * 1024 * 1024 + 100;

/// Largest description of an error in bytes that is kept.
const LONGEST_ERROR: usize = LONGEST_RESULT;

/// How long connections of a process that has ended are read on, for an answer that it sent last.
const LAST_WORDS: Duration = Duration::from_millis(250);

const REQUEST_ID: HeaderName = HeaderName::from_static("lambda-runtime-aws-request-id");
const DEADLINE: HeaderName = HeaderName::from_static("lambda-runtime-deadline-ms");
const FUNCTION_ARN: HeaderName = HeaderName::from_static("lambda-runtime-invoked-function-arn");
const TRACE_ID: HeaderName = HeaderName::from_static("lambda-runtime-trace-id");
const CLIENT_CONTEXT: HeaderName = HeaderName::from_static("lambda-runtime-client-context");
const RESPONSE_MODE: HeaderName = HeaderName::from_static("lambda-runtime-function-response-mode");
const ERROR_BODY: HeaderName = HeaderName::from_static("lambda-runtime-function-error-body");

/// What an error behind the data of a streamed result begins with.
const BEHIND_DATA: &[u8] = b"Lambda-Runtime-Function-Error-Type:";

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// What every call begins with.
const BASE: &str = "/2018-06-01/runtime/";

pub(super) type Answer = Response<Full<Bytes>>;

/// The Runtime API of one process; ends when dropped.
pub(super) struct RuntimeApi {
    /// `127.0.0.1:PORT`.
    pub(super) address: String,
    stop: tokio::sync::oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl RuntimeApi {
    /// Listens for process `id`.
    ///
    /// # Errors
    ///
    /// No port is free.
    pub(super) async fn start(pool: &Arc<Pool>, id: ProcessId) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?.to_string();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let task = tokio::spawn(serve(listener, Arc::clone(pool), id, stopped));
        Ok(Self {
            address,
            stop,
            task,
        })
    }

    /// Takes no more connections and reads those that are open to their end.
    ///
    /// For a process that has ended: its last answer may still be on the way. Where
    /// others go on (`is_alone` is false), there is no end to wait for, only a while.
    pub(super) async fn drain(&mut self, is_alone: bool) {
        if !is_alone {
            return tokio::time::sleep(LAST_WORDS).await;
        }
        let (stop, _) = tokio::sync::oneshot::channel();
        let stop = std::mem::replace(&mut self.stop, stop);
        let _ = stop.send(());
        let _ = tokio::time::timeout(LAST_WORDS, &mut self.task).await;
    }
}

impl Drop for RuntimeApi {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    listener: TcpListener,
    pool: Arc<Pool>,
    id: ProcessId,
    mut stopped: tokio::sync::oneshot::Receiver<()>,
) {
    // Dropped with this task, and its connections with it.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve_connection(stream, Arc::clone(&pool), id));
                }
                // Out of file descriptors, say: the next try may do better.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            _ = &mut stopped => break,
            _ = connections.join_next(), if !connections.is_empty() => {}
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn serve_connection(stream: TcpStream, pool: Arc<Pool>, id: ProcessId) {
    // Nagle's algorithm would hold an event back until the last answer is acknowledged.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| {
        let pool = Arc::clone(&pool);
        async move { answer(&pool, id, request).await.ok_or(ProcessEnds) }
    });
    // No time limit on heads: the next request comes when the function has run.
    // Title case for runtimes, often shell scripts, that look for the names as documented.
    let served = http1::Builder::new()
        .title_case_headers(true)
        .auto_date_header(false)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::trace!(%error, "a connection of the Runtime API ended");
    }
}

/// The connection is closed without an answer, since the process is being ended.
#[derive(Debug, thiserror::Error)]
#[error("the process is being ended")]
struct ProcessEnds;

async fn answer(pool: &Arc<Pool>, id: ProcessId, request: Request<Incoming>) -> Option<Answer> {
    let path = request.uri().path();
    let Some(call) = path.strip_prefix(BASE) else {
        let extensions = pool.extensions(id)?;
        let handler = pool.launch().await.ok()?.handler.as_str();
        return extension_api::answer(&pool.function, handler, &extensions, request).await;
    };
    if call == "invocation/next" {
        return match *request.method() {
            Method::GET => next(pool, id).await,
            _ => Some(wrong_method()),
        };
    }
    let is_init_error = call == "init/error";
    let invocation = call
        .strip_prefix("invocation/")
        .and_then(|rest| rest.split_once('/'))
        .filter(|(_, action)| matches!(*action, "response" | "error"));
    if !is_init_error && invocation.is_none() {
        return Some(not_found());
    }
    if request.method() != Method::POST {
        return Some(wrong_method());
    }
    Some(match invocation {
        Some((request_id, action)) => {
            let request_id: Arc<str> = Arc::from(request_id);
            if action == "response" {
                response(pool, id, &request_id, request).await
            } else {
                error(pool, id, &request_id, request).await
            }
        }
        None => init_error(pool, id, request).await,
    })
}

async fn next(pool: &Arc<Pool>, id: ProcessId) -> Option<Answer> {
    // An event comes once everybody is ready for it; until then the process counts
    // as starting, or as being at the last event, with the time limit of that.
    if let Some(extensions) = pool.extensions(id) {
        extensions.ready().await;
    }
    let delivery = match pool.next(id) {
        Ok(Turn::Now(delivery)) => delivery,
        Ok(Turn::Wait(waiting)) => waiting.event().await?,
        Err(refusal) => return Some(refused(refusal)),
    };
    Some(event(delivery))
}

fn event(delivery: Delivery) -> Answer {
    let mut answer = Response::new(Full::new(delivery.payload));
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, JSON);
    // Request ids are UUIDs.
    if let Ok(request_id) = HeaderValue::from_str(&delivery.request_id) {
        headers.insert(REQUEST_ID, request_id);
    }
    let deadline = u64::try_from(delivery.deadline.as_millis()).unwrap_or(u64::MAX);
    headers.insert(DEADLINE, HeaderValue::from(deadline));
    headers.insert(FUNCTION_ARN, delivery.arn);
    if let Some(trace_id) = delivery.trace_id {
        headers.insert(TRACE_ID, trace_id);
    }
    if let Some(client_context) = delivery.client_context {
        headers.insert(CLIENT_CONTEXT, client_context);
    }
    answer
}

async fn response(
    pool: &Arc<Pool>,
    id: ProcessId,
    request_id: &str,
    request: Request<Incoming>,
) -> Answer {
    if let Err(refusal) = pool.owes(id, request_id) {
        return refused(refusal);
    }
    let (head, body) = request.into_parts();
    let is_streaming = match head.headers.get(RESPONSE_MODE).map(HeaderValue::as_bytes) {
        None | Some(b"") => false,
        Some(mode) if mode.eq_ignore_ascii_case(b"streaming") => true,
        Some(_) => {
            let message = "Invalid response mode header";
            pool.complete(
                id,
                request_id,
                failure::typed("Runtime.InvalidResponseModeHeader", message),
            );
            return complaint(
                StatusCode::BAD_REQUEST,
                "InvalidFunctionResponseMode",
                message,
            );
        }
    };
    if is_streaming && let Some(sink) = pool.sink(id, request_id) {
        let kind = head
            .headers
            .get(CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok());
        sink.begin(kind.unwrap_or("application/octet-stream"));
        return pass_on(pool, id, request_id, body, sink).await;
    }
    match read(body, LONGEST_RESULT).await {
        Ok(Read::Whole(payload, trailers)) => {
            let outcome = if is_streaming {
                streamed(payload, trailers)
            } else {
                Outcome {
                    status: 200,
                    payload,
                    function_error: None,
                    time: None,
                }
            };
            accepted(pool.complete(id, request_id, outcome))
        }
        Ok(Read::TooLong) => {
            pool.complete(id, request_id, failure::too_large(LONGEST_RESULT));
            complaint(
                StatusCode::PAYLOAD_TOO_LARGE,
                "RequestEntityTooLarge",
                &format!("Exceeded maximum allowed payload size ({LONGEST_RESULT} bytes)."),
            )
        }
        Err(_) => {
            let outcome = failure::typed(
                "Runtime.TruncatedResponse",
                "The response of the function was cut off",
            );
            pool.complete(id, request_id, outcome);
            complaint(
                StatusCode::BAD_REQUEST,
                "TruncatedHTTPRequest",
                "HTTP request is truncated",
            )
        }
    }
}

/// Passes a result in the streaming mode on, piece by piece.
async fn pass_on(
    pool: &Arc<Pool>,
    id: ProcessId,
    request_id: &str,
    mut body: Incoming,
    sink: Sink,
) -> Answer {
    let mut trailers = None;
    let mut behind = Bytes::new();
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            let message = "The response of the function was cut off";
            let outcome = failure::typed("Runtime.TruncatedResponse", message);
            pool.complete(id, request_id, outcome);
            return complaint(
                StatusCode::BAD_REQUEST,
                "TruncatedHTTPRequest",
                "HTTP request is truncated",
            );
        };
        match frame.into_data() {
            Ok(mut data) => {
                // Rust's client writes an error behind the data, in a piece of its own.
                if let Some(start) = memchr::memmem::find(&data, BEHIND_DATA) {
                    behind = data.split_off(start);
                }
                if !data.is_empty() {
                    sink.send(data).await;
                }
            }
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    let outcome = match streamed(behind, trailers) {
        Outcome {
            function_error: None,
            ..
        } => Outcome {
            status: 200,
            payload: Bytes::new(),
            function_error: None,
            time: None,
        },
        failed => failed,
    };
    accepted(pool.complete(id, request_id, outcome))
}

async fn error(
    pool: &Arc<Pool>,
    id: ProcessId,
    request_id: &str,
    request: Request<Incoming>,
) -> Answer {
    if let Err(refusal) = pool.owes(id, request_id) {
        return refused(refusal);
    }
    let payload = read_error(request.into_body()).await;
    accepted(pool.complete(id, request_id, failure::unhandled(payload)))
}

async fn init_error(pool: &Arc<Pool>, id: ProcessId, request: Request<Incoming>) -> Answer {
    let payload = read_error(request.into_body()).await;
    match pool.fail_init(id, payload) {
        Ok(()) => accepted(true),
        Err(refusal) => refused(refusal),
    }
}

/// An error's description; one that cannot be read becomes one that says so.
async fn read_error(body: Incoming) -> Bytes {
    match read(body, LONGEST_ERROR).await {
        Ok(Read::Whole(payload, _)) => payload,
        Ok(Read::TooLong) | Err(_) => {
            failure::typed("Runtime.Unknown", "the error could not be read").payload
        }
    }
}

/// A result in the streaming mode, put together.
///
/// An error after the first bytes comes as trailers; the client of Rust's
/// lambda_runtime writes them behind the data instead.
fn streamed(mut payload: Bytes, trailers: Option<HeaderMap>) -> Outcome {
    let mut error = trailers.and_then(|trailers| trailers.get(ERROR_BODY).cloned());
    let mut has_error = error.is_some();
    if let Some(start) = memchr::memmem::rfind(&payload, BEHIND_DATA) {
        let lines = payload.split_off(start);
        let text = String::from_utf8_lossy(&lines);
        has_error = true;
        error = text
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case(ERROR_BODY.as_str()))
            .and_then(|(_, value)| HeaderValue::from_str(value.trim()).ok());
    }
    if !has_error {
        return Outcome {
            status: 200,
            payload,
            function_error: None,
            time: None,
        };
    }
    let body = error.and_then(|encoded| STANDARD.decode(encoded.as_bytes()).ok());
    match body {
        Some(body) => failure::unhandled(body),
        None => failure::typed("Runtime.Unknown", "the function failed while it streamed"),
    }
}

pub(super) enum Read {
    Whole(Bytes, Option<HeaderMap>),
    TooLong,
}

/// Reads a body to its end; one over `limit` bytes is read but not kept, so that
/// its sender gets to read the answer.
pub(super) async fn read(mut body: Incoming, limit: usize) -> Result<Read, hyper::Error> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    let mut length = 0_usize;
    let mut trailers = None;
    while let Some(frame) = body.frame().await {
        match frame?.into_data() {
            Ok(data) => {
                length = length.saturating_add(data.len());
                if length > limit {
                    continue;
                }
                // A short result comes in one piece and is passed on without a copy.
                if length == data.len() {
                    first = data;
                    continue;
                }
                if all.is_empty() {
                    all.reserve(announced.clamp(length, limit));
                    all.extend_from_slice(&first);
                }
                all.extend_from_slice(&data);
            }
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    if length > limit {
        return Ok(Read::TooLong);
    }
    let payload = if all.is_empty() { first } else { all.freeze() };
    Ok(Read::Whole(payload, trailers))
}

fn accepted(is_ours: bool) -> Answer {
    if !is_ours {
        // Timed out while its answer was read.
        return refused(Refusal::WrongId);
    }
    json(
        StatusCode::ACCEPTED,
        Bytes::from_static(b"{\"status\":\"OK\"}\n"),
    )
}

fn refused(refusal: Refusal) -> Answer {
    match refusal {
        Refusal::OutOfTurn => complaint(
            StatusCode::FORBIDDEN,
            "InvalidStateTransition",
            "State transition is not allowed",
        ),
        Refusal::WrongId => complaint(
            StatusCode::BAD_REQUEST,
            "InvalidRequestID",
            "Invalid request ID",
        ),
    }
}

pub(super) fn not_found() -> Answer {
    complaint(StatusCode::NOT_FOUND, "NotFound", "404 page not found")
}

pub(super) fn wrong_method() -> Answer {
    complaint(
        StatusCode::METHOD_NOT_ALLOWED,
        "MethodNotAllowed",
        "405 method not allowed",
    )
}

pub(super) fn complaint(status: StatusCode, kind: &str, message: &str) -> Answer {
    let body = serde_json::json!({ "errorMessage": message, "errorType": kind });
    json(status, Bytes::from(body.to_string()))
}

pub(super) fn json(status: StatusCode, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, JSON);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_streamed_result_without_error_passes() {
        let outcome = streamed(Bytes::from_static(b"abc"), None);

        assert_eq!(outcome.payload, "abc");
        assert_eq!(outcome.function_error, None);
    }

    #[test]
    fn errors_after_the_first_bytes_are_found_in_both_forms() {
        let body = STANDARD.encode(r#"{"errorType":"Error"}"#);
        let mut trailers = HeaderMap::new();
        trailers.insert(ERROR_BODY, HeaderValue::from_str(&body).unwrap());
        let behind = format!(
            "abcLambda-Runtime-Function-Error-Type: Error\r\nLambda-Runtime-Function-Error-Body: {body}\r\n"
        );

        for outcome in [
            streamed(Bytes::from_static(b"abc"), Some(trailers)),
            streamed(Bytes::from(behind), None),
        ] {
            assert_eq!(outcome.payload, r#"{"errorType":"Error"}"#);
            assert_eq!(outcome.function_error.as_deref(), Some("Unhandled"));
        }
    }
}
