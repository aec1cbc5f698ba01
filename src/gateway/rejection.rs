//! Why the gateway answered a request itself, and what AWS sends then.

use std::borrow::Cow;

use http::StatusCode;

use crate::base::body::BodyFault;
use crate::event::Malformed;
use crate::function::InvokeError;
use crate::integration::IntegrationError;
use crate::model::ApiKind;

/// Why the gateway answered a request itself.
///
/// `Display` is the log line; the caller sees the API's gateway response.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// The request cannot be read.
    #[error("malformed request: {0}")]
    Malformed(Malformed),
    /// No API or stage answers there.
    #[error("no API is served at host `{host}`")]
    UnknownApi {
        /// The host asked for.
        host: String,
    },
    /// The API's default endpoint is closed.
    #[error("the API's execute-api endpoint is disabled")]
    EndpointDisabled,
    /// No method matched. AWS hides which part was missing.
    #[error("no route for {method} {path}")]
    MissingRoute {
        /// The request's method.
        method: http::Method,
        /// The request's path.
        path: String,
    },
    /// The route's protection could not be built, so nobody may pass.
    #[error("the route is closed: {0}")]
    Closed(String),
    /// Required parameters are missing or blank.
    #[error("required parameters are missing: {}", .0.join(", "))]
    MissingParameters(Vec<String>),
    /// The body does not fit its model.
    #[error("the body does not fit its model: {0}")]
    InvalidBody(String),
    /// The body went through a coding that is unknown, or cannot be undone.
    #[error("the request's content coding cannot be undone: {0}")]
    ContentCoding(String),
    /// The client asked for a fresh response and may not ("FAIL_WITH_403").
    #[error("the client may not invalidate the response cache")]
    CacheInvalidation,
    /// The backend gave nothing to send.
    #[error(transparent)]
    Integration(#[from] IntegrationError),
    /// A fault of the gateway itself.
    #[error("internal fault: {0}")]
    Internal(String),
}

/// What AWS sends by default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefaultAnswer {
    /// The gateway response type, under which a REST API overrides the answer.
    pub response_type: &'static str,
    /// Status.
    pub status: StatusCode,
    /// `x-amzn-ErrorType` of a REST API.
    pub error_type: &'static str,
    /// `message`; `None` is a JSON null.
    pub message: Option<Cow<'static, str>>,
    /// The recorded default bodies differ in a space after the colon.
    pub spaced: bool,
    /// `$context.error.validationErrorString`.
    pub validation_error: Option<String>,
}

fn answer(
    response_type: &'static str,
    status: StatusCode,
    error_type: &'static str,
    message: &'static str,
    spaced: bool,
) -> DefaultAnswer {
    DefaultAnswer {
        response_type,
        status,
        error_type,
        message: Some(Cow::Borrowed(message)),
        spaced,
        validation_error: None,
    }
}

fn bad_request(response_type: &'static str, message: &'static str) -> DefaultAnswer {
    answer(
        response_type,
        StatusCode::BAD_REQUEST,
        "BadRequestException",
        message,
        true,
    )
}

fn unsupported_media_type() -> DefaultAnswer {
    answer(
        "UNSUPPORTED_MEDIA_TYPE",
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "BadRequestException",
        "Unsupported Media Type",
        true,
    )
}

