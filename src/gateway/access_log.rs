//! A request's line of the access log.
//!
//! Source: API Gateway developer guide, "Variables for access logging for API
//! Gateway" and "Customize HTTP API access logs".

use std::borrow::Cow;
use std::time::Duration;

use super::gateway_response::message_string;
use super::rejection::{DefaultAnswer, Rejection};
use crate::event::execution_log::masked;
use crate::event::{Exchange, context_variables};
use crate::model::ApiKind;
use crate::observe::access_log::{Escape, Format, Hole, Line, Piece, Variable};

/// Writes all but what the end of the answer tells.
pub(super) fn line(
    format: &Format,
    exchange: &Exchange<'_>,
    refused: Option<&Rejection>,
    status: u16,
) -> Line {
    let mut line = Line::default();
    let default = refused.map(|refused| default_answer(exchange.api.kind, refused));
    for piece in &format.pieces {
        match piece {
            Piece::Text(text) => line.text(text),
            Piece::Variable(variable) => {
                let default = default.as_ref();
                write(
                    &mut line,
                    variable,
                    format.escape,
                    exchange,
                    refused,
                    default,
                    status,
                );
            }
        }
    }
    line
}

/// Writes a variable's value, most of them straight from where it stands.
fn write(
    line: &mut Line,
    variable: &Variable,
    escape: Escape,
    exchange: &Exchange<'_>,
    refused: Option<&Rejection>,
    default: Option<&DefaultAnswer>,
    status: u16,
) {
    let watch = &exchange.watch;
    let request = &exchange.request;
    let text = match variable {
        Variable::ResponseLength => return line.hole(Hole::Length),
        Variable::ResponseLatency => return line.hole(Hole::Latency),
        Variable::Status => return line.number(Some(status.into())),
        Variable::IntegrationLatency => {
            let latency = watch.integration_latency();
            return line.number(latency.map(milliseconds));
        }
        Variable::CallStatus => return line.number(watch.call_status().map(u64::from)),
        Variable::BackendStatus => return line.number(watch.backend_status().map(u64::from)),
        Variable::RequestTime => return line.time(exchange.log_time()),
        Variable::RequestTimeEpoch => return line.number(Some(milliseconds(exchange.received))),
        Variable::SourceIp => return line.address(exchange.client_ip()),
        // It is JSON already.
        Variable::ErrorMessageString => match default {
            Some(default) => return line.text(&message_string(default)),
            None => None,
        },
        Variable::RequestId => Some(exchange.request_id.as_str()),
        Variable::ExtendedRequestId => Some(exchange.extended_request_id.as_str()),
        Variable::HttpMethod => Some(request.method.as_str()),
        Variable::ResourcePath => exchange.route.map(|route| route.resource_path.as_str()),
        Variable::Protocol => Some(exchange.protocol()),
        Variable::IntegrationError => match refused {
            Some(refused @ Rejection::Integration(_)) => {
                return line.value(Some(&refused.to_string()), escape);
            }
            _ => None,
        },
        Variable::ErrorMessage => default.and_then(|default| default.message.as_deref()),
        Variable::ErrorType => default.map(|default| default.response_type),
        Variable::ValidationError => {
            default.and_then(|default| default.validation_error.as_deref())
        }
        Variable::Named(name) => return line.value(named(name, exchange).as_deref(), escape),
    };
    line.value(text, escape);
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The answer to a refusal as either kind of API words it.
fn default_answer(kind: ApiKind, refused: &Rejection) -> DefaultAnswer {
    let rest = refused.rest_answer();
    match kind {
        ApiKind::Rest => rest,
        ApiKind::Http => DefaultAnswer {
            message: Some(Cow::Borrowed(refused.http_answer().1)),
            ..rest
        },
    }
}

/// Those that only access logs have, then those of templates.
fn named<'e>(name: &'e str, exchange: &'e Exchange<'_>) -> Option<Cow<'e, str>> {
    let authorizer = &exchange.authorizer;
    match name {
        "awsEndpointRequestId" | "awsEndpointRequestId2" | "integration.requestId" => {
            exchange.watch.request_id().map(Cow::Borrowed)
        }
        "endpointType" => Some(Cow::Borrowed("REGIONAL")),
        "authorizer.integrationStatus" => {
            let asked = !authorizer.latency.is_zero();
            asked.then_some(Cow::Borrowed("200"))
        }
        // The signature's check, and the policies' after it.
        "authenticate.status" | "authorize.status" => {
            let status = exchange.caller.iam().and(authorizer.status)?;
            Some(Cow::Owned(status.to_string()))
        }
        // Whoever reads the log shall not call as the key's owner; `apiKeyId` tells who it was.
        "identity.apiKey" => {
            let key = exchange.api_key.as_ref()?;
            Some(Cow::Owned(masked(&key.value)))
        }
        other => context_variables::lookup(exchange, other),
    }
}
