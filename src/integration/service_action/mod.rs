//! First-class service actions of HTTP APIs: `integrationSubtype`.
//!
//! The parameters are evaluated for each request, put into the service's own
//! protocol ([`actions`]), signed and sent; the client gets the service's
//! answer. AWS does not say which headers of it pass: here all but those of the
//! connection, of the service's server and of AWS itself.
//!
//! Source: API Gateway developer guide, "Create AWS service integrations for
//! HTTP APIs in API Gateway" and "Integration subtype reference".

pub mod actions;

use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http::header::HeaderMap;
use indexmap::IndexMap;

use self::actions::Action;
use super::aws_client::{AwsCall, AwsClient};
use super::header_rules::is_hop_header;
use super::http_mapping::{Inputs, ResponseMapping, Value};
use super::{Answer, IntegrationError};
use crate::base::Body;
use crate::event::Exchange;

/// A compiled service action.
#[derive(Debug)]
pub struct ServiceAction {
    /// Signs and sends.
    pub client: AwsClient,
    /// What is called.
    pub action: Action,
    /// The action's parameters by name.
    pub parameters: IndexMap<String, Value>,
    /// The parameter `Region`.
    pub region: Option<Value>,
    /// `credentials`: the role that is assumed.
    pub role: Option<String>,
    /// How long the service's answer is waited for.
    pub timeout: Duration,
    /// `responseParameters`.
    pub response_mapping: ResponseMapping,
}

impl ServiceAction {
    /// Calls the service. A parameter whose value is absent from the request is
    /// left out: the service says what it misses.
    ///
    /// # Errors
    ///
    /// See [`AwsClient::send`]; and a value that does not fit its parameter.
    pub async fn call(
        &self,
        exchange: &Exchange<'_>,
        body: Bytes,
    ) -> Result<Answer, IntegrationError> {
        let inputs = Inputs {
            exchange,
            answer_headers: None,
            body: Some(&body),
        };
        let parameters = self
            .parameters
            .iter()
            .filter_map(|(name, value)| Some((name.as_str(), value.text(inputs)?)))
            .collect();
        let message = self
            .action
            .message(&parameters)
            .map_err(IntegrationError::Configuration)?;
        let region = self.region.as_ref().and_then(|region| region.text(inputs));
        let service = self.action.service();
        exchange.watch.sending();
        let answer = self
            .client
            .send(AwsCall {
                service: &service,
                subdomain: None,
                region: region.as_deref(),
                method: message.method,
                path: &message.path,
                query: &message.query,
                headers: message.headers,
                body: message.body.into(),
                role: self.role.as_deref(),
                timeout: self.timeout,
            })
            .await?;
        exchange.watch.received(Some(answer.status().as_u16()));
        let (parts, body) = answer.into_parts();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = parts.status;
        *response.headers_mut() = passed_headers(parts.headers);
        Ok(Answer {
            response: self.response_mapping.apply(exchange, response).await?,
            with_trace_id: false,
            streams: false,
        })
    }
}

fn passed_headers(headers: HeaderMap) -> HeaderMap {
    let stays = |name: &str| {
        is_hop_header(name)
            || ["content-length", "date", "server", "via"].contains(&name)
            || name.starts_with("x-amz-")
            || name.starts_with("x-amzn-")
            || name.starts_with("access-control-")
    };
    let mut passed = HeaderMap::with_capacity(headers.len());
    for (name, value) in &headers {
        if !stays(name.as_str()) {
            passed.append(name.clone(), value.clone());
        }
    }
    passed
}