impl Rejection {
    /// What a REST API sends.
    ///
    /// Source: API Gateway developer guide, "Gateway response types for API
    /// Gateway"; messages and error types as recorded.
    pub fn rest_answer(&self) -> DefaultAnswer {
        const INTERNAL: &str = "InternalServerErrorException";
        let internal = |response_type, status| {
            answer(
                response_type,
                status,
                INTERNAL,
                "Internal server error",
                true,
            )
        };
        match self {
            Self::Malformed(malformed) => DefaultAnswer {
                response_type: "DEFAULT_4XX",
                status: malformed.status(),
                error_type: "BadRequestException",
                message: malformed.status().canonical_reason().map(Cow::Borrowed),
                spaced: false,
                validation_error: None,
            },
            Self::UnknownApi { .. } | Self::EndpointDisabled => answer(
                "DEFAULT_4XX",
                StatusCode::FORBIDDEN,
                "ForbiddenException",
                "Forbidden",
                false,
            ),
            Self::MissingRoute { .. } => answer(
                "MISSING_AUTHENTICATION_TOKEN",
                StatusCode::FORBIDDEN,
                "MissingAuthenticationTokenException",
                "Missing Authentication Token",
                false,
            ),
            Self::Closed(_) | Self::Internal(_) => {
                internal("DEFAULT_5XX", StatusCode::INTERNAL_SERVER_ERROR)
            }
            Self::MissingParameters(names) => {
                let message = format!(
                    "Missing required request parameters: [{}]",
                    names.join(", ")
                );
                DefaultAnswer {
                    message: Some(Cow::Owned(message.clone())),
                    validation_error: Some(message),
                    ..bad_request("BAD_REQUEST_PARAMETERS", "")
                }
            }
            Self::InvalidBody(detail) => DefaultAnswer {
                validation_error: Some(detail.clone()),
                ..bad_request("BAD_REQUEST_BODY", "Invalid request body")
            },
            Self::ContentCoding(_) => unsupported_media_type(),
            Self::CacheInvalidation => answer(
                "ACCESS_DENIED",
                StatusCode::FORBIDDEN,
                "AccessDeniedException",
                "User is not authorized to access this resource",
                false,
            ),
            Self::Integration(error) => match error {
                IntegrationError::Timeout(_) => answer(
                    "INTEGRATION_TIMEOUT",
                    StatusCode::GATEWAY_TIMEOUT,
                    INTERNAL,
                    "Endpoint request timed out",
                    true,
                ),
                IntegrationError::Network(_) | IntegrationError::BrokenAnswer(_) => answer(
                    "INTEGRATION_FAILURE",
                    StatusCode::GATEWAY_TIMEOUT,
                    INTERNAL,
                    "Network error communicating with endpoint",
                    true,
                ),
                IntegrationError::Configuration(_) | IntegrationError::AnswerTooLarge(_) => {
                    internal("API_CONFIGURATION_ERROR", StatusCode::INTERNAL_SERVER_ERROR)
                }
                IntegrationError::FunctionFailed { .. }
                | IntegrationError::MalformedAnswer { .. } => {
                    internal("DEFAULT_5XX", StatusCode::BAD_GATEWAY)
                }
                IntegrationError::UnsupportedMediaType => unsupported_media_type(),
                IntegrationError::PayloadTooLarge
                | IntegrationError::Invoke(InvokeError::RequestTooLarge { .. }) => answer(
                    "REQUEST_TOO_LARGE",
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "RequestTooLargeException",
                    "Request Too Long",
                    false,
                ),
                IntegrationError::Invoke(_) => {
                    internal("DEFAULT_5XX", StatusCode::INTERNAL_SERVER_ERROR)
                }
                IntegrationError::Body(BodyFault::Stalled) => answer(
                    "DEFAULT_4XX",
                    StatusCode::REQUEST_TIMEOUT,
                    "RequestTimeoutException",
                    "Request Timeout",
                    false,
                ),
                IntegrationError::ClientGone | IntegrationError::Body(_) => answer(
                    "DEFAULT_4XX",
                    StatusCode::BAD_REQUEST,
                    "BadRequestException",
                    "Bad Request",
                    false,
                ),
            },
        }
    }

    /// Status and message that an HTTP API sends.
    ///
    /// Source: recorded at AWS; API Gateway developer guide, "Troubleshooting
    /// issues with HTTP API Lambda integrations".
    pub fn http_answer(&self) -> (StatusCode, &'static str) {
        const INTERNAL: (StatusCode, &str) =
            (StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error");
        const UNAVAILABLE: (StatusCode, &str) =
            (StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable");
        match self {
            Self::Malformed(malformed) => (
                malformed.status(),
                malformed
                    .status()
                    .canonical_reason()
                    .unwrap_or("Bad Request"),
            ),
            Self::UnknownApi { .. } | Self::EndpointDisabled | Self::CacheInvalidation => {
                (StatusCode::FORBIDDEN, "Forbidden")
            }
            Self::MissingRoute { .. } => (StatusCode::NOT_FOUND, "Not Found"),
            Self::Closed(_) | Self::Internal(_) => INTERNAL,
            Self::MissingParameters(_) | Self::InvalidBody(_) => {
                (StatusCode::BAD_REQUEST, "Bad Request")
            }
            Self::ContentCoding(_) => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "Unsupported Media Type")
            }
            Self::Integration(error) => match error {
                IntegrationError::Timeout(_)
                | IntegrationError::Network(_)
                | IntegrationError::BrokenAnswer(_)
                | IntegrationError::Invoke(InvokeError::Throttled { .. }) => UNAVAILABLE,
                IntegrationError::PayloadTooLarge
                | IntegrationError::Invoke(InvokeError::RequestTooLarge { .. }) => {
                    (StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large")
                }
                IntegrationError::Body(BodyFault::Stalled) => {
                    (StatusCode::REQUEST_TIMEOUT, "Request Timeout")
                }
                IntegrationError::ClientGone | IntegrationError::Body(_) => {
                    (StatusCode::BAD_REQUEST, "Bad Request")
                }
                IntegrationError::Configuration(_)
                | IntegrationError::UnsupportedMediaType
                | IntegrationError::FunctionFailed { .. }
                | IntegrationError::MalformedAnswer { .. }
                | IntegrationError::AnswerTooLarge(_)
                | IntegrationError::Invoke(_) => INTERNAL,
            },
        }
    }

    /// Whether the integration was called before the gateway answered: the
    /// client gets the trace id then, as with any integration response.
    pub fn after_integration(&self) -> bool {
        matches!(
            self,
            Self::Integration(
                IntegrationError::FunctionFailed { .. } | IntegrationError::MalformedAnswer { .. }
            )
        )
    }

    /// The status that the client gets before an API overrides it.
    pub fn status(&self, kind: ApiKind) -> StatusCode {
        match kind {
            ApiKind::Rest => self.rest_answer().status,
            ApiKind::Http => self.http_answer().0,
        }
    }
}
