//! `aws` for services: an action or a path of any AWS service, called with what
//! the mappings make of the request, signed.
//!
//! Source: API Gateway developer guide, "Set up an API integration request using
//! the API Gateway console", and the tutorials on DynamoDB, SQS, S3, Kinesis,
//! Step Functions. What the guide does not show of the request that AWS sends
//! follows the services' own protocols.

pub mod address;

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, USER_AGENT};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use self::address::{Address, Call, Protocol};
use super::aws_client::{AwsCall, AwsClient, AwsService};
use super::header_rules::Backend;
use super::http_proxy::method_towards;
use super::request_side::RequestSide;
use super::response_side::{BackendAnswer, ResponseSide};
use super::uri::UriTemplate;
use super::{Answer, IntegrationError};
use crate::event::{Exchange, traceparent};

/// A query's name or value as signatures want it: all but unreserved characters
/// encoded (Signature Version 4, "Create a canonical request").
fn strict(text: &str) -> impl std::fmt::Display + '_ {
    const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'_')
        .remove(b'.')
        .remove(b'~');
    utf8_percent_encode(text, UNRESERVED)
}

/// A compiled `aws` integration with a service.
#[derive(Debug)]
pub struct ServiceCustom {
    /// Signs and sends.
    pub client: AwsClient,
    /// The service, as the client knows it.
    pub service: AwsService,
    /// What is called there.
    pub address: Address,
    /// Its path and query; the host plays no part.
    pub uri: UriTemplate,
    /// `None` repeats the client's method.
    pub method: Option<Method>,
    /// The role that is assumed; the developer's own credentials without one.
    pub role: Option<String>,
    /// How long the whole answer is waited for.
    pub timeout: Duration,
    /// Request mappings.
    pub request: RequestSide,
    /// Response mappings.
    pub response: ResponseSide,
}

impl ServiceCustom {
    /// Calls the service.
    ///
    /// # Errors
    ///
    /// A mapping that fails, no credentials, or a service that does not answer in time.
    pub async fn call(
        &self,
        exchange: &Exchange<'_>,
        body: Bytes,
    ) -> Result<Answer, IntegrationError> {
        let mapped = self.request.map(exchange, &body)?;
        let protocol = self.address.protocol();
        let mut query = String::new();
        let mut target = None;
        if let Call::Action { name, query: own } = &self.address.call {
            match protocol {
                Protocol::Json { prefix, .. } => target = Some(format!("{prefix}.{name}")),
                Protocol::Query { version } => {
                    let is_mapped = |wanted: &str| {
                        mapped.mapped.query.iter().any(|(name, _)| name == wanted)
                            || own
                                .split('&')
                                .any(|piece| piece.starts_with(&format!("{wanted}=")))
                    };
                    if !is_mapped("Action") {
                        query.push_str(&format!("Action={name}"));
                    }
                    if !version.is_empty() && !is_mapped("Version") {
                        query.push_str(&format!("&Version={version}"));
                    }
                }
            }
            if !own.is_empty() {
                query.push('&');
                query.push_str(own);
            }
        }
        for (name, values) in &mapped.mapped.query {
            for value in values {
                query.push_str(&format!("&{}={}", strict(name), strict(value)));
            }
        }
        let asked = self
            .uri
            .fill(
                |name| mapped.mapped.path_value(name),
                None,
                query.trim_start_matches('&'),
            )
            .map_err(|error| IntegrationError::Configuration(error.to_string()))?
            .target;
        let mut headers = self.own_headers(exchange, target.as_deref(), protocol, &mapped.payload);
        mapped.mapped.put_headers(&mut headers, Backend::Service)?;
        // The signature's.
        headers.remove(AUTHORIZATION);
        headers.remove("x-amz-date");
        headers.remove("x-amz-security-token");
        let method = method_towards(self.method.as_ref(), &exchange.request.method);
        let wants_length = [Method::POST, Method::PUT, Method::PATCH].contains(&method);
        if wants_length && mapped.payload.is_empty() {
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        let shown = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_bytes()));
        let sent = exchange
            .log
            .sending(&self.shown(&asked), shown, Some(&mapped.payload));
        let call = AwsCall {
            service: &self.service,
            subdomain: self.address.subdomain.as_deref(),
            region: Some(&self.address.region),
            method,
            path: asked.path(),
            query: asked.query().unwrap_or_default(),
            headers,
            body: mapped.payload,
            role: self.role.as_deref(),
            timeout: self.timeout,
        };
        exchange.watch.sending();
        let answer = self.client.send(call).await?;
        exchange.watch.received(Some(answer.status().as_u16()));
        exchange.log.received(
            sent,
            answer.status().as_u16(),
            answer.headers(),
            Some(answer.body()),
        );
        let (parts, body) = answer.into_parts();
        let answer = BackendAnswer {
            selector: parts.status.as_u16().to_string(),
            headers: parts.headers,
            body,
        };
        let response = self
            .response
            .map(exchange, answer, mapped.overrides, Backend::Service)?;
        Ok(Answer {
            response,
            with_trace_id: true,
            streams: false,
        })
    }

    fn own_headers(
        &self,
        exchange: &Exchange<'_>,
        target: Option<&str>,
        protocol: Protocol,
        payload: &Bytes,
    ) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let mut set = |name: HeaderName, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        };
        if let Some(target) = target {
            set(HeaderName::from_static("x-amz-target"), target);
        }
        match (protocol, target) {
            (Protocol::Json { content_type, .. }, Some(_)) => set(CONTENT_TYPE, content_type),
            (Protocol::Query { .. }, None) if matches!(self.address.call, Call::Action { .. }) => {
                set(CONTENT_TYPE, "application/x-www-form-urlencoded");
            }
            _ if !payload.is_empty() => {
                let sent = exchange.headers().last("content-type");
                set(CONTENT_TYPE, sent.as_deref().unwrap_or("application/json"));
            }
            _ => {}
        }
        set(ACCEPT, "application/json");
        set(
            USER_AGENT,
            &format!("AmazonAPIGateway_{}", exchange.api.api_id),
        );
        set(
            HeaderName::from_static("x-amzn-apigateway-api-id"),
            &exchange.api.api_id,
        );
        set(
            HeaderName::from_static("x-amzn-trace-id"),
            &exchange.trace_id,
        );
        traceparent::put_into(&mut headers, exchange);
        headers
    }

    /// The address as the execution log shows it: AWS's own.
    fn shown(&self, target: &PathAndQuery) -> String {
        let subdomain = match &self.address.subdomain {
            Some(subdomain) => format!("{subdomain}."),
            None => String::new(),
        };
        format!(
            "https://{subdomain}{}.{}.amazonaws.com{target}",
            self.service.endpoint_prefix, self.address.region
        )
    }
}
