//! `http`: an HTTP backend that gets what the mappings make of the request.
//!
//! The backend is called as the gateway: only mapped headers and query
//! parameters go there, beside the gateway's own headers (recorded at AWS).

use bytes::Bytes;
use http::Method;
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};

use super::bounded_body::{PAYLOAD_LIMIT, read_whole};
use super::client::Kept;
use super::header_rules::Backend;
use super::http_proxy::rest::append_query;
use super::http_proxy::{Connection, method_towards};
use super::request_side::RequestSide;
use super::response_side::{BackendAnswer, ResponseSide};
use super::uri::UriTemplate;
use super::{Answer, IntegrationError, RequestBody};
use crate::base::HeaderLines;
use crate::event::{Exchange, traceparent};

/// A compiled `http` integration.
#[derive(Debug)]
pub struct HttpCustom {
    /// How the backend is reached.
    pub connection: Connection,
    /// Its address.
    pub uri: UriTemplate,
    /// `None` repeats the client's method.
    pub method: Option<Method>,
    /// Request mappings.
    pub request: RequestSide,
    /// Response mappings.
    pub response: ResponseSide,
}

impl HttpCustom {
    /// Calls the backend.
    ///
    /// # Errors
    ///
    /// A mapping that fails, or a backend that does not answer in time.
    pub async fn call(
        &self,
        exchange: &Exchange<'_>,
        body: Bytes,
    ) -> Result<Answer, IntegrationError> {
        let request = self.request.map(exchange, &body)?;
        let mut query = String::new();
        append_query(&mut query, &request.mapped.query);
        let uri = self
            .uri
            .fill(|name| request.mapped.path_value(name), None, &query)
            .map_err(|error| IntegrationError::Configuration(error.to_string()))?;
        let mut headers = HeaderLines::with_capacity(8, 512);
        if !request.payload.is_empty() {
            let content_type = exchange.headers().last("content-type");
            let content_type = content_type.as_deref().unwrap_or("application/json");
            headers.push(CONTENT_TYPE.as_str(), content_type.as_bytes());
        }
        headers.push(ACCEPT.as_str(), b"application/json");
        let agent = format!("AmazonAPIGateway_{}", exchange.api.api_id);
        headers.push(USER_AGENT.as_str(), agent.as_bytes());
        headers.push("x-amzn-apigateway-api-id", exchange.api.api_id.as_bytes());
        headers.push("x-amzn-trace-id", exchange.trace_id.as_bytes());
        traceparent::put_into(&mut headers, exchange);
        request.mapped.put_headers(&mut headers, Backend::Http)?;
        let method = method_towards(self.method.as_ref(), &exchange.request.method);
        let logged = exchange
            .log
            .sending(&uri, headers.iter(), Some(&request.payload));
        exchange.watch.sending();
        let body = RequestBody::Whole(request.payload);
        let answer = self
            .connection
            .send(method, uri, headers, body, Kept::All)
            .await?;
        let (parts, answered) = answer.into_parts();
        let body = read_whole(answered, PAYLOAD_LIMIT)
            .await
            .map_err(|error| self.broken(&error))?;
        exchange.watch.received(Some(parts.status.as_u16()));
        exchange
            .log
            .received(logged, parts.status.as_u16(), &parts.headers, Some(&body));
        let answer = BackendAnswer {
            selector: parts.status.as_u16().to_string(),
            headers: parts.headers,
            body,
        };
        let response = self
            .response
            .map(exchange, answer, request.overrides, Backend::Http)?;
        Ok(Answer {
            response,
            with_trace_id: true,
            streams: false,
        })
    }

    /// An answer that began and did not end.
    fn broken(&self, error: &crate::base::body::BodyError) -> IntegrationError {
        use super::bounded_body::BoundError;

        match error.downcast_ref::<BoundError>() {
            Some(BoundError::TooLarge(limit)) => IntegrationError::AnswerTooLarge(*limit as u64),
            Some(BoundError::TooSlow) => IntegrationError::Timeout(self.connection.timeout),
            None => IntegrationError::BrokenAnswer(error.to_string()),
        }
    }
}
