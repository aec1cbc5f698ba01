//! What the control plane answers, and its errors as AWS's SDKs read them.

use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde_json::{Value as Json, json};

use crate::base::id;

/// A call succeeded.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its body, where it has one.
    pub body: Option<Json>,
}

impl Answer {
    pub(super) fn ok(body: Json) -> Self {
        Self {
            status: StatusCode::OK,
            body: Some(body),
        }
    }

    pub(super) fn created(body: Json) -> Self {
        Self {
            status: StatusCode::CREATED,
            body: Some(body),
        }
    }

    /// A deletion.
    pub(super) fn accepted() -> Self {
        Self {
            status: StatusCode::ACCEPTED,
            body: None,
        }
    }

    pub(super) fn nothing() -> Self {
        Self {
            status: StatusCode::NO_CONTENT,
            body: None,
        }
    }

    pub(super) fn into_response(self) -> Response {
        let request_id = ("x-amzn-requestid", id::request_id());
        match self.body {
            Some(body) => {
                let kind = (header::CONTENT_TYPE.as_str(), "application/json".to_owned());
                (self.status, [request_id, kind], body.to_string()).into_response()
            }
            None => (self.status, [request_id]).into_response(),
        }
    }
}

/// A call was refused: one of AWS's exceptions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    status: StatusCode,
    kind: &'static str,
    message: String,
}

impl Refused {
    fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            kind,
            message: message.into(),
        }
    }

    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequestException", message)
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NotFoundException", message)
    }

    pub(super) fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "ConflictException", message)
    }

    pub(super) fn limit(message: impl Into<String>) -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "LimitExceededException",
            message,
        )
    }

    pub(super) fn missing(kind: &'static str, message: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, kind, message)
    }

    pub(super) fn unavailable() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "ServiceUnavailableException",
            "Service Unavailable",
        )
    }

    pub(super) fn into_response(self) -> Response {
        let headers = [
            ("x-amzn-requestid", id::request_id()),
            ("x-amzn-errortype", self.kind.to_owned()),
            ("content-type", "application/json".to_owned()),
        ];
        let body = json!({"message": self.message}).to_string();
        (self.status, headers, body).into_response()
    }
}
