//! Execution logs: begun where a method's settings ask for one, ended with what
//! the client got.
//!
//! Source: API Gateway developer guide, "Set up CloudWatch logging for REST APIs
//! in API Gateway"; the lines as CloudWatch and the console show them.

use http::Response;
use tracing::{error, info};

use super::rejection::Rejection;
use crate::auth::lambda_authorizer::Answer;
use crate::base::{Body, Clock};
use crate::event::execution_log::{
    ExecutionLog, LogSettings, body_text, header_map, is_secret, masked, pairs,
};
use crate::event::{Exchange, media_type};
use crate::function::InvokeError;
use crate::integration::{IntegrationError, RequestBody};
use crate::plan::RoutePlan;

/// What the whole log of a test shows.
pub(super) const WHOLE: LogSettings = LogSettings {
    info: true,
    data: true,
    longest: 1024 * 1024,
};

/// Begins the log of a request whose route is found, before anybody is asked whether it may pass.
pub(super) fn begin(
    route: &RoutePlan,
    exchange: &mut Exchange<'_>,
    clock: &Clock,
    forced: Option<LogSettings>,
) {
    let Some(settings) = forced.or(route.logging) else {
        return;
    };
    exchange.log = ExecutionLog::begin(clock.clone(), settings);
    hide_secrets(route, exchange);
    if forced.is_none() {
        let log = &exchange.log;
        log.say(|| format!("Extended Request Id: {}", exchange.extended_request_id));
    }
}

/// Masks what tells who the caller is, wherever it is repeated: headers that always
/// hold a secret, whatever the route's authorizer looks at, a presigned request's query.
fn hide_secrets(route: &RoutePlan, exchange: &Exchange<'_>) {
    const SIGNED: [&str; 2] = ["X-Amz-Signature", "X-Amz-Security-Token"];
    let log = &exchange.log;
    let sources = match &route.protection {
        Ok(protection) => protection.authorizer.sources(),
        Err(_) => &[],
    };
    for (name, value) in exchange.headers().iter_text() {
        if is_secret(name) || sources.iter().any(|source| source.is_header(name)) {
            // A function or a template may repeat it without its scheme.
            let bare = value.split_once(' ').map(|(_, bare)| bare.to_owned());
            log.hide(|| value.into_owned());
            if let Some(bare) = bare {
                log.hide(|| bare);
            }
        }
    }
    let is_secret =
        |name: &str| SIGNED.contains(&name) || sources.iter().any(|source| source.is_query(name));
    for (_, value) in exchange.query().iter().filter(|(name, _)| is_secret(name)) {
        log.hide(|| value.to_owned());
    }
    // As it was sent: an integration's URI may repeat it so.
    for pair in exchange
        .request
        .query
        .iter()
        .flat_map(|query| query.split('&'))
    {
        if let Some((name, value)) = pair.split_once('=')
            && is_secret(name)
        {
            log.hide(|| value.to_owned());
        }
    }
}

/// That a function is asked whether the caller may pass.
pub(super) fn authorizer_starts(exchange: &Exchange<'_>, name: &str) {
    exchange.log.say(|| {
        format!(
            "Starting authorizer: {name} for request: {}",
            exchange.request_id
        )
    });
}

/// What the function said, now or before.
pub(super) fn authorizer_said(exchange: &Exchange<'_>, answer: &Answer) {
    let log = &exchange.log;
    if let Some(key) = &answer.usage_identifier_key {
        log.hide(|| key.clone());
    }
    log.data(|| {
        format!(
            "Authorizer result body before parsing: {}",
            body_text(Some(&answer.text))
        )
    });
    if let Some(principal) = &answer.caller.principal_id {
        log.say(|| format!("Using valid authorizer policy for principal: {principal}"));
    }
}

/// How an authorizer of any kind ended.
pub(super) fn authorizer_ends(exchange: &Exchange<'_>, asked: Result<(), &Rejection>) {
    let (log, id) = (&exchange.log, &exchange.request_id);
    match asked {
        Ok(()) => log.say(|| "Successfully completed authorizer execution".to_owned()),
        Err(Rejection::AuthorizerFailed(_)) => {}
        Err(_) => log.say(|| format!("Unauthorized request: {id}")),
    }
}

/// What the usage plan says of the request.
pub(super) fn usage_plan(
    route: &RoutePlan,
    exchange: &Exchange<'_>,
    admitted: Result<(), &Rejection>,
) {
    let log = &exchange.log;
    if !log.is_on() {
        return;
    }
    let key = exchange
        .api_key
        .as_ref()
        .map_or_else(String::new, |key| masked(&key.value));
    let stage = format!("{}/{}", exchange.api.api_id, exchange.api.stage);
    let method = format!(
        "{} {}",
        exchange.request.method,
        exchange.route.map_or("", |route| &route.resource_path)
    );
    log.say(|| {
        format!(
            "Verifying Usage Plan for request: {}. API Key: {key} API Stage: {stage}",
            exchange.request_id
        )
    });
    match admitted {
        Err(Rejection::InvalidApiKey) => log.fail(|| {
            format!(
                "API Key {key} not authorized because method '{method}' requires API Key and API Key is not \
                 associated with a Usage Plan for API Stage {stage}"
            )
        }),
        Err(refused) => log.fail(|| {
            format!("Usage Plan check failed for API Key {key} and API Stage {stage}: {refused}")
        }),
        Ok(()) => {
            if !route.tolls.api_key_required {
                log.say(|| {
                    format!(
                        "API Key {key} authorized because method '{method}' does not require API Key. Request will \
                         not contribute to throttle or quota limits"
                    )
                });
            }
            log.say(|| {
                format!("Usage Plan check succeeded for API Key {key} and API Stage {stage}")
            });
        }
    }
}

