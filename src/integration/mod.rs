//! The backends behind a route: Lambda, HTTP, mock, handlers of this program.
//!
//! An integration is compiled when the plan is built and called with one
//! request. It knows nothing of authorization or limits: whoever calls it has
//! decided that the request may pass.

pub mod aws_client;
pub mod bounded_body;
pub mod client;
pub mod content_handling;
pub mod handler;
pub mod header_rules;
pub mod http_custom;
pub mod http_mapping;
pub mod http_proxy;
pub mod lambda_custom;
pub mod lambda_proxy;
pub mod lambda_stream;
pub mod mapping;
pub mod mock;
pub mod request_side;
pub mod response_side;
pub mod service_action;
pub mod service_custom;
pub mod templates;
pub mod uri;

use std::time::Duration;

use bytes::Bytes;
use http::Response;

use crate::base::Body;
use crate::base::body::BodyFault;
use crate::event::Exchange;
use crate::function::InvokeError;

/// A compiled backend.
#[derive(Debug)]
#[non_exhaustive]
pub enum Integration {
    /// `aws_proxy`: a Lambda function with the whole request as event.
    LambdaProxy(lambda_proxy::LambdaProxy),
    /// `http_proxy` of a REST API.
    RestHttpProxy(http_proxy::rest::HttpProxy),
    /// `http_proxy` of an HTTP API.
    HttpApiProxy(http_proxy::http::HttpProxy),
    /// `http`: an HTTP backend with mappings.
    HttpCustom(http_custom::HttpCustom),
    /// `aws` for Lambda: a function with mappings.
    LambdaCustom(lambda_custom::LambdaCustom),
    /// `aws` for any other service.
    ServiceCustom(Box<service_custom::ServiceCustom>),
    /// `aws_proxy` with `integrationSubtype`: a service action of an HTTP API.
    ServiceAction(Box<service_action::ServiceAction>),
    /// `mock`.
    Mock(mock::Mock),
    /// `uri: local:NAME`: a handler of this program.
    Handler(handler::HandlerIntegration),
    /// A backend that cannot work as configured; each request gets AWS's 500.
    Misconfigured {
        /// Why, for the log.
        reason: String,
    },
}

/// A request's body on its way to the backend.
#[derive(Debug)]
pub enum RequestBody {
    /// All of it.
    Whole(Bytes),
    /// As it comes; bounded in bytes.
    Streaming(Body),
}

/// What a backend gave.
#[derive(Debug)]
pub struct Answer {
    /// Status, headers and body, renamed and filtered as AWS does.
    pub response: Response<Body>,
    /// The client gets `X-Amzn-Trace-Id` (REST: Lambda and `http`, not proxies to HTTP or mock; recorded).
    pub with_trace_id: bool,
    /// The body goes out as it comes: it is neither cached nor compressed.
    pub streams: bool,
}

