//! "Call this function with these bytes": a local process, the real Lambda, an
//! Invoke endpoint or a handler inside the program.
//!
//! Who calls knows nothing of where the function runs; timeouts of the
//! *integration* are the caller's business, the *function's own* timeout is
//! kept here.

pub mod aws;
pub mod aws_config;
pub mod destinations;
pub mod endpoint;
mod event_stream;
pub mod handler;
pub mod local;
mod registry;
mod renewable;
pub mod signature;
pub mod streaming;

use bytes::Bytes;

use crate::observe::watch::FunctionTime;

pub use registry::{Function, FunctionRef, Functions, FunctionsOptions};
pub use streaming::{Opened, Streamed};

/// How a function is called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InvocationType {
    /// Wait for the result.
    #[default]
    RequestResponse,
    /// Take the event and answer at once.
    Event,
    /// Only check that the function could be called.
    DryRun,
}

/// One call.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// The event, JSON.
    pub payload: Bytes,
    /// Whether the result is waited for.
    pub invocation_type: InvocationType,
    /// Alias or version.
    pub qualifier: Option<String>,
    /// The `X-Amzn-Trace-Id` that goes on to the function.
    pub trace_id: Option<String>,
    /// Base64 JSON for the function's `context.client_context`, as Lambda's Invoke API takes it.
    pub client_context: Option<String>,
}

/// What a call gave.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// 200; 202 for [`InvocationType::Event`], 204 for [`InvocationType::DryRun`].
    pub status: u16,
    /// The result, or the error's JSON when `function_error` is set. Byte for byte what the function answered.
    pub payload: Bytes,
    /// `Unhandled` or `Handled`: the function failed.
    pub function_error: Option<String>,
    /// How long it ran, where the one who ran it says so.
    pub time: Option<FunctionTime>,
}

/// Why a function could not be called at all.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvokeError {
    /// No function of that name (`ResourceNotFoundException`).
    #[error("function {name} does not exist: {detail}")]
    NotFound {
        /// The function.
        name: String,
        /// What the service said.
        detail: String,
    },
    /// Lambda's concurrency is used up, or the function's own (`TooManyRequestsException`).
    #[error("function {name} is throttled: {detail}")]
    Throttled {
        /// The function.
        name: String,
        /// What the service said.
        detail: String,
    },
    /// The caller may not invoke it (`AccessDeniedException`).
    #[error("function {name} may not be invoked: {detail}")]
    AccessDenied {
        /// The function.
        name: String,
        /// What the service said.
        detail: String,
    },
    /// No AWS credentials were found.
    #[error("no AWS credentials to invoke {name}: {detail}")]
    NoCredentials {
        /// The function.
        name: String,
        /// What the chain of providers said.
        detail: String,
    },
    /// The payload is over what Lambda takes (6 MB; 1 MB for `Event`).
    #[error("the event is over what function {name} may get: {detail}")]
    RequestTooLarge {
        /// The function.
        name: String,
        /// The payload's size, or what the service said.
        detail: String,
    },
    /// The process could not be started: a missing interpreter, a missing file.
    #[error("function {name} cannot be started: {detail}")]
    CannotStart {
        /// The function.
        name: String,
        /// What was missing and what to do.
        detail: String,
    },
    /// The service could not be reached or answered nonsense.
    #[error("calling function {name} failed: {detail}")]
    Unreachable {
        /// The function.
        name: String,
        /// The chain of causes.
        detail: String,
    },
    /// Any other error that the service names.
    #[error("Lambda answered {status} {code} for function {name}: {detail}")]
    Service {
        /// The function.
        name: String,
        /// HTTP status of Lambda's answer.
        status: u16,
        /// The exception's name.
        code: String,
        /// What the service said.
        detail: String,
    },
}

/// The error that an exception of Lambda's Invoke API stands for.
///
/// Source: Lambda API reference, "Invoke", section "Errors".
fn service_error(name: &str, status: u16, code: &str, detail: String) -> InvokeError {
    let name = name.to_owned();
    match (code, status) {
        ("ResourceNotFoundException", _) | ("", 404) => InvokeError::NotFound { name, detail },
        ("TooManyRequestsException" | "EC2ThrottledException", _) | ("", 429) => {
            InvokeError::Throttled { name, detail }
        }
        (
            "AccessDeniedException"
            | "UnrecognizedClientException"
            | "ExpiredTokenException"
            | "InvalidSignatureException"
            | "MissingAuthenticationTokenException",
            _,
        )
        | ("", 401 | 403) => InvokeError::AccessDenied { name, detail },
        ("RequestTooLargeException", _) | ("", 413) => {
            InvokeError::RequestTooLarge { name, detail }
        }
        _ => InvokeError::Service {
            name,
            status,
            code: code.to_owned(),
            detail,
        },
    }
}

/// An error with its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        // Some errors print their cause themselves.
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}
