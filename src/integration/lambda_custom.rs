//! `aws` for Lambda: a function gets what the mappings make of the request as
//! its event, and its result is the integration response.
//!
//! Source: API Gateway developer guide, "Set up Lambda custom integrations in
//! API Gateway" and "Handle Lambda errors in API Gateway".

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_TYPE, HeaderValue};
use serde_json::Value as Json;

use super::header_rules::Backend;
use super::lambda_proxy::{log_answer, log_request};
use super::mapping::Mapped;
use super::request_side::RequestSide;
use super::response_side::{BackendAnswer, ResponseSide};
use super::{Answer, IntegrationError};
use crate::event::Exchange;
use crate::function::{FunctionRef, Invocation, InvocationType};

/// A compiled `aws` integration with a Lambda function.
#[derive(Debug)]
pub struct LambdaCustom {
    /// The function.
    pub function: FunctionRef,
    /// How long its result is waited for.
    pub timeout: Duration,
    /// Request mappings.
    pub request: RequestSide,
    /// Response mappings.
    pub response: ResponseSide,
}

impl LambdaCustom {
    /// Calls the function.
    ///
    /// # Errors
    ///
    /// A mapping that fails, a timeout, or a function that cannot be called. A
    /// function that fails is an answer whose error message selects the response.
    pub async fn call(
        &self,
        exchange: &Exchange<'_>,
        body: Bytes,
    ) -> Result<Answer, IntegrationError> {
        let request = self.request.map(exchange, &body)?;
        // Only checked: Lambda's own headers are not the client's to set.
        request
            .mapped
            .put_headers(&mut HeaderMap::new(), Backend::Lambda)?;
        let payload = if request.payload.is_empty() {
            Bytes::from_static(b"{}")
        } else {
            request.payload
        };
        let invocation = Invocation {
            payload,
            invocation_type: invocation_type(&request.mapped),
            qualifier: self.function.qualifier.clone(),
            trace_id: Some(exchange.trace_id.clone()),
            client_context: None,
        };
        let sent = log_request(exchange, &self.function, &invocation.payload);
        let called = tokio::time::timeout(self.timeout, self.function.invoke(invocation)).await;
        let outcome = match called {
            Err(_) => return Err(IntegrationError::Timeout(self.timeout)),
            Ok(Err(error)) => return Err(IntegrationError::Invoke(error)),
            Ok(Ok(outcome)) => outcome,
        };
        log_answer(exchange, sent, &outcome);
        let selector = match outcome.function_error {
            Some(_) => error_message(&outcome.payload),
            None => String::new(),
        };
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let answer = BackendAnswer {
            selector,
            headers,
            body: outcome.payload,
        };
        let response = self
            .response
            .map(exchange, answer, request.overrides, Backend::Lambda)?;
        Ok(Answer {
            response,
            with_trace_id: true,
            streams: false,
        })
    }
}

/// `X-Amz-Invocation-Type`, which a mapping sets
/// ("Set up asynchronous invocation of the backend Lambda function").
fn invocation_type(mapped: &Mapped) -> InvocationType {
    let named = mapped
        .headers
        .iter()
        .find(|(name, _)| name == "x-amz-invocation-type");
    match named
        .and_then(|(_, values)| values.last())
        .map(String::as_str)
    {
        Some("Event") => InvocationType::Event,
        Some("DryRun") => InvocationType::DryRun,
        _ => InvocationType::RequestResponse,
    }
}

/// `errorMessage` of a function's error.
fn error_message(payload: &[u8]) -> String {
    let json: Option<Json> = serde_json::from_slice(payload).ok();
    json.as_ref()
        .and_then(|json| json.get("errorMessage"))
        .and_then(Json::as_str)
        .unwrap_or_default()
        .to_owned()
}
