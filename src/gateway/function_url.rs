//! Requests to function URLs: Lambda's own way from HTTP to a function, without API Gateway.
//!
//! Source: Lambda developer guide, "Invoking Lambda function URLs", "Control access to
//! Lambda function URLs" and "Creating and managing Lambda function URLs" (CORS); the
//! bodies of errors are as clients report them, and not recorded at AWS.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, SET_COOKIE};
use http::{Response, StatusCode};
use serde_json::Value as Json;
use tracing::{error, warn};

use super::authorize::whole;
use super::cors;
use super::rejection::Rejection;
use crate::auth::iam::policy::INVOKE_FUNCTION_URL;
use crate::auth::iam::{Ask, Decision, IamUsers, Principal, Signature, request_keys};
use crate::base::{Body, Clock};
use crate::event::http::{PayloadFormat, event_v2, read_answer};
use crate::event::rest::{ProxyAnswer, read_proxy_answer};
use crate::event::{Caller, Exchange, ReceivedRequest};
use crate::function::streaming::WITH_METADATA;
use crate::function::{Invocation, InvocationType, InvokeError, Outcome, Streamed, chain};
use crate::integration::header_rules::is_hop_header;
use crate::integration::lambda_stream::{self, Timed};
use crate::plan::{FunctionUrlPlan, UrlChoice};

/// Largest request in bytes ("Lambda quotas": 6 MB).
const LONGEST_REQUEST: usize = 6 * 1024 * 1024;

/// Why a request got no answer of the function.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("the request is malformed: {0}")]
    Malformed(crate::event::Malformed),
    #[error("{0}")]
    Forbidden(String),
    #[error("the request is over 6 MB")]
    TooLarge,
    #[error("the body could not be read: {0}")]
    Body(Rejection),
    #[error("the function is throttled")]
    Throttled,
    #[error("{0}")]
    Failed(String),
}

