//! `aws_proxy`: a Lambda function gets the whole request as its event and
//! answers for itself.

use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue, SET_COOKIE};

use super::header_rules::{Backend, add_response_header, is_hop_header};
use super::http_mapping::{RequestMapping, ResponseMapping};
use super::lambda_stream::{self, Timed};
use super::{Answer, IntegrationError};
use crate::base::{Body, HeaderLines};
use crate::event::http::PayloadFormat;
use crate::event::media_type::first_accepted;
use crate::event::rest::ProxyAnswer;
use crate::event::{Exchange, http as http_event, rest as rest_event};
use crate::function::{FunctionRef, Invocation, InvocationType, Outcome, Streamed};

/// Which event the function gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// A REST API's.
    Rest,
    /// An HTTP API's, by payload format.
    Http(PayloadFormat),
}

/// A compiled `aws_proxy` integration.
#[derive(Debug)]
pub struct LambdaProxy {
    /// The function.
    pub function: FunctionRef,
    /// Which event it gets.
    pub event: EventKind,
    /// How long its answer is waited for; with `stream`, the answer's head.
    pub timeout: Duration,
    /// `responseTransferMode: STREAM` (REST).
    pub stream: bool,
    /// `requestParameters` of an HTTP API.
    pub mapping: RequestMapping,
    /// `responseParameters` of an HTTP API.
    pub response_mapping: ResponseMapping,
}

impl LambdaProxy {
    /// Calls the function.
    ///
    /// # Errors
    ///
    /// A timeout, a failed or wrong answer, or a function that cannot be called.
    pub async fn call(
        &self,
        exchange: &Exchange<'_>,
        body: Bytes,
    ) -> Result<Answer, IntegrationError> {
        let rewritten = (!self.mapping.is_empty()).then(|| self.rewritten(exchange, &body));
        let told = rewritten.as_ref().unwrap_or(exchange);
        let payload = match self.event {
            EventKind::Rest => rest_event::proxy_event(told, &body),
            EventKind::Http(PayloadFormat::V2) => http_event::event_v2(told, &body),
            EventKind::Http(PayloadFormat::V1) => http_event::event_v1(told, &body),
        };
        let invocation = Invocation {
            payload: payload.into(),
            invocation_type: InvocationType::RequestResponse,
            qualifier: self.function.qualifier.clone(),
            trace_id: Some(exchange.trace_id.clone()),
            client_context: None,
        };
        let sent = log_request(exchange, &self.function, &invocation.payload);
        if self.stream {
            return self.call_streaming(exchange, invocation, sent).await;
        }
        let called = tokio::time::timeout(self.timeout, self.function.invoke(invocation)).await;
        let outcome = match called {
            Err(_) => return Err(IntegrationError::Timeout(self.timeout)),
            Ok(Err(error)) => return Err(IntegrationError::Invoke(error)),
            Ok(Ok(outcome)) => outcome,
        };
        log_answer(exchange, sent, &outcome);
        let name = || self.function.name().to_owned();
        if outcome.function_error.is_some() {
            let detail = String::from_utf8_lossy(&outcome.payload).into_owned();
            return Err(IntegrationError::FunctionFailed {
                name: name(),
                detail,
            });
        }
        let answer = match self.event {
            EventKind::Rest => {
                // Of a function that streams only status and headers arrive.
                let head = lambda_stream::buffered(&outcome.payload);
                let payload = head.as_ref().unwrap_or(&outcome.payload);
                rest_event::read_proxy_answer(payload, accepts_binary(exchange))
            }
            EventKind::Http(format) => http_event::read_answer(&outcome.payload, format),
        }
        .map_err(|malformed| IntegrationError::MalformedAnswer {
            name: name(),
            detail: malformed.to_string(),
        })?;
        exchange.watch.backend_answered(answer.status.as_u16());
        let response = self
            .response_mapping
            .apply(exchange, self.response(answer))
            .await?;
        Ok(Answer {
            response,
            with_trace_id: self.event == EventKind::Rest,
            streams: false,
        })
    }

    async fn call_streaming(
        &self,
        exchange: &Exchange<'_>,
        invocation: Invocation,
        sent: Duration,
    ) -> Result<Answer, IntegrationError> {
        let name = || self.function.name().to_owned();
        let head = async {
            let streamed = self.function.invoke_streaming(invocation).await;
            match streamed.map_err(IntegrationError::Invoke)? {
                Streamed::Failed(outcome) => {
                    log_answer(exchange, sent, &outcome);
                    Err(IntegrationError::FunctionFailed {
                        name: name(),
                        detail: String::from_utf8_lossy(&outcome.payload).into_owned(),
                    })
                }
                Streamed::Body(body) => lambda_stream::split(body).await.map_err(|detail| {
                    // A wrong format is a 500, not the 502 of a buffered answer.
                    IntegrationError::Configuration(format!(
                        "function {} streamed a wrong answer: {detail}",
                        name()
                    ))
                }),
            }
        };
        let parts = tokio::time::timeout(self.timeout, head)
            .await
            .map_err(|_| IntegrationError::Timeout(self.timeout))??;
        exchange.watch.received(None);
        exchange.watch.called(200);
        let mut answer =
            rest_event::read_proxy_answer(&parts.metadata, false).map_err(|malformed| {
                IntegrationError::Configuration(format!(
                    "function {} streamed a wrong answer: {malformed}",
                    name()
                ))
            })?;
        for cookie in &parts.cookies {
            if let Ok(value) = HeaderValue::from_str(cookie) {
                answer.headers.push((SET_COOKIE, value));
            }
        }
        exchange
            .log
            .received(sent, answer.status.as_u16(), &HeaderMap::new(), None);
        let mut response = self.response(answer);
        *response.body_mut() = Body::stream(Timed::new(parts.payload));
        Ok(Answer {
            response,
            with_trace_id: true,
            streams: true,
        })
    }

