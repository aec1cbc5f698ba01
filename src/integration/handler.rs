//! `uri: local:NAME`: a handler inside the program answers, built in or
//! registered by the program that embeds the gateway.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Uri};

use super::{Answer, IntegrationError};
use crate::base::Body;
use crate::event::{Exchange, caller, traceparent};
use crate::function::handler::{Handler, HandlerContext};

/// A compiled integration with a local handler.
#[derive(Clone)]
pub struct HandlerIntegration {
    /// Its name, for logs.
    pub name: String,
    /// The handler.
    pub handler: Arc<dyn Handler>,
    /// How long its answer is waited for.
    pub timeout: Duration,
}

impl std::fmt::Debug for HandlerIntegration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HandlerIntegration")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl HandlerIntegration {
    /// Calls the handler with the request as it came.
    ///
    /// # Errors
    ///
    /// A timeout, or a panic of the handler.
    pub async fn call(
        &self,
        exchange: &Exchange<'_>,
        body: Bytes,
    ) -> Result<Answer, IntegrationError> {
        let request = request_for(exchange, body)?;
        let handler = Arc::clone(&self.handler);
        // A task of its own, so that a panic in the handler is this request's error.
        exchange.watch.sending();
        let running = tokio::spawn(async move { handler.call(request).await });
        match tokio::time::timeout(self.timeout, running).await {
            Err(_) => Err(IntegrationError::Timeout(self.timeout)),
            Ok(Err(_)) => Err(IntegrationError::FunctionFailed {
                name: self.name.clone(),
                detail: "the handler panicked".to_owned(),
            }),
            Ok(Ok(response)) => Ok(Answer {
                // A body of unknown length may never end: events, for example.
                streams: http_body::Body::size_hint(response.body())
                    .exact()
                    .is_none(),
                response: framed_anew(response),
                with_trace_id: false,
            }),
        }
    }
}

/// The request as a handler sees it: path and query as sent, with a [`HandlerContext`].
fn request_for(exchange: &Exchange<'_>, body: Bytes) -> Result<Request<Bytes>, IntegrationError> {
    let target = match &exchange.request.query {
        Some(query) => format!("{}?{query}", exchange.path),
        None => exchange.path.clone(),
    };
    let uri: Uri = target
        .parse()
        .map_err(|_| IntegrationError::Configuration(format!("`{target}` is no request target")))?;
    let mut request = Request::new(body);
    *request.method_mut() = exchange.request.method.clone();
    *request.uri_mut() = uri;
    for (name, value) in exchange.headers().iter() {
        if let (Ok(name), Ok(value)) = (
            http::HeaderName::from_bytes(name.as_bytes()),
            http::HeaderValue::from_bytes(value),
        ) {
            request.headers_mut().append(name, value);
        }
    }
    traceparent::put_into(request.headers_mut(), exchange);
    request.extensions_mut().insert(HandlerContext {
        authorizer: caller::authorizer_json(exchange),
        request_id: exchange.request_id.clone(),
        source_ip: exchange.source_ip(),
        stage: exchange.api.stage.clone(),
        stage_variables: exchange.api.stage_variables.clone(),
        resource_path: exchange
            .route
            .map(|route| route.resource_path.clone())
            .unwrap_or_default(),
        path_parameters: exchange
            .path_parameters
            .iter()
            .map(|parameter| (parameter.name.to_owned(), parameter.raw.clone()))
            .collect(),
    });
    Ok(request)
}

/// The connection frames the answer, whatever the handler said of its length.
fn framed_anew(mut response: Response<Body>) -> Response<Body> {
    for name in [
        http::header::CONTENT_LENGTH,
        http::header::TRANSFER_ENCODING,
        http::header::CONNECTION,
    ] {
        response.headers_mut().remove(name);
    }
    response
}
