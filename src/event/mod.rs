//! What a function sees and answers, to and from HTTP.

pub mod authorizer;
pub mod caller;
pub mod context_variables;
pub mod exchange;
pub mod execution_log;
pub mod headers;
pub mod http;
pub mod json;
pub mod media_type;
pub mod query;
pub mod request;
pub mod rest;
pub mod template_inputs;
pub mod traceparent;
pub mod websocket;

pub use caller::Caller;
pub use exchange::{
    ApiFacts, ApiKeyFacts, AuthorizerFacts, CanaryFacts, Exchange, PathParameter, RouteFacts,
};
pub use headers::HeaderList;
pub use request::{Malformed, ReceivedRequest, Scheme};