    /// The request as the mappings make it.
    fn rewritten<'p>(&self, exchange: &Exchange<'p>, body: &Bytes) -> Exchange<'p> {
        let mapped = self.mapping.apply(exchange, Some(body));
        let headers = mapped.header_list(exchange.headers());
        let sent = exchange.request.query.as_deref().unwrap_or_default();
        let query = Some(mapped.query(sent)).filter(|query| !query.is_empty());
        exchange.rewritten(mapped.path, query, headers)
    }

    fn response(&self, answer: ProxyAnswer) -> Response<Body> {
        let mut headers = HeaderMap::with_capacity(answer.headers.len() + 1);
        for (name, value) in answer.headers {
            match self.event {
                EventKind::Rest => {
                    add_response_header(&mut headers, name, value, Backend::Lambda, false)
                }
                // The gateway frames the answer itself.
                EventKind::Http(_)
                    if is_hop_header(name.as_str()) || name == http::header::CONTENT_LENGTH => {}
                EventKind::Http(_) => {
                    headers.append(name, value);
                }
            }
        }
        if !headers.contains_key(CONTENT_TYPE) {
            let default = match self.event {
                EventKind::Rest => "application/json",
                EventKind::Http(_) => "text/plain; charset=utf-8",
            };
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(default));
        }
        let mut response = Response::new(answer.body.into());
        *response.status_mut() = answer.status;
        *response.headers_mut() = headers;
        response
    }
}

/// Tells the execution log of a call. Gives the time for [`log_answer`].
pub(super) fn log_request(
    exchange: &Exchange<'_>,
    function: &FunctionRef,
    payload: &[u8],
) -> Duration {
    exchange.watch.sending();
    if !exchange.log.is_on() {
        return Duration::ZERO;
    }
    let api = exchange.api;
    let qualifier = match &function.qualifier {
        Some(qualifier) => format!(":{qualifier}"),
        None => String::new(),
    };
    let uri = format!(
        "https://lambda.{region}.amazonaws.com/2015-03-31/functions/arn:aws:lambda:{region}:{}:function:{}{qualifier}/invocations",
        api.account_id,
        function.name(),
        region = api.region,
    );
    let mut headers = HeaderLines::default();
    let mut set = |name: &str, value: &str| headers.push(name, value.as_bytes());
    set("x-amzn-lambda-integration-tag", &exchange.request_id);
    set("x-amz-source-arn", &source_arn(exchange));
    set("x-amzn-apigateway-api-id", &api.api_id);
    set("accept", "application/json");
    set("user-agent", &format!("AmazonAPIGateway_{}", api.api_id));
    set("x-amzn-trace-id", &exchange.trace_id);
    set("content-type", "application/json");
    exchange.log.sending(&uri, headers.iter(), Some(payload))
}

/// `arn:aws:execute-api:REGION:ACCOUNT:API/STAGE/METHOD/path`.
fn source_arn(exchange: &Exchange<'_>) -> String {
    let api = exchange.api;
    format!(
        "arn:aws:execute-api:{}:{}:{}/{}/{}{}",
        api.region,
        api.account_id,
        api.api_id,
        api.stage,
        exchange.request.method,
        exchange.route.map_or("", |route| &route.resource_path),
    )
}

/// Tells the execution log what a function gave.
pub(super) fn log_answer(exchange: &Exchange<'_>, sent: Duration, outcome: &Outcome) {
    let watch = &exchange.watch;
    watch.received(None);
    watch.called(outcome.status);
    if let Some(time) = outcome.time {
        watch.function_ran(time);
    }
    if !exchange.log.is_on() {
        return;
    }
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(error) = &outcome.function_error
        && let Ok(value) = HeaderValue::from_str(error)
    {
        headers.insert("x-amz-function-error", value);
    }
    exchange
        .log
        .received(sent, outcome.status, &headers, Some(&outcome.payload));
}

/// Whether the first media type of `Accept` is binary for the API.
fn accepts_binary(exchange: &Exchange<'_>) -> bool {
    let accept = exchange.headers().first("accept");
    exchange
        .api
        .binary_media_types
        .contains(accept.as_deref().map(first_accepted))
}
