//! Lambda's errors, as SDKs read them.

use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{StatusCode, header};
use serde_json::{Value as Json, json};

use crate::base::{FunctionArn, id};
use crate::function::InvokeError;

/// A call was refused: one of Lambda's exceptions.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Refused {
    status: StatusCode,
    kind: String,
    body: Json,
    retry_after: bool,
}

impl Refused {
    fn new(status: StatusCode, kind: &str, body: Json) -> Self {
        Self {
            status,
            kind: kind.to_owned(),
            body,
            retry_after: false,
        }
    }

    /// `Function not found: ARN`.
    pub(super) fn no_function(arn: &FunctionArn, region: &str, account: &str) -> Self {
        let mut name = arn.unqualified(region, account);
        if let Some(qualifier) = &arn.qualifier {
            name = format!("{name}:{qualifier}");
        }
        let body = json!({"Type": "User", "Message": format!("Function not found: {name}")});
        Self::new(StatusCode::NOT_FOUND, "ResourceNotFoundException", body)
    }

    /// A name that is none.
    pub(super) fn invalid_name(text: &str) -> Self {
        Self::validation(&format!(
            "Value '{text}' at 'functionName' failed to satisfy constraint: Member must satisfy regular expression pattern: (arn:(aws[a-zA-Z-]*)?:lambda:)?([a-z]{{2}}(-gov)?-[a-z]+-\\d{{1}}:)?(\\d{{12}}:)?(function:)?([a-zA-Z0-9-_]+)(:(\\$LATEST|[a-zA-Z0-9-_]+))?"
        ))
    }

    /// A qualifier that is none.
    pub(super) fn invalid_qualifier(text: &str) -> Self {
        Self::validation(&format!(
            "Value '{text}' at 'qualifier' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9$_-]+"
        ))
    }

    /// A value outside of the service's model.
    pub(super) fn validation(detail: &str) -> Self {
        let body = json!({"message": format!("1 validation error detected: {detail}")});
        Self::new(StatusCode::BAD_REQUEST, "ValidationException", body)
    }

    pub(super) fn parameter(message: &str) -> Self {
        let body = json!({"Type": "User", "message": message});
        let kind = "InvalidParameterValueException";
        Self::new(StatusCode::BAD_REQUEST, kind, body)
    }

    /// The event is no JSON.
    pub(super) fn content(detail: &str) -> Self {
        let message = format!("Could not parse request body into json: {detail}");
        let body = json!({"Type": "User", "message": message});
        let kind = "InvalidRequestContentException";
        Self::new(StatusCode::BAD_REQUEST, kind, body)
    }

    pub(super) fn too_large(limit: usize) -> Self {
        let message =
            format!("Request must be smaller than {limit} bytes for the InvokeFunction operation");
        let body = json!({"Type": "User", "message": message});
        let kind = "RequestTooLargeException";
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, kind, body)
    }

    pub(super) fn unknown_operation(parts: &Parts) -> Self {
        let message = format!(
            "{} {} is no operation of this gateway's Lambda API: it has Invoke, InvokeWithResponseStream, ListFunctions, GetFunction and GetFunctionConfiguration",
            parts.method,
            parts.uri.path()
        );
        let body = json!({"Type": "User", "Message": message});
        Self::new(StatusCode::NOT_FOUND, "UnknownOperationException", body)
    }

    /// A function that could not be called; `limited` is one with reserved concurrency.
    pub(super) fn of(error: InvokeError, arn: &str, limited: bool) -> Self {
        let user = |message: String| json!({"Type": "User", "Message": message});
        match error {
            InvokeError::NotFound { .. } => {
                let body = user(format!("Function not found: {arn}"));
                Self::new(StatusCode::NOT_FOUND, "ResourceNotFoundException", body)
            }
            InvokeError::Throttled { .. } => {
                let reason = if limited {
                    "ReservedFunctionConcurrentInvocationLimitExceeded"
                } else {
                    "ConcurrentInvocationLimitExceeded"
                };
                let body = json!({"Reason": reason, "Type": "User", "message": "Rate Exceeded."});
                let kind = "TooManyRequestsException";
                let mut refused = Self::new(StatusCode::TOO_MANY_REQUESTS, kind, body);
                refused.retry_after = true;
                refused
            }
            InvokeError::AccessDenied { detail, .. } => {
                Self::new(StatusCode::FORBIDDEN, "AccessDeniedException", user(detail))
            }
            InvokeError::RequestTooLarge { detail, .. } => {
                let kind = "RequestTooLargeException";
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, kind, user(detail))
            }
            InvokeError::Service {
                status,
                code,
                detail,
                ..
            } => {
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
                Self::new(status, &code, user(detail))
            }
            other => {
                let body = json!({"Type": "Service", "Message": other.to_string()});
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "ServiceException", body)
            }
        }
    }

    pub(super) fn into_response(self) -> Response {
        let headers = [
            (header::CONTENT_TYPE.as_str(), "application/json".to_owned()),
            ("x-amzn-errortype", self.kind),
            ("x-amzn-requestid", id::request_id()),
        ];
        let mut response = (self.status, headers, self.body.to_string()).into_response();
        if self.retry_after {
            let second = http::HeaderValue::from_static("1");
            response.headers_mut().insert(header::RETRY_AFTER, second);
        }
        response
    }
}