/// Answers one request to a function's URL.
pub(super) async fn answer(
    choice: UrlChoice<'_>,
    clock: &Clock,
    mut request: Box<ReceivedRequest>,
) -> Response<Body> {
    let UrlChoice::Url(url) = choice else {
        // Lambda does not say which ids there are.
        return plain(StatusCode::FORBIDDEN, r#"{"Message":"Forbidden"}"#);
    };
    let body = std::mem::take(&mut request.body);
    let malformed = request.malformed;
    let path = request.path.clone();
    let mut exchange =
        Exchange::begin(&url.facts, request, path.clone(), path, clock.since_epoch());
    exchange.route = Some(&url.route);
    exchange.request_id = crate::base::id::request_id();
    let answered = match malformed {
        Some(why) => Err(Refusal::Malformed(why)),
        None if url.cors.is_some() && cors::is_preflight(&exchange) => {
            Ok(plain(StatusCode::OK, ""))
        }
        None => run(url, &mut exchange, body).await,
    };
    let mut response = match answered {
        Ok(response) => response,
        Err(refusal) => refused(&exchange, url, &refusal),
    };
    let headers = response.headers_mut();
    if let Some(plan) = &url.cors {
        cors::put(plan, &exchange, headers);
    }
    let mut set = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    set("x-amzn-requestid", &exchange.request_id);
    set("x-amzn-trace-id", &exchange.trace_id);
    if matches!(
        response.status(),
        StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
    ) {
        response.headers_mut().remove(http::header::CONTENT_LENGTH);
        *response.body_mut() = Body::Empty;
    }
    response
}

async fn run(
    url: &FunctionUrlPlan,
    exchange: &mut Exchange<'_>,
    body: Body,
) -> Result<Response<Body>, Refusal> {
    let (_, bytes) = whole(body).await.map_err(|rejection| match rejection {
        Rejection::Integration(crate::integration::IntegrationError::PayloadTooLarge) => {
            Refusal::TooLarge
        }
        other => Refusal::Body(other),
    })?;
    if bytes.len() > LONGEST_REQUEST {
        return Err(Refusal::TooLarge);
    }
    if let Some(users) = &url.users {
        let users = users
            .as_ref()
            .map_err(|why| Refusal::Forbidden(why.clone()))?;
        authorize(url, users, exchange, &bytes)?;
    }
    let invocation = Invocation {
        payload: event_v2(exchange, &bytes).into(),
        invocation_type: InvocationType::RequestResponse,
        qualifier: url.function.qualifier.clone(),
        trace_id: Some(exchange.trace_id.clone()),
        client_context: None,
    };
    if url.streams {
        return stream(url, invocation).await;
    }
    let called = tokio::time::timeout(url.timeout, url.function.invoke(invocation)).await;
    let outcome = called
        .map_err(|_| Refusal::Failed("the function took too long".to_owned()))?
        .map_err(not_called)?;
    if outcome.function_error.is_some() {
        return Err(function_failed(&outcome));
    }
    buffered(outcome.payload).await
}

/// Whether who signed the request may call the URL.
fn authorize(
    url: &FunctionUrlPlan,
    users: &IamUsers,
    exchange: &mut Exchange<'_>,
    body: &[u8],
) -> Result<(), Refusal> {
    let forbidden = |fault: crate::auth::iam::SignatureFault| Refusal::Forbidden(fault.to_string());
    let signature = Signature::read(exchange).map_err(forbidden)?;
    let user = users.find(&signature, exchange).map_err(forbidden)?;
    signature.check(exchange, "lambda").map_err(forbidden)?;
    user.verify(&signature, exchange, body).map_err(forbidden)?;
    let caller = &user.caller;
    let keys = |key: &str| match key {
        "lambda:functionurlauthtype" => Some("AWS_IAM".into()),
        other => request_keys::value(exchange, Some(caller), other),
    };
    let decision = user.decide(&Ask {
        action: INVOKE_FUNCTION_URL,
        resource: &url.function_arn,
        other_spelling: None,
        principal: Principal::Iam {
            account: &caller.account_id,
            arn: &caller.user_arn,
        },
        owner_account: &exchange.api.account_id,
        keys: &keys,
    });
    // Whoever is of another account needs a word of the function's own policy.
    if decision != Decision::Allow || caller.account_id != exchange.api.account_id {
        return Err(Refusal::Forbidden(format!(
            "{} may not call {INVOKE_FUNCTION_URL} on {}",
            caller.user_arn, url.function_arn
        )));
    }
    let caller = Arc::clone(caller);
    exchange.caller = Caller::Iam(caller);
    Ok(())
}

/// The answer of a function whose whole result is there.
async fn buffered(payload: Bytes) -> Result<Response<Body>, Refusal> {
    // A streaming function that is called as a whole: metadata, then the payload.
    if lambda_stream::buffered(&payload).is_some() {
        return with_metadata(Body::from(payload)).await;
    }
    let has_type = serde_json::from_slice::<Json>(&payload)
        .ok()
        .and_then(|answer| {
            let headers = answer.get("headers")?.as_object()?.keys();
            Some(
                headers
                    .into_iter()
                    .any(|name| name.eq_ignore_ascii_case("content-type")),
            )
        })
        .unwrap_or(false);
    let answer = read_answer(&payload, PayloadFormat::V2)
        .map_err(|malformed| Refusal::Failed(format!("the result is malformed: {malformed}")))?;
    let mut response = response(answer);
    if !has_type {
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, json);
    }
    Ok(response)
}

/// The answer of a URL with `RESPONSE_STREAM`: what the function streams, as it comes.
async fn stream(url: &FunctionUrlPlan, invocation: Invocation) -> Result<Response<Body>, Refusal> {
    let opened = tokio::time::timeout(url.timeout, url.function.open_stream(invocation)).await;
    let opened = opened
        .map_err(|_| Refusal::Failed("the function took too long".to_owned()))?
        .map_err(not_called)?;
    let body = match opened.streamed {
        Streamed::Failed(outcome) => return Err(function_failed(&outcome)),
        Streamed::Body(body) => body,
    };
    let kind = opened.content_type.as_deref();
    if kind == Some(WITH_METADATA) {
        return with_metadata(body).await;
    }
    let mut response = Response::new(Body::stream(Timed::new(body)));
    let kind = HeaderValue::from_str(kind.unwrap_or("application/json"));
    response.headers_mut().insert(
        CONTENT_TYPE,
        kind.unwrap_or(HeaderValue::from_static("application/octet-stream")),
    );
    Ok(response)
}

