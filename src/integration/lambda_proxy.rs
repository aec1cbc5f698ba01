//! `aws_proxy`: a Lambda function gets the whole request as its event and
//! answers for itself.

use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};

use super::header_rules::{Backend, add_response_header, is_hop_header};
use super::http_mapping::{RequestMapping, ResponseMapping};
use super::{Answer, IntegrationError};
use crate::base::Body;
use crate::event::http::PayloadFormat;
use crate::event::media_type::first_accepted;
use crate::event::rest::ProxyAnswer;
use crate::event::{Exchange, http as http_event, rest as rest_event};
use crate::function::{FunctionRef, Invocation, InvocationType};

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
    /// How long its answer is waited for.
    pub timeout: Duration,
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
        let called = tokio::time::timeout(self.timeout, self.function.invoke(invocation)).await;
        let outcome = match called {
            Err(_) => return Err(IntegrationError::Timeout(self.timeout)),
            Ok(Err(error)) => return Err(IntegrationError::Invoke(error)),
            Ok(Ok(outcome)) => outcome,
        };
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
                rest_event::read_proxy_answer(&outcome.payload, accepts_binary(exchange))
            }
            EventKind::Http(format) => http_event::read_answer(&outcome.payload, format),
        }
        .map_err(|malformed| IntegrationError::MalformedAnswer {
            name: name(),
            detail: malformed.to_string(),
        })?;
        let response = self
            .response_mapping
            .apply(exchange, self.response(answer))
            .await?;
        Ok(Answer {
            response,
            with_trace_id: self.event == EventKind::Rest,
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

/// Whether the first media type of `Accept` is binary for the API.
fn accepts_binary(exchange: &Exchange<'_>) -> bool {
    let accept = exchange.headers().first("accept");
    exchange
        .api
        .binary_media_types
        .contains(accept.as_deref().map(first_accepted))
}
