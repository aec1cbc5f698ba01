//! A request's line of the access log.
//!
//! Source: API Gateway developer guide, "Variables for access logging for API
//! Gateway" and "Customize HTTP API access logs".

use std::borrow::Cow;

use super::gateway_response::message_string;
use super::rejection::{DefaultAnswer, Rejection};
use crate::event::execution_log::masked;
use crate::event::{Exchange, context_variables};
use crate::model::ApiKind;
use crate::observe::access_log::{Format, Hole, Line, Piece, Variable};

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
            Piece::Variable(Variable::ResponseLength) => line.hole(Hole::Length),
            Piece::Variable(Variable::ResponseLatency) => line.hole(Hole::Latency),
            // It is JSON already.
            Piece::Variable(Variable::ErrorMessageString) => match &default {
                Some(default) => line.text(&message_string(default)),
                None => line.value(None, format.escape),
            },
            Piece::Variable(variable) => {
                let value = value(variable, exchange, refused, default.as_ref(), status);
                line.value(value.as_deref(), format.escape);
            }
        }
    }
    line
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

fn value<'e>(
    variable: &'e Variable,
    exchange: &'e Exchange<'_>,
    refused: Option<&Rejection>,
    default: Option<&'e DefaultAnswer>,
    status: u16,
) -> Option<Cow<'e, str>> {
    let watch = &exchange.watch;
    let number = |value: Option<u16>| value.map(|value| Cow::Owned(value.to_string()));
    match variable {
        Variable::Status => number(Some(status)),
        Variable::IntegrationLatency => watch
            .integration_latency()
            .map(|latency| Cow::Owned(latency.as_millis().to_string())),
        Variable::CallStatus => number(watch.call_status()),
        Variable::BackendStatus => number(watch.backend_status()),
        Variable::IntegrationError => match refused {
            Some(refused @ Rejection::Integration(_)) => Some(Cow::Owned(refused.to_string())),
            _ => None,
        },
        Variable::ErrorMessage => default?.message.as_deref().map(Cow::Borrowed),
        Variable::ErrorType => Some(Cow::Borrowed(default?.response_type)),
        Variable::ValidationError => default?.validation_error.as_deref().map(Cow::Borrowed),
        Variable::Named(name) => named(name, exchange),
        Variable::ResponseLength | Variable::ResponseLatency | Variable::ErrorMessageString => None,
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
            let (_, value) = exchange.api_key.as_ref()?;
            Some(Cow::Owned(masked(value)))
        }
        other => context_variables::lookup(exchange, other),
    }
}