/// Status and headers stand before the payload.
async fn with_metadata(body: Body) -> Result<Response<Body>, Refusal> {
    let malformed =
        |why: String| Refusal::Failed(format!("the streamed answer is malformed: {why}"));
    let parts = lambda_stream::split(body).await.map_err(malformed)?;
    let mut answer =
        read_proxy_answer(&parts.metadata, false).map_err(|error| malformed(error.to_string()))?;
    for cookie in &parts.cookies {
        if let Ok(value) = HeaderValue::from_str(cookie) {
            answer.headers.push((SET_COOKIE, value));
        }
    }
    let mut response = response(answer);
    if !response.headers().contains_key(CONTENT_TYPE) {
        let bytes = HeaderValue::from_static("application/octet-stream");
        response.headers_mut().insert(CONTENT_TYPE, bytes);
    }
    *response.body_mut() = Body::stream(Timed::new(parts.payload));
    Ok(response)
}

fn response(answer: ProxyAnswer) -> Response<Body> {
    let mut response = Response::new(answer.body.into());
    *response.status_mut() = answer.status;
    for (name, value) in answer.headers {
        if !is_hop_header(name.as_str()) && name != http::header::CONTENT_LENGTH {
            response.headers_mut().append(name, value);
        }
    }
    response
}

fn not_called(error: InvokeError) -> Refusal {
    match error {
        InvokeError::Throttled { .. } => Refusal::Throttled,
        InvokeError::RequestTooLarge { .. } => Refusal::TooLarge,
        other => Refusal::Failed(chain(&other)),
    }
}

fn function_failed(outcome: &Outcome) -> Refusal {
    Refusal::Failed(format!(
        "the function failed: {}",
        String::from_utf8_lossy(&outcome.payload)
    ))
}

/// Lambda's answer where the function gives none.
fn refused(exchange: &Exchange<'_>, url: &FunctionUrlPlan, refusal: &Refusal) -> Response<Body> {
    let (status, body, kind) = match refusal {
        Refusal::Malformed(_) | Refusal::Body(_) => (
            StatusCode::BAD_REQUEST,
            r#"{"Message":"Bad Request"}"#,
            "BadRequestException",
        ),
        Refusal::Forbidden(_) => (
            StatusCode::FORBIDDEN,
            r#"{"Message":"Forbidden"}"#,
            "AccessDeniedException",
        ),
        Refusal::TooLarge => (
            StatusCode::PAYLOAD_TOO_LARGE,
            r#"{"message":"Request Entity Too Large"}"#,
            "RequestEntityTooLargeException",
        ),
        Refusal::Throttled => (
            StatusCode::TOO_MANY_REQUESTS,
            r#"{"message":"Rate Exceeded."}"#,
            "TooManyRequestsException",
        ),
        Refusal::Failed(_) => (StatusCode::BAD_GATEWAY, "Internal Server Error", ""),
    };
    let function = url.function.name();
    let (method, path) = (exchange.request.method.as_str(), exchange.path.as_str());
    match refusal {
        Refusal::Failed(_) => {
            error!(
                method,
                path,
                function,
                status = status.as_u16(),
                "{refusal}"
            );
        }
        _ => warn!(
            method,
            path,
            function,
            status = status.as_u16(),
            "{refusal}"
        ),
    }
    let mut response = plain(status, body);
    if !kind.is_empty() {
        let name = HeaderName::from_static("x-amzn-errortype");
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(kind));
    }
    if matches!(
        refusal,
        Refusal::Malformed(_) | Refusal::TooLarge | Refusal::Body(_)
    ) {
        // The rest of the request was not read.
        let close = HeaderValue::from_static("close");
        response
            .headers_mut()
            .insert(http::header::CONNECTION, close);
    }
    response
}

fn plain(status: StatusCode, body: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