/// Why a backend gave nothing to send. Says whose fault it is: the gateway
/// turns it into AWS's answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IntegrationError {
    /// No answer within the integration timeout. The request may have run.
    #[error("the integration gave no answer within {0:?}")]
    Timeout(Duration),
    /// The backend cannot be reached or broke off.
    #[error("the integration's backend failed")]
    Network(#[source] client::ClientError),
    /// The configuration does not work for this request.
    #[error("the integration is misconfigured: {0}")]
    Configuration(String),
    /// The function ran and failed.
    #[error("function {name} failed: {detail}")]
    FunctionFailed {
        /// The function.
        name: String,
        /// Its error, as JSON.
        detail: String,
    },
    /// The function's answer has a form the gateway cannot use.
    #[error("function {name} gave a wrong answer: {detail}")]
    MalformedAnswer {
        /// The function.
        name: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The function could not be called.
    #[error(transparent)]
    Invoke(InvokeError),
    /// The passthrough behavior takes no payload of this type.
    #[error("no mapping template takes a payload of this content type")]
    UnsupportedMediaType,
    /// The request's body is over a limit.
    #[error("the request's body is too large")]
    PayloadTooLarge,
    /// The client's body stopped coming, or its chunks cannot be read.
    #[error("the request's body cannot be read")]
    Body(#[source] BodyFault),
    /// The client broke off while its body was read.
    #[error("the client broke off")]
    ClientGone,
    /// The backend broke off in the middle of its answer.
    #[error("the backend's answer broke off: {0}")]
    BrokenAnswer(String),
    /// The backend's answer is over 10 MB.
    #[error("the integration's answer of {0} bytes is over the limit")]
    AnswerTooLarge(u64),
}

impl Integration {
    /// Whether the integration can take a request's body as it comes.
    pub fn takes_streams(&self, exchange: &Exchange<'_>) -> bool {
        match self {
            Self::RestHttpProxy(proxy) => proxy.takes_streams(exchange),
            Self::HttpApiProxy(proxy) => !proxy.mapping.needs_body(),
            Self::LambdaProxy(_)
            | Self::HttpCustom(_)
            | Self::LambdaCustom(_)
            | Self::ServiceCustom(_)
            | Self::ServiceAction(_)
            | Self::Mock(_)
            | Self::Handler(_)
            | Self::Misconfigured { .. } => false,
        }
    }

    /// What logs and traces call it: `lambda orders`, `http backend.example:8080`, `mock`.
    pub fn label(&self) -> String {
        match self {
            Self::LambdaProxy(one) => format!("lambda {}", one.function.name()),
            Self::LambdaCustom(one) => format!("lambda {}", one.function.name()),
            Self::RestHttpProxy(one) => format!("http {}", one.uri.authority()),
            Self::HttpApiProxy(one) => format!("http {}", one.uri.authority()),
            Self::HttpCustom(one) => format!("http {}", one.uri.authority()),
            Self::ServiceCustom(one) => format!("aws {}", one.service.endpoint_prefix),
            Self::ServiceAction(one) => format!("aws {}", one.action.service().endpoint_prefix),
            Self::Mock(_) => "mock".to_owned(),
            Self::Handler(one) => format!("handler {}", one.name),
            Self::Misconfigured { .. } => "misconfigured".to_owned(),
        }
    }

    /// Calls the backend.
    ///
    /// # Errors
    ///
    /// See [`IntegrationError`].
    pub async fn call(
        &self,
        exchange: &Exchange<'_>,
        body: RequestBody,
    ) -> Result<Answer, IntegrationError> {
        exchange.watch.integrating();
        let answer = self.call_backend(exchange, body).await;
        exchange.watch.integrated();
        answer
    }

    async fn call_backend(
        &self,
        exchange: &Exchange<'_>,
        body: RequestBody,
    ) -> Result<Answer, IntegrationError> {
        // A future has room for its largest branch and is copied on its way into
        // a task: all but the plain proxies stand in a box of their own.
        match self {
            Self::LambdaProxy(integration) => {
                Box::pin(async { integration.call(exchange, whole(body).await?).await }).await
            }
            Self::RestHttpProxy(integration) => integration.call(exchange, body).await,
            Self::HttpApiProxy(integration) => integration.call(exchange, body).await,
            Self::HttpCustom(integration) => {
                Box::pin(async { integration.call(exchange, whole(body).await?).await }).await
            }
            Self::LambdaCustom(integration) => {
                Box::pin(async { integration.call(exchange, whole(body).await?).await }).await
            }
            Self::ServiceCustom(integration) => {
                Box::pin(async { integration.call(exchange, whole(body).await?).await }).await
            }
            Self::ServiceAction(integration) => {
                Box::pin(async { integration.call(exchange, whole(body).await?).await }).await
            }
            Self::Mock(integration) => match body {
                RequestBody::Whole(bytes) => integration.call(exchange, &bytes),
                streaming @ RequestBody::Streaming(_) => {
                    integration.call(exchange, &Box::pin(whole(streaming)).await?)
                }
            },
            Self::Handler(integration) => {
                Box::pin(async { integration.call(exchange, whole(body).await?).await }).await
            }
            Self::Misconfigured { reason } => Err(IntegrationError::Configuration(reason.clone())),
        }
    }
}

/// All of a request's body.
async fn whole(body: RequestBody) -> Result<Bytes, IntegrationError> {
    match body {
        RequestBody::Whole(bytes) => Ok(bytes),
        RequestBody::Streaming(body) => bounded_body::read_whole(body, bounded_body::PAYLOAD_LIMIT)
            .await
            .map_err(body_error),
    }
}

/// What went wrong while a request's body was read.
pub fn body_error(error: crate::base::body::BodyError) -> IntegrationError {
    match error.downcast_ref::<bounded_body::BoundError>() {
        Some(bounded_body::BoundError::TooLarge(_)) => IntegrationError::PayloadTooLarge,
        _ => BodyFault::of(&error).map_or(IntegrationError::ClientGone, IntegrationError::Body),
    }
}
