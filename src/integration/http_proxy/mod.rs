//! `http_proxy`: an HTTP backend gets the request and its answer goes back.
//!
//! What REST and HTTP APIs share stands here: sending with the integration
//! timeout, and passing the body on as it comes.

pub mod http;
pub mod rest;

use std::time::Duration;

use ::http::header::{CONTENT_LENGTH, HeaderMap, HeaderValue};
use ::http::{Method, Request, Response, Uri};
use hyper::body::Incoming;
use tokio::time::Instant;

use super::bounded_body::{BoundedBody, PAYLOAD_LIMIT};
use super::client::{ClientError, HttpClient};
use super::lambda_stream::Timed;
use super::{IntegrationError, RequestBody};
use crate::base::Body;
use crate::base::body::BodyFault;

/// How a backend is reached.
#[derive(Clone, Debug)]
pub struct Connection {
    /// The pools.
    pub client: HttpClient,
    /// From sending to the last byte of the answer; to its head with `stream`.
    pub timeout: Duration,
    /// `tlsConfig.insecureSkipVerification`.
    pub insecure: bool,
    /// `responseTransferMode: STREAM`: no bound on the answer's bytes.
    pub stream: bool,
}

impl Connection {
    /// Sends a request and waits for the answer's head.
    ///
    /// # Errors
    ///
    /// A timeout, a backend that cannot be reached, a request body over its
    /// bound, or an answer that announces more than 10 MB.
    pub async fn send(
        &self,
        method: Method,
        uri: Uri,
        headers: HeaderMap,
        body: RequestBody,
    ) -> Result<Response<Body>, IntegrationError> {
        let body = match body {
            RequestBody::Whole(bytes) => Body::from(bytes),
            RequestBody::Streaming(body) => body,
        };
        let mut request = Request::new(body);
        *request.headers_mut() = headers;
        let wants_length = [Method::POST, Method::PUT, Method::PATCH].contains(&method);
        if wants_length && matches!(request.body(), Body::Empty) {
            // hyper leaves an empty body's length out; AWS sends it (recorded).
            request
                .headers_mut()
                .insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        let deadline = Instant::now() + self.timeout;
        let answer =
            match tokio::time::timeout_at(deadline, self.client.send(request, self.insecure)).await
            {
                Err(_) => return Err(IntegrationError::Timeout(self.timeout)),
                Ok(Err(error)) => return Err(own_fault(error)),
                Ok(Ok(answer)) => answer,
            };
        let (parts, incoming) = answer.into_parts();
        let body = self.answer_body(incoming, deadline)?;
        Ok(Response::from_parts(parts, body))
    }

    fn answer_body(&self, incoming: Incoming, deadline: Instant) -> Result<Body, IntegrationError> {
        let hint = hyper::body::Body::size_hint(&incoming);
        if hyper::body::Body::is_end_stream(&incoming) {
            return Ok(Body::Empty);
        }
        if self.stream {
            return Ok(Body::stream(Timed::new(Body::Incoming(incoming))));
        }
        if hint.lower() > PAYLOAD_LIMIT as u64 {
            return Err(IntegrationError::AnswerTooLarge(hint.lower()));
        }
        Ok(Body::stream(BoundedBody::new(
            Body::Incoming(incoming),
            PAYLOAD_LIMIT,
            Some(deadline),
        )))
    }
}

/// A request that failed because the client's body did is the client's fault.
fn own_fault(error: ClientError) -> IntegrationError {
    use std::error::Error;

    let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
    while let Some(error) = cause {
        if error.is::<super::bounded_body::BoundError>() {
            return IntegrationError::PayloadTooLarge;
        }
        if let Some(fault) = error.downcast_ref::<BodyFault>() {
            return IntegrationError::Body(*fault);
        }
        // `io::Error` gives its content's source, not its content.
        if let Some(fault) = error
            .downcast_ref::<std::io::Error>()
            .and_then(|error| error.get_ref()?.downcast_ref::<BodyFault>())
        {
            return IntegrationError::Body(*fault);
        }
        cause = error.source();
    }
    IntegrationError::Network(error)
}

/// The method towards the backend: the integration's, or the client's for `ANY`.
pub(super) fn method_towards(configured: Option<&Method>, client: &Method) -> Method {
    configured.unwrap_or(client).clone()
}