/// That the request may pass, and what it is.
pub(super) fn start(exchange: &Exchange<'_>) {
    let log = &exchange.log;
    log.say(|| format!("Starting execution for request: {}", exchange.request_id));
    log.say(|| {
        format!(
            "HTTP Method: {}, Resource Path: {}",
            exchange.request.method, exchange.path
        )
    });
    log.data(|| {
        let path = exchange
            .path_parameters
            .iter()
            .map(|one| (one.name, one.value.as_str()));
        format!("Method request path: {}", pairs(path))
    });
    log.data(|| {
        format!(
            "Method request query string: {}",
            pairs(exchange.query().iter())
        )
    });
    log.data(|| {
        format!(
            "Method request headers: {}",
            pairs(exchange.headers().iter_text())
        )
    });
}

/// The body, once it is read.
pub(super) fn body(exchange: &Exchange<'_>, body: &RequestBody) {
    exchange.log.data(|| {
        let shown = match body {
            RequestBody::Whole(bytes) => Some(&bytes[..]),
            RequestBody::Streaming(_) => None,
        };
        format!(
            "Method request body before transformations: {}",
            body_text(shown)
        )
    });
}

/// That the body fits its model.
pub(super) fn valid(exchange: &Exchange<'_>) {
    exchange.log.say(|| {
        format!(
            "Request validation succeeded for content type {}",
            content_type(exchange)
        )
    });
}

fn content_type(exchange: &Exchange<'_>) -> String {
    exchange
        .headers()
        .last("content-type")
        .map(|value| media_type::essence(&value).to_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "application/json".to_owned())
}

/// Why the gateway answers itself.
pub(super) fn refused(exchange: &Exchange<'_>, rejection: &Rejection) {
    exchange.log.fail(|| reason(exchange, rejection));
}

fn reason(exchange: &Exchange<'_>, rejection: &Rejection) -> String {
    match rejection {
        Rejection::InvalidBody(detail) => format!(
            "Request body does not match model schema for content type {}: {detail}",
            content_type(exchange)
        ),
        Rejection::MissingParameters(names) => {
            format!(
                "Missing required request parameters: [{}]",
                names.join(", ")
            )
        }
        Rejection::Integration(error) => match error {
            IntegrationError::Timeout(_) => "Execution failed due to a timeout error".to_owned(),
            IntegrationError::Network(_) | IntegrationError::BrokenAnswer(_) => format!(
                "Execution failed due to an internal error: {}",
                crate::function::chain(error)
            ),
            IntegrationError::FunctionFailed { detail, .. } => {
                format!(
                    "Lambda execution failed with status 200 due to customer function error: {detail}"
                )
            }
            IntegrationError::MalformedAnswer { detail, .. } => format!(
                "Execution failed due to configuration error: Malformed Lambda proxy response ({detail})"
            ),
            IntegrationError::Invoke(InvokeError::AccessDenied { detail, .. }) => format!(
                "Execution failed due to configuration error: Invalid permissions on Lambda function ({detail})"
            ),
            IntegrationError::Configuration(reason) => {
                format!("Execution failed due to configuration error: {reason}")
            }
            other => format!("Execution failed: {}", crate::function::chain(other)),
        },
        other => format!("Execution failed: {}", crate::function::chain(other)),
    }
}

/// What the client gets, and the end of the log: it goes to the gateway's own log.
pub(super) fn end(
    exchange: &Exchange<'_>,
    response: &Response<Body>,
    refused: Option<&'static str>,
    forced: bool,
) {
    let log = &exchange.log;
    let body = match response.body() {
        Body::Empty => Some(&[][..]),
        Body::Full(bytes) => Some(&bytes[..]),
        Body::Incoming(_) | Body::Stream(_) => None,
    };
    let status = response.status().as_u16();
    match refused {
        Some(response_type) => {
            log.fail(|| {
                format!("Gateway response type: {response_type} with status code: {status}")
            });
            log.data(|| format!("Gateway response body: {}", body_text(body)));
            log.data(|| {
                format!(
                    "Gateway response headers: {}",
                    header_map(response.headers())
                )
            });
        }
        None => {
            log.data(|| {
                format!(
                    "Method response body after transformations: {}",
                    body_text(body)
                )
            });
            log.data(|| {
                format!(
                    "Method response headers: {}",
                    header_map(response.headers())
                )
            });
            log.say(|| "Successfully completed execution".to_owned());
        }
    }
    log.say(|| format!("Method completed with status: {status}"));
    if forced {
        return;
    }
    let lines = log.lines();
    if lines.is_empty() {
        return;
    }
    let canary = match exchange.api.canary {
        Some(canary) if canary.requested => "/Canary",
        _ => "",
    };
    let group = format!(
        "API-Gateway-Execution-Logs_{}/{}{canary}",
        exchange.api.api_id, exchange.api.stage
    );
    let id = exchange.request_id.as_str();
    for line in lines {
        let (group, text) = (group.as_str(), line.text.as_str());
        if line.failed {
            error!(target: "tollgate::execution_log", group, "({id}) {text}");
        } else {
            info!(target: "tollgate::execution_log", group, "({id}) {text}");
        }
    }
}
